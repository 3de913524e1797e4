//! A search server that `.ci/run` installs, on a free port of 127.0.0.1.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

/// A running server, which keeps nothing when it ends.
pub(crate) struct Server {
    program: PathBuf,
    port: u16,
    running: Option<Child>,
}

/// Where `.ci/run` installs it.
fn program() -> Option<PathBuf> {
    let home = || PathBuf::from(std::env::var("HOME").unwrap_or_default()).join(".cache/bluelake/servers");
    let servers = std::env::var_os("BLUELAKE_TEST_SERVERS").map_or_else(home, PathBuf::from);
    let versions = std::fs::read_dir(servers.join("search/lib")).ok()?;
    let programs =
        versions.filter_map(|version| Some(version.ok()?.path().join("site-packages/osmem_server/bin/osmem-server")));
    programs.into_iter().find(|program| program.exists())
}

impl Server {
    /// Starts one, or says that the test does not run.
    pub(crate) async fn start() -> Option<Self> {
        let Some(program) = program() else {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                b"NOT RUN: there is no osmem-server (see .ci/run, BLUELAKE_TEST_SERVERS)\n",
            );
            return None;
        };
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { program, port, running: None };
        server.run().await;
        Some(server)
    }

    /// Runs it until it answers.
    pub(crate) async fn run(&mut self) {
        let mut command = Command::new(&self.program);
        command.args(["--addr", &format!("127.0.0.1:{}", self.port), "--no-ja", "--no-stdin-watch"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.running = Some(command.spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        while reqwest::get(self.endpoint()).await.is_err() {
            assert!(Instant::now() < until, "the server does not answer");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Ends it at once.
    pub(crate) fn stop(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.kill().unwrap();
            running.wait().unwrap();
        }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Asks the server; the status and the answer.
    pub(crate) async fn ask(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let mut request = reqwest::Client::new().request(method, format!("{}{path}", self.endpoint()));
        if !body.is_null() {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        (answer.status().as_u16(), serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
    }

    /// Asks the server for what it must be able to answer.
    pub(crate) async fn must(&self, method: Method, path: &str, body: Value) -> Value {
        let (status, answer) = self.ask(method, path, body).await;
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// The names of the indices that hold documents of a table, and whether the alias names each.
    pub(crate) async fn indices(&self, table: &str) -> BTreeMap<String, bool> {
        let alias = format!("lake-{table}");
        let found = self.must(Method::GET, &format!("/{alias}-*/_alias"), Value::Null).await;
        let named = |of: &Value| of["aliases"].get(&alias).is_some();
        found.as_object().unwrap().iter().map(|(index, of)| (index.clone(), named(of))).collect()
    }

    /// The documents that readers find, by id.
    pub(crate) async fn documents(&self, table: &str) -> BTreeMap<String, Value> {
        let alias = format!("/lake-{table}");
        self.must(Method::POST, &format!("{alias}/_refresh"), Value::Null).await;
        let question = json!({ "size": 10_000, "query": { "match_all": {} } });
        let found = self.must(Method::POST, &format!("{alias}/_search"), question).await;
        let hits = found["hits"]["hits"].as_array().unwrap();
        assert!(hits.len() < 10_000, "too many for one answer");
        let documents: BTreeMap<String, Value> =
            hits.iter().map(|hit| (hit["_id"].as_str().unwrap().to_owned(), hit["_source"].clone())).collect();
        assert_eq!(documents.len(), hits.len(), "an id is there twice");
        documents
    }

    /// The position of a table.
    pub(crate) async fn position(&self, table: &str) -> Value {
        self.ask(Method::GET, &format!("/lake-progress/_doc/{table}"), Value::Null).await.1["_source"].clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

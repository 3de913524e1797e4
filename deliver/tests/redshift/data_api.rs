//! A Data API of Redshift inside the test process, over a real PostgreSQL and the S3 of the tests. It is no Redshift: it takes
//! what Redshift documents, refuses what Redshift refuses, and runs each request in one transaction of PostgreSQL.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, response::Response};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use uuid::Uuid;

use super::{
    execute::{Given, Login, run},
    s3::{ACCESS_KEY, S3},
    translate::FUNCTIONS,
};

pub(crate) const WORKGROUP: &str = "points";
pub(crate) const CLUSTER: &str = "warehouse";
/// Rows of a page, and bytes of an answer.
const PAGE: usize = 300;
const ANSWER: usize = 100 << 20;

/// The service. It ends when it is dropped.
pub(crate) struct DataApi {
    pub(crate) endpoint: String,
    pub(crate) s3: S3,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    port: u16,
    password: String,
    s3: String,
    statements: Mutex<HashMap<String, Statement>>,
    tokens: Mutex<HashMap<String, String>>,
    /// What the next transactions end with, instead of a commit.
    faults: Mutex<VecDeque<String>>,
}

#[derive(Clone, Debug)]
struct Statement {
    texts: Vec<String>,
    is_batch: bool,
    /// `None`: it is running.
    outcome: Option<Result<Vec<Given>, (usize, String)>>,
}

impl DataApi {
    /// Over the database at this port of 127.0.0.1.
    pub(crate) async fn over(port: u16, password: &str, client: &tokio_postgres::Client) -> Self {
        client.batch_execute(FUNCTIONS).await.unwrap();
        let s3 = S3::start().await;
        std::fs::create_dir_all(s3.bucket("staging")).unwrap();
        let shared = Arc::new(Shared {
            port,
            password: password.to_owned(),
            s3: s3.endpoint.clone(),
            statements: Mutex::default(),
            tokens: Mutex::default(),
            faults: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { endpoint, s3, shared, server }
    }

    /// The next transactions fail with these words, after all of their statements.
    pub(crate) fn fail_next(&self, faults: &[&str]) {
        self.shared.faults.lock().unwrap().extend(faults.iter().map(|fault| (*fault).to_owned()));
    }

    /// Faults that did not happen yet.
    pub(crate) fn faults_left(&self) -> usize {
        self.shared.faults.lock().unwrap().len()
    }

    /// The statements that were sent and hold this text.
    pub(crate) fn sent(&self, part: &str) -> Vec<String> {
        let statements = self.shared.statements.lock().unwrap();
        let all = statements.values().flat_map(|statement| &statement.texts);
        all.filter(|text| text.contains(part)).cloned().collect()
    }

    /// The names of the objects that are staged.
    pub(crate) fn staged(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.s3.bucket("staging")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "parquet" || end == "manifest") {
                    found.push(path.display().to_string());
                }
            }
        }
        found
    }
}

impl Drop for DataApi {
    fn drop(&mut self) {
        self.server.abort();
    }
}

type Answered = Result<Value, (&'static str, String)>;

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let operation = header("x-amz-target");
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answered = if header("authorization").contains(&format!("Credential={ACCESS_KEY}/")) {
        match operation.strip_prefix("RedshiftData.") {
            Some("ExecuteStatement") => begin(&shared, &body, false),
            Some("BatchExecuteStatement") => begin(&shared, &body, true),
            Some("DescribeStatement") => describe(&shared, &body),
            Some("GetStatementResult") => result(&shared, &body),
            Some("CancelStatement") => Ok(json!({ "Status": false })),
            _ => Err(("UnknownOperationException", operation.clone())),
        }
    } else {
        Err(("UnrecognizedClientException", "The security token included in the request is invalid.".to_owned()))
    };
    let (status, value) = match answered {
        Ok(value) => (200, value),
        Err((code, message)) => (400, json!({ "__type": code, "Message": message })),
    };
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    response.body(value.to_string().into()).unwrap()
}

fn invalid(message: &str) -> (&'static str, String) {
    ("ValidationException", message.to_owned())
}

fn begin(shared: &Arc<Shared>, body: &Value, is_batch: bool) -> Answered {
    let user = match (body["WorkgroupName"].as_str(), body["ClusterIdentifier"].as_str()) {
        (Some(WORKGROUP), None) => "owner",
        (None, Some(CLUSTER)) => body["DbUser"].as_str().unwrap_or("owner"),
        _ => return Err(invalid("Redshift endpoint doesn't exist in this region.")),
    };
    let texts: Vec<String> = if is_batch {
        body["Sqls"].as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
    } else {
        vec![body["Sql"].as_str().unwrap().to_owned()]
    };
    if texts.is_empty() || texts.len() > 40 {
        return Err(invalid("a batch has 1 to 40 statements"));
    }
    if texts.iter().any(|text| text.len() > 100_000) {
        return Err(invalid("a statement has at most 100 KB"));
    }
    let token = body["ClientToken"].as_str().ok_or_else(|| invalid("the tests want a token with each request"))?;
    let id = {
        let mut tokens = shared.tokens.lock().unwrap();
        if let Some(id) = tokens.get(token) {
            return Ok(json!({ "Id": id }));
        }
        let id = Uuid::new_v4().to_string();
        tokens.insert(token.to_owned(), id.clone());
        id
    };
    let statement = Statement { texts: texts.clone(), is_batch, outcome: None };
    shared.statements.lock().unwrap().insert(id.clone(), statement);
    let login = Login {
        port: shared.port,
        user: user.to_owned(),
        password: shared.password.clone(),
        database: body["Database"].as_str().unwrap().to_owned(),
    };
    let moves = |text: &String| text.starts_with("LOCK ");
    let fault = if texts.iter().any(moves) { shared.faults.lock().unwrap().pop_front() } else { None };
    // It runs on, whether or not anybody asks for it.
    let (shared, running) = (shared.clone(), id.clone());
    tokio::spawn(async move {
        let outcome = run(&login, &shared.s3, &texts, is_batch, fault).await;
        shared.statements.lock().unwrap().get_mut(&running).unwrap().outcome = Some(outcome);
    });
    Ok(json!({ "Id": id }))
}

fn found(shared: &Shared, id: &str) -> Result<Statement, (&'static str, String)> {
    let found = shared.statements.lock().unwrap().get(id).cloned();
    found.ok_or(("ResourceNotFoundException", format!("there is no statement {id}")))
}

fn describe(shared: &Shared, body: &Value) -> Answered {
    let id = body["Id"].as_str().unwrap();
    let statement = found(shared, id)?;
    let (status, error) = match &statement.outcome {
        None => ("STARTED", None),
        Some(Ok(_)) => ("FINISHED", None),
        Some(Err((_, error))) => ("FAILED", Some(error.clone())),
    };
    let mut answer = json!({ "Id": id, "Status": status, "ResultRows": -1, "HasResultSet": false });
    if let Some(error) = &error {
        answer["Error"] = error.clone().into();
    }
    match &statement.outcome {
        Some(Ok(given)) if !statement.is_batch => answer["ResultRows"] = given[0].rows.into(),
        Some(outcome) if statement.is_batch => {
            let part = |number: usize| {
                let mut part = json!({ "Id": format!("{id}:{}", number + 1), "Status": "FINISHED", "ResultRows": -1 });
                match outcome {
                    Ok(given) => part["ResultRows"] = given[number].rows.into(),
                    Err((at, error)) if *at == number => {
                        part["Status"] = "FAILED".into();
                        part["Error"] = error.clone().into();
                    }
                    Err(_) => part["Status"] = "ABORTED".into(),
                }
                part
            };
            answer["SubStatements"] = (0..statement.texts.len()).map(part).collect();
        }
        _ => {}
    }
    Ok(answer)
}

fn result(shared: &Shared, body: &Value) -> Answered {
    let statement = found(shared, body["Id"].as_str().unwrap())?;
    let none = || ("ResourceNotFoundException", "the statement has no result".to_owned());
    let Some(Ok(given)) = &statement.outcome else { return Err(none()) };
    let rows = given[0].answer.as_ref().ok_or_else(none)?;
    let size: usize = rows.iter().map(|row| row.to_string().len()).sum();
    if size > ANSWER {
        return Err(invalid("the result is larger than 100 MB"));
    }
    let from: usize = body["NextToken"].as_str().map_or(0, |token| token.parse().unwrap());
    let page = rows.iter().skip(from).take(PAGE).cloned().collect::<Vec<_>>();
    let mut answer = json!({ "Records": page, "TotalNumRows": rows.len() });
    if from + PAGE < rows.len() {
        answer["NextToken"] = (from + PAGE).to_string().into();
    }
    Ok(answer)
}

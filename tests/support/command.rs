//! Runs the real binary in a working folder of its own, with a clean environment.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};

use crate::support::servers::{Kinesis, S3, aws_variables};

/// The most time of a test's command, even on a slow machine.
const GIVE_UP: Duration = Duration::from_secs(300);

/// A fresh machine: an empty working folder, and an environment with only the test's variables.
pub(crate) struct Machine {
    folder: TempDir,
    variables: HashMap<String, String>,
}

/// What a command left behind.
#[derive(Debug)]
pub(crate) struct Finished {
    /// `None`: killed.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    /// Fails the test unless the exit code is this one.
    #[track_caller]
    pub(crate) fn expect_code(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "\nstdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }

    /// Fails the test unless standard error holds all of these.
    #[track_caller]
    pub(crate) fn expect_message(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.stderr.contains(part), "standard error lacks {part:?}:\n{}", self.stderr);
        }
        self
    }

    /// Standard output as one JSON value.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("not JSON ({error}):\n{}", self.stdout))
    }
}

impl Machine {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut variables = aws_variables();
        variables.insert("HOME".to_owned(), folder.path().display().to_string());
        Self { folder, variables }
    }

    pub(crate) fn with_kinesis(self, kinesis: &Kinesis) -> Self {
        self.with("AWS_ENDPOINT_URL_KINESIS", &kinesis.endpoint)
    }

    pub(crate) fn with_s3(self, s3: &S3) -> Self {
        self.with("AWS_ENDPOINT_URL_S3", &s3.endpoint)
    }

    pub(crate) fn with(mut self, variable: &str, value: &str) -> Self {
        self.set(variable, value);
        self
    }

    pub(crate) fn without(mut self, variable: &str) -> Self {
        self.unset(variable);
        self
    }

    /// Sets a variable for the commands to come.
    pub(crate) fn set(&mut self, variable: &str, value: &str) {
        self.variables.insert(variable.to_owned(), value.to_owned());
    }

    /// Removes a variable for the commands to come.
    pub(crate) fn unset(&mut self, variable: &str) {
        self.variables.remove(variable);
    }

    /// A path in the working folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Copies the files of the built-in contract into this folder below the working folder.
    pub(crate) fn copy_contract(&self, folder: &str) {
        let built_in = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/events");
        for entry in std::fs::read_dir(built_in).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            self.write(&format!("{folder}/{name}"), &std::fs::read_to_string(&path).unwrap());
        }
    }

    fn command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bluelake"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env_clear()
            .envs(&self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// A command for a terminal: the caller sets its input and output.
    pub(crate) fn terminal_command<A: AsRef<OsStr>>(&self, arguments: &[A]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_bluelake"));
        command.args(arguments).current_dir(self.folder.path()).env_clear().envs(&self.variables);
        command
    }

    /// Runs a command to its end.
    pub(crate) async fn run<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Finished {
        wait(self.command(arguments).spawn().unwrap()).await
    }

    /// Runs a command to its end, with this text on its standard input.
    pub(crate) async fn run_with_input<A: AsRef<OsStr>>(&self, arguments: &[A], input: &str) -> Finished {
        let mut child = self.command(arguments).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // A command that refuses its input may not read all of it.
        if let Err(error) = stdin.write_all(input.as_bytes()).await {
            assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
        }
        drop(stdin);
        wait(child).await
    }

    /// Starts a command and kills it with SIGKILL after this time, if it still runs then.
    pub(crate) async fn kill_after<A: AsRef<OsStr>>(&self, arguments: &[A], delay: Duration) -> Finished {
        let mut child = self.command(arguments).spawn().unwrap();
        let ended = tokio::time::timeout(delay, child.wait()).await;
        if ended.is_err() {
            child.kill().await.unwrap();
        }
        wait(child).await
    }

    /// Starts a command and leaves it running.
    pub(crate) fn start<A: AsRef<OsStr>>(&self, arguments: &[A]) -> Child {
        self.command(arguments).spawn().unwrap()
    }

    /// Runs a command that must exit with 0, and gives its standard output.
    pub(crate) async fn succeed<A: AsRef<OsStr>>(&self, arguments: &[A]) -> String {
        self.run(arguments).await.expect_code(0).stdout
    }

    /// The rows of a query, as JSON objects.
    pub(crate) async fn query(&self, lake: &str, sql: &str) -> Vec<Value> {
        let output = self.succeed(&["--lake", lake, "sql", sql, "--format", "ndjson"]).await;
        output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Every row of a table, which conditions may follow, in a fixed order.
    pub(crate) async fn rows(&self, lake: &str, table: &str) -> Vec<Value> {
        self.query(lake, &in_order(table)).await
    }

    /// The one number that a query gives.
    pub(crate) async fn number(&self, lake: &str, sql: &str) -> i64 {
        let rows = self.query(lake, sql).await;
        let [row] = rows.as_slice() else { panic!("{sql}: {} rows", rows.len()) };
        row.as_object().unwrap().values().next().unwrap().as_i64().unwrap()
    }
}

/// A query of every row of a table in a fixed order. Shards of two streams have the same names, and may have the same
/// sequence numbers.
pub(crate) fn in_order(table: &str) -> String {
    let stream = if table.starts_with("rejected_events") { "stream, " } else { "" };
    format!("SELECT * FROM {table} ORDER BY {stream}stream_shard, stream_sequence, stream_sub_sequence, arrived_at")
}

/// Asks a command that was started to end, and waits for that.
pub(crate) async fn terminate(child: Child) -> Finished {
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).unwrap();
    wait(child).await
}

/// Waits for the end of a command that was started.
pub(crate) async fn wait(child: Child) -> Finished {
    let output = tokio::time::timeout(GIVE_UP, child.wait_with_output()).await.expect("the command hangs").unwrap();
    Finished {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

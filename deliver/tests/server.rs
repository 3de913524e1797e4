//! A PostgreSQL server of the machine's packages, in a folder of its own on a free port of 127.0.0.1.

use std::{
    net::TcpListener,
    os::unix::fs::{MetadataExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, NoTls, SimpleQueryMessage};

pub(crate) const PASSWORD: &str = "s3cret";

/// A running server. It ends when this is dropped.
pub(crate) struct Server {
    folder: TempDir,
    programs: PathBuf,
    pub(crate) port: u16,
    running: Option<Child>,
}

/// The server's programs, of the newest version that is installed.
fn programs() -> Option<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|folder| folder.join("initdb").exists() && folder.join("postgres").exists())
        .collect();
    found.sort();
    found.pop()
}

/// The server refuses to run as root: then it runs as the user of its package.
fn as_own_user(program: &Path) -> Option<Command> {
    let is_root = std::fs::metadata("/proc/self").ok()?.uid() == 0;
    if !is_root {
        return Some(Command::new(program));
    }
    own_user()?;
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    Some(command)
}

fn own_user() -> Option<u32> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    users.lines().find_map(|line| line.strip_prefix("postgres:")?.split(':').nth(1)?.parse().ok())
}

impl Server {
    /// Starts one, or says that the test does not run.
    pub(crate) async fn start() -> Option<Self> {
        let Some(programs) = programs().filter(|programs| as_own_user(programs).is_some()) else {
            let _ = std::io::Write::write_all(
                &mut std::io::stderr(),
                b"DID NOT RUN: there is no PostgreSQL server on this machine (apt-get install postgresql)\n",
            );
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        if let Some(user) = own_user()
            && std::fs::metadata("/proc/self").unwrap().uid() == 0
        {
            chown(folder.path(), Some(user), Some(user)).unwrap();
            chown(folder.path().join("password"), Some(user), Some(user)).unwrap();
        }
        let mut initialise = as_own_user(&programs.join("initdb")).unwrap();
        initialise
            .args(["-A", "scram-sha-256", "-U", "owner", "-E", "UTF8", "--locale=C", "--no-sync", "-D"])
            .arg(folder.path().join("data"))
            .arg(format!("--pwfile={}", folder.path().join("password").display()));
        let done = initialise.current_dir("/").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, programs, port, running: None };
        server.run().await;
        Some(server)
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Runs it until it answers.
    pub(crate) async fn run(&mut self) {
        let mut command = as_own_user(&self.programs.join("postgres")).unwrap();
        command
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-k"])
            .arg(self.folder.path());
        let log = std::fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.running = Some(command.spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(60);
        while let Err(error) = self.try_client("postgres", NoTls).await {
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
            assert!(Instant::now() < until, "{error}\n{log}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Stops it at once, as a crash would.
    pub(crate) async fn stop(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        let _ = Command::new("kill").args(["-QUIT", &running.id().to_string()]).status();
        let until = Instant::now() + Duration::from_secs(30);
        while running.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the server does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn try_client(&self, database: &str, _: NoTls) -> Result<Client, tokio_postgres::Error> {
        let address = format!("host=127.0.0.1 port={} user=owner password={PASSWORD} dbname={database}", self.port);
        let (client, connection) = tokio_postgres::connect(&address, NoTls).await?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub(crate) async fn client(&self) -> Client {
        self.try_client("postgres", NoTls).await.unwrap()
    }

    /// What is notified on a channel from now on.
    pub(crate) async fn listen(&self, channel: &str) -> mpsc::UnboundedReceiver<String> {
        let address = format!("host=127.0.0.1 port={} user=owner password={PASSWORD} dbname=postgres", self.port);
        let (client, mut connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
        let (sender, receiver) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let mut messages = futures::stream::poll_fn(move |context| connection.poll_message(context));
            while let Some(Ok(message)) = messages.next().await {
                if let AsyncMessage::Notification(told) = message
                    && sender.send(told.payload().to_owned()).is_err()
                {
                    return;
                }
            }
        });
        client.batch_execute(&format!("LISTEN {channel}")).await.unwrap();
        // The connection ends with its client.
        std::mem::forget(client);
        receiver
    }

    pub(crate) fn address(&self) -> String {
        self.address_of("owner", self.port)
    }

    pub(crate) fn address_of(&self, user: &str, port: u16) -> String {
        format!("postgres://{user}:{PASSWORD}@127.0.0.1:{port}/postgres")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = Command::new("kill").args(["-QUIT", &running.id().to_string()]).status();
            let _ = running.wait();
        }
    }
}

/// The rows of a query, as texts.
pub(crate) async fn rows(client: &Client, query: &str) -> Vec<Vec<Option<String>>> {
    let answers = client.simple_query(query).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let row = |answer| match answer {
        SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect()),
        _ => None,
    };
    answers.into_iter().filter_map(row).collect()
}

/// The one value of a query.
pub(crate) async fn value(client: &Client, query: &str) -> String {
    rows(client, query).await[0][0].clone().unwrap()
}

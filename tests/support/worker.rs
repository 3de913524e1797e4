//! A worker in a process of its own, watched through its metrics.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::Mutex;

use crate::support::command::{Finished, Machine, wait};
use crate::support::lake_files::Totals;
use crate::support::servers::{TRANSACTION_EVENTS, USER_EVENTS};

/// Each stream with its table.
pub(crate) const STREAMS: [(&str, &str); 2] = [(USER_EVENTS, "user_events"), (TRANSACTION_EVENTS, "transactions")];
/// It is long, because the machine may be busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A worker that serves metrics.
pub(crate) struct Worker {
    pub(crate) address: String,
    process: u32,
    /// `None` once it was waited for.
    child: Mutex<Option<Child>>,
}

impl Worker {
    pub(crate) async fn start(machine: &Machine, arguments: &[&str]) -> Self {
        // The port is free now, and most likely still free a moment later.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let mut all = vec!["ingest", "--listen", &address];
        all.extend(arguments);
        let child = machine.start(&all);
        Self { address, process: child.id().unwrap(), child: Mutex::new(Some(child)) }
    }

    /// Status code and body; `None` without a listener.
    pub(crate) async fn get(&self, path: &str) -> Option<(u16, String)> {
        let mut client = TcpStream::connect(&self.address).await.ok()?;
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: worker\r\n\r\n").as_bytes()).await.ok()?;
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().unwrap(), body.to_owned()))
    }

    pub(crate) async fn until_ready(&self) {
        let started = Instant::now();
        while self.get("/readyz").await.is_none_or(|(code, _)| code != 200) {
            assert!(started.elapsed() < PATIENCE, "never ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) async fn metrics(&self) -> Metrics {
        let Some((code, text)) = self.get("/metrics").await else {
            let finished = self.wait().await;
            panic!("it serves no metrics: exit code {:?}\n{}", finished.code, finished.stderr);
        };
        assert_eq!(code, 200);
        Metrics::parse(&text)
    }

    /// The metrics, once the streams have committed this number of events together.
    pub(crate) async fn until_received(&self, events: u64) -> Metrics {
        let started = Instant::now();
        loop {
            let metrics = self.metrics().await;
            let received: u64 = STREAMS.iter().map(|(stream, _)| metrics.totals(stream).received).sum();
            if received >= events {
                return metrics;
            }
            assert!(started.elapsed() < PATIENCE, "{received} of {events} events were committed");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    pub(crate) async fn stop(self) -> Finished {
        self.signal("TERM").await;
        self.ended().await
    }

    /// Waits for its end.
    pub(crate) async fn ended(self) -> Finished {
        self.wait().await
    }

    async fn wait(&self) -> Finished {
        let child = self.child.lock().await.take();
        wait(child.expect("it was waited for already")).await
    }

    /// Sends a signal, such as `TERM` or `STOP`.
    pub(crate) async fn signal(&self, name: &str) {
        let (signal, process) = (format!("-{name}"), self.process.to_string());
        assert!(Command::new("kill").args([signal, process]).status().await.unwrap().success());
    }

    /// Waits until the metrics are as wanted.
    pub(crate) async fn until(&self, what: &str, reached: impl Fn(&Metrics) -> bool) -> Metrics {
        let started = Instant::now();
        loop {
            let metrics = self.metrics().await;
            if reached(&metrics) {
                return metrics;
            }
            assert!(started.elapsed() < PATIENCE, "{what}: never");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Series of the Prometheus text format: name with sorted labels → value.
pub(crate) struct Metrics(pub(crate) HashMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        let series = lines.map(|line| {
            let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a series: {line:?}"));
            (series.to_owned(), value.parse().unwrap_or_else(|_| panic!("not a number: {line:?}")))
        });
        let mut found = HashMap::new();
        for (series, value) in series {
            assert!(found.insert(series.clone(), value).is_none(), "{series} is published twice");
        }
        Self(found)
    }

    pub(crate) fn value(&self, name: &str, stream: &str) -> f64 {
        let series = format!("{name}{{stream=\"{stream}\"}}");
        *self.0.get(&series).unwrap_or_else(|| panic!("no series {series} among {:?}", self.0.keys()))
    }

    /// The sum over all series of a name and stream.
    pub(crate) fn sum(&self, name: &str, stream: &str) -> f64 {
        let label = format!("stream=\"{stream}\"");
        let of_name = |series: &&String| series.starts_with(&format!("{name}{{")) && series.contains(&label);
        self.0.keys().filter(of_name).map(|series| self.0[series]).sum()
    }

    /// The sum over all series of a name, with any labels.
    pub(crate) fn all(&self, name: &str) -> f64 {
        let of_name = |series: &&String| series.split('{').next() == Some(name);
        self.0.keys().filter(of_name).map(|series| self.0[series]).sum()
    }

    pub(crate) fn totals(&self, stream: &str) -> Totals {
        // Before the worker of a stream has opened its table there are no metrics.
        let count = |name: &str| self.sum(&format!("bluelake_events_{name}_total"), stream) as u64;
        Totals {
            received: count("received"),
            stored: count("stored"),
            rejected: count("rejected"),
            duplicate: count("duplicate"),
        }
    }
}

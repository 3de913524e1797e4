//! Metrics and health over HTTP: `/metrics` for Prometheus, `/healthz` and `/readyz` for supervisors and load
//! balancers.
//!
//! One task serves every connection. A client that is slow, or never reads, takes one of a few places for a few
//! seconds, and does not disturb the work: reports are taken without waiting.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use bluelake_ingest::{describe_metrics, publish_metrics, publish_table};
use bluelake_schemas::Millis;
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use metrics::{describe_gauge, gauge};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use serde_json::json;
use tokio::net::TcpListener;

use crate::operate::health::Health;

/// Bounds of the histograms, seconds.
const BUCKETS: [f64; 12] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0];
/// Text format of Prometheus.
const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const BUILD_INFO: &str = "bluelake_build_info";

/// The limits of clients.
#[derive(Debug, Clone, Copy)]
struct Limits {
    /// Connections served at once; others wait to be accepted.
    connections: usize,
    /// Until the request has come.
    request: Duration,
    /// Until the connection is closed, answered or not.
    connection: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { connections: 32, request: Duration::from_secs(5), connection: Duration::from_secs(10) }
    }
}

/// Begins to keep metrics that are recorded when they happen, for the rest of the process.
///
/// # Errors
/// When that was begun before.
pub(crate) fn install_recorder() -> Result<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().set_buckets(&BUCKETS).context("the buckets are empty")?.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).context("metrics are recorded already")?;
    describe_metrics();
    Ok(handle)
}

/// What is served.
pub(crate) trait Served: Send + Sync + 'static {
    /// Publishes the metrics of now to the recorder in force, with their descriptions.
    fn publish(&self);
    /// Why it is not healthy; empty when it is.
    fn ills(&self) -> Vec<String>;
    /// Why it is not ready; empty when it is.
    fn unready(&self) -> Vec<String>;
}

impl Served for Health {
    fn publish(&self) {
        describe_metrics();
        for report in self.reports() {
            publish_metrics(&report);
        }
        for files in self.files().all() {
            let compacted_at = files.compacted_at.map(Millis::from);
            publish_table(files.table, files.files, files.small_files, files.bytes, compacted_at);
        }
    }

    fn ills(&self) -> Vec<String> {
        self.concerns().iter().map(ToString::to_string).collect()
    }

    fn unready(&self) -> Vec<String> {
        self.unready()
    }
}

/// Serves metrics and health.
#[derive(Debug)]
pub(crate) struct MetricsServer {
    listener: TcpListener,
    router: Router,
    limits: Limits,
}

impl MetricsServer {
    /// Takes the address; requests are answered only by [`MetricsServer::run`].
    ///
    /// # Errors
    /// When the address cannot be taken.
    pub(crate) async fn bind(address: SocketAddr, health: Arc<dyn Served>, recorded: PrometheusHandle) -> Result<Self> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        tracing::info!(%address, "serving /metrics, /healthz and /readyz");
        if !address.ip().is_loopback() {
            tracing::warn!(%address, "metrics and health are open to whoever reaches this address: no TLS, no password");
        }
        Ok(Self { listener, router: router(health, recorded), limits: Limits::default() })
    }

    /// Serves until it is dropped.
    pub(crate) async fn run(self) {
        let Self { listener, router, limits } = self;
        let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.request).keep_alive(false);
        let mut connections = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = listener.accept(), if connections.len() < limits.connections => match accepted {
                    Ok((socket, _)) => {
                        let service = TowerToHyperService::new(router.clone());
                        let connection = builder.serve_connection(TokioIo::new(socket), service);
                        connections.push(tokio::time::timeout(limits.connection, connection));
                    }
                    Err(error) => {
                        // Out of file handles, for example: such a fault passes, and must not make the loop hot.
                        tracing::warn!(%error, "a connection to the metrics could not be accepted");
                        tokio::time::sleep(Duration::from_secs(1)).await;
                    }
                },
                // The end of a connection does not matter: the next request has its own.
                Some(_) = connections.next(), if !connections.is_empty() => {}
            }
        }
    }
}

fn router(health: Arc<dyn Served>, recorded: PrometheusHandle) -> Router {
    let (metrics_of, healthy, ready) = (health.clone(), health.clone(), health);
    Router::new()
        .route(
            "/metrics",
            get(move || async move { ([(header::CONTENT_TYPE, TEXT_FORMAT)], render(&*metrics_of, &recorded)) }),
        )
        .route("/healthz", get(move || async move { verdict("healthy", "unhealthy", healthy.ills()) }))
        .route("/readyz", get(move || async move { verdict("ready", "not ready", ready.unready()) }))
}

/// Metrics that are recorded when they happen, and those of the present reports.
fn render(health: &dyn Served, recorded: &PrometheusHandle) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    metrics::with_local_recorder(&recorder, || {
        describe_gauge!(BUILD_INFO, "1; its label is the version of Bluelake");
        gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        health.publish();
    });
    let mut text = recorder.handle().render();
    text.push_str(&recorded.render());
    text
}

/// 200 without reasons, else 503 with the reasons; JSON in both cases.
fn verdict(good: &str, bad: &str, reasons: Vec<String>) -> impl IntoResponse {
    let (code, status) =
        if reasons.is_empty() { (StatusCode::OK, good) } else { (StatusCode::SERVICE_UNAVAILABLE, bad) };
    let body = json!({ "status": status, "reasons": reasons }).to_string();
    (code, [(header::CONTENT_TYPE, "application/json")], body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_schemas::Stream;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn start(limits: Limits) -> SocketAddr {
        let health = Arc::new(Health::new(vec![Stream::UserEvents], Duration::from_secs(60)));
        let recorded = PrometheusBuilder::new().build_recorder().handle();
        let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let server = MetricsServer { limits, ..MetricsServer::bind(listen, health, recorded).await.unwrap() };
        let address = server.listener.local_addr().unwrap();
        tokio::spawn(server.run());
        address
    }

    async fn ask(address: SocketAddr, path: &str) -> String {
        let mut client = TcpStream::connect(address).await.unwrap();
        client.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn health_readiness_and_metrics_are_served() {
        let address = start(Limits::default()).await;
        let healthy = ask(address, "/healthz").await;
        assert!(healthy.starts_with("HTTP/1.1 200") && healthy.contains(r#""status":"healthy""#), "{healthy}");
        let ready = ask(address, "/readyz").await;
        assert!(ready.starts_with("HTTP/1.1 503") && ready.contains("not open yet"), "{ready}");
        let metrics = ask(address, "/metrics").await;
        let build = format!("{BUILD_INFO}{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(metrics.contains(TEXT_FORMAT) && metrics.contains(&build), "{metrics}");
        assert!(ask(address, "/").await.starts_with("HTTP/1.1 404"));
    }

    #[tokio::test]
    async fn silent_clients_make_room_in_time() {
        let short = Duration::from_millis(300);
        let address = start(Limits { connections: 2, request: short, connection: short }).await;
        let mut held = Vec::new();
        for request in ["", "GET /metrics HTTP/1.1\r\n", "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n", ""] {
            let mut client = TcpStream::connect(address).await.unwrap();
            client.write_all(request.as_bytes()).await.unwrap();
            held.push(client);
        }
        let answer = tokio::time::timeout(Duration::from_secs(20), ask(address, "/healthz")).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    #[test]
    fn the_manual_explains_the_metric_of_the_build() {
        assert!(include_str!("../../docs/operating.md").contains(&format!("| `{BUILD_INFO}`")));
    }
}

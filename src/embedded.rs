//! A Kinesis inside this process, for the demo and for trying things by hand.
//!
//! It holds its streams in memory only and listens on the loopback interface only. Its client has credentials and a
//! region of its own: the user's AWS settings are neither read nor used, so nothing can go to a real account by mistake.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_credential_types::Credentials;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Region};
use aws_sdk_kinesis::types::StreamStatus;
use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::serve::ListenerExt as _;
use bluelake_schemas::Stream;
use ferrokinesis::store::StoreOptions;
use futures::{FutureExt as _, StreamExt as _};
use tokio::net::TcpListener;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// The region that the embedded Kinesis says it is in.
pub(crate) const REGION: &str = "us-east-1";
/// Access key and secret that it takes (it takes any).
pub(crate) const ACCESS_KEY: &str = "embedded";

/// Open shards that it allows: more than anyone tries on one machine.
const SHARD_LIMIT: u32 = 10_000;
const ACTIVE_WITHIN: Duration = Duration::from_secs(10);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// How many shards each stream gets.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shards {
    /// Of the stream of user events.
    pub(crate) user_events: i32,
    /// Of the stream of transaction events.
    pub(crate) transaction_events: i32,
}

impl Shards {
    fn of(self, stream: Stream) -> i32 {
        match stream {
            Stream::UserEvents => self.user_events,
            Stream::TransactionEvents => self.transaction_events,
        }
    }
}

/// A running embedded Kinesis; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct EmbeddedKinesis {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl EmbeddedKinesis {
    /// Listens on 127.0.0.1; port 0 takes a free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) async fn start(port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .await
            .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
        let address = listener.local_addr().context("cannot tell the address of the embedded Kinesis")?;
        let options = StoreOptions {
            create_stream_ms: 0,
            delete_stream_ms: 0,
            update_stream_ms: 0,
            shard_limit: SHARD_LIMIT,
            aws_region: REGION.to_owned(),
            ..StoreOptions::default()
        };
        let (router, _store) = ferrokinesis::create_app(options);
        // A full PutRecords request: 5 MiB of data, in base64.
        let router = one_at_a_time(router.layer(DefaultBodyLimit::max(7 << 20)));
        // Without this, small answers wait for the acknowledgement of what was sent before them.
        let listener = listener.tap_io(|socket| {
            if let Err(error) = socket.set_nodelay(true) {
                tracing::debug!(%error, "the embedded Kinesis answers with delay");
            }
        });
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the embedded Kinesis stopped");
            }
        });
        Ok(Self { address, server })
    }

    /// Where it listens, as an `AWS_ENDPOINT_URL_KINESIS`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client for it.
    pub(crate) fn client(&self) -> Client {
        let credentials = Credentials::new(ACCESS_KEY, ACCESS_KEY, None, None, "embedded");
        let config = aws_sdk_kinesis::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(REGION))
            .credentials_provider(credentials)
            .endpoint_url(self.endpoint())
            .build();
        Client::from_conf(config)
    }

    /// Creates both streams, by these names, and waits until they are active.
    ///
    /// # Errors
    /// When a stream cannot be created.
    pub(crate) async fn create_streams(&self, shards: Shards, name: impl Fn(Stream) -> String) -> Result<()> {
        let client = self.client();
        for stream in Stream::ALL {
            let name = name(stream);
            client
                .create_stream()
                .stream_name(&name)
                .shard_count(shards.of(stream))
                .send()
                .await
                .with_context(|| format!("cannot create the stream {name} in the embedded Kinesis"))?;
            tokio::time::timeout(ACTIVE_WITHIN, until_active(&client, &name))
                .await
                .with_context(|| format!("the stream {name} did not become active"))??;
        }
        Ok(())
    }
}

/// ferrokinesis 0.7 may wait while it holds a lock of its store; with puts and reads side by side every thread can end up
/// waiting for that lock. One request at a time cannot. The body of a subscription goes on reading the store after its
/// request was answered: it takes a turn for each look, and none for the pauses between them.
fn one_at_a_time(router: Router) -> Router {
    let turn = Arc::new(Mutex::new(()));
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let turn = turn.clone();
        async move {
            let answer = {
                let _turn = turn.lock().await;
                next.run(request).await
            };
            let pushes = |kind: &HeaderValue| kind == "application/vnd.amazon.eventstream";
            if answer.headers().get(CONTENT_TYPE).is_some_and(pushes) { in_turns(answer, turn) } else { answer }
        }
    }))
}

fn in_turns(answer: Response, turn: Arc<Mutex<()>>) -> Response {
    let (parts, body) = answer.into_parts();
    let mut body = body.into_data_stream();
    let mut waiting = None;
    let looks = futures::stream::poll_fn(move |context| {
        let wait = waiting.get_or_insert_with(|| turn.clone().lock_owned().boxed());
        let _turn = ready!(wait.poll_unpin(context));
        waiting = None;
        body.poll_next_unpin(context)
    });
    Response::from_parts(parts, Body::from_stream(looks))
}

impl Drop for EmbeddedKinesis {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn until_active(client: &Client, name: &str) -> Result<()> {
    loop {
        let answer = client
            .describe_stream_summary()
            .stream_name(name)
            .send()
            .await
            .with_context(|| format!("cannot describe the stream {name}"))?;
        match answer.stream_description_summary().map(|summary| summary.stream_status()) {
            Some(StreamStatus::Active) => return Ok(()),
            Some(StreamStatus::Deleting) => bail!("the stream {name} is being deleted"),
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

//! A Kinesis inside this process, for the demo and for trying things by hand.
//!
//! It holds its streams in memory only and listens on the loopback interface only. Its client has credentials and a
//! region of its own: the user's AWS settings are neither read nor used, so nothing can go to a real account by mistake.

mod mended;

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use aws_credential_types::Credentials;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Region};
use aws_sdk_kinesis::types::StreamStatus;
use axum::serve::ListenerExt as _;
use bluelake_schemas::Stream;
use ferrokinesis::store::StoreOptions;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use mended::mended;

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
        let (router, store) = ferrokinesis::create_app(options);
        let router = mended(router, store);
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aws_sdk_kinesis::primitives::{Blob, DateTime};
    use aws_sdk_kinesis::types::ShardIteratorType;

    use super::*;

    const STREAM: &str = "user-events";
    const SHARD: &str = "shardId-000000000000";
    /// Longer than the unit of its arrival times.
    const ARRIVAL_UNIT: Duration = Duration::from_millis(1_500);

    async fn put(client: &Client, data: &str) {
        let put = client.put_record().stream_name(STREAM).partition_key("key").data(Blob::new(data));
        put.send().await.unwrap();
    }

    /// What two reads from this iterator give.
    async fn read(client: &Client, iterator: String) -> Vec<String> {
        let (mut next, mut found) = (Some(iterator), Vec::new());
        for _ in 0..2 {
            let Some(iterator) = next else { break };
            let answer = client.get_records().shard_iterator(iterator).send().await.unwrap();
            let text = |data: &Blob| String::from_utf8(data.as_ref().to_vec()).unwrap();
            found.extend(answer.records().iter().map(|record| text(record.data())));
            next = answer.next_shard_iterator().map(ToOwned::to_owned);
        }
        found
    }

    async fn at(client: &Client, time: std::time::SystemTime) -> String {
        let kind = ShardIteratorType::AtTimestamp;
        let asked = client.get_shard_iterator().stream_name(STREAM).shard_id(SHARD).shard_iterator_type(kind);
        let answer = asked.timestamp(DateTime::from(time)).send().await.unwrap();
        answer.shard_iterator().unwrap().to_owned()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_time_behind_the_newest_record_is_the_tip_and_not_the_start() {
        let kinesis = EmbeddedKinesis::start(0).await.unwrap();
        let shards = Shards { user_events: 1, transaction_events: 1 };
        kinesis.create_streams(shards, |stream| stream.name().to_owned()).await.unwrap();
        let client = kinesis.client();
        let before = std::time::SystemTime::now() - Duration::from_secs(60);
        put(&client, "old").await;
        tokio::time::sleep(ARRIVAL_UNIT).await;
        let tip = at(&client, std::time::SystemTime::now()).await;
        assert_eq!(read(&client, tip.clone()).await, Vec::<String>::new());
        put(&client, "new").await;
        assert_eq!(read(&client, tip).await, ["new"]);
        let start = at(&client, before).await;
        assert_eq!(read(&client, start).await, ["old", "new"]);
    }
}

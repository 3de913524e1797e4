//! The server: ferrokinesis, mended, on a port of 127.0.0.1.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use axum::Router;
use axum::serve::ListenerExt as _;
use bluelake_schemas::Stream;
use ferrokinesis::store::StoreOptions;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::mended::mended;
use crate::script::{Script, scripted};
use crate::streams::{REGION, Shards, client, create_stream, until_active};

/// The most open shards: more than anyone tries on one machine.
const SHARD_LIMIT: u32 = 10_000;
const ACTIVE_WITHIN: Duration = Duration::from_secs(10);

/// The options of a server; by default it is as Kinesis is, on a free port.
#[derive(Debug, Clone)]
pub struct Options {
    /// Port on 127.0.0.1; 0 takes a free one.
    pub port: u16,
    /// How long a subscription lasts.
    pub subscription: Duration,
    /// The most records of one event of a subscription.
    pub records_an_event: usize,
    /// Whether positions are mended.
    pub positions: Positions,
    /// Sees every request first.
    pub script: Option<Script>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            subscription: Duration::from_secs(300),
            records_an_event: 10_000,
            positions: Positions::AsKinesis,
            script: None,
        }
    }
}

/// How the requested position of a reader is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Positions {
    /// Reading begins there.
    AsKinesis,
    /// ferrokinesis 0.7 drops the sequence number and the time of a starting position, and begins every subscription at
    /// the start of the shard: records that were read before come again. For tests of readers that must cope with that.
    AsFerrokinesis,
}

/// A running embedded Kinesis; it ends when this is dropped.
#[derive(Debug)]
pub struct EmbeddedKinesis {
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl EmbeddedKinesis {
    /// Listens, without streams.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let port = options.port;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
        let listener = listener.map_err(|source| Error::Listen { port, source })?;
        let address = listener.local_addr().map_err(Error::Address)?;
        let router = router(options);
        // Without this, small answers wait for the acknowledgement of earlier ones.
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
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client for it.
    #[must_use]
    pub fn client(&self) -> Client {
        client(&self.endpoint())
    }

    /// Creates both streams, by these names, and waits until they are active.
    ///
    /// # Errors
    /// When a stream cannot be created.
    pub async fn create_streams(&self, shards: Shards, name: impl Fn(Stream) -> String) -> Result<(), Error> {
        let client = self.client();
        for stream in Stream::ALL {
            let name = name(stream);
            create_stream(&client, &name, shards.of(stream)).await?;
            let active = tokio::time::timeout(ACTIVE_WITHIN, until_active(&client, &name)).await;
            active.map_err(|source| Error::NotActive { stream: name, source })??;
        }
        Ok(())
    }
}

impl Drop for EmbeddedKinesis {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn router(options: Options) -> Router {
    let (router, store) = ferrokinesis::create_app(StoreOptions {
        create_stream_ms: 0,
        delete_stream_ms: 0,
        update_stream_ms: 0,
        shard_limit: SHARD_LIMIT,
        subscribe_to_shard_event_record_limit: options.records_an_event,
        subscribe_to_shard_session_ms: u64::try_from(options.subscription.as_millis()).unwrap_or(u64::MAX),
        aws_region: REGION.to_owned(),
        ..StoreOptions::default()
    });
    let router = mended(router, store, options.positions);
    match options.script {
        Some(script) => scripted(router, script),
        None => router,
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

    /// The records of two reads from this iterator.
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
    async fn a_time_past_the_newest_record_means_tip() {
        let kinesis = EmbeddedKinesis::start(Options::default()).await.unwrap();
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

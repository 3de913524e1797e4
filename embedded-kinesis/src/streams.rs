//! The client of an embedded Kinesis, and the streams that it creates there.

use std::time::Duration;

use aws_credential_types::Credentials;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::{BehaviorVersion, Region};
use aws_sdk_kinesis::types::StreamStatus;
use bluelake_schemas::Stream;

use crate::error::Error;

/// The region that the embedded Kinesis says it is in.
pub const REGION: &str = "us-east-1";
/// Access key and secret that it takes (it takes any).
pub const ACCESS_KEY: &str = "embedded";

const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// How many shards each stream gets.
#[derive(Debug, Clone, Copy)]
pub struct Shards {
    /// Of the stream of user events.
    pub user_events: i32,
    /// Of the stream of transaction events.
    pub transaction_events: i32,
}

impl Shards {
    pub(crate) fn of(self, stream: Stream) -> i32 {
        match stream {
            Stream::UserEvents => self.user_events,
            Stream::TransactionEvents => self.transaction_events,
        }
    }
}

/// A client for a Kinesis that takes any credentials and listens at `endpoint`.
#[must_use]
pub fn client(endpoint: &str) -> Client {
    let credentials = Credentials::new(ACCESS_KEY, ACCESS_KEY, None, None, "embedded");
    let config = aws_sdk_kinesis::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new(REGION))
        .credentials_provider(credentials)
        .endpoint_url(endpoint)
        .build();
    Client::from_conf(config)
}

/// Asks for a stream; it need not be active yet.
///
/// # Errors
/// When it is refused.
pub async fn create_stream(client: &Client, name: &str, shards: i32) -> Result<(), Error> {
    let create = client.create_stream().stream_name(name).shard_count(shards);
    let refused = |error| Error::Create { stream: name.to_owned(), source: Box::new(error) };
    create.send().await.map(drop).map_err(refused)
}

/// Waits until a stream can be used, without a limit of time.
///
/// # Errors
/// When the stream is being deleted, or cannot be seen.
pub async fn until_active(client: &Client, name: &str) -> Result<(), Error> {
    loop {
        let describe = client.describe_stream_summary().stream_name(name);
        let unseen = |error| Error::Describe { stream: name.to_owned(), source: Box::new(error) };
        let answer = describe.send().await.map_err(unseen)?;
        match answer.stream_description_summary().map(|summary| summary.stream_status()) {
            Some(StreamStatus::Active) => return Ok(()),
            Some(StreamStatus::Deleting) => return Err(Error::Deleting { stream: name.to_owned() }),
            _ => tokio::time::sleep(POLL_INTERVAL).await,
        }
    }
}

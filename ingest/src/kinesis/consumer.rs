//! The registered consumer of enhanced fan-out.

use std::time::Duration;

use tokio::sync::OnceCell;

use crate::{
    error::IngestError,
    kinesis::{
        fault::ReadFault,
        stream::{ConsumerState, KinesisStream},
    },
};

/// How often a consumer that is being made is checked, and the most checks.
const ACTIVE_INTERVAL: Duration = Duration::from_secs(1);
const ACTIVE_CHECKS: usize = 60;

/// The registered consumer of a stream. It is registered at the first request, once for all shards.
#[derive(Debug)]
pub(crate) struct Consumer {
    name: String,
    /// Its ARN, or why there is none.
    arn: OnceCell<Result<String, String>>,
}

impl Consumer {
    /// A consumer of this name, not yet looked for.
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.to_owned(), arn: OnceCell::new() }
    }

    /// The ARN of the consumer, registered and active. A refusal is kept; after a transient fault the next call asks
    /// again.
    pub(crate) async fn arn(&self, stream: &KinesisStream) -> Result<&str, ReadFault> {
        let known = self.arn.get_or_try_init(|| async {
            match self.register(stream).await {
                Ok(arn) => Ok(Ok(arn)),
                Err(ReadFault::Denied(error) | ReadFault::Final(error) | ReadFault::NotFound(error)) => {
                    Ok(Err(error.to_string()))
                }
                Err(fault) => Err(fault),
            }
        });
        known.await?.as_deref().map_err(|reason| {
            ReadFault::Denied(IngestError::Kinesis {
                stream: stream.name().to_owned(),
                operation: "RegisterStreamConsumer",
                reason: reason.clone(),
                remedy: None,
                transient: false,
            })
        })
    }

    async fn register(&self, stream: &KinesisStream) -> Result<String, ReadFault> {
        let stream_arn = match stream.describe().await {
            Ok(description) => description.arn,
            Err(error) if error.is_transient() => return Err(ReadFault::Transient(error.to_string())),
            Err(error) => return Err(ReadFault::Final(error)),
        };
        for _ in 0..ACTIVE_CHECKS {
            match stream.find_consumer(&stream_arn, &self.name).await? {
                ConsumerState::Active(arn) => {
                    tracing::info!(stream = stream.name(), consumer = self.name, "reading by enhanced fan-out");
                    return Ok(arn);
                }
                ConsumerState::Missing => stream.register_consumer(&stream_arn, &self.name).await?,
                ConsumerState::Changing => {}
            }
            tokio::time::sleep(ACTIVE_INTERVAL).await;
        }
        Err(ReadFault::Transient(format!("the consumer {} does not become active", self.name)))
    }
}

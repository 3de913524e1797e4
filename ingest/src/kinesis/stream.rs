//! The Kinesis calls of a consumer, with errors typed by what to do about them.

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_kinesis::{
    Client,
    config::{
        Builder as ConfigBuilder, ConfigBag, Intercept, RuntimeComponents, StalledStreamProtectionConfig,
        interceptors::BeforeDeserializationInterceptorContextRef, retry::RetryConfig,
    },
    error::{ProvideErrorMetadata, SdkError},
    operation::{get_records::GetRecordsOutput, subscribe_to_shard::SubscribeToShardOutput},
    primitives::DateTime as SdkDateTime,
    types::{ConsumerStatus, Shard, ShardIteratorType, StartingPosition},
};
use bluelake_lake::{Chance, Position, SequenceNumber, ShardId, causes, one_line};
use bluelake_schemas::Millis;
use chrono::{DateTime, Utc};

use crate::{
    error::IngestError,
    kinesis::{
        consumer::Consumer,
        fault::ReadFault,
        listed::{ListedShard, close_parents},
        pace::SHARD_RATE,
    },
    progress::count_fault,
};

/// The most records that one GetRecords call returns: the service's own maximum.
const MAX_RECORDS: i32 = 10_000;

/// A stream, by name or ARN.
#[derive(Clone, Debug)]
pub struct KinesisStream {
    client: Client,
    given: String,
    consumer: Option<Arc<Consumer>>,
    shard_rate: u64,
    chance: Chance,
}

/// What DescribeStreamSummary says.
#[derive(Clone, Debug)]
pub struct StreamDescription {
    /// The stream's ARN.
    pub arn: String,
    /// When it was created, if the server says so.
    pub created_at: Option<Millis>,
    /// How long Kinesis keeps a record.
    pub retention: std::time::Duration,
    /// The time by the service's clock, in whole seconds, if its answer has one.
    pub server_time: Option<DateTime<Utc>>,
}

impl StreamDescription {
    /// The time now: `local`, unless it is ahead of the service's clock. A start that is pinned in the future would
    /// skip records; one that is a second early reads a few more.
    #[must_use]
    pub fn now(&self, local: DateTime<Utc>) -> DateTime<Utc> {
        match self.server_time {
            // The service's time is rounded down to the second.
            Some(server) if local > server + chrono::TimeDelta::seconds(1) => server,
            _ => local,
        }
    }
}

/// What Kinesis says of a registered consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ConsumerState {
    /// It can subscribe, by this ARN.
    Active(String),
    /// It is being made or removed.
    Changing,
    /// There is none of that name.
    Missing,
}

impl KinesisStream {
    /// A stream by its name or ARN.
    #[must_use]
    pub fn new(client: Client, name_or_arn: &str) -> Self {
        Self {
            client,
            given: name_or_arn.to_owned(),
            consumer: None,
            shard_rate: SHARD_RATE,
            chance: Chance::default(),
        }
    }

    /// Reads by enhanced fan-out as the registered consumer of this name, where that is allowed.
    #[must_use]
    pub fn with_fan_out(self, consumer: &str) -> Self {
        Self { consumer: Some(Arc::new(Consumer::new(consumer))), ..self }
    }

    /// Polls at most this many bytes a second of a shard, in place of the 2 MB that Kinesis gives. Fewer leave some to
    /// others that poll the stream; more suit a server without that limit.
    #[must_use]
    pub fn with_shard_rate(self, bytes_per_second: u64) -> Self {
        Self { shard_rate: bytes_per_second, ..self }
    }

    /// The randomness of the pauses between calls.
    pub(crate) fn chance(&self) -> &Chance {
        &self.chance
    }

    pub(crate) fn shard_rate(&self) -> u64 {
        self.shard_rate
    }

    /// The consumer that reads by enhanced fan-out, if there is to be one. All clones share it.
    pub(crate) fn consumer(&self) -> Option<&Arc<Consumer>> {
        self.consumer.as_ref()
    }

    /// Name or ARN, as given.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.given
    }

    fn name_and_arn(&self) -> (Option<String>, Option<String>) {
        if self.given.starts_with("arn:") { (None, Some(self.given.clone())) } else { (Some(self.given.clone()), None) }
    }

    /// Describes the stream.
    ///
    /// # Errors
    /// [`IngestError::Kinesis`] when the stream is missing, may not be read, or cannot be reached.
    pub async fn describe(&self) -> Result<StreamDescription, IngestError> {
        let (name, arn) = self.name_and_arn();
        let date = ServerDate::default();
        let output = self
            .client
            .describe_stream_summary()
            .set_stream_name(name)
            .set_stream_arn(arn)
            .customize()
            .interceptor(date.clone())
            .send()
            .await
            .map_err(|error| self.failure("DescribeStreamSummary", error))?;
        let summary = output.stream_description_summary();
        let hours = summary.map_or(24, |summary| summary.retention_period_hours);
        let created = summary.map(|summary| summary.stream_creation_timestamp());
        Ok(StreamDescription {
            // The SDK fills in the epoch where the server says nothing.
            created_at: created.and_then(|time| time.to_millis().ok()).filter(|millis| *millis > 0).map(Millis::new),
            arn: summary.map_or_else(|| self.given.clone(), |summary| summary.stream_arn().to_owned()),
            retention: std::time::Duration::from_secs(u64::try_from(hours).unwrap_or(24) * 3600),
            server_time: date.get(),
        })
    }

    /// Every shard of the stream, open and closed, over all pages.
    ///
    /// # Errors
    /// [`IngestError::Kinesis`] or, for an answer that makes no sense, [`IngestError::Protocol`].
    pub(crate) async fn list_shards(&self) -> Result<Vec<ListedShard>, IngestError> {
        let mut shards = Vec::new();
        let mut next_token = None;
        loop {
            let (name, arn) = self.name_and_arn();
            let request = match &next_token {
                // A continued listing names the stream by its token alone; only the ARN may be repeated.
                Some(_) => self.client.list_shards().set_stream_arn(arn),
                None => self.client.list_shards().set_stream_name(name).set_stream_arn(arn),
            };
            let page = request
                .set_next_token(next_token.take())
                .send()
                .await
                .map_err(|error| self.failure("ListShards", error))?;
            for shard in page.shards() {
                shards.push(self.listed(shard)?);
            }
            next_token = page.next_token;
            if next_token.is_none() {
                close_parents(&mut shards);
                return Ok(shards);
            }
        }
    }

    fn listed(&self, shard: &Shard) -> Result<ListedShard, IngestError> {
        let text = shard.sequence_number_range().map(|range| range.starting_sequence_number());
        let starting_sequence =
            text.and_then(|text| SequenceNumber::parse(text).ok()).ok_or_else(|| IngestError::Protocol {
                stream: self.given.clone(),
                shard: shard.shard_id().into(),
                reason: "ListShards gave no StartingSequenceNumber".to_owned(),
            })?;
        let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
        let ending_sequence = shard.sequence_number_range().and_then(|range| range.ending_sequence_number());
        Ok(ListedShard {
            closed: ending_sequence.is_some(),
            id: shard.shard_id().into(),
            starting_sequence,
            parents: parents.into_iter().flatten().map(ShardId::from).collect(),
            hash_keys: shard.hash_key_range().and_then(|range| {
                Some((range.starting_hash_key().parse().ok()?, range.ending_hash_key().parse().ok()?))
            }),
        })
    }

    /// An iterator for the records after `position`.
    pub(crate) async fn iterator(&self, shard: &ShardId, position: &Position) -> Result<String, ReadFault> {
        let (name, arn) = self.name_and_arn();
        let (kind, sequence, time) = start_of(position);
        let request =
            self.client.get_shard_iterator().set_stream_name(name).set_stream_arn(arn).shard_id(shard.as_str());
        let request =
            request.shard_iterator_type(kind).set_starting_sequence_number(sequence).set_timestamp(time).customize();
        let output = request.config_override(without_retries()).send().await;
        let output = output.map_err(|error| self.fault_at(position, "GetShardIterator", error))?;
        output.shard_iterator.ok_or_else(|| ReadFault::Transient("GetShardIterator gave no iterator".to_owned()))
    }

    /// The next records of a shard.
    pub(crate) async fn records(&self, iterator: &str) -> Result<GetRecordsOutput, ReadFault> {
        self.get_records(iterator, MAX_RECORDS).await
    }

    /// The next record of a shard, for the lag that the answer reports.
    pub(crate) async fn peek(&self, iterator: &str) -> Result<GetRecordsOutput, ReadFault> {
        self.get_records(iterator, 1).await
    }

    async fn get_records(&self, iterator: &str, limit: i32) -> Result<GetRecordsOutput, ReadFault> {
        let (_, arn) = self.name_and_arn();
        self.client
            .get_records()
            .shard_iterator(iterator)
            .set_stream_arn(arn)
            .limit(limit)
            .customize()
            .config_override(without_retries())
            .send()
            .await
            .map_err(|error| self.fault("GetRecords", error))
    }

    /// Looks for the registered consumer of this name.
    pub(crate) async fn find_consumer(&self, stream_arn: &str, name: &str) -> Result<ConsumerState, ReadFault> {
        let request = self.client.describe_stream_consumer().stream_arn(stream_arn).consumer_name(name);
        let found = match request.send().await.map_err(|error| self.fault("DescribeStreamConsumer", error)) {
            Ok(output) => output.consumer_description,
            Err(ReadFault::NotFound(_)) => None,
            Err(fault) => return Err(fault),
        };
        Ok(match found {
            Some(found) if *found.consumer_status() == ConsumerStatus::Active => {
                ConsumerState::Active(found.consumer_arn)
            }
            Some(_) => ConsumerState::Changing,
            None => ConsumerState::Missing,
        })
    }

    /// Registers a consumer of this name; another worker may have done so at the same time.
    pub(crate) async fn register_consumer(&self, stream_arn: &str, name: &str) -> Result<(), ReadFault> {
        let request = self.client.register_stream_consumer().stream_arn(stream_arn).consumer_name(name);
        match request.send().await.map_err(|error| self.fault("RegisterStreamConsumer", error)) {
            Ok(_) | Err(ReadFault::InUse(_)) => Ok(()),
            Err(fault) => Err(fault),
        }
    }

    /// Subscribes to the records after `position`. The service ends a subscription after five minutes.
    pub(crate) async fn subscribe(
        &self,
        consumer_arn: &str,
        shard: &ShardId,
        position: &Position,
    ) -> Result<SubscribeToShardOutput, ReadFault> {
        let (kind, sequence, time) = start_of(position);
        let start = StartingPosition::builder().r#type(kind).set_sequence_number(sequence).set_timestamp(time).build();
        let start = start.map_err(|error| ReadFault::Transient(causes(&error)))?;
        let request = self.client.subscribe_to_shard().consumer_arn(consumer_arn).shard_id(shard.as_str());
        // A reader that waits for memory takes nothing from the connection; that is no fault of the connection.
        let patient = without_retries().stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        let output = request.starting_position(start).customize().config_override(patient).send().await;
        output.map_err(|error| self.fault_at(position, "SubscribeToShard", error))
    }

    /// Kinesis refuses a sequence number that it no longer holds; nothing else of these calls can be invalid.
    fn fault_at<E, R>(&self, position: &Position, operation: &'static str, error: SdkError<E, R>) -> ReadFault
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug + 'static,
    {
        match (error.code(), position) {
            (Some("InvalidArgumentException"), Position::After(_)) => ReadFault::Trimmed(describe(error)),
            _ => self.fault(operation, error),
        }
    }

    pub(crate) fn fault<E, R>(&self, operation: &'static str, error: SdkError<E, R>) -> ReadFault
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug + 'static,
    {
        let fault = match error.code() {
            Some("ExpiredIteratorException") => ReadFault::ExpiredIterator,
            Some(
                "ProvisionedThroughputExceededException"
                | "LimitExceededException"
                | "KMSThrottlingException"
                | "ThrottlingException",
            ) => ReadFault::Throttled(describe(error)),
            Some("ResourceInUseException") => ReadFault::InUse(describe(error)),
            Some("ResourceNotFoundException") => ReadFault::NotFound(self.failure(operation, error)),
            Some(code) if is_denial(code) => ReadFault::Denied(self.failure(operation, error)),
            Some(code) if is_final(code) => ReadFault::Final(self.failure(operation, error)),
            _ => ReadFault::Transient(describe(error)),
        };
        count_fault(operation, fault.name());
        fault
    }

    fn failure<E, R>(&self, operation: &'static str, error: SdkError<E, R>) -> IngestError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
        R: std::fmt::Debug + 'static,
    {
        let remedy = match error.code() {
            Some("ResourceNotFoundException") => {
                Some("create the stream, or correct its name ([streams] in bluelake.toml) and AWS_REGION")
            }
            Some("AccessDeniedException") => Some("allow the call in the policy of the role (docs/operating.md)"),
            Some(
                "UnrecognizedClientException"
                | "InvalidSignatureException"
                | "ExpiredTokenException"
                | "MissingAuthenticationToken"
                | "InvalidClientTokenId",
            ) => Some("check the AWS credentials (AWS_PROFILE, AWS_ACCESS_KEY_ID)"),
            Some(_) => None,
            None if matches!(error, SdkError::ConstructionFailure(_)) => {
                Some("check the AWS region and credentials (AWS_REGION, AWS_PROFILE)")
            }
            None if matches!(error, SdkError::DispatchFailure(_)) => Some(
                "check AWS_REGION, AWS_ENDPOINT_URL_KINESIS and the network; without credentials set AWS_PROFILE or AWS_ACCESS_KEY_ID",
            ),
            None => None,
        };
        let transient = match error.code() {
            Some(code) => !is_final(code),
            None => !matches!(error, SdkError::ConstructionFailure(_)),
        };
        IngestError::Kinesis { stream: self.given.clone(), operation, reason: describe(error), remedy, transient }
    }
}

/// A position in the terms of Kinesis: kind, sequence number, time.
fn start_of(position: &Position) -> (ShardIteratorType, Option<String>, Option<SdkDateTime>) {
    match position {
        Position::TrimHorizon => (ShardIteratorType::TrimHorizon, None, None),
        Position::AtTimestamp(time) => {
            (ShardIteratorType::AtTimestamp, None, Some(SdkDateTime::from_millis(time.get())))
        }
        Position::After(sequence) => (ShardIteratorType::AfterSequenceNumber, Some(sequence.as_str().to_owned()), None),
    }
}

/// A reader paces and retries its calls itself; retries inside the SDK would exceed the limits of the shard.
fn without_retries() -> ConfigBuilder {
    ConfigBuilder::default().retry_config(RetryConfig::disabled())
}

/// Catches the Date header of an answer.
#[derive(Clone, Debug, Default)]
struct ServerDate(Arc<Mutex<Option<DateTime<Utc>>>>);

impl ServerDate {
    fn get(&self) -> Option<DateTime<Utc>> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for ServerDate {
    fn name(&self) -> &'static str {
        "ServerDate"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        let date = context.response().headers().get("date").and_then(|text| DateTime::parse_from_rfc2822(text).ok());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = date.map(|date| date.to_utc());
        Ok(())
    }
}

fn is_denial(code: &str) -> bool {
    matches!(
        code,
        "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "InvalidClientTokenId"
            | "KMSAccessDeniedException"
    )
}

fn is_final(code: &str) -> bool {
    is_denial(code)
        || matches!(
            code,
            "ResourceNotFoundException"
                | "InvalidArgumentException"
                | "ValidationException"
                | "UnknownOperationException"
                | "KMSDisabledException"
                | "KMSInvalidStateException"
                | "KMSNotFoundException"
                | "KMSOptInRequired"
        )
}

/// Code and message of the answer, or the chain of causes when there was none.
fn describe<E, R>(error: SdkError<E, R>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => one_line(&format!("{code}: {message}")),
        (Some(code), None) => code.to_owned(),
        (None, _) => causes(&error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fast_local_clock_yields_to_the_service() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let description = StreamDescription {
            created_at: None,
            arn: String::new(),
            retention: std::time::Duration::ZERO,
            server_time: Some(time("2026-10-01T12:00:00Z")),
        };
        assert_eq!(description.now(time("2026-10-01T13:00:00Z")), time("2026-10-01T12:00:00Z"));
        assert_eq!(description.now(time("2026-10-01T12:00:00.9Z")), time("2026-10-01T12:00:00.9Z"));
        assert_eq!(description.now(time("2026-10-01T11:00:00Z")), time("2026-10-01T11:00:00Z"));
        let unsaid = StreamDescription { server_time: None, ..description };
        assert_eq!(unsaid.now(time("2026-10-01T13:00:00Z")), time("2026-10-01T13:00:00Z"));
    }
}

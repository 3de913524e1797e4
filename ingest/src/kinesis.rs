//! The Kinesis calls of a consumer, with errors typed by what to do about them.

use aws_sdk_kinesis::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::get_records::GetRecordsOutput,
    primitives::DateTime as SdkDateTime,
    types::{Shard, ShardIteratorType},
};
use bluelake_lake::{Position, SequenceNumber, causes};

use crate::{error::IngestError, lineage::ListedShard, progress::count_fault};

/// Most records that one GetRecords call may return; the service's own maximum.
const MAX_RECORDS: i32 = 10_000;

/// A stream, by name or ARN.
#[derive(Clone, Debug)]
pub struct KinesisStream {
    client: Client,
    given: String,
}

/// What DescribeStreamSummary says.
#[derive(Clone, Debug)]
pub struct StreamDescription {
    /// The stream's ARN.
    pub arn: String,
    /// How long Kinesis keeps a record.
    pub retention: std::time::Duration,
}

/// Why a read failed, by what to do about it.
#[derive(Debug)]
pub(crate) enum ReadFault {
    /// Ask for a new iterator and read on.
    ExpiredIterator,
    /// Wait, then try again: too many calls or bytes.
    Throttled(String),
    /// Wait, then try again: the service or the network failed.
    Transient(String),
    /// No use in trying again.
    Final(IngestError),
}

impl KinesisStream {
    /// A stream by its name or ARN.
    #[must_use]
    pub fn new(client: Client, name_or_arn: &str) -> Self {
        Self { client, given: name_or_arn.to_owned() }
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
    /// [`IngestError::Kinesis`] when it is missing, may not be read, or cannot be reached.
    pub async fn describe(&self) -> Result<StreamDescription, IngestError> {
        let (name, arn) = self.name_and_arn();
        let output = self
            .client
            .describe_stream_summary()
            .set_stream_name(name)
            .set_stream_arn(arn)
            .send()
            .await
            .map_err(|error| self.failure("DescribeStreamSummary", error))?;
        let summary = output.stream_description_summary();
        let hours = summary.map_or(24, |summary| summary.retention_period_hours);
        Ok(StreamDescription {
            arn: summary.map_or_else(|| self.given.clone(), |summary| summary.stream_arn().to_owned()),
            retention: std::time::Duration::from_secs(u64::try_from(hours).unwrap_or(24) * 3600),
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
                return Ok(shards);
            }
        }
    }

    fn listed(&self, shard: &Shard) -> Result<ListedShard, IngestError> {
        let text = shard.sequence_number_range().map(|range| range.starting_sequence_number());
        let starting_sequence =
            text.and_then(|text| SequenceNumber::parse(text).ok()).ok_or_else(|| IngestError::Protocol {
                stream: self.given.clone(),
                shard: shard.shard_id().to_owned(),
                reason: "ListShards gave no StartingSequenceNumber".to_owned(),
            })?;
        let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
        Ok(ListedShard {
            id: shard.shard_id().to_owned(),
            starting_sequence,
            parents: parents.into_iter().flatten().map(ToOwned::to_owned).collect(),
        })
    }

    /// An iterator that gives what follows `position`.
    pub(crate) async fn iterator(&self, shard: &str, position: &Position) -> Result<String, ReadFault> {
        let (name, arn) = self.name_and_arn();
        let request = self.client.get_shard_iterator().set_stream_name(name).set_stream_arn(arn).shard_id(shard);
        let request = match position {
            Position::TrimHorizon => request.shard_iterator_type(ShardIteratorType::TrimHorizon),
            Position::AtTimestamp(millis) => {
                request.shard_iterator_type(ShardIteratorType::AtTimestamp).timestamp(SdkDateTime::from_millis(*millis))
            }
            Position::After(sequence) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(sequence.as_str()),
        };
        let output = request.send().await.map_err(|error| self.fault("GetShardIterator", error))?;
        output.shard_iterator.ok_or_else(|| ReadFault::Transient("GetShardIterator gave no iterator".to_owned()))
    }

    /// The next records of a shard.
    pub(crate) async fn records(&self, iterator: &str) -> Result<GetRecordsOutput, ReadFault> {
        self.get_records(iterator, MAX_RECORDS).await
    }

    /// The next record of a shard, for the lag that the answer tells.
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
            .send()
            .await
            .map_err(|error| self.fault("GetRecords", error))
    }

    fn fault<E>(&self, operation: &'static str, error: SdkError<E>) -> ReadFault
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let fault = match error.code() {
            Some("ExpiredIteratorException") => ReadFault::ExpiredIterator,
            Some(
                "ProvisionedThroughputExceededException"
                | "LimitExceededException"
                | "KMSThrottlingException"
                | "ThrottlingException",
            ) => ReadFault::Throttled(describe(error)),
            Some(code) if is_final(code) => ReadFault::Final(self.failure(operation, error)),
            _ => ReadFault::Transient(describe(error)),
        };
        count_fault(operation, &fault);
        fault
    }

    fn failure<E>(&self, operation: &'static str, error: SdkError<E>) -> IngestError
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
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

fn is_final(code: &str) -> bool {
    matches!(
        code,
        "ResourceNotFoundException"
            | "AccessDeniedException"
            | "UnrecognizedClientException"
            | "InvalidSignatureException"
            | "MissingAuthenticationToken"
            | "InvalidClientTokenId"
            | "InvalidArgumentException"
            | "ValidationException"
            | "KMSAccessDeniedException"
            | "KMSDisabledException"
            | "KMSInvalidStateException"
            | "KMSNotFoundException"
            | "KMSOptInRequired"
    )
}

/// Code and message of the answer, or the chain of causes when there was none.
fn describe<E>(error: SdkError<E>) -> String
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => causes(&error),
    }
}

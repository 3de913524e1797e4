//! PutRecords of the real SDK, with errors typed by what the producer can do about them.

use std::future::Future;
use std::sync::Arc;

use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::list_shards::ListShardsError;
use aws_sdk_kinesis::operation::put_records::PutRecordsError;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, PutRecordsResultEntry, Shard};
use bluelake_schemas::Stream;

use super::StreamNames;
use super::batch::{PutRecord, RecordAnswer};
use crate::Error;

/// A request that failed as a whole.
#[derive(Debug)]
pub(crate) enum PutFailure {
    /// No record was stored; another attempt may succeed later.
    Throttled(Box<dyn std::error::Error + Send + Sync>),
    /// Any of its records may be stored; another attempt may succeed.
    Unknown(Box<dyn std::error::Error + Send + Sync>),
    /// Another attempt would fail too.
    Final(Error),
}

/// One PutRecords request; Kinesis, or a twin of it in tests.
pub(crate) trait PutRecords: Send + Sync + 'static {
    /// Puts the records, and answers for each of them in order.
    fn put(
        &self,
        stream: Stream,
        records: &[Arc<PutRecord>],
    ) -> impl Future<Output = Result<Vec<RecordAnswer>, PutFailure>> + Send;

    /// Name of the stream in Kinesis.
    fn name(&self, stream: Stream) -> &str;
}

/// The service.
#[derive(Clone, Debug)]
pub(crate) struct Kinesis {
    client: aws_sdk_kinesis::Client,
    names: StreamNames,
}

impl Kinesis {
    pub(crate) fn new(client: &aws_sdk_kinesis::Client, names: StreamNames) -> Self {
        let config = client.config().to_builder().retry_config(RetryConfig::disabled()).build();
        Kinesis { client: aws_sdk_kinesis::Client::from_conf(config), names }
    }

    /// Hash keys of each open shard, both ends included.
    pub(crate) async fn open_shards(&self, stream: Stream) -> Result<Vec<(u128, u128)>, Error> {
        let name = self.names.get(stream);
        let mut ranges = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let request = self.client.list_shards();
            let request = match token {
                Some(token) => request.next_token(token),
                None => request.stream_name(name),
            };
            let page = request.send().await.map_err(|error| {
                if error.as_service_error().is_some_and(ListShardsError::is_resource_not_found_exception) {
                    Error::StreamNotFound { stream: name.to_owned(), source: Box::new(error) }
                } else {
                    refused(name, error)
                }
            })?;
            ranges.extend(page.shards().iter().filter_map(open_range));
            token = page.next_token;
            if token.is_none() {
                return Ok(ranges);
            }
        }
    }
}

impl PutRecords for Kinesis {
    async fn put(&self, stream: Stream, records: &[Arc<PutRecord>]) -> Result<Vec<RecordAnswer>, PutFailure> {
        let name = self.names.get(stream);
        let entries: Result<Vec<_>, _> = records.iter().map(|record| entry(record)).collect();
        let entries = entries.map_err(|source| PutFailure::Final(refused(name, source)))?;
        let request = self.client.put_records().stream_name(name).set_records(Some(entries));
        match request.send().await {
            Ok(output) => Ok(output.records.into_iter().map(record_answer).collect()),
            Err(error) => Err(failure(name, error)),
        }
    }

    fn name(&self, stream: Stream) -> &str {
        self.names.get(stream)
    }
}

fn entry(record: &PutRecord) -> Result<PutRecordsRequestEntry, aws_sdk_kinesis::error::BuildError> {
    let hash_key = record.aggregate.as_ref().map(|aggregate| aggregate.hash_key.to_string());
    let entry = PutRecordsRequestEntry::builder().data(Blob::new(record.data()));
    entry.partition_key(record.partition_key()).set_explicit_hash_key(hash_key).build()
}

/// First and last hash key, if the shard is open.
fn open_range(shard: &Shard) -> Option<(u128, u128)> {
    let is_open = shard.sequence_number_range()?.ending_sequence_number().is_none();
    let keys = shard.hash_key_range().filter(|_| is_open)?;
    Some((keys.starting_hash_key().parse().ok()?, keys.ending_hash_key().parse().ok()?))
}

fn record_answer(entry: PutRecordsResultEntry) -> RecordAnswer {
    match (entry.shard_id, entry.sequence_number, entry.error_code.as_deref()) {
        (Some(shard), Some(sequence), None) => RecordAnswer::Stored { shard, sequence },
        (_, _, Some(code)) if is_throttling(code) => RecordAnswer::Throttled,
        _ => RecordAnswer::Unknown,
    }
}

fn failure(stream: &str, error: SdkError<PutRecordsError>) -> PutFailure {
    match &error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or_default();
            if answer.err().is_resource_not_found_exception() {
                PutFailure::Final(Error::StreamNotFound { stream: stream.to_owned(), source: Box::new(error) })
            } else if is_throttling(code) {
                PutFailure::Throttled(Box::new(error))
            } else if answer.raw().status().is_server_error() || code == "InternalFailure" {
                PutFailure::Unknown(Box::new(error))
            } else {
                PutFailure::Final(refused(stream, error))
            }
        }
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => PutFailure::Unknown(Box::new(error)),
        SdkError::DispatchFailure(failed) if failed.is_io() || failed.is_timeout() => {
            PutFailure::Unknown(Box::new(error))
        }
        _ => PutFailure::Final(refused(stream, error)),
    }
}

fn refused(stream: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::Refused { stream: stream.to_owned(), source: source.into() }
}

/// Codes of Kinesis, KMS and the common front of the services that mean *later*.
fn is_throttling(code: &str) -> bool {
    matches!(
        code,
        "ProvisionedThroughputExceededException"
            | "LimitExceededException"
            | "KMSThrottlingException"
            | "ThrottlingException"
            | "Throttling"
            | "RequestLimitExceeded"
            | "SlowDown"
    )
}

#[cfg(test)]
#[allow(clippy::panic)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::config::http::HttpResponse;
    use aws_sdk_kinesis::error::{ConnectorError, ErrorMetadata};
    use aws_sdk_kinesis::types::error::{ProvisionedThroughputExceededException, ResourceNotFoundException};
    use aws_smithy_types::body::SdkBody;

    fn result_entry(code: Option<&str>) -> PutRecordsResultEntry {
        let builder = PutRecordsResultEntry::builder().set_error_code(code.map(str::to_owned));
        if code.is_some() { builder.build() } else { builder.shard_id("shard").sequence_number("49").build() }
    }

    #[test]
    fn an_entry_is_stored_throttled_or_unknown() {
        let stored = RecordAnswer::Stored { shard: "shard".to_owned(), sequence: "49".to_owned() };
        assert_eq!(record_answer(result_entry(None)), stored);
        let throttled = result_entry(Some("ProvisionedThroughputExceededException"));
        assert_eq!(record_answer(throttled), RecordAnswer::Throttled);
        assert_eq!(record_answer(result_entry(Some("InternalFailure"))), RecordAnswer::Unknown);
    }

    #[test]
    fn a_missing_stream_is_named() {
        let missing = PutRecordsError::ResourceNotFoundException(ResourceNotFoundException::builder().build());
        match failure("points-prod", service_error(missing, 400)) {
            PutFailure::Final(error @ Error::StreamNotFound { .. }) => {
                assert!(error.to_string().contains("points-prod"), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_what_may_have_landed_is_unknown() {
        let throttled = ProvisionedThroughputExceededException::builder()
            .meta(ErrorMetadata::builder().code("ProvisionedThroughputExceededException").build())
            .build();
        let throttled = PutRecordsError::ProvisionedThroughputExceededException(throttled);
        assert!(matches!(failure("s", service_error(throttled, 400)), PutFailure::Throttled(_)));
        let denied = || PutRecordsError::generic(ErrorMetadata::builder().code("AccessDeniedException").build());
        assert!(matches!(failure("s", service_error(denied(), 400)), PutFailure::Final(Error::Refused { .. })));
        assert!(matches!(failure("s", service_error(denied(), 503)), PutFailure::Unknown(_)));
        let reset = SdkError::dispatch_failure(ConnectorError::io("connection reset".into()));
        assert!(matches!(failure("s", reset), PutFailure::Unknown(_)));
        assert!(matches!(failure("s", SdkError::timeout_error("late")), PutFailure::Unknown(_)));
        let no_credentials = SdkError::construction_failure("no credentials");
        assert!(matches!(failure("s", no_credentials), PutFailure::Final(Error::Refused { .. })));
    }

    fn service_error(error: PutRecordsError, status: u16) -> SdkError<PutRecordsError> {
        let status = status.try_into().unwrap_or_else(|_| panic!("{status} is no status"));
        let response = HttpResponse::new(status, SdkBody::empty());
        SdkError::service_error(error, response)
    }
}

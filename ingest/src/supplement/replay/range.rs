//! Reads a range of arrival times of one shard again, page by page, at a pace that leaves calls for the worker.

use std::{ops::Range, time::Duration};

use aws_sdk_kinesis::{operation::get_records::GetRecordsOutput, types::Record};
use bluelake_lake::{Backoff, Position, SequenceNumber, ShardId};
use bluelake_schemas::Millis;
use tokio::time::Instant;

use crate::{
    error::IngestError,
    kinesis::{fault::ReadFault, stream::KinesisStream},
    supplement::replay::plan::Limit,
};

/// Kinesis allows five calls a second on a shard: the worker keeps three of them.
const CALL_INTERVAL: Duration = Duration::from_millis(500);
/// Longest pause after a failure.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Arrival times are approximate: records may be out of order by this much.
const DISORDER: Duration = Duration::from_secs(60);
/// Failures in a row after which the replay gives up.
const MAX_FAILURES: usize = 8;

/// Reads the records that arrived within `arrived`, up to the limit.
#[derive(Debug)]
pub(crate) struct RangeReader {
    source: KinesisStream,
    shard: ShardId,
    limit: Limit,
    arrived: Range<Millis>,
    position: Position,
    iterator: Option<String>,
    last_call: Option<Instant>,
    done: bool,
}

impl RangeReader {
    pub(crate) fn new(source: KinesisStream, shard: ShardId, limit: Limit, arrived: Range<Millis>) -> Self {
        let position = Position::AtTimestamp(arrived.start.earlier(DISORDER).max(Millis::new(0)));
        Self { source, shard, limit, arrived, position, iterator: None, last_call: None, done: false }
    }

    /// The shard.
    pub(crate) fn shard(&self) -> &ShardId {
        &self.shard
    }

    /// The next records of the range; `None` at its end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Record>>, IngestError> {
        while !self.done {
            let page = self.page().await?;
            let records = self.take(page)?;
            if !records.is_empty() {
                return Ok(Some(records));
            }
        }
        Ok(None)
    }

    /// Keeps the records of the range and decides whether more can follow.
    fn take(&mut self, page: GetRecordsOutput) -> Result<Vec<Record>, IngestError> {
        let at_tip = page.records.is_empty() && page.millis_behind_latest == Some(0);
        self.done = at_tip || page.next_shard_iterator.is_none();
        self.iterator = page.next_shard_iterator;
        let mut kept = Vec::new();
        for record in page.records {
            let sequence = SequenceNumber::parse(record.sequence_number())
                .map_err(|_| self.protocol("a record's sequence number is not a decimal number"))?;
            let arrived =
                record.approximate_arrival_timestamp().and_then(|time| time.to_millis().ok()).map(Millis::new);
            let arrived = arrived.ok_or_else(|| self.protocol("a record has no arrival time"))?;
            let beyond = matches!(&self.limit, Limit::Through(last) if sequence > *last);
            if beyond || arrived >= self.arrived.end.later(DISORDER) {
                self.done = true;
                break;
            }
            // The same answer twice.
            if matches!(&self.position, Position::After(last) if sequence <= *last) {
                continue;
            }
            self.position = Position::After(sequence);
            if self.arrived.contains(&arrived) {
                kept.push(record);
            }
        }
        Ok(kept)
    }

    async fn page(&mut self) -> Result<GetRecordsOutput, IngestError> {
        let mut backoff = Backoff::steady(CALL_INTERVAL * 2, LONGEST_PAUSE, self.source.chance());
        let mut failures = 0;
        loop {
            if let Some(last) = self.last_call {
                tokio::time::sleep_until(last + CALL_INTERVAL).await;
            }
            self.last_call = Some(Instant::now());
            let reason = match self.attempt().await {
                Ok(page) => return Ok(page),
                Err(ReadFault::ExpiredIterator) => {
                    self.iterator = None;
                    continue;
                }
                Err(ReadFault::Final(error) | ReadFault::Denied(error) | ReadFault::NotFound(error)) => {
                    return Err(error);
                }
                Err(ReadFault::Throttled(reason) | ReadFault::InUse(reason)) => reason,
                Err(ReadFault::Trimmed(reason) | ReadFault::Transient(reason)) => {
                    failures += 1;
                    reason
                }
            };
            if failures >= MAX_FAILURES {
                return Err(IngestError::Kinesis {
                    stream: self.source.name().to_owned(),
                    operation: "GetRecords",
                    reason: format!("{failures} failures in a row, the last: {reason}"),
                    remedy: None,
                    transient: true,
                });
            }
            tracing::warn!(stream = self.source.name(), shard = %self.shard, reason, "reading again after a pause");
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    async fn attempt(&mut self) -> Result<GetRecordsOutput, ReadFault> {
        let iterator = match &self.iterator {
            Some(iterator) => iterator.clone(),
            None => self.source.iterator(&self.shard, &self.position).await?,
        };
        self.iterator = Some(iterator.clone());
        self.source.records(&iterator).await
    }

    fn protocol(&self, reason: &str) -> IngestError {
        IngestError::Protocol {
            stream: self.source.name().to_owned(),
            shard: self.shard.clone(),
            reason: reason.to_owned(),
        }
    }
}

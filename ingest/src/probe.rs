//! What Kinesis says of a stream and of how far a table is in it, for those who only look.

use std::{collections::BTreeMap, time::Duration};

use bluelake_lake::{CheckpointDocument, Position, SequenceNumber, ShardState};
use futures::StreamExt as _;

use crate::{
    error::IngestError,
    kinesis::{KinesisStream, ReadFault, StreamDescription},
    options::Clock,
};

/// Shards asked at once.
const SHARDS_AT_ONCE: usize = 8;
/// Tries for one shard; it shares its five calls a second with the worker that reads it.
const TRIES: u32 = 4;
/// Pause before the first further try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// An empty answer behind the tip says nothing but "go on": so many of them in a row are followed.
const EMPTY_ANSWERS: usize = 5;
/// No shard holds up the answer for longer.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A stream as Kinesis has it.
#[derive(Clone, Debug)]
pub struct StreamProbe {
    /// Its ARN.
    pub arn: String,
    /// When it was created, milliseconds since the epoch, if the server says it.
    pub created_at: Option<i64>,
    /// How long Kinesis keeps a record.
    pub retention: Duration,
    /// Every listed shard.
    pub shards: BTreeMap<String, ShardProbe>,
}

/// A shard as Kinesis has it.
#[derive(Clone, Debug)]
pub struct ShardProbe {
    /// StartingSequenceNumber.
    pub starting_sequence: SequenceNumber,
    /// Shard ids of the parents.
    pub parents: Vec<String>,
    /// What lies behind the table's position.
    pub behind: Behind,
}

/// What lies behind a table's position in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Nobody was asked: the table does not have the shard, or has it to its end.
    NotAsked,
    /// Nothing at this time, milliseconds since the epoch: the position is at the tip.
    Nothing {
        /// Just before Kinesis was asked.
        at: i64,
    },
    /// Nothing, and nothing will come: the shard is closed. Its children may hold more.
    End,
    /// Records.
    Records {
        /// How far behind the tip.
        lag: Duration,
        /// When the oldest of them arrived, milliseconds since the epoch, if Kinesis gave it.
        oldest: Option<i64>,
    },
    /// Kinesis did not say.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Asks Kinesis for the stream, its shards, and what lies behind the position of each shard that the document has open.
/// A shard that cannot be asked is no error.
///
/// # Errors
/// [`IngestError`] when the stream cannot be described or its shards cannot be listed.
pub async fn probe(
    source: &KinesisStream,
    document: Option<&CheckpointDocument>,
    clock: &Clock,
) -> Result<StreamProbe, IngestError> {
    let description = source.describe().await?;
    let listed = source.list_shards().await?;
    let asked = listed.into_iter().map(|shard| async move {
        let state = document.and_then(|document| document.shards.get(&shard.id));
        let state = state.filter(|state| state.starting_sequence == shard.starting_sequence);
        let behind = match state.filter(|state| !state.ended) {
            Some(state) => ask_in_time(source, &shard.id, state, clock).await,
            None => Behind::NotAsked,
        };
        (shard.id, ShardProbe { starting_sequence: shard.starting_sequence, parents: shard.parents, behind })
    });
    let shards = futures::stream::iter(asked).buffer_unordered(SHARDS_AT_ONCE).collect().await;
    let StreamDescription { arn, created_at, retention, .. } = description;
    Ok(StreamProbe { arn, created_at, retention, shards })
}

async fn ask_in_time(source: &KinesisStream, shard: &str, state: &ShardState, clock: &Clock) -> Behind {
    let asked = tokio::time::timeout(TIME_LIMIT, ask(source, shard, &state.position, clock)).await;
    asked.unwrap_or_else(|_| Behind::Unknown { reason: format!("no answer within {} s", TIME_LIMIT.as_secs()) })
}

async fn ask(source: &KinesisStream, shard: &str, position: &Position, clock: &Clock) -> Behind {
    let mut pause = FIRST_PAUSE;
    let mut last = String::new();
    for attempt in 0..TRIES {
        if attempt > 0 {
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        match ask_once(source, shard, position, clock).await {
            Ok(behind) => return behind,
            Err(ReadFault::Final(error) | ReadFault::Denied(error) | ReadFault::NotFound(error)) => {
                return Behind::Unknown { reason: error.to_string() };
            }
            Err(ReadFault::Trimmed(reason)) => return Behind::Unknown { reason },
            Err(ReadFault::ExpiredIterator) => "the iterator expired".clone_into(&mut last),
            Err(ReadFault::Throttled(reason) | ReadFault::Transient(reason) | ReadFault::InUse(reason)) => {
                last = reason;
            }
        }
    }
    Behind::Unknown { reason: last }
}

async fn ask_once(
    source: &KinesisStream,
    shard: &str,
    position: &Position,
    clock: &Clock,
) -> Result<Behind, ReadFault> {
    let mut iterator = source.iterator(shard, position).await?;
    let mut lag = Duration::ZERO;
    for _ in 0..EMPTY_ANSWERS {
        let at = clock.now().timestamp_millis();
        let answer = source.peek(&iterator).await?;
        let behind = answer.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
        lag = Duration::from_millis(behind.unwrap_or(0));
        let first = answer.records.first().and_then(|record| record.approximate_arrival_timestamp());
        if let Some(arrived) = first {
            // Of a single record, the answer's own lag is that of what follows: the record itself is older or as old.
            let oldest = arrived.to_millis().ok();
            let age = u64::try_from(at.saturating_sub(oldest.unwrap_or(at))).unwrap_or(0);
            let age = Duration::from_millis(age);
            return Ok(Behind::Records { lag: lag.max(age), oldest });
        }
        match (answer.next_shard_iterator, behind) {
            (None, _) => return Ok(Behind::End),
            (_, Some(0)) => return Ok(Behind::Nothing { at }),
            (Some(next), _) => iterator = next,
        }
        tokio::time::sleep(FIRST_PAUSE).await;
    }
    Ok(Behind::Records { lag, oldest: None })
}

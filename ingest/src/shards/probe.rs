//! What Kinesis says of a stream and of a table's progress in it, for commands that only look.

use std::{collections::BTreeMap, time::Duration};

use bluelake_lake::{Backoff, CheckpointDocument, Position, SequenceNumber, ShardId, ShardState};
use bluelake_schemas::Millis;
use futures::StreamExt as _;

use crate::{
    clock::Clock,
    error::IngestError,
    kinesis::{
        fault::ReadFault,
        listed::ListedShard,
        skew::Skew,
        stream::{KinesisStream, StreamDescription},
    },
    shards::{
        lineage::{LineagePlan, plan},
        start::StartPosition,
    },
};

/// Shards asked at once.
const SHARDS_AT_ONCE: usize = 8;
/// Tries for one shard; it shares its five calls a second with the worker that reads it.
const TRIES: usize = 4;
/// Shortest pause before the first further try; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(300);
/// Empty answers in a row that are followed: behind the tip an empty answer only means "go on".
const EMPTY_ANSWERS: usize = 5;
/// The longest time for one shard.
const TIME_LIMIT: Duration = Duration::from_secs(20);

/// A stream as Kinesis has it.
#[derive(Clone, Debug)]
pub struct StreamProbe {
    /// Its ARN.
    pub arn: String,
    /// When it was created, if the server says it.
    pub created_at: Option<Millis>,
    /// How long Kinesis keeps a record.
    pub retention: Duration,
    /// Every listed shard.
    pub shards: BTreeMap<ShardId, ShardProbe>,
}

/// A shard as Kinesis has it.
#[derive(Clone, Debug)]
pub struct ShardProbe {
    /// StartingSequenceNumber.
    pub starting_sequence: SequenceNumber,
    /// Shard ids of the parents.
    pub parents: Vec<ShardId>,
    /// It was split or merged: new records go to its children.
    pub closed: bool,
    /// What lies behind the table's position, or behind the future start.
    pub behind: Behind,
}

/// What lies behind a position in a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Behind {
    /// Kinesis was not asked: the table has the shard to its end.
    NotAsked,
    /// Nothing for now: the position is at the tip of an open shard.
    Nothing {
        /// Just before Kinesis was asked for the shard, or for all shards if that was earlier.
        at: Millis,
    },
    /// Nothing for good: the shard is closed. Its children may hold more.
    End,
    /// Records.
    Records {
        /// How far behind the tip.
        lag: Duration,
        /// When the oldest of them arrived, if Kinesis gave it.
        oldest: Option<Millis>,
    },
    /// Kinesis did not say.
    Unknown {
        /// Why.
        reason: String,
    },
}

/// Asks Kinesis for the stream, its shards, and what lies behind the table's position in each. For a shard that the
/// table does not have, that is the position where reading will start; `start` is for a stream that it does not know. A
/// shard that does not answer is no error.
///
/// # Errors
/// [`IngestError`] when the stream cannot be described or its shards cannot be listed.
pub async fn probe(
    source: &KinesisStream,
    document: Option<&CheckpointDocument>,
    start: &StartPosition,
    clock: &Clock,
) -> Result<StreamProbe, IngestError> {
    let description = source.describe().await?;
    let skew = Skew::of(clock.now(), description.server_time);
    let listed_at = skew.earliest(clock.now());
    let listed = source.list_shards().await?;
    let positions = &positions(&listed, document, &start.position(&description, clock.now()), listed_at);
    let asked = listed.into_iter().map(|shard| async move {
        let behind = match positions.get(&shard.id) {
            Some(position) => ask_in_time(source, &shard.id, position, clock).await,
            None => Behind::NotAsked,
        };
        let ListedShard { id, starting_sequence, parents, closed, .. } = shard;
        let behind = match behind {
            // Its children may hold newer records.
            Behind::Nothing { .. } if closed => Behind::End,
            // It may have been closed since it was listed.
            Behind::Nothing { at } => Behind::Nothing { at: at.min(listed_at) },
            behind => behind,
        };
        (id, ShardProbe { starting_sequence, parents, closed, behind })
    });
    let shards = futures::stream::iter(asked).buffer_unordered(SHARDS_AT_ONCE).collect().await;
    let StreamDescription { arn, created_at, retention, .. } = description;
    Ok(StreamProbe { arn, created_at, retention, shards })
}

/// Where reading goes on in each listed shard that has not ended: at the table's position, or where a worker will pin
/// it.
fn positions(
    listed: &[ListedShard],
    document: Option<&CheckpointDocument>,
    start: &Position,
    now: Millis,
) -> BTreeMap<ShardId, Position> {
    let LineagePlan { pins, readable, waiting, .. } = plan(listed, document, start, now);
    let is_new = document.is_none_or(|document| document.shards.is_empty());
    let of_children = if is_new { start } else { &Position::TrimHorizon };
    let readable = readable.into_iter().map(|readable| (readable.shard.id, readable.position));
    let pinned = pins.into_iter().map(|pin| (pin.shard, pin.to_inclusive));
    let waiting = waiting.into_iter().map(|shard| (shard, of_children.clone()));
    readable.chain(pinned).chain(waiting).collect()
}

/// Whether the table has every record of an open shard that arrived up to `until`, judged by the first record behind
/// the position.
pub(crate) async fn is_read_up_to(
    source: &KinesisStream,
    shard: &ShardId,
    state: &ShardState,
    until: Millis,
    clock: &Clock,
) -> bool {
    match ask_in_time(source, shard, &state.position, clock).await {
        Behind::Nothing { .. } => true,
        Behind::Records { oldest: Some(oldest), .. } => oldest >= until,
        Behind::Records { oldest: None, .. } | Behind::NotAsked | Behind::End | Behind::Unknown { .. } => false,
    }
}

async fn ask_in_time(source: &KinesisStream, shard: &ShardId, position: &Position, clock: &Clock) -> Behind {
    let asked = tokio::time::timeout(TIME_LIMIT, ask(source, shard, position, clock)).await;
    asked.unwrap_or_else(|_| Behind::Unknown { reason: format!("no answer within {} s", TIME_LIMIT.as_secs()) })
}

async fn ask(source: &KinesisStream, shard: &ShardId, position: &Position, clock: &Clock) -> Behind {
    let mut backoff = Backoff::steady(FIRST_PAUSE * 2, TIME_LIMIT, source.chance());
    let mut last = String::new();
    for attempt in 0..TRIES {
        backoff.before(attempt).await;
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
    shard: &ShardId,
    position: &Position,
    clock: &Clock,
) -> Result<Behind, ReadFault> {
    let mut iterator = source.iterator(shard, position).await?;
    let mut lag = Duration::ZERO;
    for _ in 0..EMPTY_ANSWERS {
        let at = Millis::from(clock.now());
        let answer = source.peek(&iterator).await?;
        let behind = answer.millis_behind_latest.and_then(|millis| u64::try_from(millis).ok());
        lag = Duration::from_millis(behind.unwrap_or(0));
        let first = answer.records.first().and_then(|record| record.approximate_arrival_timestamp());
        if let Some(arrived) = first {
            // With a single record, the answer's lag is that of what follows: the record itself is as old or older.
            let oldest = arrived.to_millis().ok().map(Millis::new);
            let age = at.since(oldest.unwrap_or(at));
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

//! How each stream stands: the facts of the lake joined with those of Kinesis, and the problems in them. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use bluelake_lake::{
    CheckpointDocument, ControlTotals, Gap, Position, SeenInKinesis, ShardId, ShardState, StreamInspection,
};
use bluelake_schemas::{Micros, Millis, Stream};
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::shards::probe::{Behind, ShardProbe, StreamProbe};

/// Without a limit of the caller's, at least this fraction of the retention must be left (one in N).
const LEAST_HEADROOM: u32 = 4;

/// All streams at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct StatusReport {
    /// When this was found.
    pub at: DateTime<Utc>,
    /// The lake, as configured.
    pub lake: String,
    /// Whether there are no problems.
    pub ok: bool,
    /// The problems, in sentences.
    pub problems: Vec<String>,
    /// The streams.
    pub streams: Vec<StreamStatus>,
    /// The workers with a heartbeat in the lake.
    pub workers: Vec<WorkerStatus>,
    /// The files of the tables.
    pub tables: Vec<TableFiles>,
}

/// A worker, by its heartbeat.
#[derive(Debug, Clone, Serialize)]
pub struct WorkerStatus {
    /// Its id.
    pub worker: String,
    /// When that was written, by the store's clock.
    pub heartbeat_at: Option<DateTime<Utc>>,
    /// Its version of Bluelake.
    pub version: String,
    /// Shards that it holds, by stream.
    pub shards: BTreeMap<String, usize>,
}

/// The files of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableFiles {
    /// The table.
    pub table: &'static str,
    /// All its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Those that are not full and that compaction can still merge.
    pub small_files: u64,
    /// When a compaction last wrote one of them.
    pub compacted_at: Option<DateTime<Utc>>,
    /// What somebody should look at, in sentences.
    pub alarms: Vec<String>,
}

/// One stream.
#[derive(Debug, Clone, Serialize)]
pub struct StreamStatus {
    /// The stream.
    pub stream: Stream,
    /// Name or ARN in Kinesis.
    pub kinesis: String,
    /// The table of its events.
    pub table: &'static str,
    /// Version of that table.
    pub table_version: Option<u64>,
    /// Version of `rejected_events`.
    pub rejected_version: Option<u64>,
    /// Whether rejected events of the last commits are not in their table yet.
    pub rejected_behind: bool,
    /// Number of the document in force.
    pub document: Option<u64>,
    /// When that was written, by the store's clock.
    pub committed_at: Option<DateTime<Utc>>,
    /// The worker that wrote it.
    pub committed_by: Option<String>,
    /// Control totals since the first commit.
    pub totals: ControlTotals,
    /// Rows that were erased.
    pub erased: u64,
    /// Rows that expired.
    pub expired: u64,
    /// Every record that arrived up to here is in the lake.
    pub complete_to: Option<DateTime<Utc>>,
    /// Arrival time of the oldest record that is not in the lake.
    pub oldest_not_landed: Option<DateTime<Utc>>,
    /// Greatest lag of a shard.
    pub lag_seconds: Option<f64>,
    /// How long Kinesis keeps a record.
    pub retention_seconds: Option<f64>,
    /// Least headroom of a shard.
    pub headroom_seconds: Option<f64>,
    /// Its shards.
    pub shards: Vec<ShardStatus>,
    /// Every gap found so far.
    pub gaps: Vec<Gap>,
    /// Why a worker would refuse to write.
    pub faults: Vec<String>,
    /// Why Kinesis did not answer.
    pub kinesis_error: Option<String>,
}

/// How a shard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ShardCondition {
    /// It is open, and records lie behind the position or Kinesis was not asked.
    Reading,
    /// Nothing lies behind the position.
    Drained,
    /// It is new to the lake: its parents come first, or no worker has seen it.
    Waiting,
    /// It is closed, and all of it is in the lake.
    Ended,
    /// It stands still behind a gap.
    Gap,
    /// It is open in the lake, and gone from Kinesis.
    Vanished,
}

/// One shard.
#[derive(Debug, Clone, Serialize)]
pub struct ShardStatus {
    /// Its id.
    pub shard: ShardId,
    /// How it stands.
    pub state: ShardCondition,
    /// How far the lake has it.
    pub position: Option<Position>,
    /// Arrival time of its newest record in the lake.
    pub arrived_at: Option<DateTime<Utc>>,
    /// When it was last seen drained; for a child just pinned, the time up to which its parents were read.
    pub drained_at: Option<DateTime<Utc>>,
    /// How far it is behind the tip.
    pub lag_seconds: Option<f64>,
    /// Arrival time of the oldest record that is not in the lake.
    pub oldest_not_landed: Option<DateTime<Utc>>,
    /// How long it may at least stand still before Kinesis discards unread records.
    pub headroom_seconds: Option<f64>,
    /// Control totals since its first commit.
    pub totals: ControlTotals,
    /// Why its lag is not known.
    pub error: Option<String>,
}

/// The caller's limits for problems.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limits {
    /// More lag than this is a problem; so is an unknown lag.
    pub max_lag: Option<Duration>,
    /// Less headroom than this is a problem; a quarter of the retention if not given.
    pub min_headroom: Option<Duration>,
}

/// What Kinesis said of a stream.
#[derive(Debug)]
pub enum Asked {
    /// Nobody asked.
    Offline,
    /// This.
    Answered(StreamProbe),
    /// It did not answer.
    Failed(String),
}

impl StatusReport {
    /// Joins the streams and judges them.
    pub fn new(
        lake: &str,
        streams: Vec<StreamStatus>,
        workers: Vec<WorkerStatus>,
        limits: Limits,
        at: DateTime<Utc>,
    ) -> Self {
        let problems: Vec<String> = streams.iter().flat_map(|stream| problems(stream, limits)).collect();
        Self { at, lake: lake.to_owned(), ok: problems.is_empty(), problems, streams, workers, tables: Vec::new() }
    }

    /// With the files of the tables, whose alarms are problems, too.
    #[must_use]
    pub fn with_tables(mut self, tables: Vec<TableFiles>) -> Self {
        self.problems.extend(tables.iter().flat_map(|table| table.alarms.iter().cloned()));
        self.ok = self.problems.is_empty();
        self.tables = tables;
        self
    }
}

impl StreamStatus {
    /// Joins the facts of the lake and of Kinesis about a stream.
    pub fn new(kinesis: &str, found: StreamInspection, asked: Asked, now: Millis) -> Self {
        let (probe, kinesis_error) = match asked {
            Asked::Offline => (None, None),
            Asked::Answered(probe) => (Some(probe), None),
            Asked::Failed(error) => (None, Some(error)),
        };
        let document = found.document.as_ref();
        let shards = shards(document, probe.as_ref(), now);
        let watermark = |document: &CheckpointDocument| {
            let seen = probe.as_ref().map(|probe| seen(document, probe));
            document.watermark(seen.as_ref())
        };
        let least = |values: &mut dyn Iterator<Item = f64>| values.min_by(f64::total_cmp);
        let greatest = |values: &mut dyn Iterator<Item = f64>| values.max_by(f64::total_cmp);
        Self {
            stream: found.stream,
            kinesis: kinesis.to_owned(),
            table: found.stream.table(),
            table_version: found.table_version,
            rejected_version: found.rejected_version,
            rejected_behind: found.rejected_behind,
            document: document.map(|document| document.head.number),
            committed_at: found.committed_at.and_then(Millis::time),
            committed_by: document.map(|document| document.head.worker.clone()),
            totals: document.map(CheckpointDocument::totals).unwrap_or_default(),
            erased: document.map_or(0, |document| document.tally.erased),
            expired: document.map_or(0, |document| document.tally.expired),
            complete_to: document.and_then(watermark).and_then(Millis::time),
            oldest_not_landed: shards.iter().filter_map(|shard| shard.oldest_not_landed).min(),
            lag_seconds: greatest(&mut shards.iter().filter_map(|shard| shard.lag_seconds)),
            retention_seconds: probe.as_ref().map(|probe| probe.retention.as_secs_f64()),
            headroom_seconds: least(&mut shards.iter().filter_map(|shard| shard.headroom_seconds)),
            gaps: document.map(|document| document.gaps.clone()).unwrap_or_default(),
            faults: found.faults,
            kinesis_error,
            shards,
        }
    }
}

/// The probe of a shard of the document, if it is about the same incarnation.
fn probed<'a>(probe: Option<&'a StreamProbe>, id: &str, state: &ShardState) -> Option<&'a ShardProbe> {
    let shard = probe?.shards.get(id)?;
    (shard.starting_sequence == state.starting_sequence).then_some(shard)
}

/// The probe in the form of the watermark.
fn seen(document: &CheckpointDocument, probe: &StreamProbe) -> SeenInKinesis {
    let mut seen = SeenInKinesis::default();
    for (id, shard) in &probe.shards {
        if shard.closed {
            seen.closed.insert(id.clone());
        }
        match (document.shards.get(id), &shard.behind) {
            (state, _) if is_new(state, shard) => {
                seen.unpinned.insert(id.clone(), shard.parents.clone());
            }
            (Some(state), Behind::Nothing { at }) => seen.take_tip(id, state, *at, probe.retention),
            _ => {}
        }
    }
    seen
}

/// Whether a listed shard is new to the lake. A shard of the same name from before the stream was recreated is another
/// one.
fn is_new(state: Option<&ShardState>, listed: &ShardProbe) -> bool {
    state.is_none_or(|state| state.starting_sequence < listed.starting_sequence)
}

fn shards(document: Option<&CheckpointDocument>, probe: Option<&StreamProbe>, now: Millis) -> Vec<ShardStatus> {
    let known = document.map(|document| &document.shards);
    let mut shards: Vec<ShardStatus> = known
        .into_iter()
        .flatten()
        .map(|(id, state)| {
            let gap = document.is_some_and(|document| document.open_gap(id).is_some());
            shard(id, state, gap, probe, now)
        })
        .collect();
    for (id, listed) in probe.iter().flat_map(|probe| &probe.shards) {
        if is_new(known.and_then(|known| known.get(id)), listed) {
            shards.push(waiting(id, listed, probe.map(|probe| probe.retention), now));
        }
    }
    shards
}

fn shard(id: &str, state: &ShardState, gap: bool, probe: Option<&StreamProbe>, now: Millis) -> ShardStatus {
    let shard = probed(probe, id, state);
    let behind = shard.map(|shard| &shard.behind);
    let condition = match (state.ended, gap, behind) {
        (true, ..) => ShardCondition::Ended,
        (_, true, _) => ShardCondition::Gap,
        (_, _, None) if probe.is_some() => ShardCondition::Vanished,
        (_, _, Some(Behind::Nothing { .. } | Behind::End)) => ShardCondition::Drained,
        _ => ShardCondition::Reading,
    };
    let retention = probe.filter(|_| !state.ended).map(|probe| probe.retention);
    let headroom = retention.and_then(|retention| headroom(state.safe_until(), behind, retention, now));
    ShardStatus {
        position: Some(state.position.clone()),
        arrived_at: state.arrived_at.map(Micros::millis).and_then(Millis::time),
        drained_at: state.drained_at.and_then(Millis::time),
        headroom_seconds: headroom.map(|headroom| headroom.as_secs_f64()),
        totals: state.totals,
        ..unread(id, condition, behind)
    }
}

/// A shard that is new to the lake. All its records are unread.
fn waiting(id: &str, listed: &ShardProbe, retention: Option<Duration>, now: Millis) -> ShardStatus {
    let headroom = retention.and_then(|retention| headroom(None, Some(&listed.behind), retention, now));
    let headroom_seconds = headroom.map(|headroom| headroom.as_secs_f64());
    ShardStatus { headroom_seconds, ..unread(id, ShardCondition::Waiting, Some(&listed.behind)) }
}

/// The records that the lake does not have, by Kinesis.
fn unread(id: &str, state: ShardCondition, behind: Option<&Behind>) -> ShardStatus {
    let (lag, oldest, error) = match behind {
        Some(Behind::Nothing { .. } | Behind::End) => (Some(Duration::ZERO), None, None),
        Some(Behind::Records { lag, oldest }) => (Some(*lag), *oldest, None),
        Some(Behind::Unknown { reason }) => (None, None, Some(reason.clone())),
        Some(Behind::NotAsked) | None => (None, None, None),
    };
    ShardStatus {
        shard: id.into(),
        state,
        position: None,
        arrived_at: None,
        drained_at: None,
        lag_seconds: lag.map(|lag| lag.as_secs_f64()),
        oldest_not_landed: oldest.and_then(Millis::time),
        headroom_seconds: None,
        totals: ControlTotals::default(),
        error,
    }
}

/// The time until the oldest unread record is discarded: exact if Kinesis gave that record; else a lower bound by what
/// is `known` to be read.
fn headroom(known: Option<Millis>, behind: Option<&Behind>, retention: Duration, now: Millis) -> Option<Duration> {
    let oldest = match behind {
        Some(Behind::Nothing { .. } | Behind::End) => return Some(retention),
        Some(Behind::Records { oldest: Some(oldest), .. }) => *oldest,
        _ => known?,
    };
    Some(retention.saturating_sub(now.since(oldest)))
}

/// The problems of a stream.
fn problems(status: &StreamStatus, limits: Limits) -> Vec<String> {
    let stream = status.stream;
    let mut problems: Vec<String> = status.faults.iter().map(|fault| format!("{stream}: {fault}")).collect();
    if let Some(error) = &status.kinesis_error {
        problems.push(format!("{stream}: Kinesis cannot be asked: {error}"));
    }
    for gap in status.gaps.iter().filter(|gap| !gap.accepted) {
        problems.push(format!("{stream}: shard {} stands still behind a gap", gap.shard));
    }
    for shard in status.shards.iter().filter(|shard| shard.state == ShardCondition::Vanished) {
        problems.push(format!("{stream}: shard {} left Kinesis before it was read to its end", shard.shard));
    }
    let counts = |shard: &&ShardStatus| {
        matches!(shard.state, ShardCondition::Reading | ShardCondition::Drained | ShardCondition::Waiting)
    };
    for shard in status.shards.iter().filter(counts).filter(|_| status.kinesis_error.is_none()) {
        if let Some(limit) = limits.max_lag {
            match shard.lag_seconds {
                Some(lag) if lag <= limit.as_secs_f64() => {}
                Some(lag) => {
                    problems.push(format!("{stream}: shard {} lags {lag:.0} s behind, over {limit:?}", shard.shard));
                }
                None => problems.push(format!("{stream}: the lag of shard {} is not known", shard.shard)),
            }
        }
        let least = limits.min_headroom.map(|least| least.as_secs_f64());
        let least = least.or(status.retention_seconds.map(|retention| retention / f64::from(LEAST_HEADROOM)));
        if let (Some(headroom), Some(least)) = (shard.headroom_seconds, least)
            && headroom < least
        {
            problems.push(format!(
                "{stream}: shard {} has {headroom:.0} s left before Kinesis may discard records unread, under {least:.0} s",
                shard.shard
            ));
        }
    }
    problems
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;

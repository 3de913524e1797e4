//! The status for people.

use std::fmt::Write as _;
use std::time::Duration;

use bluelake_ingest::status::{ShardCondition, ShardStatus, StatusReport, StreamStatus};
use bluelake_lake::{Gap, GapCause};
use bluelake_schemas::Millis;
use chrono::{DateTime, Utc};

use crate::terminal::output::{self, grouped, printable, size, table};

/// With more shards than this only notable ones are listed.
const SHARDS_LISTED: usize = 20;

/// The whole report as text.
pub(crate) fn describe(report: &StatusReport) -> String {
    let mut text = format!("{}, at {}\n\n{}", printable(&report.lake), instant(Some(report.at)), streams(report));
    for stream in &report.streams {
        let _ = write!(text, "\n\n{}", shards(stream));
        if !stream.gaps.is_empty() {
            let _ = write!(text, "\n\nGaps of {}\n{}", stream.stream, gaps(stream));
        }
        if stream.rejected_behind {
            let _ = write!(
                text,
                "\n\nrejected_events lacks the last rejected events of {}; the next commit brings them.",
                stream.stream
            );
        }
    }
    if !report.workers.is_empty() {
        let _ = write!(text, "\n\nWorkers\n{}", workers(report));
    }
    if !report.tables.is_empty() {
        let _ = write!(text, "\n\n{}", files(report));
    }
    match report.problems.as_slice() {
        [] => text.push_str("\n\nNo problems."),
        problems => {
            text.push_str("\n\nProblems:");
            for problem in problems {
                let _ = write!(text, "\n  {}", printable(problem));
            }
        }
    }
    text
}

fn streams(report: &StatusReport) -> String {
    let header = [
        "stream",
        "complete to",
        "lag",
        "headroom",
        "received",
        "stored",
        "rejected",
        "duplicate",
        "committed at",
        "version",
    ];
    let rows = report.streams.iter().map(|stream| {
        let totals = &stream.totals;
        let [received, stored, rejected, duplicate] =
            [totals.received, totals.stored, totals.rejected, totals.duplicate].map(grouped);
        [
            stream.stream.name().to_owned(),
            instant(stream.complete_to),
            span(stream.lag_seconds),
            span(stream.headroom_seconds),
            received,
            stored,
            rejected,
            duplicate,
            instant(stream.committed_at),
            stream.table_version.map(|version| version.to_string()).unwrap_or_default(),
        ]
    });
    table(&header, &[2, 3, 4, 5, 6, 7, 9], rows).to_string()
}

fn shards(stream: &StreamStatus) -> String {
    let count = |condition| stream.shards.iter().filter(|shard| shard.state == condition).count();
    let counts: Vec<String> = [
        (ShardCondition::Reading, "reading"),
        (ShardCondition::Drained, "drained"),
        (ShardCondition::Waiting, "waiting"),
        (ShardCondition::Ended, "ended"),
        (ShardCondition::Gap, "behind a gap"),
        (ShardCondition::Vanished, "vanished"),
    ]
    .into_iter()
    .filter(|(condition, _)| count(*condition) > 0)
    .map(|(condition, name)| format!("{} {name}", count(condition)))
    .collect();
    let mut text = format!(
        "Shards of {}: {}",
        stream.stream,
        if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
    );
    let few = stream.shards.len() <= SHARDS_LISTED;
    let mut listed: Vec<&ShardStatus> =
        stream.shards.iter().filter(|shard| few || shard.state != ShardCondition::Ended).collect();
    listed.sort_by(|left, right| right.lag_seconds.unwrap_or(0.0).total_cmp(&left.lag_seconds.unwrap_or(0.0)));
    let left_out = listed.len().saturating_sub(SHARDS_LISTED);
    listed.truncate(SHARDS_LISTED);
    if listed.is_empty() {
        return text;
    }
    listed.sort_by(|left, right| left.shard.cmp(&right.shard));
    let header = ["shard", "state", "lag", "newest record", "oldest not landed", "headroom", "received", "remark"];
    let rows = listed.into_iter().map(|shard| {
        [
            shard.shard.to_string(),
            word(shard.state).to_owned(),
            span(shard.lag_seconds),
            instant(shard.arrived_at),
            instant(shard.oldest_not_landed),
            span(shard.headroom_seconds),
            grouped(shard.totals.received),
            shard.error.clone().unwrap_or_default(),
        ]
    });
    let _ = write!(text, "\n{}", table(&header, &[2, 5, 6], rows));
    if left_out > 0 {
        let _ = write!(text, "\n({left_out} shards with less lag are left out; --json lists all)");
    }
    text
}

fn word(condition: ShardCondition) -> &'static str {
    match condition {
        ShardCondition::Reading => "reading",
        ShardCondition::Drained => "drained",
        ShardCondition::Waiting => "waiting",
        ShardCondition::Ended => "ended",
        ShardCondition::Gap => "gap",
        ShardCondition::Vanished => "vanished",
    }
}

fn gaps(stream: &StreamStatus) -> String {
    let rows = stream.gaps.iter().map(|gap: &Gap| {
        let at = |at: Option<Millis>| instant(at.and_then(Millis::time));
        [
            gap.shard.to_string(),
            if gap.accepted { "accepted" } else { "open" }.to_owned(),
            match gap.cause {
                GapCause::Retention => "older than the retention",
                GapCause::Vanished => "the shard left Kinesis",
            }
            .to_owned(),
            at(gap.from),
            at(gap.until),
            at(Some(gap.found_at)),
        ]
    });
    table(&["shard", "gap", "cause", "from", "until", "found at"], &[], rows).to_string()
}

fn workers(report: &StatusReport) -> String {
    let rows = report.workers.iter().map(|worker| {
        let shards: Vec<String> = worker.shards.iter().map(|(stream, count)| format!("{stream} {count}")).collect();
        [worker.worker.clone(), instant(worker.heartbeat_at), worker.version.clone(), shards.join(", ")]
    });
    table(&["worker", "last heartbeat", "version", "shards"], &[], rows).to_string()
}

fn files(report: &StatusReport) -> String {
    let rows = report.tables.iter().map(|files| {
        let [all, small] = [files.files, files.small_files].map(grouped);
        [files.table.to_owned(), all, size(files.bytes), small, instant(files.compacted_at)]
    });
    table(&["table", "files", "size", "not full", "last compaction"], &[1, 2, 3], rows).to_string()
}

fn instant(time: Option<DateTime<Utc>>) -> String {
    time.map(output::instant).unwrap_or_default()
}

/// A duration in its largest two units.
fn span(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok()) else {
        return String::new();
    };
    let seconds = seconds.as_secs();
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

    use bluelake_ingest::status::{Limits, TableFiles, WorkerStatus};
    use bluelake_lake::ControlTotals;
    use bluelake_schemas::Stream;
    use serde_json::json;

    use super::*;

    fn shard(id: &str, state: ShardCondition) -> ShardStatus {
        ShardStatus {
            shard: id.into(),
            state,
            position: None,
            arrived_at: None,
            drained_at: None,
            lag_seconds: Some(7_320.0),
            oldest_not_landed: None,
            headroom_seconds: None,
            totals: ControlTotals::default(),
            error: None,
        }
    }

    fn status(shards: Vec<ShardStatus>, gaps: Vec<Gap>) -> StreamStatus {
        StreamStatus {
            stream: Stream::UserEvents,
            kinesis: "user-events".to_owned(),
            table: Stream::UserEvents.table(),
            table_version: Some(12),
            rejected_version: Some(3),
            rejected_behind: false,
            document: Some(7),
            committed_at: None,
            committed_by: Some("worker-1".to_owned()),
            totals: ControlTotals::default(),
            erased: 0,
            expired: 0,
            complete_to: None,
            oldest_not_landed: None,
            lag_seconds: None,
            retention_seconds: None,
            headroom_seconds: None,
            shards,
            gaps,
            faults: Vec::new(),
            kinesis_error: None,
        }
    }

    #[test]
    fn the_text_names_every_shard_gap_and_problem() {
        let gap = json!({
            "shard": "shardId-1",
            "starting_sequence": "1",
            "after": {"after": "9"},
            "from": 1_789_892_000_000_i64,
            "until": 1_789_913_600_000_i64,
            "found_at": 1_789_996_400_000_i64,
            "cause": "retention",
            "accepted": false,
        });
        let shards = vec![shard("shardId-0", ShardCondition::Reading), shard("shardId-1", ShardCondition::Gap)];
        let stream = status(shards, vec![serde_json::from_value(gap).unwrap()]);
        let at = DateTime::from_timestamp(1_790_000_000, 0).unwrap();
        let worker = WorkerStatus {
            worker: "worker-1".to_owned(),
            heartbeat_at: Some(at),
            version: "0.1.0".to_owned(),
            shards: BTreeMap::from([("user-events".to_owned(), 2)]),
        };
        let report = StatusReport::new("./bluelake-data", vec![stream], vec![worker], Limits::default(), at);
        let files = TableFiles {
            table: "transactions",
            files: 6_000,
            bytes: 3 << 20,
            small_files: 5_001,
            compacted_at: Some(at),
            alarms: vec!["transactions: 5001 files are not full".to_owned()],
        };
        let report = report.with_tables(vec![files]);
        assert!(!report.ok);
        let text = describe(&report);
        for part in [
            "shardId-0",
            "shardId-1",
            "2h 2m",
            "older than the retention",
            "Problems:",
            "behind a gap",
            "worker-1",
            "./bluelake-data",
            "5,001",
            "3.0 MiB",
            "transactions: 5001 files are not full",
        ] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
    }

    #[test]
    fn durations_are_shown_in_their_largest_units() {
        for (seconds, text) in [(0.4, "0s"), (59.9, "59s"), (61.0, "1m 1s"), (7_320.0, "2h 2m"), (90_000.0, "1d 1h")] {
            assert_eq!(span(Some(seconds)), text);
        }
        assert_eq!(span(None), "");
    }
}

use bluelake_lake::{GapCause, SequenceNumber, ShardId};
use bluelake_schemas::{Micros, Millis};

use super::*;

const HOUR: i64 = 3_600_000;
const NOW: i64 = 1_790_000_000_000;
const DAY: Duration = Duration::from_secs(24 * 3_600);

fn number(text: &str) -> SequenceNumber {
    SequenceNumber::parse(text).unwrap()
}

/// An open shard whose newest committed record arrived `hours_ago`.
fn open(hours_ago: i64) -> ShardState {
    ShardState {
        starting_sequence: number("1"),
        parents: Vec::new(),
        position: Position::After(number("9")),
        ended: false,
        arrived_at: Some(Micros::new((NOW - hours_ago * HOUR) * 1_000)),
        drained_at: None,
        pinned_at: None,
        totals: ControlTotals { received: 10, stored: 7, rejected: 2, duplicate: 1, suppressed: 0 },
    }
}

fn gap(shard: &str, accepted: bool) -> Gap {
    Gap {
        shard: shard.into(),
        starting_sequence: number("1"),
        after: Position::After(number("9")),
        from: Some(Millis::new(NOW - 30 * HOUR)),
        until: Some(Millis::new(NOW - 24 * HOUR)),
        found_at: Millis::new(NOW - HOUR),
        cause: GapCause::Retention,
        accepted,
    }
}

fn found<const N: usize>(shards: [(&str, ShardState); N]) -> StreamInspection {
    let mut document = CheckpointDocument::empty();
    document.head.number = 7;
    document.head.worker = "worker-1".to_owned();
    document.shards = shards.into_iter().map(|(id, state)| (id.into(), state)).collect();
    StreamInspection {
        stream: Stream::UserEvents,
        table_version: Some(12),
        document: Some(document),
        committed_at: Some(Millis::new(NOW - 1_000)),
        rejected_version: Some(3),
        rejected_behind: false,
        faults: Vec::new(),
    }
}

fn listed(behind: Behind, parents: &[&str]) -> ShardProbe {
    let parents = parents.iter().map(|id| ShardId::from(*id)).collect();
    ShardProbe { starting_sequence: number("1"), parents, closed: false, behind }
}

fn probe<const N: usize>(shards: [(&str, ShardProbe); N]) -> Asked {
    let shards = shards.into_iter().map(|(id, shard)| (id.into(), shard)).collect();
    Asked::Answered(StreamProbe { arn: String::new(), created_at: None, retention: DAY, shards })
}

fn nothing() -> Behind {
    Behind::Nothing { at: Millis::new(NOW) }
}

fn records(hours_ago: i64) -> Behind {
    let lag = Duration::from_secs(u64::try_from(hours_ago * 3_600).unwrap());
    Behind::Records { lag, oldest: Some(Millis::new(NOW - hours_ago * HOUR)) }
}

fn status(found: StreamInspection, asked: Asked) -> StreamStatus {
    StreamStatus::new("user-events", found, asked, Millis::new(NOW))
}

fn judged(status: StreamStatus, limits: Limits) -> Vec<String> {
    let report =
        StatusReport::new("./bluelake-data", vec![status], Vec::new(), limits, Millis::new(NOW).time().unwrap());
    assert_eq!(report.ok, report.problems.is_empty());
    report.problems
}

fn conditions(status: &StreamStatus) -> Vec<(&str, ShardCondition)> {
    status.shards.iter().map(|shard| (shard.shard.as_str(), shard.state)).collect()
}

#[test]
fn drained_shards_are_complete_with_full_headroom() {
    let status = status(
        found([("a", open(20)), ("b", open(2))]),
        probe([("a", listed(nothing(), &[])), ("b", listed(nothing(), &[]))]),
    );
    assert_eq!(conditions(&status), [("a", ShardCondition::Drained), ("b", ShardCondition::Drained)]);
    assert_eq!(status.complete_to, Millis::new(NOW).time());
    assert_eq!((status.lag_seconds, status.headroom_seconds), (Some(0.0), Some(DAY.as_secs_f64())));
    assert_eq!((status.totals.received, status.document), (20, Some(7)));
    assert!(judged(status, Limits { max_lag: Some(Duration::from_secs(1)), min_headroom: None }).is_empty());
}

#[test]
fn unread_records_are_lag_and_shorten_the_headroom() {
    let asked = || probe([("a", listed(records(2), &[])), ("b", listed(nothing(), &[]))]);
    let found = || found([("a", open(20)), ("b", open(1))]);
    let one = status(found(), asked());
    assert_eq!(conditions(&one), [("a", ShardCondition::Reading), ("b", ShardCondition::Drained)]);
    assert_eq!(one.lag_seconds, Some(7_200.0));
    assert_eq!(one.headroom_seconds, Some(22.0 * 3_600.0), "what counts is the oldest unread record");
    assert_eq!(one.oldest_not_landed, Millis::new(NOW - 2 * HOUR).time());
    assert_eq!(one.complete_to, Millis::new(NOW - 20 * HOUR).time());
    assert!(judged(one, Limits::default()).is_empty());
    let strict =
        judged(status(found(), asked()), Limits { max_lag: Some(Duration::from_secs(3_600)), min_headroom: None });
    assert!(strict.len() == 1 && strict[0].contains("shard a lags"), "{strict:?}");
    let limits = Limits { max_lag: None, min_headroom: Some(Duration::from_secs(23 * 3_600)) };
    let strict = judged(status(found(), asked()), limits);
    assert!(strict.len() == 1 && strict[0].contains("shard a has"), "{strict:?}");
}

#[test]
fn little_headroom_is_always_a_problem() {
    let at = |hours| status(found([("a", open(hours))]), probe([("a", listed(records(hours), &[]))]));
    assert!(judged(at(18), Limits::default()).is_empty());
    assert_eq!(judged(at(19), Limits::default()).len(), 1);
}

#[test]
fn a_silent_shard_fails_only_a_lag_limit() {
    let unknown = || listed(Behind::Unknown { reason: "throttled".to_owned() }, &[]);
    let status = || status(found([("a", open(1))]), probe([("a", unknown())]));
    assert_eq!(status().shards[0].error.as_deref(), Some("throttled"));
    assert!(judged(status(), Limits::default()).is_empty());
    let problems = judged(status(), Limits { max_lag: Some(DAY), min_headroom: None });
    assert!(problems[0].contains("not known"), "{problems:?}");
}

#[test]
fn only_an_open_gap_is_a_problem() {
    let with = |accepted| {
        let mut found = found([("a", open(30))]);
        found.document.as_mut().unwrap().gaps.push(gap("a", accepted));
        status(found, Asked::Offline)
    };
    let open = with(false);
    assert_eq!(conditions(&open), [("a", ShardCondition::Gap)]);
    assert!(judged(open, Limits::default())[0].contains("behind a gap"));
    let accepted = with(true);
    assert_eq!((conditions(&accepted), accepted.gaps.len()), (vec![("a", ShardCondition::Reading)], 1));
    assert!(judged(accepted, Limits::default()).is_empty());
}

#[test]
fn shards_that_only_one_side_has_are_shown() {
    let child = listed(Behind::NotAsked, &["a"]);
    let ended = ShardState { ended: true, ..open(3) };
    let status = status(
        found([("a", ended), ("lost", open(1))]),
        probe([("a", listed(Behind::NotAsked, &[])), ("child", child)]),
    );
    let expected =
        [("a", ShardCondition::Ended), ("lost", ShardCondition::Vanished), ("child", ShardCondition::Waiting)];
    assert_eq!(conditions(&status), expected);
    assert_eq!(status.complete_to, Millis::new(NOW - 3 * HOUR).time(), "the child's records are not in the lake");
    assert!(judged(status, Limits::default())[0].contains("lost left Kinesis"));
}

#[test]
fn unstarted_children_count_in_lag_and_completeness() {
    // The parent was seen drained, and is closed: by the lake alone all looks well.
    let parent =
        || ShardState { drained_at: Some(Millis::new(NOW)), pinned_at: Some(Millis::new(NOW - 9 * HOUR)), ..open(7) };
    let closed = || ShardProbe { closed: true, ..listed(Behind::End, &[]) };
    let asked = || probe([("a", closed()), ("left", listed(records(5), &["a"])), ("right", listed(nothing(), &["a"]))]);
    let status = || status(found([("a", parent())]), asked());
    let expected =
        [("a", ShardCondition::Drained), ("left", ShardCondition::Waiting), ("right", ShardCondition::Waiting)];
    assert_eq!(conditions(&status()), expected);
    assert_eq!((status().lag_seconds, status().headroom_seconds), (Some(18_000.0), Some(19.0 * 3_600.0)));
    assert_eq!(status().oldest_not_landed, Millis::new(NOW - 5 * HOUR).time());
    assert_eq!(status().complete_to, Millis::new(NOW - 7 * HOUR).time());
    assert!(judged(status(), Limits::default()).is_empty());
    let problems = judged(status(), Limits { max_lag: Some(Duration::from_secs(3_600)), min_headroom: None });
    assert!(problems.len() == 1 && problems[0].contains("shard left lags"), "{problems:?}");
    let problems = judged(status(), Limits { max_lag: None, min_headroom: Some(Duration::from_secs(20 * 3_600)) });
    assert!(problems.len() == 1 && problems[0].contains("shard left has"), "{problems:?}");
}

#[test]
fn an_unstarted_stream_lags_by_its_oldest_record() {
    let nothing_ingested = StreamInspection { document: None, ..found([]) };
    let status = status(nothing_ingested, probe([("a", listed(records(20), &[]))]));
    assert_eq!((status.lag_seconds, status.headroom_seconds), (Some(72_000.0), Some(4.0 * 3_600.0)));
    assert_eq!(status.complete_to, None);
    assert_eq!(judged(status, Limits::default()).len(), 1, "less than a quarter of the retention is left");
}

#[test]
fn a_recreated_stream_is_distinct_from_the_old() {
    let mut anew = listed(nothing(), &[]);
    anew.starting_sequence = number("50");
    let status = status(found([("a", open(1))]), probe([("a", anew)]));
    assert_eq!(conditions(&status), [("a", ShardCondition::Vanished), ("a", ShardCondition::Waiting)]);
    assert_eq!(status.complete_to, None);
}

#[test]
fn faults_and_a_silent_kinesis_are_problems() {
    let mut inspected = found([("a", open(1))]);
    inspected.faults.push("it holds 6 rows by its log".to_owned());
    let status = status(inspected, Asked::Failed("access denied".to_owned()));
    assert_eq!(status.complete_to, Millis::new(NOW - HOUR).time(), "by the lake alone");
    let problems = judged(status, Limits { max_lag: Some(DAY), min_headroom: None });
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("6 rows") && problems[1].contains("access denied"), "{problems:?}");
}

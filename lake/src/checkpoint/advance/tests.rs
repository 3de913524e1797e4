use bluelake_schemas::Millis;

use super::*;
use crate::checkpoint::document::GapCause;

const SHARD: &str = "shardId-0";
const CHILD: &str = "shardId-1";

fn sequence(number: u32) -> SequenceNumber {
    SequenceNumber::parse(&number.to_string()).unwrap()
}

fn after(number: u32) -> Position {
    Position::After(sequence(number))
}

fn totals(stored: u64, rejected: u64) -> ControlTotals {
    ControlTotals { received: stored + rejected, stored, rejected, ..ControlTotals::default() }
}

fn file(rows: u64) -> DataFile {
    DataFile {
        path: "x".to_owned(),
        partition_values: BTreeMap::new(),
        size: 1,
        modified_at: Millis::new(0),
        rows,
        statistics: String::new(),
    }
}

fn step(shard: &str, from: Option<Position>, to: Position, stored: u64) -> ShardAdvance {
    ShardAdvance {
        shard: shard.into(),
        starting_sequence: sequence(1),
        parents: if shard == CHILD { vec![SHARD.into()] } else { Vec::new() },
        from_exclusive: from,
        to_inclusive: to,
        ended: false,
        arrived_at: None,
        drained_at: None,
        pinned_at: None,
        counts: totals(stored, 0),
        gap: None,
    }
}

fn batch(shards: Vec<ShardAdvance>) -> Batch {
    let stored = shards.iter().map(|step| step.counts.stored).sum();
    Batch {
        id: Uuid::from_u128(1),
        base: 0,
        erasure_epoch: 0,
        shards,
        retire: Vec::new(),
        supplement: None,
        files: if stored > 0 { vec![file(stored)] } else { Vec::new() },
        rejected_files: Vec::new(),
    }
}

fn supplement(base: u64, stored: u64, archive_ranges: Vec<ArchiveRange>) -> Batch {
    let mut batch = batch(Vec::new());
    batch.supplement = Some(Supplement { base, counts: totals(stored, 0), archive_ranges });
    batch.files = if stored > 0 { vec![file(stored)] } else { Vec::new() };
    batch
}

fn archive(from: u64, to: u64, stored: u64) -> ArchiveRange {
    ArchiveRange {
        object: "s3://archive/one".to_owned(),
        version: "v1".to_owned(),
        from,
        to,
        ended: true,
        counts: totals(stored, 0),
    }
}

fn gap(after: Position, cause: GapCause, accepted: bool) -> Box<Gap> {
    Box::new(Gap {
        shard: SHARD.into(),
        starting_sequence: sequence(1),
        after,
        from: None,
        until: None,
        found_at: Millis::new(7),
        cause,
        accepted,
    })
}

fn writer() -> Writer {
    Writer { worker: "test".to_owned(), stream_arn: "arn".to_owned(), stream_created_at: None, contract_version: 1 }
}

/// The next document, sealed as it would be stored.
fn follow(current: Option<&CheckpointDocument>, batch: &Batch) -> Result<CheckpointDocument, Refusal> {
    let number = current.map_or(0, |document| document.head.number) + 1;
    let mut next = advance(current, number, batch, &writer())?;
    next.seal().unwrap();
    Ok(next)
}

/// A document of one shard at position 9 with five rows.
fn started() -> CheckpointDocument {
    let pinned = follow(None, &batch(vec![step(SHARD, None, Position::TrimHorizon, 0)])).unwrap();
    follow(Some(&pinned), &batch(vec![step(SHARD, Some(Position::TrimHorizon), after(9), 5)])).unwrap()
}

fn ended() -> CheckpointDocument {
    let end = ShardAdvance { ended: true, ..step(SHARD, Some(after(9)), after(12), 1) };
    follow(Some(&started()), &batch(vec![end])).unwrap()
}

#[test]
fn a_gap_stays_open_until_accepted() {
    let started = started();
    let found = ShardAdvance {
        gap: Some(gap(after(9), GapCause::Retention, false)),
        ..step(SHARD, Some(after(9)), after(9), 0)
    };
    let stopped = follow(Some(&started), &batch(vec![found])).unwrap();
    assert_eq!(stopped.open_gap(SHARD).map(|gap| gap.after.clone()), Some(after(9)));
    assert_eq!(stopped.shards[SHARD].position, after(9));

    let accepted = ShardAdvance {
        gap: Some(gap(after(9), GapCause::Retention, true)),
        ..step(SHARD, Some(after(9)), after(9), 0)
    };
    let going = follow(Some(&stopped), &batch(vec![accepted])).unwrap();
    assert_eq!(going.open_gap(SHARD), None);
    assert_eq!(going.gaps.len(), 1, "accepting takes the place of finding");
    assert!(!going.shards[SHARD].ended);

    let next = follow(Some(&going), &batch(vec![step(SHARD, Some(after(9)), after(20), 2)])).unwrap();
    assert_eq!((next.gaps.len(), next.expected_rows()), (1, Some(7)), "a gap is remembered");
}

#[test]
fn a_second_gap_stands_beside_an_accepted_one() {
    let one = ShardAdvance {
        gap: Some(gap(after(9), GapCause::Retention, true)),
        ..step(SHARD, Some(after(9)), after(9), 0)
    };
    let first = follow(Some(&started()), &batch(vec![one])).unwrap();
    let moved = follow(Some(&first), &batch(vec![step(SHARD, Some(after(9)), after(20), 1)])).unwrap();
    let two = ShardAdvance {
        gap: Some(gap(after(20), GapCause::Retention, false)),
        ..step(SHARD, Some(after(20)), after(20), 0)
    };
    let second = follow(Some(&moved), &batch(vec![two])).unwrap();
    assert_eq!(second.gaps.iter().map(|gap| gap.accepted).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn accepting_that_a_shard_vanished_ends_it() {
    let accepted = ShardAdvance {
        ended: true,
        gap: Some(gap(after(9), GapCause::Vanished, true)),
        ..step(SHARD, Some(after(9)), after(9), 0)
    };
    let next = follow(Some(&started()), &batch(vec![accepted])).unwrap();
    assert!(next.shards[SHARD].ended);
    assert_eq!(next.open_gap(SHARD), None);
}

#[test]
fn a_gap_that_moves_a_position_is_refused() {
    let moving = ShardAdvance {
        gap: Some(gap(after(9), GapCause::Retention, true)),
        ..step(SHARD, Some(after(9)), after(10), 0)
    };
    assert!(matches!(follow(Some(&started()), &batch(vec![moving])), Err(Refusal::Inconsistent(_))));
}

#[test]
fn an_old_incarnation_never_comes_back() {
    let anew = ShardAdvance { starting_sequence: sequence(50), ..step(SHARD, None, Position::TrimHorizon, 0) };
    let made_anew = follow(Some(&started()), &batch(vec![anew.clone()])).unwrap();
    assert_eq!(made_anew.shards[SHARD].position, Position::TrimHorizon);
    assert_eq!((made_anew.tally.retired, made_anew.expected_rows()), (totals(5, 0), Some(5)), "no total is lost");
    let old_pin = step(SHARD, None, Position::TrimHorizon, 0);
    let old_records = step(SHARD, Some(after(9)), after(10), 1);
    for late in [old_pin, anew, old_records] {
        let expected = late.from_exclusive.clone();
        let moved = MovedShard { shard: SHARD.into(), stands_at: Some(Position::TrimHorizon), expected };
        let fence = Fence { shards: vec![moved], ..Fence::default() };
        assert_eq!(follow(Some(&made_anew), &batch(vec![late])), Err(Refusal::Fenced(fence)));
    }
}

#[test]
fn a_batch_that_contradicts_itself_is_refused() {
    let forward = || step(SHARD, Some(after(9)), after(12), 2);
    let sound = batch(vec![forward()]);
    assert!(follow(Some(&started()), &sound).is_ok());
    let unbalanced = ShardAdvance { counts: ControlTotals { received: 3, ..totals(2, 0) }, ..forward() };
    let cases = [
        ("a position that goes back", batch(vec![step(SHARD, Some(after(9)), after(8), 2)])),
        ("totals that do not balance", batch(vec![unbalanced])),
        ("files with more rows than the totals", Batch { files: vec![file(3)], ..sound.clone() }),
        ("rejected rows that the totals do not count", Batch { rejected_files: vec![file(1)], ..sound }),
    ];
    for (what, batch) in cases {
        assert!(matches!(follow(Some(&started()), &batch), Err(Refusal::Inconsistent(_))), "{what}");
    }
}

#[test]
fn a_shard_retires_after_its_children_start() {
    let retire = Batch { retire: vec![SHARD.into()], ..batch(Vec::new()) };
    let open = started();
    assert!(follow(Some(&open), &retire).unwrap().shards.contains_key(SHARD), "still open");

    let ended = ended();
    let child = follow(Some(&ended), &batch(vec![step(CHILD, None, Position::TrimHorizon, 0)])).unwrap();
    assert!(follow(Some(&child), &retire).unwrap().shards.contains_key(SHARD), "the child has not begun");

    let begun = follow(Some(&child), &batch(vec![step(CHILD, Some(Position::TrimHorizon), after(30), 2)])).unwrap();
    let retired = follow(Some(&begun), &retire).unwrap();
    assert!(!retired.shards.contains_key(SHARD));
    assert_eq!(
        (retired.tally.retired, retired.expected_rows()),
        (totals(6, 0), begun.expected_rows()),
        "no total is lost"
    );
}

#[test]
fn a_supplement_adds_totals_and_moves_no_shard() {
    let started = started();
    let next = follow(Some(&started), &supplement(0, 3, Vec::new())).unwrap();
    assert_eq!(next.shards, started.shards);
    assert_eq!((next.tally.supplements, next.tally.supplemented, next.expected_rows()), (1, totals(3, 0), Some(8)));
    assert_eq!((next.links.last_archive, next.commit.archive_ranges.len()), (None, 0));
}

#[test]
fn supplements_and_erasures_fence_a_supplement() {
    let started = started();
    let plan = supplement(0, 3, Vec::new());
    let read_on = follow(Some(&started), &batch(vec![step(SHARD, Some(after(9)), after(10), 1)])).unwrap();
    assert!(follow(Some(&read_on), &plan).is_ok(), "a worker's progress does not touch it");

    let other = follow(Some(&started), &supplement(0, 1, Vec::new())).unwrap();
    let outrun = Fence { supplements: Some((1, 0)), ..Fence::default() };
    assert_eq!(follow(Some(&other), &plan), Err(Refusal::Fenced(outrun)));

    let mut erased = started;
    erased.head.erasure_epoch = 1;
    let fence = Fence { erasure_epochs: Some((1, 0)), ..Fence::default() };
    assert_eq!(follow(Some(&erased), &plan), Err(Refusal::Fenced(fence)));
}

#[test]
fn an_erasure_fences_every_shard_by_name() {
    let mut erased = started();
    erased.head.erasure_epoch = 1;
    let stale = batch(vec![step(SHARD, Some(after(9)), after(10), 1)]);
    let moved = MovedShard { shard: SHARD.into(), stands_at: Some(after(9)), expected: Some(after(9)) };
    let fence = Fence { shards: vec![moved], erasure_epochs: Some((1, 0)), supplements: None };
    assert_eq!(follow(Some(&erased), &stale), Err(Refusal::Fenced(fence)));
}

#[test]
fn the_totals_of_a_supplement_must_add_up() {
    let two = vec![archive(0, 10, 2), archive(10, 20, 1)];
    assert!(follow(None, &supplement(0, 3, two.clone())).is_ok());
    let cases = [
        ("ranges that hold less than the whole", supplement(0, 4, two.clone())),
        ("files that hold less than the totals", Batch { files: vec![file(2)], ..supplement(0, 3, two.clone()) }),
        (
            "shards beside it",
            Batch { shards: vec![step(SHARD, None, Position::TrimHorizon, 0)], ..supplement(0, 3, two) },
        ),
    ];
    for (what, batch) in cases {
        assert!(matches!(follow(None, &batch), Err(Refusal::Inconsistent(_))), "{what}");
    }
}

#[test]
fn archive_documents_are_linked_past_the_others() {
    let first = follow(None, &supplement(0, 2, vec![archive(0, 10, 2)])).unwrap();
    assert_eq!((first.links.last_archive, first.links.previous_archive), (Some(1), None));
    let between = follow(Some(&first), &batch(vec![step(SHARD, None, Position::TrimHorizon, 0)])).unwrap();
    assert_eq!((between.links.last_archive, between.links.previous_archive), (Some(1), Some(1)));
    let second = follow(Some(&between), &supplement(1, 1, vec![archive(10, 20, 1)])).unwrap();
    assert_eq!((second.links.last_archive, second.links.previous_archive), (Some(3), Some(1)));
    assert_eq!(second.commit.archive_ranges, [archive(10, 20, 1)], "only its own");
}

#[test]
fn lasting_facts_of_care_are_carried_on() {
    let mut current = advance(None, 1, &batch(vec![step(SHARD, None, Position::TrimHorizon, 0)]), &writer()).unwrap();
    current.head.erasure_registry = 4;
    current.tally.repaired = crate::checkpoint::totals::Repaired { stored: 1, duplicate: 2 };
    current.tally.expired_before = chrono::NaiveDate::from_ymd_opt(2026, 1, 2);
    current.links.last_repair = Some(1);
    current.commit.repair =
        Some(crate::checkpoint::document::RepairSidecar { path: "p".to_owned(), sha256: "s".to_owned() });
    current.commit.maintenance = Some(Predecessor { number: 3, digest: "d".to_owned() });
    let next = batch(vec![step(SHARD, Some(Position::TrimHorizon), after(5), 0)]);
    let next = advance(Some(&current), 2, &next, &writer()).unwrap();
    assert_eq!(next.head.erasure_registry, 4);
    assert_eq!(
        (next.tally.repaired, next.tally.expired_before),
        (current.tally.repaired, current.tally.expired_before)
    );
    assert_eq!((next.links.last_repair, next.links.previous_repair), (Some(1), Some(1)));
    assert_eq!((next.commit.repair, next.commit.maintenance), (None, None));
}

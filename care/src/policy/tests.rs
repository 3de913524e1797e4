use std::collections::BTreeMap;

use proptest::prelude::*;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::*;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// 2026-01-02T00:00:00Z.
const NOW: i64 = 1_767_312_000_000;

fn file(name: &str, bytes: u64, minutes_ago: i64) -> TableFile {
    let written = NOW - minutes_ago * MINUTE;
    TableFile {
        path: format!("event_type=donation/event_date=2026-01-01/{name}.parquet"),
        size: bytes,
        rows: 1,
        written_at: Millis::new(written),
        partition_values: BTreeMap::new(),
        stream: bluelake_schemas::Stream::TransactionEvents,
        first: Some(Micros::new(written * 1_000)),
        last: Some(Micros::new(written * 1_000)),
    }
}

fn many(files: usize, bytes: u64, minutes_ago: i64) -> Vec<TableFile> {
    (0..files).map(|number| file(&format!("f{number}"), bytes, minutes_ago)).collect()
}

fn policy() -> Policy {
    Policy::of_table(0)
}

/// The day of the files, and one that is not over.
fn day(text: &str) -> Option<NaiveDate> {
    Some(text.parse().unwrap())
}

fn sizes(merges: &[Merge]) -> Vec<(Cause, usize)> {
    merges.iter().map(|merge| (merge.cause, merge.files.len())).collect()
}

fn merges(files: &[TableFile]) -> Vec<(Cause, usize)> {
    sizes(&policy().merges(files, day("2026-01-02"), Millis::new(NOW)))
}

#[test]
fn the_target_grows_with_the_table() {
    for (table, target) in [(0, 256 << 20), (1 << 40, 274_877_906), (2 << 40, 549_755_813), (50 << 40, 1 << 30)] {
        assert_eq!(Policy::of_table(table).target, target);
    }
}

#[test]
fn small_files_are_merged_when_many_or_old() {
    for (files, minutes, expected) in
        [(63, 1, None), (64, 1, Some(64)), (8, 14, None), (8, 15, Some(8)), (7, 60, None), (0, 60, None)]
    {
        let found = merges(&many(files, 6_000, minutes));
        assert_eq!(found, expected.map(|files| (Cause::Run, files)).into_iter().collect::<Vec<_>>(), "{files}");
    }
}

#[test]
fn a_run_ends_before_a_too_large_file() {
    let mut files = many(10, 1_000, 20);
    files.push(file("large", 2_000_000, 30));
    assert_eq!(merges(&files), [(Cause::Run, 10)]);
    files.last_mut().unwrap().size = 1_300;
    assert_eq!(merges(&files), [(Cause::Run, 11)]);
}

#[test]
fn full_files_are_left_alone() {
    let mut files = many(10, policy().full(), 20);
    assert_eq!(merges(&files), []);
    // It was full when it was written, although the target has grown since.
    files = (0..10).map(|number| file(&format!("f{number}-full"), 200 << 20, 20)).collect();
    let larger = Policy::of_table(50 << 40);
    assert_eq!(larger.merges(&files, day("2026-01-02"), Millis::new(NOW)), []);
}

#[test]
fn a_day_is_closed_once_over_and_quiet() {
    let mut files = vec![file("a", 5_000_000, 121), file("b", 10, 125)];
    let over = |files: &[TableFile]| sizes(&policy().merges(files, day("2026-01-01"), Millis::new(NOW)));
    assert_eq!(over(&files), [(Cause::Close, 2)]);
    assert_eq!(merges(&files), [], "the day is not over");
    files[0].written_at = Millis::new(NOW - 119 * MINUTE);
    assert_eq!(over(&files), [], "it is not quiet");
    let closed = policy().merges(&files, day("2026-01-01"), Millis::new(NOW + HOUR)).remove(0);
    assert_eq!((closed.role, closed.outputs), (Role::Closed, 1));
    // Late files among themselves, and only after six hours.
    let mut files = vec![file("x-closed", 5_000_010, 600)];
    files.extend(many(8, 1_000, 359));
    assert_eq!(over(&files), []);
    files[1].written_at = Millis::new(NOW - 6 * HOUR);
    assert_eq!(over(&files), [(Cause::Run, 8)]);
    assert_eq!(over(&files[..3]), [], "two late files are left until the day is tidied");
    files[0].written_at = Millis::new(NOW - 30 * DAY);
    assert_eq!(over(&files[..2]), [(Cause::Tidy, 2)]);
}

#[test]
fn merges_stay_within_their_limits() {
    let mut files = many(1_200, 1_000, 200);
    let over = |files: &[TableFile]| policy().merges(files, day("2026-01-01"), Millis::new(NOW));
    assert_eq!(sizes(&over(&files)), [(Cause::Close, 512), (Cause::Close, 512), (Cause::Close, 176)]);
    assert_eq!(merges(&files), [(Cause::Run, 512)]);
    // They follow each other, so that one is open at a time.
    files = (0..30).map(|number| file(&format!("f{number}"), 100 << 20, 200 + number)).collect();
    let closed = over(&files);
    assert_eq!(sizes(&closed), [(Cause::Close, 20), (Cause::Close, 10)]);
    // 2,000 MiB become 8 files of 250, and 1,000 MiB 4 of 250.
    assert_eq!(closed.iter().map(|merge| merge.outputs).collect::<Vec<_>>(), [8, 4]);
    assert!(closed.iter().all(|merge| merge.role == Role::ClosedFull));
}

#[test]
fn files_that_overlap_are_merged_within_the_memory() {
    let policy = policy().within(256 << 20);
    let over = |files: &[TableFile]| sizes(&policy.merges(files, day("2026-01-01"), Millis::new(NOW)));
    // All of one minute: two of 50 MiB are open at once, and no third.
    assert_eq!(over(&many(6, 50 << 20, 200)), [(Cause::Close, 2); 3]);
    let apart: Vec<_> = (0..6).map(|number| file(&format!("f{number}"), 50 << 20, 200 + number)).collect();
    assert_eq!(over(&apart), [(Cause::Close, 6)]);
    // Eight open files do not fit, and fewer are no run.
    let pressed = policy.merges(&many(8, 50 << 20, 20), day("2026-01-02"), Millis::new(NOW));
    assert_eq!(pressed, [], "they stay as they are");
    // A file with unknown times may overlap with each.
    let mut unknown = apart;
    unknown.iter_mut().for_each(|file| file.last = None);
    assert_eq!(over(&unknown), [(Cause::Close, 2); 3]);
}

#[test]
fn many_small_files_fit_into_the_memory() {
    let merges = policy().merges(&many(512, 20_000, 1), day("2026-01-02"), Millis::new(NOW));
    assert_eq!(sizes(&merges), [(Cause::Run, 512)]);
    // Of one minute and as large as small files are, 24 are open at once.
    let large = policy().merges(&many(512, SMALL_FILE, 1), day("2026-01-02"), Millis::new(NOW));
    assert_eq!(sizes(&large), [(Cause::Run, 24)]);
}

#[test]
fn an_operator_may_have_everything_merged() {
    let files = [file("a", 10, 1), file("b-full", 300 << 20, 1), file("c", 10, 1)];
    assert_eq!(sizes(&policy().everything(&files, false)), [(Cause::Full, 2)]);
    assert_eq!(sizes(&policy().everything(&files, true)), [(Cause::Full, 3)]);
    assert_eq!(policy().everything(&files[..2], false), []);
    assert_eq!(sizes(&policy().everything(&files[..1], true)), [(Cause::Full, 1)]);
}

#[test]
fn a_file_name_says_its_role() {
    for role in [Role::Landed, Role::Merged, Role::Full, Role::Closed, Role::ClosedFull] {
        assert_eq!(Role::of(&format!("event_type=x/0192-00000{}.parquet", role.suffix())), role);
    }
    assert_eq!(Role::of("part-0-full.orc"), Role::Landed);
}

proptest! {
    #[test]
    fn a_merge_names_files_of_the_partition_once(
        sizes in prop::collection::vec(1_u64..400_000_000, 0..200),
        roles in prop::collection::vec(0_usize..5, 200),
        ages in prop::collection::vec(0_i64..60_000, 200),
        over in any::<bool>(),
    ) {
        let suffixes = ["", "-merged", "-full", "-closed", "-closed-full"];
        let files: Vec<_> = sizes.iter().enumerate().map(|(number, bytes)| {
            file(&format!("f{number}{}", suffixes[roles[number]]), *bytes, ages[number])
        }).collect();
        let day = day(if over { "2026-01-01" } else { "2026-01-02" });
        let policy = policy();
        let merges = policy.merges(&files, day, Millis::new(NOW));
        let mut seen = std::collections::BTreeSet::new();
        for merge in &merges {
            prop_assert!(merge.files.len() > 1 && merge.files.len() <= policy.merge_files);
            prop_assert!(merge.files.iter().map(|file| file.size).sum::<u64>() <= policy.merge_bytes.max(merge.files[0].size));
            for file in &merge.files {
                prop_assert!(files.contains(file) && seen.insert(file.path.clone()));
                prop_assert!(!policy.is_full(file));
            }
        }
    }
}

/// Sixteen workers that commit once a minute: the ratio of written to received bytes, and the most files of a partition
/// of today at any time.
fn simulated(events_a_second: f64, hours: i64) -> (f64, usize) {
    const WORKERS: i64 = 16;
    const SHARES: [(&str, f64); 5] =
        [("interaction", 0.6), ("donation", 0.15), ("redemption", 0.1), ("transfer", 0.1), ("user_updated", 0.05)];
    let mut chance = StdRng::seed_from_u64(11);
    let start = NOW - NOW.rem_euclid(DAY);
    let mut partitions: BTreeMap<(usize, i64), Vec<TableFile>> = BTreeMap::new();
    let (mut came, mut written, mut most, mut number) = (0_u64, 0_u64, 0, 0_u64);
    for minute in 0..hours * 60 {
        let now = start + minute * MINUTE;
        let today = now.div_euclid(DAY);
        let mut land = |kind: usize, day: i64, rows: f64, partitions: &mut BTreeMap<_, Vec<_>>| {
            // A file has about 5 kB of footer and filters, and 73 bytes a row.
            let bytes = 5_000 + (rows * 73.0) as u64;
            came += bytes;
            number += 1;
            partitions.entry((kind, day)).or_default().push(TableFile {
                path: format!("{number}.parquet"),
                size: bytes,
                ..file("landed", bytes, (NOW - now) / MINUTE)
            });
        };
        for _ in 0..WORKERS {
            for (kind, (_, share)) in SHARES.iter().enumerate() {
                let rows = events_a_second * 60.0 * share / WORKERS as f64;
                land(kind, today, rows * 0.97, &mut partitions);
                if chance.random_bool(0.03) {
                    land(kind, today - chance.random_range(1..60), rows * 0.5, &mut partitions);
                }
            }
        }
        for ((_, day), files) in &mut partitions {
            let date = chrono::DateTime::from_timestamp_millis(day * DAY).unwrap().date_naive();
            if *day == today {
                most = most.max(files.len());
            }
            for merge in policy().merges(files, Some(date), Millis::new(now)) {
                files.retain(|file| !merge.files.contains(file));
                // The cost of files apart from their rows is saved.
                let rows: u64 = merge.files.iter().map(|file| file.size - 5_000).sum();
                for output in 0..merge.outputs {
                    number += 1;
                    let bytes = 5_000 + rows / merge.outputs;
                    written += bytes;
                    files.push(TableFile {
                        path: format!("{number}-{output}{}.parquet", merge.role.suffix()),
                        size: bytes,
                        written_at: Millis::new(now),
                        ..merge.files[0].clone()
                    });
                }
            }
        }
    }
    ((came + written) as f64 / came as f64, most)
}

#[test]
fn sixteen_workers_write_little_and_keep_days_small() {
    for events_a_second in [100.0, 1_000.0] {
        let (amplification, most) = simulated(events_a_second, 30);
        println!("{events_a_second} events/s: written {amplification:.1} times, {most} files of a day at most");
        assert!(amplification < 5.0, "{amplification}");
        assert!(most <= 100, "{most}");
    }
}

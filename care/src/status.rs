//! How the files of the tables stand: what is small, what is due, what it costs, and when somebody should look. Pure.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
};

use bluelake_lake::{Objects, TableFile, TableHoldings, day_of, folder_of};
use bluelake_schemas::Millis;
use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::{
    compaction::CompactionOptions,
    policy::{Policy, Role},
};

/// Files of a table that could be merged, at most, before somebody should look, …
pub const SMALL_FILES_MAX: u64 = 5_000;
/// … and files in all: each worker holds and reloads the list of all of them.
pub const FILES_MAX: u64 = 100_000;
/// Partitions that an alarm names.
const NAMED: usize = 3;
/// A worker rewrites its heartbeat and lists those of the others every two seconds.
const BEATS_A_DAY: u64 = 43_200;
const DAYS_A_MONTH: u64 = 30;
const GIGABYTE: f64 = 1_073_741_824.0;

/// The files of one table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FileCounts {
    /// The table.
    pub table: &'static str,
    /// All its files.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that are not full and not alone in their partition: what compaction has left to merge, now or later.
    pub small: Objects,
    /// When a merge last wrote one of the files.
    pub compacted_at: Option<DateTime<Utc>>,
    /// The partitions with small files, those with most first.
    pub debt: Vec<PartitionDebt>,
}

/// What is small in one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PartitionDebt {
    /// Its folder.
    pub partition: String,
    /// All its files.
    pub files: u64,
    /// Files that are not full.
    pub small: Objects,
    /// Files that are due now; `None`: nobody asked.
    pub due: Option<u64>,
}

impl FileCounts {
    /// Counts the files of a table, and how many odd ones stay as they are beside them, by how it is compacted.
    #[must_use]
    pub fn by(options: &CompactionOptions, table: &'static str, files: (&[TableFile], usize)) -> Self {
        let bytes = files.0.iter().map(|file| file.size).fold(0, u64::saturating_add);
        Self::of(table, files, &options.policy(bytes))
    }

    /// As [`Self::by`], by a policy.
    pub(crate) fn of(table: &'static str, (files, odd): (&[TableFile], usize), policy: &Policy) -> Self {
        let bytes = files.iter().map(|file| file.size).fold(0, u64::saturating_add);
        let compacted_at = files.iter().filter(|file| !is_landed(file)).map(|file| file.written_at).max();
        let mut found = Self {
            table,
            files: count(files.len() + odd),
            bytes,
            compacted_at: compacted_at.and_then(Millis::time),
            ..Self::default()
        };
        let mut partitions: BTreeMap<&str, Vec<&TableFile>> = BTreeMap::new();
        for file in files {
            partitions.entry(folder_of(&file.path)).or_default().push(file);
        }
        for (partition, files) in partitions {
            let mut small = Objects::default();
            files.iter().filter(|file| !policy.is_full(file)).for_each(|file| small.add(file.size));
            // A file alone has nothing to be merged with.
            if small.objects < 2 {
                continue;
            }
            found.small.objects += small.objects;
            found.small.bytes = found.small.bytes.saturating_add(small.bytes);
            let (partition, files) = (partition.to_owned(), count(files.len()));
            found.debt.push(PartitionDebt { partition, files, small, due: None });
        }
        found.debt.sort_by_key(|debt| Reverse(debt.small.objects));
        found
    }

    /// Says how much of the debt is due now.
    fn with_due(mut self, files: &[TableFile], policy: &Policy, now: Millis) -> Self {
        let mut partitions: HashMap<&str, Vec<TableFile>> = HashMap::new();
        for file in files {
            partitions.entry(folder_of(&file.path)).or_default().push(file.clone());
        }
        for debt in &mut self.debt {
            let files = partitions.remove(debt.partition.as_str()).unwrap_or_default();
            let due = policy.merges(&files, day_of(&debt.partition), now);
            debt.due = Some(due.iter().map(|merge| count(merge.files.len())).sum());
        }
        self
    }

    /// What somebody should look at, in sentences.
    #[must_use]
    pub fn alarms(&self) -> Vec<String> {
        let mut alarms = Vec::new();
        if self.small.objects > SMALL_FILES_MAX {
            let worst = self.debt.iter().take(NAMED);
            let worst: Vec<String> =
                worst.map(|debt| format!("{} ({} files)", debt.partition, debt.small.objects)).collect();
            alarms.push(format!(
                "{}: {} files are not full, over {SMALL_FILES_MAX}: compaction is behind, most in {}",
                self.table,
                self.small.objects,
                worst.join(", ")
            ));
        }
        if self.files > FILES_MAX {
            alarms.push(format!(
                "{}: it has {} files, over {FILES_MAX}: each worker holds the list of them; compact it, or raise \
                 care.target-file-size",
                self.table, self.files
            ));
        }
        alarms
    }
}

/// How one table stands.
#[derive(Clone, Debug, Serialize)]
pub struct TableStatus {
    /// Its files.
    #[serde(flatten)]
    pub counts: FileCounts,
    /// Its Delta version.
    pub version: Option<u64>,
    /// Everything that it holds in the store.
    pub stored: Objects,
    /// Entries of the Delta log.
    pub log: Objects,
    /// Log checkpoints.
    pub log_checkpoints: Objects,
    /// Versions since the log checkpoint that readers begin with; `None`: there is none.
    pub versions_since_checkpoint: Option<u64>,
    /// Checkpoint documents.
    pub documents: Objects,
    /// Maintenance records.
    pub records: Objects,
    /// The maintenance record in force.
    pub record: Option<u64>,
    /// The oldest version that is promised to be readable.
    pub readable_from: u64,
    /// The newest record whose removed files were deleted.
    pub purged_to: u64,
    /// Rows of days before this one may have expired.
    pub expired_before: Option<chrono::NaiveDate>,
    /// Request and end of a claim that is open.
    pub claim: Option<OpenClaim>,
    /// Files that maintenance took out and that are still there.
    pub retired: Objects,
    /// Files that nothing refers to, old enough to be deleted; `None`: not searched.
    pub orphans: Option<Objects>,
    /// Files that ingest wrote in a day, about.
    pub landed_a_day: Objects,
    /// Versions that were committed in a day, about.
    pub written_a_day: Objects,
    /// What could not be read.
    pub faults: Vec<String>,
}

/// A claim of an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenClaim {
    /// The request.
    pub request: String,
    /// Partitions; `None`: all.
    pub partitions: Option<usize>,
    /// When it lapses.
    pub until: Option<DateTime<Utc>>,
}

impl TableStatus {
    /// How a table stands that was looked at a moment ago, at `now`; what was written since `since` counts for a day.
    #[must_use]
    pub fn of(
        table: &'static str,
        held: &TableHoldings,
        options: &CompactionOptions,
        (since, now): (Millis, Millis),
    ) -> Self {
        let policy = options.policy(held.files.iter().map(|file| file.size).fold(0, u64::saturating_add));
        let counts = FileCounts::of(table, (&held.files, held.odd.len()), &policy);
        let mut landed = Objects::default();
        let fresh = held.data.iter().filter(|file| file.written_at >= since && Role::of(&file.path) == Role::Landed);
        fresh.for_each(|file| landed.add(file.size));
        // A younger table is taken to go on as it began.
        let begun = held.oldest.map_or(since, |oldest| oldest.max(since));
        let a_day = |objects: Objects| a_day(objects, now.since(begun).as_secs());
        let claim = held.standing.claim.as_ref().filter(|claim| claim.until > now).map(|claim| OpenClaim {
            request: claim.request.to_string(),
            partitions: claim.partitions.as_ref().map(std::collections::BTreeSet::len),
            until: claim.until.time(),
        });
        Self {
            counts: counts.with_due(&held.files, &policy, now),
            version: held.version,
            stored: held.all(),
            log: held.log,
            log_checkpoints: held.log_checkpoints,
            versions_since_checkpoint: held
                .version
                .zip(held.log_checkpoint)
                .map(|(now, then)| now.saturating_sub(then)),
            documents: held.documents,
            records: held.records,
            record: held.record,
            readable_from: held.standing.readable_from,
            purged_to: held.standing.purged_to,
            expired_before: held.standing.expired_before,
            claim,
            retired: held.retired,
            orphans: None,
            landed_a_day: a_day(landed),
            written_a_day: a_day(held.written),
            faults: held.faults.clone(),
        }
    }
}

/// What the store charges, in dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Prices {
    /// A gigabyte (2^30 bytes) for a month.
    pub storage: f64,
    /// A thousand writes or listings.
    pub writes: f64,
    /// A thousand reads.
    pub reads: f64,
}

/// What the lake costs in a month as it is, about: without the growth, the reads of queries and what leaves the region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Bytes that are stored.
    pub bytes: u64,
    /// Writes and listings in 30 days.
    pub writes: u64,
    /// Reads in 30 days.
    pub reads: u64,
    /// Dollars for what is stored.
    pub storage_usd: f64,
    /// Dollars for requests.
    pub requests_usd: f64,
}

impl Estimate {
    /// For these tables and this number of workers of ingest.
    #[must_use]
    pub fn of(tables: &[TableStatus], workers: usize, prices: Prices) -> Self {
        let workers = count(workers);
        let sum = |part: fn(&TableStatus) -> u64| tables.iter().map(part).fold(0, u64::saturating_add);
        let bytes = sum(|table| table.stored.bytes);
        let written = sum(|table| table.written_a_day.objects);
        // A heartbeat and a listing each time; a listing of the log with each version that somebody reads.
        let writes = written.saturating_mul(2).saturating_add(workers.saturating_mul(2 * BEATS_A_DAY));
        // Every worker reads what the others wrote into log and documents.
        let reads = written.saturating_mul(workers + 1).saturating_add(workers.saturating_mul(BEATS_A_DAY));
        let (writes, reads) = (writes.saturating_mul(DAYS_A_MONTH), reads.saturating_mul(DAYS_A_MONTH));
        Self {
            bytes,
            writes,
            reads,
            storage_usd: float(bytes) / GIGABYTE * prices.storage,
            requests_usd: float(writes) / 1_000.0 * prices.writes + float(reads) / 1_000.0 * prices.reads,
        }
    }
}

fn a_day(objects: Objects, seconds: u64) -> Objects {
    const DAY: u128 = 24 * 3_600;
    // What a few seconds brought says nothing of a day.
    let seconds = seconds.max(3_600);
    let scale = |number: u64| {
        let scaled = u128::from(number) * DAY / u128::from(seconds);
        u64::try_from(scaled).unwrap_or(u64::MAX)
    };
    Objects { objects: scale(objects.objects), bytes: scale(objects.bytes) }
}

fn is_landed(file: &TableFile) -> bool {
    Role::of(&file.path) == Role::Landed
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[allow(clippy::cast_precision_loss, reason = "for an estimate in dollars")]
fn float(number: u64) -> f64 {
    number as f64
}

/// The partitions with the greatest debt of several tables, as `table/partition`.
#[must_use]
pub fn greatest_debt(tables: &[TableStatus], most: usize) -> Vec<(String, &PartitionDebt)> {
    let named = tables.iter().flat_map(|table| {
        table.counts.debt.iter().map(move |debt| (format!("{}/{}", table.counts.table, debt.partition), debt))
    });
    let mut all: Vec<(String, &PartitionDebt)> = named.collect();
    all.sort_by(|(left, _), (right, _)| left.cmp(right));
    all.sort_by_key(|(_, debt)| Reverse(debt.small.objects));
    all.truncate(most);
    all
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn file(partition: &str, name: &str, size: u64) -> TableFile {
        TableFile {
            path: format!("{partition}/{name}.parquet"),
            size,
            rows: 1,
            written_at: Millis::new(10 * HOUR),
            partition_values: BTreeMap::new(),
            stream: bluelake_schemas::Stream::TransactionEvents,
            first: None,
            last: None,
        }
    }

    fn options(target: Option<u64>) -> CompactionOptions {
        let (partition, rate, worker) = (None, None, String::new());
        CompactionOptions { partition, full: false, dry_run: false, target, memory: 256 << 20, rate, worker }
    }

    fn counts(files: &[TableFile]) -> FileCounts {
        let (options, now) = (options(Some(1_000)), Millis::new(11 * HOUR));
        FileCounts::by(&options, "transactions", (files, 0)).with_due(files, &options.policy(0), now)
    }

    #[test]
    fn only_what_can_be_merged_is_debt() {
        let (first, second) = ("event_type=gift/event_date=1970-01-01", "event_type=gift/event_date=1970-01-02");
        let mut files: Vec<TableFile> = (0..9).map(|number| file(first, &number.to_string(), 10)).collect();
        files.extend([file(first, "large", 700), file(first, "x-full", 300), file(second, "alone-closed", 20)]);
        files[11].written_at = Millis::new(10 * HOUR + 5);
        let found = counts(&files);
        assert_eq!((found.files, found.bytes, found.compacted_at), (12, 1_110, Millis::new(10 * HOUR + 5).time()));
        assert_eq!(found.small, Objects { objects: 9, bytes: 90 });
        assert_eq!(found.debt.len(), 1);
        assert_eq!((found.debt[0].partition.as_str(), found.debt[0].files, found.debt[0].due), (first, 11, Some(9)));
        assert_eq!(found.alarms(), [""; 0]);
    }

    #[test]
    fn too_many_files_name_the_worst_partitions() {
        let days = |day: u64, files: u64| {
            (0..files).map(move |number| file(&format!("event_date=2026-01-0{day}"), &number.to_string(), 10))
        };
        let limit: Vec<TableFile> = days(1, SMALL_FILES_MAX).collect();
        assert_eq!(counts(&limit).alarms(), [""; 0]);
        let over: Vec<TableFile> = days(1, 3_000).chain(days(2, 2_500)).chain(days(3, 4)).chain(days(4, 3)).collect();
        let alarms = counts(&over).alarms();
        assert_eq!(alarms.len(), 1);
        for words in ["transactions: 5507 files are not full", "2026-01-01 (3000 files), event_date=2026-01-02 (2500"] {
            assert!(alarms[0].contains(words), "{alarms:?}");
        }
        assert!(!alarms[0].contains("2026-01-04"), "{alarms:?}");
        let full: Vec<TableFile> = days(1, FILES_MAX + 1).map(|file| TableFile { size: 900, ..file }).collect();
        assert!(counts(&full).alarms()[0].contains("it has 100001 files"));
    }

    #[test]
    fn a_days_growth_is_scaled() {
        let (since, now) = (Millis::new(0), Millis::new(24 * HOUR));
        let data = |name: &str, hour: i64| bluelake_lake::DataObject {
            path: format!("a=b/{name}.parquet"),
            size: 100,
            written_at: Millis::new(hour * HOUR),
        };
        let mut held = TableHoldings {
            data: vec![data("1", -5), data("2", 3), data("3", 4), data("4-merged", 5)],
            written: Objects { objects: 8, bytes: 900 },
            oldest: Some(Millis::new(-5 * HOUR)),
            ..TableHoldings::default()
        };
        let status = TableStatus::of("transactions", &held, &options(None), (since, now));
        assert_eq!((status.landed_a_day, status.written_a_day.objects), (Objects { objects: 2, bytes: 200 }, 8));
        held.oldest = Some(Millis::new(12 * HOUR));
        let status = TableStatus::of("transactions", &held, &options(None), (since, now));
        assert_eq!((status.landed_a_day, status.written_a_day.objects), (Objects { objects: 4, bytes: 400 }, 16));
        held.oldest = Some(Millis::new(24 * HOUR - 1));
        let status = TableStatus::of("transactions", &held, &options(None), (since, now));
        assert_eq!(status.landed_a_day, Objects { objects: 48, bytes: 4_800 }, "as if it were an hour old");
    }

    #[test]
    fn a_month_costs_what_it_stores_and_asks() {
        let held = TableHoldings {
            log: Objects { objects: 10, bytes: 100 << 30 },
            written: Objects { objects: 1_000, bytes: 1 },
            oldest: Some(Millis::new(0)),
            ..TableHoldings::default()
        };
        let table = TableStatus::of("transactions", &held, &options(None), (Millis::new(0), Millis::new(24 * HOUR)));
        let prices = Prices { storage: 0.023, writes: 0.005, reads: 0.0004 };
        let idle = Estimate::of(std::slice::from_ref(&table), 0, prices);
        assert_eq!((idle.writes, idle.reads), (60_000, 30_000));
        assert!((idle.storage_usd - 2.3).abs() < 1e-9 && (idle.requests_usd - 0.312).abs() < 1e-9, "{idle:?}");
        let busy = Estimate::of(&[table], 2, prices);
        assert_eq!((busy.writes, busy.reads), (30 * (2_000 + 172_800), 30 * (3_000 + 86_400)));
    }
}

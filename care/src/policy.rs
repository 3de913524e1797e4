//! Decides which files of a partition are merged, and when. Pure: files and times in, merges out.
//!
//! The rule takes the longest run of small files, the smallest first, whose sum is at least eight times its largest. It
//! was tried in a simulation of 16 workers (`policy/tests.rs`). Each merge puts a byte into a file at least eight times
//! as large as its source, so the bytes written grow with the logarithm of the file size and not with the number of
//! files. A cost for each file, as ClickHouse adds, drags large files into merges of tiny ones and is left out.

use std::time::Duration;

use bluelake_lake::{TableFile, folder_of};
use bluelake_schemas::{Micros, Millis, Stream};
use chrono::NaiveDate;

/// The approximate number of files of a table: 1 TB gives files of 256 MiB.
const FILES_OF_A_TABLE: u64 = 4_000;
const TARGET_MIN: u64 = 256 << 20;
const TARGET_MAX: u64 = 1 << 30;
/// The fewest and the most bytes at which a row group of heavy rows is full; one of usual events is full by its rows before.
/// The weight of an open file counts on the latter; files of earlier versions may have groups of 64 MiB.
const GROUP_MIN: u64 = 8 << 20;
const GROUP_MAX: u64 = 21 << 20;

/// The rows of a file that are decoded at once, in bytes.
pub(crate) const DECODED_BYTES: u64 = 2 << 20;
/// What the decoders of a file take: each of some twenty columns has one, of about 160 KiB.
const DECODERS: u64 = 3 << 20;
/// Files up to this size are read whole: their decoders would take more than their rows. Rows in memory weigh about
/// `UNPACKED` times as much as in a file.
pub(crate) const SMALL_FILE: u64 = 512 << 10;
const UNPACKED: u64 = 8;
/// The most decoded bytes of a file that is read whole.
pub(crate) const SMALL_DECODED: u64 = SMALL_FILE * UNPACKED;

/// Sizes and times of the policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Size in bytes of a file that is kept as it is; a file of 0.7 of it counts as full.
    pub target: u64,
    /// The least ratio of a run's sum to its largest file.
    pub ratio: u64,
    /// The fewest files of a run.
    pub run: usize,
    /// A partition with this many files that are not full is merged at once, …
    pub many: usize,
    /// … and one with fewer when the oldest has this age.
    pub fresh: Duration,
    /// A day that is over is closed after this time without new files.
    pub quiet: Duration,
    /// Files that come later are left alone for this time.
    pub late: Duration,
    /// The remaining files of a closed day are tidied after this time.
    pub tidy: Duration,
    /// The most bytes of the files of one merge.
    pub merge_bytes: u64,
    /// The most files of one merge.
    pub merge_files: usize,
    /// The most bytes of files that are open at once while they are merged.
    pub open_bytes: u64,
    /// The most encoded bytes of a row group of a new file. It is held until it is full.
    pub group_bytes: u64,
}

/// The role in which a file was written, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// By ingest, a replay, a backfill or another engine.
    Landed,
    /// By a merge that left it smaller than the target of its time.
    Merged,
    /// By a merge, as large as the target of its time: it is not merged again.
    Full,
    /// By the merge that closed its day, smaller than the target of its time.
    Closed,
    /// By the merge that closed its day, as large as the target of its time.
    ClosedFull,
}

/// A merge of files of one partition into one or a few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merge {
    /// Why.
    pub cause: Cause,
    /// The files, by their first row.
    pub files: Vec<TableFile>,
    /// The number of files that they become.
    pub outputs: u64,
    /// What they are written as.
    pub role: Role,
}

impl Merge {
    /// The folder of its partition.
    #[must_use]
    pub fn partition(&self) -> &str {
        self.files.first().map_or("", |file| folder_of(&file.path))
    }

    /// The stream of its partition; `None` without files.
    pub(crate) fn stream(&self) -> Option<Stream> {
        self.files.first().map(|file| file.stream)
    }

    /// Bytes of its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }
}

/// Why files are merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Small files have come together.
    Run,
    /// The day is over.
    Close,
    /// Files that came after the day was closed, or were left over, are joined with it.
    Tidy,
    /// An operator wants it.
    Full,
}

impl Policy {
    /// The policy for a table of `bytes`. The target grows with the table, so that its log does not.
    #[must_use]
    pub fn of_table(bytes: u64) -> Self {
        Self::with_target((bytes / FILES_OF_A_TABLE).clamp(TARGET_MIN, TARGET_MAX))
    }

    /// The policy with a target of the operator's.
    #[must_use]
    pub fn with_target(target: u64) -> Self {
        Self {
            target: target.max(1),
            ratio: 8,
            run: 8,
            many: 64,
            fresh: Duration::from_secs(15 * 60),
            quiet: Duration::from_secs(2 * 3_600),
            late: Duration::from_secs(6 * 3_600),
            tidy: Duration::from_secs(30 * 24 * 3_600),
            merge_bytes: 2 << 30,
            merge_files: 512,
            open_bytes: 96 << 20,
            group_bytes: GROUP_MAX,
        }
    }

    /// The policy for a merge with this `memory`. Three eighths of it are for open files, and a twelfth is for the row
    /// group that fills, which is held twice while it is written. The rest is for parts under way and for what the
    /// system's allocator keeps (docs/performance.md, Compaction).
    #[must_use]
    pub fn within(self, memory: usize) -> Self {
        let memory = u64::try_from(memory).unwrap_or(u64::MAX);
        Self { open_bytes: memory / 8 * 3, group_bytes: (memory / 12).clamp(GROUP_MIN, GROUP_MAX), ..self }
    }

    /// The least bytes of a full file.
    #[must_use]
    pub fn full(&self) -> u64 {
        self.target / 10 * 7
    }

    /// Whether a file is left as it is.
    #[must_use]
    pub fn is_full(&self, file: &TableFile) -> bool {
        matches!(Role::of(&file.path), Role::Full | Role::ClosedFull) || file.size >= self.full()
    }

    /// The due merges of a partition. `day` is its date in UTC; without one the day is never over.
    #[must_use]
    pub fn merges(&self, files: &[TableFile], day: Option<NaiveDate>, now: Millis) -> Vec<Merge> {
        let small: Vec<&TableFile> = files.iter().filter(|file| !self.is_full(file)).collect();
        let closed = files.iter().filter(|file| matches!(Role::of(&file.path), Role::Closed | Role::ClosedFull));
        if let Some(closed_at) = closed.map(|file| file.written_at).max() {
            let late: Vec<_> = small.iter().copied().filter(|file| Role::of(&file.path) != Role::Closed).collect();
            let waited = late.iter().all(|file| now.since(file.written_at) >= self.late);
            if small.len() > 1 && waited && now.since(closed_at) >= self.tidy {
                return self.all(small, Cause::Tidy);
            }
            let due = late.iter().any(|file| now.since(file.written_at) >= self.late);
            return if due { self.longest_run(late) } else { Vec::new() };
        }
        let newest = small.iter().map(|file| file.written_at).max();
        let quiet = newest.is_some_and(|newest| now.since(newest) >= self.quiet);
        if quiet && day.is_some_and(|day| is_over(day, now)) {
            return if small.len() > 1 { self.all(small, Cause::Close) } else { Vec::new() };
        }
        let old = small.iter().any(|file| now.since(file.written_at) >= self.fresh);
        if small.len() >= self.many || (small.len() >= self.run && old) { self.longest_run(small) } else { Vec::new() }
    }

    /// Merges of all files that are not full, of any age; with `rewrite`, of full files too.
    #[must_use]
    pub fn everything(&self, files: &[TableFile], rewrite: bool) -> Vec<Merge> {
        let chosen: Vec<_> = files.iter().filter(|file| rewrite || !self.is_full(file)).collect();
        if chosen.len() > 1 || (rewrite && !chosen.is_empty()) { self.all(chosen, Cause::Full) } else { Vec::new() }
    }

    /// The longest run of files, the smallest first, whose sum is large enough for its largest file.
    fn longest_run(&self, mut files: Vec<&TableFile>) -> Vec<Merge> {
        files.sort_by(|left, right| (left.size, &left.path).cmp(&(right.size, &right.path)));
        let (mut sum, mut longest) = (0_u64, 0);
        for (index, file) in files.iter().take(self.merge_files).enumerate() {
            sum = sum.saturating_add(file.size);
            if sum > self.merge_bytes {
                break;
            }
            if index + 1 >= self.run && sum >= self.ratio.saturating_mul(file.size) {
                longest = index + 1;
            }
        }
        files.truncate(longest);
        while files.len() >= self.run && open_at_once(&files) > self.open_bytes {
            files.pop();
        }
        if files.len() < self.run { Vec::new() } else { vec![self.merge(files, Cause::Run)] }
    }

    /// Merges of all these files, as few as the limits allow. A single file is left out.
    fn all(&self, mut files: Vec<&TableFile>, cause: Cause) -> Vec<Merge> {
        files.sort_by(|left, right| (left.first, &left.path).cmp(&(right.first, &right.path)));
        let mut merges = Vec::new();
        let mut part: Vec<&TableFile> = Vec::new();
        let mut bytes = 0_u64;
        for file in files {
            bytes = bytes.saturating_add(file.size);
            part.push(file);
            let full =
                part.len() > self.merge_files || bytes > self.merge_bytes || open_at_once(&part) > self.open_bytes;
            if full && part.len() > 1 {
                part.pop();
                merges.push(std::mem::replace(&mut part, vec![file]));
                bytes = file.size;
            }
        }
        merges.push(part);
        let worth = |part: &Vec<_>| part.len() > 1 || (cause == Cause::Full && !part.is_empty());
        merges.into_iter().filter(worth).map(|part| self.merge(part, cause)).collect()
    }

    fn merge(&self, mut files: Vec<&TableFile>, cause: Cause) -> Merge {
        files.sort_by(|left, right| (left.first, &left.path).cmp(&(right.first, &right.path)));
        let bytes = files.iter().map(|file| file.size).fold(0, u64::saturating_add);
        let full = bytes >= self.full();
        let role = match (cause, full) {
            (Cause::Close | Cause::Tidy, false) => Role::Closed,
            (Cause::Close | Cause::Tidy, true) => Role::ClosedFull,
            (Cause::Run | Cause::Full, false) => Role::Merged,
            (Cause::Run | Cause::Full, true) => Role::Full,
        };
        // The number of full outputs, so that no file is merged again because it was cut too small.
        let outputs = (bytes / self.full().max(1)).clamp(1, bytes.div_ceil(self.target).max(1));
        Merge { cause, files: files.into_iter().cloned().collect(), outputs, role }
    }
}

impl Role {
    /// The end of the name of a file of this role, before `.parquet`.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Landed => "",
            Self::Merged => "-merged",
            Self::Full => "-full",
            Self::Closed => "-closed",
            Self::ClosedFull => "-closed-full",
        }
    }

    /// The role of a file by its path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        let name = path.strip_suffix(".parquet").unwrap_or_default();
        let roles = [Self::ClosedFull, Self::Closed, Self::Full, Self::Merged];
        roles.into_iter().find(|role| name.ends_with(role.suffix())).unwrap_or(Self::Landed)
    }
}

/// The memory of a file while it is read: the rows of a small one; of a large one its largest row group, twice as the
/// system's allocator keeps freed blocks of this size, decoded rows and the decoders.
pub(crate) fn open_bytes(file_bytes: u64) -> u64 {
    if file_bytes <= SMALL_FILE {
        file_bytes * UNPACKED
    } else {
        file_bytes.min(GROUP_MAX) * 2 + DECODED_BYTES + DECODERS
    }
}

/// The most bytes of files that overlap at one time, and so are open at once when they are merged in order.
fn open_at_once(files: &[&TableFile]) -> u64 {
    let mut ends: Vec<(i64, bool, u64)> = Vec::with_capacity(files.len() * 2);
    for file in files {
        let weight = open_bytes(file.size);
        ends.push((file.first.map_or(i64::MIN, Micros::get), false, weight));
        ends.push((file.last.map_or(i64::MAX, Micros::get), true, weight));
    }
    // At one time files begin before others end.
    ends.sort_unstable();
    let (mut open, mut most) = (0_u64, 0_u64);
    for (_, is_end, weight) in ends {
        open = if is_end { open.saturating_sub(weight) } else { open.saturating_add(weight) };
        most = most.max(open);
    }
    most
}

/// Whether a day of UTC is over.
fn is_over(day: NaiveDate, now: Millis) -> bool {
    now.time().is_some_and(|now| now.date_naive() > day)
}

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::print_stdout
)]
mod tests;

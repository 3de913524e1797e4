//! One reading of the rows: what is remembered is taken from memory, the other partitions are read and judged each by itself,
//! and what partitions share is judged at the end.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use uuid::Uuid;

use super::{
    RowFindings,
    file::{self, FileRows, Reading, Wanted, position_text},
    fingerprints::{self, Fingerprints, Suspects},
    memory::Memory,
    partitions::Partition,
    sealed::SealedPartition,
};
use crate::{
    error::LakeError,
    verify::{
        VerifyOptions,
        duplicates::{IdEntry, Lineage, PositionEntry, RepeatedId, RowPlace, repeated_ids, repeated_positions},
        files::ActiveFile,
        history::{History, Reach},
        report::Findings,
    },
};

/// Files read at once.
const FILES_AT_ONCE: usize = 4;
/// Results fetched from memory at once.
const RECALLED_AT_ONCE: usize = 8;
/// Passes of a partition that is remembered, at most: its fingerprints are held until it was read.
const REMEMBERED_PASSES: u32 = 5;

/// One reading of the rows.
pub(super) struct Run<'a> {
    pub(super) files: &'a [ActiveFile],
    pub(super) partitions: &'a [Partition],
    pub(super) history: &'a History,
    pub(super) options: &'a VerifyOptions,
    pub(super) lineage: Lineage,
    pub(super) window: Option<Duration>,
    /// One for each table; none: nothing is taken from memory or remembered.
    pub(super) memory: &'a [Memory],
    /// Of all partitions.
    pub(super) positions: Fingerprints,
    pub(super) ids: Fingerprints,
    /// The store does not let us remember.
    pub(super) is_refused: bool,
    pub(super) found: RowFindings,
    pub(super) file_findings: &'a mut Findings,
}

/// The rows that are held of a partition, and what is known of it so far.
#[derive(Default)]
struct Held {
    positions: Vec<PositionEntry>,
    ids: Vec<IdEntry>,
    /// As it would be remembered.
    sealed: SealedPartition,
    warnings: Findings,
    /// Something in it is at fault.
    faulty: bool,
}

impl Run<'_> {
    /// Takes from memory what is there; gives the numbers of the partitions that are to be read.
    pub(super) async fn recall(&mut self) -> Result<Vec<usize>, LakeError> {
        let mut unread = Vec::new();
        let (files, partitions, memory) = (self.files, self.partitions, self.memory);
        let reads = partitions.iter().enumerate().map(|(number, partition)| async move {
            let recalled = match memory_of(memory, partition) {
                Some(memory) if !memory.is_full => recall(memory, &partition.of(files)).await?,
                _ => None,
            };
            Ok::<_, LakeError>((number, recalled))
        });
        let mut reads = futures::stream::iter(reads).buffered(RECALLED_AT_ONCE);
        while let Some((number, recalled)) = reads.try_next().await? {
            match recalled {
                Some(Ok(sealed)) if self.take_from_memory(number, &sealed)? => {}
                Some(Err(fault)) => {
                    self.found.memory_faults.add(|| fault);
                    unread.push(number);
                }
                _ => unread.push(number),
            }
        }
        Ok(unread)
    }

    /// False when its rows lie beyond what the documents say was committed: it is read then, to tell which.
    fn take_from_memory(&mut self, number: usize, sealed: &SealedPartition) -> Result<bool, LakeError> {
        let Some(unknown) = sealed.unknown_rows(self.history) else { return Ok(false) };
        self.found.unknown_shards += unknown;
        self.found.warnings.append(sealed.warnings.clone().into());
        self.found.partitions.from_memory += 1;
        self.found.partitions.rows_from_memory += sealed.rows;
        self.add_fingerprints(number, &sealed.positions, &sealed.ids)?;
        Ok(true)
    }

    fn add_fingerprints(&mut self, partition: usize, positions: &[u64], ids: &[u64]) -> Result<(), LakeError> {
        let partition = u32::try_from(partition).unwrap_or(u32::MAX);
        self.positions.extend(partition, positions)?;
        self.ids.extend(partition, ids)
    }

    /// Reads and judges partitions whose rows are held together; or one that is too large, in several passes.
    pub(super) async fn group(&mut self, group: &[usize]) -> Result<(), LakeError> {
        let rows = group.iter().filter_map(|number| self.partitions.get(*number));
        let rows = rows.fold(0_u64, |sum, partition| sum.saturating_add(partition.rows));
        let of = u32::try_from(rows.div_ceil(self.options.rows_per_pass.max(1))).unwrap_or(u32::MAX).max(1);
        let mut held: BTreeMap<usize, Held> = group.iter().map(|number| (*number, Held::default())).collect();
        for number in 0..of {
            let reading = Reading {
                history: self.history,
                held: Wanted::Pass { number, of },
                checks: number == 0,
                // Once is enough to see that all can be decoded.
                deep: self.options.deep && number == 0,
            };
            self.reserve(&mut held, of);
            self.read(group, reading, &mut held).await?;
            for (partition, held) in &mut held {
                self.judge_partition(*partition, held, of).await?;
            }
        }
        self.found.partitions.read += group.len();
        for (partition, held) in held {
            self.settle(partition, held, of).await;
        }
        Ok(())
    }

    /// Makes room for the rows of a pass: what grows by itself takes up to twice as much.
    fn reserve(&self, held: &mut BTreeMap<usize, Held>, of: u32) {
        for (partition, held) in held {
            let rows = self.partitions.get(*partition).map_or(0, |partition| partition.rows);
            let share = usize::try_from(rows / u64::from(of)).unwrap_or_default();
            held.positions.reserve(share);
            held.ids.reserve(share);
        }
    }

    /// Reads the files of partitions, and holds the rows that are wanted.
    async fn read(
        &mut self,
        partitions: &[usize],
        reading: Reading<'_>,
        held: &mut BTreeMap<usize, Held>,
    ) -> Result<(), LakeError> {
        let mut files = Vec::new();
        for number in partitions {
            let indexes = self.partitions.get(*number).map_or(&[][..], |partition| partition.files.as_slice());
            files.extend(indexes.iter().filter_map(|index| Some((*number, *index, self.files.get(*index)?))));
        }
        let reads = files.into_iter().map(|(number, index, file)| async move {
            file::read(file, index, reading).await.map(|rows| (number, rows))
        });
        let mut results = futures::stream::iter(reads).buffer_unordered(FILES_AT_ONCE);
        while let Some((number, mut rows)) = results.try_next().await? {
            let held = held.entry(number).or_default();
            held.positions.append(&mut rows.positions);
            held.ids.append(&mut rows.ids);
            if reading.checks || rows.fault.is_some() {
                self.take_in(rows, held);
            }
        }
        Ok(())
    }

    /// Takes in what the rows of a file show each by itself.
    fn take_in(&mut self, rows: FileRows, held: &mut Held) {
        let Some(file) = self.files.get(rows.file) else { return };
        if let Some(fault) = rows.fault {
            held.faulty = true;
            self.found.unreadable += 1;
            return self.file_findings.add(|| format!("{}: {fault}", file.name()));
        }
        if let Some(logged) = file.rows.filter(|logged| *logged != rows.rows) {
            held.faulty = true;
            self.file_findings.add(|| format!("{}: it has {} rows, the log says {logged}", file.name(), rows.rows));
        }
        held.faulty |= !rows.reach.is_empty() || !rows.partitions.is_empty();
        held.sealed.files += 1;
        held.sealed.rows += rows.rows;
        for (shard, rows) in rows.shards {
            match held.sealed.shards.get_mut(&shard) {
                Some(known) => known.join(rows),
                None => {
                    held.sealed.shards.insert(shard, rows);
                }
            }
        }
        self.found.files_read += 1;
        self.found.rows += rows.rows;
        self.found.unknown_shards += rows.unknown_shards;
        self.found.reach.append(rows.reach);
        self.found.dates.append(rows.partitions);
    }

    /// Judges what is held of one partition, and keeps its fingerprints.
    async fn judge_partition(&mut self, partition: usize, held: &mut Held, of: u32) -> Result<(), LakeError> {
        let (mut positions, mut ids) = (std::mem::take(&mut held.positions), std::mem::take(&mut held.ids));
        let judged = self.judge(&mut positions, &mut ids, false).await?;
        held.faulty |= judged.faulty;
        held.warnings.append(judged.warnings);
        positions.dedup_by_key(|entry| entry.position);
        ids.dedup_by_key(|entry| entry.id);
        let positions: Vec<u64> =
            positions.into_iter().map(|entry| fingerprints::of_position(entry.position)).collect();
        let ids: Vec<u64> = ids.into_iter().map(|entry| fingerprints::of_id(entry.id)).collect();
        self.add_fingerprints(partition, &positions, &ids)?;
        if of <= REMEMBERED_PASSES && self.memory.iter().any(|memory| memory.is_kept) {
            held.sealed.positions.extend(positions);
            held.sealed.ids.extend(ids);
        }
        Ok(())
    }

    /// Judges rows of one partition; or `across`, only what rows of different partitions share.
    async fn judge(
        &mut self,
        positions: &mut [PositionEntry],
        ids: &mut [IdEntry],
        across: bool,
    ) -> Result<Judged, LakeError> {
        let of_file = if across { self.partitions_of_files() } else { Vec::new() };
        let partition = |place: RowPlace| usize::try_from(place.file).ok().and_then(|file| of_file.get(file));
        let beside = |left: RowPlace, right: RowPlace| partition(left) == partition(right);
        let mut judged = Judged::default();
        // Naming a position takes a read of its file: only those that become examples are named.
        let mut named = Vec::new();
        repeated_positions(positions, &mut |left, right| {
            if across && beside(left, right) {
                return;
            }
            judged.faulty = true;
            if self.found.uniqueness.count() {
                named.push((left, right));
            }
        });
        for (left, right) in named {
            let position = position_text(self.files, left).await?;
            let (left, right) = (place(self.files, left), place(self.files, right));
            self.found.uniqueness.show(format!("{position} in {left} and {right}"));
        }
        repeated_ids(ids, &self.lineage, self.window, &beside, &mut |pair: RepeatedId| {
            if across && beside(pair.earlier.place, pair.later.place) {
                return;
            }
            judged.faulty |= pair.within_window;
            let findings = if pair.within_window { &mut self.found.window } else { &mut judged.warnings };
            findings.add(|| repeated(self.files, &pair));
        });
        Ok(judged)
    }

    /// The partition of each file.
    fn partitions_of_files(&self) -> Vec<usize> {
        let mut of_file = vec![usize::MAX; self.files.len()];
        for (number, partition) in self.partitions.iter().enumerate() {
            for index in &partition.files {
                if let Some(of) = of_file.get_mut(*index) {
                    *of = number;
                }
            }
        }
        of_file
    }

    /// Tells the warnings of a partition that was read, and remembers it if that is wanted and nothing in it is at fault.
    async fn settle(&mut self, partition: usize, mut held: Held, of: u32) {
        held.sealed.warnings = held.warnings.found();
        self.found.warnings.append(held.warnings);
        let Some(partition) = self.partitions.get(partition) else { return };
        let Some(memory) = memory_of(self.memory, partition) else { return };
        let files = partition.of(self.files);
        if held.faulty {
            return self.disown(memory, &files).await;
        }
        // Past a fault in the documents nobody knows which shards are related.
        let is_known = !matches!(self.history.reach, Reach::Broken(_));
        if of > REMEMBERED_PASSES || !memory.is_kept || !is_known || self.is_refused {
            return;
        }
        held.sealed.positions.sort_unstable();
        held.sealed.ids.sort_unstable();
        match memory.remember(&files, &mut held.sealed).await {
            Ok(new) => self.found.partitions.remembered += usize::from(new),
            Err(error) => {
                self.is_refused = true;
                self.found.memory_faults.add(|| format!("not remembered: {}", crate::causes(&error)));
            }
        }
    }

    /// A partition that is at fault must not be remembered as right.
    async fn disown(&mut self, memory: &Memory, files: &[&ActiveFile]) {
        let forgotten = if memory.is_kept { memory.forget(files).await } else { Ok(memory.knows(files)) };
        match forgotten {
            Ok(false) => {}
            Ok(true) => self.found.memory_faults.add(|| {
                let folder = files.first().map_or("", |file| file.folder());
                format!("{folder} is remembered as right and is not: lake verify --full --remember forgets it")
            }),
            Err(error) => self.found.memory_faults.add(|| format!("cannot forget: {}", crate::causes(&error))),
        }
    }

    /// Judges what partitions share, and gives all that was found.
    pub(super) async fn across(mut self) -> Result<RowFindings, LakeError> {
        let none = || Fingerprints::with_room(1);
        let (positions, ids) =
            (std::mem::replace(&mut self.positions, none()), std::mem::replace(&mut self.ids, none()));
        // Sorting takes long, and others wait for this thread.
        let sorted = tokio::task::spawn_blocking(move || Ok::<_, LakeError>((positions.suspects()?, ids.suspects()?)));
        let (positions, ids) =
            sorted.await.unwrap_or_else(|panicked| std::panic::resume_unwind(panicked.into_panic()))?;
        let at_once = usize::try_from(self.options.rows_per_pass / 2).unwrap_or(usize::MAX).max(1);
        let (chunks, empty) = (positions.fingerprints.chunks(at_once), &[][..]);
        for chunk in chunks {
            self.compare(chunk, empty, &positions).await?;
        }
        for chunk in ids.fingerprints.chunks(at_once) {
            self.compare(empty, chunk, &ids).await?;
        }
        Ok(self.found)
    }

    /// Reads the rows with these fingerprints once more, and compares them whole.
    async fn compare(&mut self, positions: &[u64], ids: &[u64], suspects: &Suspects) -> Result<(), LakeError> {
        let partitions: Vec<usize> =
            suspects.partitions.iter().filter_map(|number| usize::try_from(*number).ok()).collect();
        let held = Wanted::Suspects { positions, ids };
        let reading = Reading { history: self.history, held, checks: false, deep: false };
        let mut held = BTreeMap::new();
        self.read(&partitions, reading, &mut held).await?;
        let (mut positions, mut ids) = (Vec::new(), Vec::new());
        for held in held.into_values() {
            positions.extend(held.positions);
            ids.extend(held.ids);
        }
        let judged = self.judge(&mut positions, &mut ids, true).await?;
        self.found.warnings.append(judged.warnings);
        Ok(())
    }
}

/// What rows that are held together showed.
#[derive(Default)]
struct Judged {
    faulty: bool,
    warnings: Findings,
}

/// What is remembered of these files, or what is wrong with it. What is damaged gives way to what is remembered now.
async fn recall(memory: &Memory, files: &[&ActiveFile]) -> Result<Option<Result<SealedPartition, String>>, LakeError> {
    let Some(recalled) = memory.recall(files).await? else { return Ok(None) };
    let Err(path) = recalled else { return Ok(Some(recalled)) };
    let mut fault = format!("{path} is damaged: its partition was read");
    if memory.is_kept
        && let Err(error) = memory.forget(files).await
    {
        fault = format!("{fault}; {}", crate::causes(&error));
    }
    Ok(Some(Err(fault)))
}

fn memory_of<'a>(memory: &'a [Memory], partition: &Partition) -> Option<&'a Memory> {
    memory.iter().find(|memory| memory.table == partition.table)
}

fn repeated(files: &[ActiveFile], pair: &RepeatedId) -> String {
    let apart = pair.later.arrived_at.get().saturating_sub(pair.earlier.arrived_at.get());
    let (earlier, later) = (place(files, pair.earlier.place), place(files, pair.later.place));
    format!("event {} again after {apart} µs, in {earlier} and {later}", Uuid::from_u128(pair.later.id))
}

fn place(files: &[ActiveFile], place: RowPlace) -> String {
    let file = usize::try_from(place.file).ok().and_then(|index| files.get(index));
    format!("row {} of {}", place.row, file.map_or_else(String::new, ActiveFile::name))
}

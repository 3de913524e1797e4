//! Compaction of one table: what is due is planned from the log, rewritten and committed, task after task.

use std::collections::{BTreeMap, BTreeSet};

use bluelake_lake::{
    Lake, LakeError, Lost, MaintainedTable, OddFile, REJECTED_EVENTS, RowChange, TableFile, Task, TaskKind, TaskOutcome,
};
use bluelake_schemas::{Contract, Stream};
use bluelake_transform::TableLayout;
use chrono::NaiveDate;

use crate::{
    columns::numbered,
    error::CareError,
    pace::Pace,
    policy::{Merge, PartitionFile, Policy},
    rewrite::Rewriter,
};

/// Bytes and files of one task, at most: of the first merge, whatever it has, and of others as long as they fit.
const TASK_BYTES: u64 = 2 << 30;
const TASK_FILES: usize = 512;
/// Tasks in a row that may be lost before it is left for another time.
const LOST_IN_A_ROW: usize = 3;

/// What is to be compacted, and with what.
#[derive(Clone, Debug)]
pub struct CompactionOptions {
    /// Only this partition: its folder, `<column>=<value>/<column>=<value>`, or the first part of it.
    pub partition: Option<String>,
    /// Everything, also what is not due and what is full.
    pub full: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Target of the operator's, in bytes; by the table's size if not given.
    pub target: Option<u64>,
    /// Bytes that it may hold, about.
    pub memory: usize,
    /// Bytes of files that are read a second, at most; `None`: as fast as it goes.
    pub rate: Option<u64>,
    /// Name of the worker in the records.
    pub worker: String,
}

/// What compaction did to a table.
#[derive(Clone, Debug)]
pub struct Compaction {
    /// The table.
    pub table: &'static str,
    /// Files and bytes of the table before and after, those of the partitions that were not wanted too.
    pub before: Extent,
    /// As `before`.
    pub after: Extent,
    /// Merges that were committed, or in a dry run would be.
    pub merges: Vec<MergedPartition>,
    /// Commits.
    pub commits: usize,
    /// Tasks that another commit overtook.
    pub lost: usize,
    /// Files that stay as they are, with the reason.
    pub left: BTreeMap<String, String>,
    /// Partitions that were looked at.
    pub partitions: usize,
    /// Version of the table afterwards.
    pub version: Option<u64>,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Files.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Rows.
    pub rows: u64,
}

/// A merge in a summary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedPartition {
    /// The partition's folder.
    pub partition: String,
    /// Files that went in, and their bytes.
    pub files: usize,
    /// As `files`.
    pub bytes: u64,
    /// Files that came out.
    pub outputs: u64,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Files that were merged, of those that are due.
    pub files: usize,
    /// As `files`.
    pub of: usize,
}

/// Compacts a table until nothing is due any more.
///
/// # Errors
/// When the table cannot be read or committed to. What was committed before stays. A file that cannot be merged is no error:
/// it is in the summary.
pub async fn compact(
    lake: &Lake,
    name: &str,
    contract: &Contract,
    options: &CompactionOptions,
    observe: &(dyn Fn(Step) + Sync),
) -> Result<Compaction, CareError> {
    let mut run = Run::open(lake, name, contract, options).await?;
    run.all(observe).await?;
    Ok(run.found)
}

/// A table that is being compacted.
pub(crate) struct Run<'a> {
    lake: &'a Lake,
    table: MaintainedTable,
    layout: TableLayout,
    contract: &'a Contract,
    options: &'a CompactionOptions,
    found: Compaction,
    /// Partitions that were rewritten whole, because an operator wanted it.
    done: BTreeSet<String>,
    /// Files that went into merges so far.
    merged: usize,
}

impl<'a> Run<'a> {
    pub(crate) async fn open(
        lake: &'a Lake,
        name: &str,
        contract: &'a Contract,
        options: &'a CompactionOptions,
    ) -> Result<Self, CareError> {
        let table = MaintainedTable::open(lake, name, &options.worker).await?;
        let is_rejected = table.name() == REJECTED_EVENTS;
        let layout = if is_rejected { TableLayout::REJECTED } else { TableLayout::EVENTS };
        let found = Compaction {
            table: table.name(),
            before: Extent::default(),
            after: Extent::default(),
            merges: Vec::new(),
            commits: 0,
            lost: 0,
            left: BTreeMap::new(),
            partitions: 0,
            version: None,
        };
        Ok(Self { lake, table, layout, contract, options, found, done: BTreeSet::new(), merged: 0 })
    }

    /// Compacts what is due of the partitions that are `wanted`, as far as one task goes; `None` when nothing is.
    pub(crate) async fn one_task(
        &mut self,
        wanted: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Option<TaskOutcome>, CareError> {
        self.table.reload().await?;
        let (files, odd) = self.table.files()?;
        self.found.left.extend(odd.into_iter().map(|file| (file.path, file.reason.to_owned())));
        let mut due = self.due(&files).await?;
        due.retain(|merge| wanted(partition_of(merge)));
        if due.is_empty() { Ok(None) } else { self.task(due, &files).await }
    }

    /// What was done so far.
    pub(crate) fn found(&self) -> &Compaction {
        &self.found
    }

    async fn all(&mut self, observe: &(dyn Fn(Step) + Sync)) -> Result<(), CareError> {
        let mut lost_in_a_row = 0;
        for round in 0_usize.. {
            self.table.reload().await?;
            let (files, odd) = self.table.files()?;
            self.found.after = extent(&files, &odd);
            self.found.version = self.table.delta_table().version();
            if round == 0 {
                self.found.before = self.found.after;
                self.found.left.extend(odd.into_iter().map(|file| (file.path, file.reason.to_owned())));
            }
            let due = self.due(&files).await?;
            if self.options.dry_run {
                self.found.merges = due.iter().map(summary).collect();
            }
            if due.is_empty() || self.options.dry_run {
                return Ok(());
            }
            let of = self.merged + due.iter().map(|merge| merge.files.len()).sum::<usize>();
            observe(Step { files: self.merged, of });
            match self.task(due, &files).await? {
                Some(TaskOutcome::Committed { .. }) => lost_in_a_row = 0,
                None => {}
                Some(TaskOutcome::Lost(reason)) => {
                    self.lose(&reason);
                    lost_in_a_row += 1;
                    if lost_in_a_row == LOST_IN_A_ROW {
                        return Err(CareError::Lost { table: self.found.table, times: lost_in_a_row, reason });
                    }
                }
            }
        }
        Ok(())
    }

    fn lose(&mut self, reason: &Lost) {
        self.found.lost += 1;
        tracing::info!(table = self.found.table, %reason, "a compaction was overtaken and is planned anew");
    }

    /// The merges that are due, those of most files first.
    async fn due(&mut self, files: &BTreeMap<String, TableFile>) -> Result<Vec<Merge>, CareError> {
        let policy = match self.options.target {
            Some(target) => Policy::with_target(target),
            None => Policy::of_table(files.values().map(|file| file.size).sum()),
        };
        let policy = policy.within(self.options.memory);
        let now = self.lake.store_time().await?;
        let mut due = Vec::new();
        let partitions = by_partition(files, self.options.partition.as_deref());
        self.found.partitions = partitions.len();
        for (partition, files) in partitions {
            let wanted: Vec<PartitionFile> =
                files.into_iter().filter(|file| !self.found.left.contains_key(&file.path)).map(planned).collect();
            if self.options.full {
                let merges = if self.done.contains(&partition) { Vec::new() } else { policy.everything(&wanted, true) };
                due.extend(merges);
            } else {
                due.extend(policy.merges(&wanted, day_of(&partition), now));
            }
        }
        due.sort_by_key(|merge| std::cmp::Reverse(merge.files.len()));
        Ok(due)
    }

    /// Rewrites as many merges as one task may have, and commits them; `None` when none of them could be rewritten.
    async fn task(
        &mut self,
        due: Vec<Merge>,
        files: &BTreeMap<String, TableFile>,
    ) -> Result<Option<TaskOutcome>, CareError> {
        let mut task = self.table.begin(TaskKind::Compact).await?;
        let schema = numbered(&self.table, self.contract)?;
        let (table, layout, memory) = (&self.table, self.layout, self.options.memory);
        let pace = Pace::new(self.options.rate);
        let rewriter = Rewriter { table, layout, schema, memory, task: task.id, pace };
        let (mut number, mut content) = (0, (0_u128, 0_u128));
        let mut merged = Vec::new();
        for merge in first_of(due) {
            match rewriter.run(&merge, files, &mut number).await {
                Ok(rewritten) => {
                    add_rows(&mut task, self.found.table, &merge, rewritten.rows);
                    content.0 = content.0.wrapping_add(rewritten.content.before.get());
                    content.1 = content.1.wrapping_add(rewritten.content.after.get());
                    task.inputs.extend(rewritten.inputs);
                    task.outputs.extend(rewritten.outputs);
                    merged.push(merge);
                }
                Err(error) if error.is_of_a_file() => self.found.left.extend(left(&merge, &error)),
                Err(CareError::Lake(LakeError::Store {
                    path, source: object_store::Error::NotFound { .. }, ..
                })) => {
                    // Another one has merged it and its files were cleared away.
                    return Ok(Some(TaskOutcome::Lost(Lost::InputGone { path })));
                }
                Err(error) => return Err(error),
            }
        }
        if merged.is_empty() {
            return Ok(None);
        }
        let digest = bluelake_lake::ContentDigest::new;
        task.content = Some(bluelake_lake::ContentChange { before: digest(content.0), after: digest(content.1) });
        let outcome = self.table.commit(&task).await?;
        if matches!(outcome, TaskOutcome::Committed { .. }) {
            self.found.commits += 1;
            self.merged += merged.iter().map(|merge| merge.files.len()).sum::<usize>();
            self.done.extend(merged.iter().map(|merge| partition_of(merge).to_owned()));
            self.found.merges.extend(merged.iter().map(summary));
        }
        Ok(Some(outcome))
    }
}

/// Why each file of a merge stays as it is: one of them does not fit, and of the others nobody knows.
fn left(merge: &Merge, error: &CareError) -> Vec<(String, String)> {
    let reason = bluelake_lake::causes(error);
    match error {
        CareError::File { path, .. } => vec![(path.clone(), reason)],
        _ => merge.files.iter().map(|file| (file.path.clone(), reason.clone())).collect(),
    }
}

/// The merges of one task.
fn first_of(due: Vec<Merge>) -> Vec<Merge> {
    let (mut bytes, mut files) = (0_u64, 0_usize);
    let mut chosen: Vec<Merge> = Vec::new();
    for merge in due {
        bytes = bytes.saturating_add(merge.files.iter().map(|file| file.bytes).sum());
        files += merge.files.len();
        if !chosen.is_empty() && (bytes > TASK_BYTES || files > TASK_FILES) {
            break;
        }
        chosen.push(merge);
    }
    chosen
}

fn add_rows(task: &mut Task, table: &str, merge: &Merge, rows: u64) {
    let named =
        |stream: &Stream| stream.table() == table || partition_of(merge).starts_with(&format!("stream={stream}/"));
    if let Some(stream) = Stream::ALL.into_iter().find(named) {
        let change = task.rows.entry(stream).or_insert(RowChange { before: 0, after: 0 });
        change.before += rows;
        change.after += rows;
    }
}

fn extent(files: &BTreeMap<String, TableFile>, odd: &[OddFile]) -> Extent {
    let whole = files.values().fold(Extent::default(), |sum, file| Extent {
        files: sum.files + 1,
        bytes: sum.bytes + file.size,
        rows: sum.rows + file.rows,
    });
    Extent { files: whole.files + u64::try_from(odd.len()).unwrap_or_default(), ..whole }
}

/// Files by the folder of their partition; only those below `wanted`.
fn by_partition<'a>(
    files: &'a BTreeMap<String, TableFile>,
    wanted: Option<&str>,
) -> BTreeMap<String, Vec<&'a TableFile>> {
    let mut partitions: BTreeMap<String, Vec<&TableFile>> = BTreeMap::new();
    for file in files.values() {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        let is_wanted = wanted.is_none_or(|wanted| {
            folder.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if is_wanted {
            partitions.entry(folder.to_owned()).or_default().push(file);
        }
    }
    partitions
}

fn planned(file: &TableFile) -> PartitionFile {
    PartitionFile {
        path: file.path.clone(),
        bytes: file.size,
        written_at: file.written_at,
        first: file.first,
        last: file.last,
    }
}

fn partition_of(merge: &Merge) -> &str {
    merge.files.first().and_then(|file| file.path.rsplit_once('/')).map_or("", |(folder, _)| folder)
}

/// The day of a partition, by its folder.
fn day_of(partition: &str) -> Option<NaiveDate> {
    partition.rsplit_once("date=").and_then(|(_, date)| date.parse().ok())
}

fn summary(merge: &Merge) -> MergedPartition {
    MergedPartition {
        partition: partition_of(merge).to_owned(),
        files: merge.files.len(),
        bytes: merge.files.iter().map(|file| file.bytes).sum(),
        outputs: merge.outputs,
    }
}

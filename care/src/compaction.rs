//! Compaction of one table: due merges are planned from the log, rewritten and committed, task after task.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use bluelake_lake::{
    ContentChange, ContentDigest, Lake, LakeError, Lost, MaintainedTable, OddFile, REJECTED_EVENTS, Step, TableFile,
    TaskKind, TaskOutcome, day_of, folder_of,
};
use bluelake_schemas::{Contract, Millis};
use bluelake_transform::TableLayout;

use crate::{
    error::CareError,
    pace::Pace,
    policy::{Merge, Policy},
    rewrite::{Rewriter, columns::numbered},
    status::FileCounts,
};

/// Tasks in a row that may be lost before the table is left alone for now.
pub(crate) const LOST_IN_A_ROW: usize = 3;

/// The options of a compaction.
#[derive(Clone, Debug)]
pub struct CompactionOptions {
    /// Only this partition: its folder, `<column>=<value>/<column>=<value>`, or the first part of it.
    pub partition: Option<String>,
    /// Compact everything, also full files and files that are not due.
    pub full: bool,
    /// Only report the planned merges.
    pub dry_run: bool,
    /// The operator's target size in bytes; by the table's size if not given.
    pub target: Option<u64>,
    /// The approximate memory limit in bytes.
    pub memory: usize,
    /// The most bytes of files read per second; `None`: unlimited.
    pub rate: Option<u64>,
    /// Name of the worker in the records.
    pub worker: String,
}

impl CompactionOptions {
    /// What is merged of a table of so many bytes.
    pub(crate) fn policy(&self, table_bytes: u64) -> Policy {
        self.target.map_or_else(|| Policy::of_table(table_bytes), Policy::with_target).within(self.memory)
    }
}

/// The outcome of a compaction.
#[derive(Clone, Debug)]
pub struct Compaction {
    /// The table.
    pub table: &'static str,
    /// Files and bytes of the table before and after, all partitions included.
    pub before: Extent,
    /// As `before`.
    pub after: Extent,
    /// Merges that were committed, or in a dry run planned.
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

/// Compacts a table until no merge is due.
///
/// # Errors
/// When the table cannot be read or committed to. Earlier commits stay. A file that cannot be merged is no error: it is
/// in the summary.
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
    /// The files as last looked at.
    counts: FileCounts,
    /// Files that are rewritten in any case on the operator's request: those of the start.
    todo: Option<BTreeSet<String>>,
    /// Files that went into merges so far.
    merged: usize,
}

/// The due merges of a table as last seen.
struct Due {
    /// Those of most files first.
    merges: Vec<Merge>,
    policy: Policy,
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
        let counts = FileCounts::default();
        Ok(Self { lake, table, layout, contract, options, found, counts, todo: None, merged: 0 })
    }

    /// Commits one task of due merges in the `wanted` partitions; `None` when none is due.
    pub(crate) async fn one_task(
        &mut self,
        wanted: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Option<TaskOutcome>, CareError> {
        let mut due = self.look().await?;
        due.merges.retain(|merge| wanted(merge.partition()));
        if due.merges.is_empty() { Ok(None) } else { self.task(due).await }
    }

    /// The merges committed since the last call.
    pub(crate) fn take_merges(&mut self) -> Vec<MergedPartition> {
        std::mem::take(&mut self.found.merges)
    }

    /// How the files stood when they were last looked at.
    pub(crate) fn counts(&self) -> &FileCounts {
        &self.counts
    }

    /// Files that stay as they are, with the reason.
    pub(crate) fn left(&self) -> &BTreeMap<String, String> {
        &self.found.left
    }

    async fn all(&mut self, observe: &(dyn Fn(Step) + Sync)) -> Result<(), CareError> {
        let mut due = self.look().await?;
        self.found.before = self.found.after;
        if self.options.dry_run {
            self.found.merges = due.merges.iter().map(summary).collect();
            return Ok(());
        }
        let mut lost_in_a_row = 0;
        while !due.merges.is_empty() {
            let of = self.merged + due.merges.iter().map(|merge| merge.files.len()).sum::<usize>();
            observe(Step { files: self.merged, of });
            match self.task(due).await? {
                Some(TaskOutcome::Committed { .. }) => lost_in_a_row = 0,
                None => {}
                Some(TaskOutcome::Lost(reason)) => {
                    lost_in_a_row += 1;
                    if lost_in_a_row == LOST_IN_A_ROW {
                        return Err(CareError::Lost { table: self.found.table, times: lost_in_a_row, reason });
                    }
                }
            }
            due = self.look().await?;
        }
        Ok(())
    }

    /// Loads the table, and plans the due merges.
    async fn look(&mut self) -> Result<Due, CareError> {
        self.table.reload().await?;
        let (files, odd) = self.table.files()?;
        self.found.after = extent(&files, &odd);
        self.found.version = self.table.delta_table().version();
        let policy = self.options.policy(self.found.after.bytes);
        self.counts = FileCounts::of(self.found.table, (&files, odd.len()), &policy);
        // What is not in the table any more is not left in it either.
        let paths: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        self.found.left.retain(|path, _| paths.contains(path.as_str()));
        self.found.left.extend(odd.into_iter().map(|file| (file.path, file.reason.to_owned())));
        if self.options.full && self.todo.is_none() {
            self.todo = Some(files.iter().map(|file| file.path.clone()).collect());
        }
        let now = self.lake.store_time().await?;
        let partitions = by_partition(files, self.options.partition.as_deref());
        self.found.partitions = partitions.len();
        let merges = plan(partitions, &policy, (&self.found.left, self.todo.as_ref()), now);
        Ok(Due { merges, policy })
    }

    /// Rewrites as many merges as one task may have, and commits them; `None` when none of them could be rewritten.
    async fn task(&mut self, due: Due) -> Result<Option<TaskOutcome>, CareError> {
        let mut task = self.table.begin(TaskKind::Compact).await?;
        let schema = numbered(&self.table, self.contract)?;
        let pace = Pace::new(self.options.rate);
        let (table, layout) = (&self.table, self.layout);
        let Policy { open_bytes: room, group_bytes, .. } = due.policy;
        let rewriter = Rewriter { table, layout, schema, room, group_bytes, task: task.id, pace };
        let (mut number, mut content) = (0, (0_u128, 0_u128));
        let mut merged = Vec::new();
        for merge in first_of(due) {
            match rewriter.run(&merge, &mut number).await {
                Ok(rewritten) => {
                    for file in &merge.files {
                        task.take_out(file.stream, file.into());
                    }
                    // All files of a merge are of one partition.
                    if let Some(stream) = merge.stream() {
                        rewritten.outputs.into_iter().for_each(|file| task.put_in(stream, file));
                    }
                    content.0 = content.0.wrapping_add(rewritten.content.before.get());
                    content.1 = content.1.wrapping_add(rewritten.content.after.get());
                    merged.push(merge);
                }
                Err(error) if error.is_of_a_file() => self.found.left.extend(left(&merge, &error)),
                Err(CareError::Lake(LakeError::Store {
                    path, source: object_store::Error::NotFound { .. }, ..
                })) => {
                    // Another worker has merged it, and its files were removed.
                    return Ok(Some(self.lost(Lost::InputGone { path })));
                }
                Err(error) => return Err(error),
            }
        }
        if merged.is_empty() {
            return Ok(None);
        }
        let (before, after) = (ContentDigest::new(content.0), ContentDigest::new(content.1));
        task.content = Some(ContentChange { before, after });
        let outcome = self.table.commit(&task).await?;
        if let TaskOutcome::Lost(reason) = outcome {
            return Ok(Some(self.lost(reason)));
        }
        self.found.commits += 1;
        self.merged += task.inputs.len();
        if let Some(todo) = &mut self.todo {
            for file in &task.inputs {
                todo.remove(&file.path);
            }
        }
        self.found.merges.extend(merged.iter().map(summary));
        Ok(Some(outcome))
    }

    fn lost(&mut self, reason: Lost) -> TaskOutcome {
        self.found.lost += 1;
        tracing::info!(table = self.found.table, %reason, "a compaction was overtaken and is planned anew");
        TaskOutcome::Lost(reason)
    }
}

/// The due merges, those of most files first. Files in `left` stay as they are; with `todo` exactly these files are
/// due. Pure.
fn plan(
    partitions: BTreeMap<String, Vec<TableFile>>,
    policy: &Policy,
    (left, todo): (&BTreeMap<String, String>, Option<&BTreeSet<String>>),
    now: Millis,
) -> Vec<Merge> {
    let mut due = Vec::new();
    for (partition, mut files) in partitions {
        files.retain(|file| !left.contains_key(&file.path));
        match todo {
            Some(todo) => {
                files.retain(|file| todo.contains(&file.path));
                due.extend(policy.everything(&files, true));
            }
            None => due.extend(policy.merges(&files, day_of(&partition), now)),
        }
    }
    due.sort_by_key(|merge| std::cmp::Reverse(merge.files.len()));
    due
}

/// Why each file of a merge stays as it is: one of them does not fit, and the others are not known.
fn left(merge: &Merge, error: &CareError) -> Vec<(String, String)> {
    let reason = bluelake_lake::causes(error);
    match error {
        CareError::File { path, .. } => vec![(path.clone(), reason)],
        _ => merge.files.iter().map(|file| (file.path.clone(), reason.clone())).collect(),
    }
}

/// The merges of one task: the first, and others as long as their sum is within the limits of one merge.
fn first_of(due: Due) -> Vec<Merge> {
    let (mut bytes, mut files) = (0_u64, 0_usize);
    let mut chosen: Vec<Merge> = Vec::new();
    for merge in due.merges {
        bytes = bytes.saturating_add(merge.bytes());
        files += merge.files.len();
        if !chosen.is_empty() && (bytes > due.policy.merge_bytes || files > due.policy.merge_files) {
            break;
        }
        chosen.push(merge);
    }
    chosen
}

fn extent(files: &[TableFile], odd: &[OddFile]) -> Extent {
    let whole = files.iter().fold(Extent::default(), |sum, file| Extent {
        files: sum.files + 1,
        bytes: sum.bytes + file.size,
        rows: sum.rows + file.rows,
    });
    Extent { files: whole.files + u64::try_from(odd.len()).unwrap_or_default(), ..whole }
}

/// Files by the folder of their partition; only those below `wanted`.
fn by_partition(files: Vec<TableFile>, wanted: Option<&str>) -> BTreeMap<String, Vec<TableFile>> {
    let mut partitions: BTreeMap<String, Vec<TableFile>> = BTreeMap::new();
    for file in files {
        let folder = folder_of(&file.path);
        let is_wanted = wanted.is_none_or(|wanted| {
            folder.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        });
        if is_wanted {
            partitions.entry(folder.to_owned()).or_default().push(file);
        }
    }
    partitions
}

fn summary(merge: &Merge) -> MergedPartition {
    MergedPartition {
        partition: merge.partition().to_owned(),
        files: merge.files.len(),
        bytes: merge.bytes(),
        outputs: merge.outputs,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: String) -> TableFile {
        TableFile {
            path: format!("event_type=gift/event_date=2026-01-01/{name}.parquet"),
            size: 1_000,
            rows: 1,
            written_at: Millis::new(0),
            partition_values: BTreeMap::new(),
            stream: bluelake_schemas::Stream::TransactionEvents,
            first: None,
            last: None,
        }
    }

    #[test]
    fn a_full_compaction_rewrites_each_file_once() {
        let policy = Policy::with_target(1 << 30);
        let mut files: Vec<TableFile> = (0..1_200).map(|number| file(number.to_string())).collect();
        let mut todo: BTreeSet<String> = files.iter().map(|file| file.path.clone()).collect();
        let (mut rewritten, mut tasks) = (0, 0);
        loop {
            // Commits of ingest in the meantime are not waited for.
            files.push(file(format!("new-{tasks}")));
            let partitions = by_partition(files.clone(), None);
            let merges = plan(partitions, &policy, (&BTreeMap::new(), Some(&todo)), Millis::new(0));
            if merges.is_empty() {
                break;
            }
            tasks += 1;
            for merge in first_of(Due { merges, policy: policy.clone() }) {
                files.retain(|file| !merge.files.contains(file));
                files.push(file(format!("{tasks}-merged")));
                rewritten += merge.files.len();
                merge.files.iter().for_each(|file| assert!(todo.remove(&file.path), "{} again", file.path));
            }
        }
        assert_eq!((rewritten, tasks, todo.len()), (1_200, 3, 0));
    }
}

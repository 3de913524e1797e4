//! The successors after a task: the next record of the table, and the next document of a stream whose rows change.
//! Pure.

use std::{collections::BTreeMap, time::Duration};

use bluelake_schemas::Stream;

use crate::{
    checkpoint::{
        advance::{Writer, successor},
        document::CheckpointDocument,
        numbered::Predecessor,
    },
    layout::folder_and_name,
    maintenance::{
        record::{
            Claim, MaintenanceRecord, RECORD_FORMAT, RemovedFile, RowChange, RowsLeft, Standing, TaskCounts, TaskKind,
        },
        task::{Lost, Task},
    },
};

/// An erasure loses its claim after this time without progress.
pub(crate) const CLAIM_LASTS: Duration = Duration::from_secs(24 * 3600);

/// The record that follows `current` when the task happens, not yet sealed.
///
/// # Errors
/// [`Lost::Outrun`] when the table is already further than the task.
pub(crate) fn record(
    current: Option<&MaintenanceRecord>,
    task: &Task,
    worker: &str,
) -> Result<MaintenanceRecord, Lost> {
    let before = current.map(|record| record.standing.clone()).unwrap_or_default();
    let mut counts = current.map(|record| record.counts.clone()).unwrap_or_default();
    count(&mut counts, task)?;
    Ok(MaintenanceRecord {
        format: RECORD_FORMAT,
        digest: String::new(),
        number: current.map_or(0, |record| record.number) + 1,
        previous: current.map(Predecessor::of),
        task: task.id,
        kind: task.kind.clone(),
        worker: worker.to_owned(),
        bluelake_version: env!("CARGO_PKG_VERSION").to_owned(),
        planned_on: task.planned_on,
        began_at: task.began_at,
        erasure_epochs: task.erasure_epochs.clone(),
        removed: removed(task),
        added: task.outputs.clone(),
        rows: task.rows.clone(),
        content: task.content,
        counts,
        standing: standing(before, task)?,
    })
}

fn removed(task: &Task) -> BTreeMap<String, Vec<RemovedFile>> {
    let mut removed: BTreeMap<String, Vec<RemovedFile>> = BTreeMap::new();
    for file in &task.inputs {
        let (folder, name) = folder_and_name(&file.path);
        let file = RemovedFile { name: name.to_owned(), rows: file.rows, size: file.size };
        removed.entry(folder.to_owned()).or_default().push(file);
    }
    removed
}

fn count(counts: &mut TaskCounts, task: &Task) -> Result<(), Lost> {
    if !task.kind.changes_files() {
        return Ok(());
    }
    let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
    let add = |sum: &mut u64, more: u64| *sum = sum.saturating_add(more);
    add(&mut counts.tasks, 1);
    add(&mut counts.files_removed, number(task.inputs.len()));
    add(&mut counts.files_added, number(task.outputs.len()));
    add(&mut counts.bytes_removed, task.inputs.iter().map(|file| file.size).fold(0, u64::saturating_add));
    add(&mut counts.bytes_added, task.outputs.iter().map(|file| file.size).fold(0, u64::saturating_add));
    for (stream, rows) in task.rows.iter().filter(|(_, rows)| rows.before != rows.after) {
        let left = counts.rows_left.entry(*stream).or_default();
        *left = rows_left(*left, &task.kind, rows).ok_or_else(|| outrun("rows would come back that never left"))?;
    }
    Ok(())
}

/// Rows that left so far; `None` when more would come back than left.
pub(crate) fn rows_left(mut left: RowsLeft, kind: &TaskKind, rows: &RowChange) -> Option<RowsLeft> {
    let fewer = rows.before.checked_sub(rows.after);
    match kind {
        TaskKind::Erase { .. } => left.erased = left.erased.checked_add(fewer?)?,
        TaskKind::Expire { .. } => left.expired = left.expired.checked_add(fewer?)?,
        TaskKind::Repair { .. } => left.repaired = left.repaired.checked_add(fewer?)?,
        TaskKind::Undo { record: Some(_), .. } => {
            left.expired = left.expired.checked_sub(rows.after.checked_sub(rows.before)?)?;
        }
        // What another program did was never counted.
        TaskKind::Undo { record: None, .. } => {}
        TaskKind::Compact | TaskKind::Claim(_) | TaskKind::Release { .. } | TaskKind::Floor { .. } => return None,
    }
    Some(left)
}

fn standing(mut standing: Standing, task: &Task) -> Result<Standing, Lost> {
    match &task.kind {
        TaskKind::Compact | TaskKind::Repair { .. } => {}
        TaskKind::Erase { request } => {
            if let Some(claim) = standing.claim.as_mut().filter(|claim| claim.request == *request) {
                claim.until = claim.until.max(task.began_at.later(CLAIM_LASTS));
            }
        }
        TaskKind::Expire { before } => standing.expired_before = standing.expired_before.max(Some(*before)),
        TaskKind::Undo { version, .. } if *version <= standing.readable_from => {
            return Err(outrun(&format!("versions before {} can no longer be read", standing.readable_from)));
        }
        TaskKind::Undo { .. } => {}
        TaskKind::Claim(claim) => standing.claim = Some(claim.clone()),
        TaskKind::Release { request } => match &standing.claim {
            Some(claim) if claim.request == *request => standing.claim = None,
            _ => return Err(outrun("the claim is not held any more")),
        },
        TaskKind::Floor { readable_from, purged_to } => {
            if *readable_from < standing.readable_from || *purged_to < standing.purged_to {
                return Err(outrun(&format!(
                    "it is readable from version {} and purged to record {} already",
                    standing.readable_from, standing.purged_to
                )));
            }
            (standing.readable_from, standing.purged_to) = (*readable_from, *purged_to);
        }
    }
    Ok(standing)
}

fn outrun(reason: &str) -> Lost {
    Lost::Outrun { reason: reason.to_owned() }
}

/// The claim that blocks a task, lapsed or not: it belongs to another request and covers one of the task's partitions,
/// or any partition if the task is a claim.
pub(crate) fn claim_against(claim: &Claim, task: &Task) -> bool {
    let own = match &task.kind {
        TaskKind::Erase { request } | TaskKind::Release { request } => Some(*request),
        TaskKind::Claim(claim) => Some(claim.request),
        // Repaired rows are in another table already; a floor changes no file.
        TaskKind::Repair { .. } | TaskKind::Floor { .. } => return false,
        TaskKind::Compact | TaskKind::Expire { .. } | TaskKind::Undo { .. } => None,
    };
    if own == Some(claim.request) {
        return false;
    }
    let opens = matches!(task.kind, TaskKind::Claim(_));
    let covers = |folder: &&str| claim.partitions.as_ref().is_none_or(|partitions| partitions.contains(*folder));
    opens || task.folders().iter().any(covers)
}

/// The document that follows `current` when the task happens; it names no record yet.
pub(crate) fn document(
    current: &CheckpointDocument,
    task: &Task,
    stream: Stream,
    worker: &str,
) -> Result<CheckpointDocument, Lost> {
    let writer = Writer {
        worker: worker.to_owned(),
        stream_arn: current.head.stream_arn.clone(),
        stream_created_at: current.head.stream_created_at,
        contract_version: current.head.contract_version,
    };
    let mut next = successor(Some(current), current.head.number + 1, &writer);
    next.head.batch_id = task.id;
    if let Some(rows) = task.rows.get(&stream) {
        let left = RowsLeft { erased: next.tally.erased, expired: next.tally.expired, repaired: 0 };
        let left = rows_left(left, &task.kind, rows).ok_or_else(|| outrun("rows would come back that never left"))?;
        (next.tally.erased, next.tally.expired) = (left.erased, left.expired);
    }
    if let TaskKind::Expire { before } = &task.kind {
        next.tally.expired_before = next.tally.expired_before.max(Some(*before));
    }
    Ok(next)
}

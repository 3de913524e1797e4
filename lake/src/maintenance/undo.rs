//! What an undo rests on beside its files: the record that it takes back, and the rows that the table holds after it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use bluelake_schemas::Stream;
use chrono::NaiveDate;

use crate::{
    checkpoint::document::CheckpointDocument,
    layout::REJECTED_EVENTS,
    maintenance::{
        attempt::TableView,
        record::{MaintenanceRecord, TaskKind},
        task::{Lost, Task},
    },
};

/// What a table shows to an undo, all of the snapshot that it is committed on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UndoView {
    /// The record that is taken back, when it is in the chain.
    pub undone: Option<Undone>,
    /// Rows of each stream in the files that stay; `None` when the log has no count of one.
    pub rows: BTreeMap<Stream, Option<u64>>,
    /// Of `rejected_events`: rows of each stream that it was given so far.
    pub given: BTreeMap<Stream, u64>,
}

/// A record that an undo takes back, as the chain has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undone {
    /// The record.
    pub record: MaintenanceRecord,
    /// The record of an undo that has taken it back already.
    pub by: Option<u64>,
    /// Rows of days before this one may be missing when it is taken back: by expiries that still hold.
    pub expired_before: Option<NaiveDate>,
}

/// Looks for a record in the chain, from the newest back.
#[derive(Debug)]
pub struct UndoneSearch {
    wanted: u64,
    /// Records that are taken back, the wanted one among them.
    undone: BTreeSet<u64>,
    record: Option<MaintenanceRecord>,
    by: Option<u64>,
    expired_before: Option<NaiveDate>,
}

impl UndoneSearch {
    /// For this record.
    #[must_use]
    pub fn new(wanted: u64) -> Self {
        Self { wanted, undone: BTreeSet::from([wanted]), record: None, by: None, expired_before: None }
    }

    /// Takes the next older record in; false when no older one matters.
    pub fn take_in(&mut self, record: &MaintenanceRecord) -> bool {
        if self.undone.iter().all(|undone| record.number < *undone) {
            // All that was taken back lies behind: what stood here stands.
            self.expired_before = self.expired_before.max(record.standing.expired_before);
            return false;
        }
        match &record.kind {
            TaskKind::Undo { record: Some(undone), .. } => {
                if *undone == self.wanted {
                    self.by = Some(record.number);
                }
                self.undone.insert(*undone);
            }
            TaskKind::Expire { before } if !self.undone.contains(&record.number) => {
                self.expired_before = self.expired_before.max(Some(*before));
            }
            _ => {}
        }
        if record.number == self.wanted {
            self.record = Some(record.clone());
        }
        true
    }

    /// What was found of it; `None` when it is not in the chain.
    #[must_use]
    pub fn found(self) -> Option<Undone> {
        let Self { record, by, expired_before, .. } = self;
        record.map(|record| Undone { record, by, expired_before })
    }
}

impl Undone {
    /// What stands against taking the record back by this task.
    fn check(&self, task: &Task) -> Result<(), Lost> {
        let number = self.record.number;
        if let Some(by) = self.by {
            return Err(outrun(format!("record {by} has undone it already")));
        }
        if !matches!(self.record.kind, TaskKind::Compact | TaskKind::Expire { .. }) {
            return Err(outrun(format!("record {number} is of the kind {}", self.record.kind.name())));
        }
        let removed: BTreeSet<String> = self.record.removed_files().map(|(path, _)| path).collect();
        let added: BTreeSet<&str> = self.record.added.iter().map(|file| file.path.as_str()).collect();
        let mirrored = task.outputs.len() == removed.len()
            && task.inputs.len() == added.len()
            && task.outputs.iter().all(|file| removed.contains(&file.path))
            && task.inputs.iter().all(|file| added.contains(file.path.as_str()));
        if mirrored { Ok(()) } else { Err(outrun(format!("record {number} changed other files"))) }
    }
}

/// Checks that an undo takes back what it says, and that the table then holds the rows that its documents say, but for what
/// other programs changed and nobody has undone yet. `record` and `document` are those of the undo; without a document of
/// its own the one in force stays.
pub(crate) fn check(
    view: &TableView,
    task: &Task,
    record: &mut MaintenanceRecord,
    document: Option<&mut CheckpointDocument>,
) -> Result<(), Lost> {
    let TaskKind::Undo { record: number, .. } = task.kind else { return Ok(()) };
    if let Some(number) = number {
        let undone = view.undo.undone.as_ref().filter(|undone| undone.record.number == number);
        let undone = undone.ok_or_else(|| outrun(format!("record {number} is not of the table")))?;
        undone.check(task)?;
        record.standing.expired_before = undone.expired_before;
    }
    let document = document.map(|document| {
        document.tally.expired_before = record.standing.expired_before;
        &*document
    });
    for (stream, current) in &view.documents {
        let staying = view.undo.rows.get(stream).copied().flatten();
        let coming = task.rows.get(stream).map_or(0, |rows| rows.after);
        let found = staying.and_then(|rows| rows.checked_add(coming));
        let counted = if view.table == REJECTED_EVENTS {
            let left = record.counts.rows_left.get(stream).copied().unwrap_or_default().sum();
            let given = view.undo.given.get(stream).copied().unwrap_or_default();
            left.and_then(|left| given.checked_sub(left))
        } else {
            document.or(current.as_ref()).map_or(Some(0), CheckpointDocument::expected_rows)
        };
        let foreign = task.undo.foreign_rows.get(stream).copied().unwrap_or_default();
        let expected = counted.and_then(|rows| rows.checked_add_signed(foreign));
        if found.is_none() || found != expected {
            return Err(Lost::Rows { stream: *stream, found, expected });
        }
    }
    Ok(())
}

fn outrun(reason: String) -> Lost {
    Lost::Outrun { reason }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::maintenance::{successor, task::tests::task};

    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, number).unwrap()
    }

    fn expire(number: u32) -> TaskKind {
        TaskKind::Expire { before: day(number) }
    }

    fn undo(record: u64) -> TaskKind {
        TaskKind::Undo { version: 90 + record, record: Some(record) }
    }

    /// The chain that these tasks make, the oldest first.
    fn chain(kinds: &[TaskKind]) -> Vec<MaintenanceRecord> {
        let mut records: Vec<MaintenanceRecord> = Vec::new();
        for kind in kinds {
            let mut task = task(kind.clone(), 5);
            task.id = Uuid::from_u128(u128::try_from(records.len()).unwrap());
            let mut record = successor::record(records.last(), &task, "w").unwrap();
            if let TaskKind::Undo { record: Some(undone), .. } = kind {
                record.standing.expired_before = look(&records, *undone).0.unwrap().expired_before;
            }
            record.seal().unwrap();
            records.push(record);
        }
        records
    }

    /// What is found of a record, and how many records were read for it.
    fn look(records: &[MaintenanceRecord], wanted: u64) -> (Option<Undone>, usize) {
        let mut search = UndoneSearch::new(wanted);
        let read = records.iter().rev().take_while(|record| search.take_in(record)).count();
        (search.found(), read)
    }

    #[test]
    fn missing_days_fall_back_to_valid_expiries() {
        let fallen = |kinds: &[TaskKind], wanted| look(&chain(kinds), wanted).0.unwrap().expired_before;
        assert_eq!(fallen(&[expire(3)], 1), None);
        assert_eq!(fallen(&[expire(3), expire(5)], 2), Some(day(3)));
        assert_eq!(fallen(&[expire(3), expire(5)], 1), Some(day(5)), "later ones hold");
        assert_eq!(fallen(&[expire(5), expire(3)], 1), Some(day(3)));
        assert_eq!(fallen(&[expire(3), expire(5), undo(1)], 2), None, "an older one is undone");
        assert_eq!(fallen(&[expire(3), expire(5), undo(2)], 1), None, "a newer one is undone");
        assert_eq!(fallen(&[expire(2), expire(3), undo(1), expire(5)], 4), Some(day(3)));
        assert_eq!(fallen(&[expire(2), expire(3), expire(4), undo(2)], 3), Some(day(2)));
    }

    #[test]
    fn a_record_is_looked_for_no_further_than_needed() {
        let records = chain(&[TaskKind::Compact, expire(3), TaskKind::Compact, expire(5), TaskKind::Compact]);
        assert_eq!(look(&records, 4).1, 2);
        assert_eq!(look(&records, 9), (None, 0));
    }

    #[test]
    fn a_record_that_is_undone_says_by_which() {
        let records = chain(&[expire(3), TaskKind::Compact, undo(1)]);
        let undone = look(&records, 1).0.unwrap();
        assert_eq!((undone.by, undone.record.number), (Some(3), 1));
        assert_eq!(look(&records, 2).0.unwrap().by, None);
    }
}

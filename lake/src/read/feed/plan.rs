//! What versions did to the rows of a table, from their log and the records that they put in force. Pure.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::{Extent, FeedFile, FeedStep, StepBounds, TableChange, partition_of, partition_values};
use crate::{
    commit::log::version::{LogVersion, LoggedFile},
    maintenance::record::{MaintenanceRecord, TaskKind},
};

/// A version, and what belongs to it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) version: LogVersion,
    /// The record that it put in force.
    pub(crate) record: Option<MaintenanceRecord>,
    /// The list of the rows that an erasure touched, if it is there.
    pub(crate) touched: Option<String>,
}

/// Why versions cannot be told as steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Another program changed rows in this version, and none of the later ones undid it.
    Foreign(u64),
    /// A file left, and nobody knows its partition.
    Unknown {
        /// The version.
        version: u64,
        /// The file.
        path: String,
    },
}

/// The steps of versions that follow each other, the first of which follows `from`. `expired_before` is what held at
/// `from`.
pub(crate) fn plan(
    seen: &[Seen],
    from: u64,
    columns: [&'static str; 2],
    expired_before: Option<NaiveDate>,
    bounds: StepBounds,
) -> Result<Vec<FeedStep>, Obstacle> {
    let undone = seen.iter().filter_map(|seen| seen.record.as_ref()?.kind.undone_version()).collect();
    let mut planner = Planner { columns, expired_before, undone, bounds, steps: Vec::new(), held: from };
    for one in seen {
        let change = planner.change(one)?;
        planner.push(&one.version, change);
    }
    Ok(planner.steps)
}

/// A file as the feed names it; `None` when the log does not say its partition or its rows, or hides some of them.
pub(crate) fn feed_file(file: &LoggedFile, columns: [&str; 2]) -> Option<FeedFile> {
    let partition = partition_values(&file.partition_values, columns)?;
    let rows = file.rows.filter(|_| !file.has_deletions)?;
    Some(FeedFile { path: file.path.clone(), size: file.size, rows, partition })
}

struct Planner {
    columns: [&'static str; 2],
    /// Rows of days before this one expired.
    expired_before: Option<NaiveDate>,
    /// Versions that later ones undo.
    undone: BTreeSet<u64>,
    bounds: StepBounds,
    steps: Vec<FeedStep>,
    /// The version that a copy holds after the steps so far.
    held: u64,
}

impl Planner {
    fn change(&mut self, seen: &Seen) -> Result<TableChange, Obstacle> {
        let version = &seen.version;
        let Some(record) = &seen.record else { return self.without_record(version) };
        let before = std::mem::replace(&mut self.expired_before, record.standing.expired_before);
        match &record.kind {
            TaskKind::Compact | TaskKind::Claim(_) | TaskKind::Release { .. } | TaskKind::Floor { .. } => {
                Ok(TableChange::Same)
            }
            TaskKind::Expire { .. } => Ok(match self.expired_before {
                Some(now) if before < Some(now) => TableChange::Expired(now),
                // Rows that came late: a copy has none of them.
                _ => TableChange::Same,
            }),
            TaskKind::Erase { .. } => {
                let files = self.files(version)?;
                match &seen.touched {
                    // The list names rows of expired days, too: a copy has none of them.
                    Some(touched) if files.len() == version.added.len() => {
                        Ok(TableChange::Changed { touched: touched.clone(), files })
                    }
                    _ => self.replaced(version),
                }
            }
            TaskKind::Undo { .. } if self.expired_before != before => {
                let from = before.min(self.expired_before);
                let end = before.max(self.expired_before);
                Ok(end.map_or(TableChange::Same, |before| TableChange::Replaced(Extent::Days { from, before })))
            }
            TaskKind::Undo { .. } if version.is_quiet() => Ok(TableChange::Same),
            TaskKind::Repair { .. } | TaskKind::Undo { .. } => self.replaced(version),
        }
    }

    fn without_record(&self, version: &LogVersion) -> Result<TableChange, Obstacle> {
        if !version.changes_files() {
            return Ok(if version.changes_table { TableChange::Columns } else { TableChange::Same });
        }
        if version.is_foreign() {
            // By its own words no row changed; or what it changed is changed back before anybody looks.
            let is_harmless = version.is_quiet() || self.undone.contains(&version.number);
            return if is_harmless { Ok(TableChange::Same) } else { Err(Obstacle::Foreign(version.number)) };
        }
        if version.removed.is_empty() {
            return self.files(version).map(TableChange::Append);
        }
        self.replaced(version)
    }

    /// The files that came, without those of days that expired: their rows came late, and nobody sees them.
    fn files(&self, version: &LogVersion) -> Result<Vec<FeedFile>, Obstacle> {
        let mut files = Vec::new();
        for file in &version.added {
            let file = feed_file(file, self.columns).ok_or(Obstacle::Foreign(version.number))?;
            let day = file.partition[1].parse::<NaiveDate>().ok();
            if day.zip(self.expired_before).is_none_or(|(day, before)| day >= before) {
                files.push(file);
            }
        }
        Ok(files)
    }

    fn replaced(&self, version: &LogVersion) -> Result<TableChange, Obstacle> {
        let mut partitions = BTreeSet::new();
        for file in &version.added {
            let partition = partition_values(&file.partition_values, self.columns);
            partitions.insert(partition.ok_or(Obstacle::Foreign(version.number))?);
        }
        for file in &version.removed {
            let unknown = || Obstacle::Unknown { version: version.number, path: file.path.clone() };
            partitions.insert(partition_of(&file.path, self.columns).ok_or_else(unknown)?);
        }
        Ok(TableChange::Replaced(Extent::Partitions(partitions)))
    }

    /// Adds a step, or lengthens the last one.
    fn push(&mut self, version: &LogVersion, change: TableChange) {
        let from = std::mem::replace(&mut self.held, version.number);
        let bounds = self.bounds;
        if let Some(last) = self.steps.last_mut() {
            let joined = match (&mut last.change, &change) {
                // What follows without a change of rows moves the version only.
                (_, TableChange::Same) => true,
                (held @ TableChange::Same, TableChange::Append(_)) => {
                    *held = change.clone();
                    true
                }
                (TableChange::Append(files), TableChange::Append(more)) if bounds.hold(files, more) => {
                    files.extend_from_slice(more);
                    true
                }
                _ => false,
            };
            if joined {
                (last.to, last.written_at) = (version.number, version.written_at);
                return;
            }
        }
        self.steps.push(FeedStep { from, to: version.number, written_at: version.written_at, change });
    }
}

impl StepBounds {
    fn hold(self, files: &[FeedFile], more: &[FeedFile]) -> bool {
        let sum = |of: fn(&FeedFile) -> u64| files.iter().chain(more).map(of).fold(0_u64, u64::saturating_add);
        sum(|file| file.rows) <= self.rows && sum(|file| file.size) <= self.bytes
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests;

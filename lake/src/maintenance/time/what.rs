//! What a version was, by its log, the document and the record that it put in force. Pure.

use serde::Serialize;

use crate::{
    checkpoint::document::CheckpointDocument,
    commit::log::version::LogVersion,
    layout::REJECTED_EVENTS,
    maintenance::record::{MaintenanceRecord, TaskKind},
};

/// What a version did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It made the table.
    Create,
    /// It changed columns or properties of the table, and no file.
    Settings,
    /// Ingest pinned where reading begins, and brought no row.
    Pin,
    /// A batch of ingest.
    Batch,
    /// Records that Kinesis still held were brought in once more.
    Replay,
    /// An archive was brought in.
    Backfill,
    /// Rejected events were brought in.
    Follow,
    /// The same rows in other files.
    Compact,
    /// Rows of erased persons.
    Erase,
    /// Rows of old days left.
    Expire,
    /// Rejected events were judged anew.
    Repair,
    /// What another version changed was changed back.
    Undo,
    /// An erasure claimed partitions.
    Claim,
    /// An erasure gave its claim back.
    Release,
    /// Older versions are promised no more.
    Floor,
    /// Maintenance whose record cannot be read.
    Maintenance,
    /// Another program changed files.
    Foreign,
    /// None of these.
    Other,
}

impl What {
    /// As one word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Settings => "settings",
            Self::Pin => "pin",
            Self::Batch => "batch",
            Self::Replay => "replay",
            Self::Backfill => "backfill",
            Self::Follow => "follow",
            Self::Compact => "compact",
            Self::Erase => "erase",
            Self::Expire => "expire",
            Self::Repair => "repair",
            Self::Undo => "undo",
            Self::Claim => "claim",
            Self::Release => "release",
            Self::Floor => "floor",
            Self::Maintenance => "maintenance",
            Self::Foreign => "FOREIGN",
            Self::Other => "other",
        }
    }

    /// What a version of maintenance was.
    pub(super) fn of_record(record: Option<&MaintenanceRecord>) -> Self {
        match record.map(|record| &record.kind) {
            Some(TaskKind::Compact) => Self::Compact,
            Some(TaskKind::Erase { .. }) => Self::Erase,
            Some(TaskKind::Expire { .. }) => Self::Expire,
            Some(TaskKind::Repair { .. }) => Self::Repair,
            Some(TaskKind::Undo { .. }) => Self::Undo,
            Some(TaskKind::Claim(_)) => Self::Claim,
            Some(TaskKind::Release { .. }) => Self::Release,
            Some(TaskKind::Floor { .. }) => Self::Floor,
            None => Self::Maintenance,
        }
    }

    /// What a version was that put this document in force; `before` is the one that it builds on, where that was needed and
    /// could be read.
    pub(super) fn of_document(
        table: &str,
        version: &LogVersion,
        document: Option<&CheckpointDocument>,
        before: Option<&CheckpointDocument>,
    ) -> Self {
        if table == REJECTED_EVENTS {
            return Self::Follow;
        }
        let Some(document) = document else { return Self::Batch };
        let commit = &document.commit;
        if commit.repair.is_some() {
            Self::Repair
        } else if !commit.archive_ranges.is_empty() {
            Self::Backfill
        } else if may_be_replay(document) && before.is_some_and(|it| it.tally.supplements < document.tally.supplements)
        {
            Self::Replay
        } else if !version.changes_files()
            && !commit.ranges.is_empty()
            && commit.ranges.iter().all(|range| range.from_exclusive.is_none())
        {
            Self::Pin
        } else {
            Self::Batch
        }
    }

    /// What a version was that has no number of ours.
    pub(super) fn of_others(version: &LogVersion) -> Self {
        if version.number == 0 && !version.changes_files() {
            Self::Create
        } else if version.changes_files() {
            Self::Foreign
        } else if version.changes_table {
            Self::Settings
        } else {
            Self::Other
        }
    }
}

/// Whether the document before must be asked to know it from a replay.
pub(super) fn may_be_replay(document: &CheckpointDocument) -> bool {
    document.commit.ranges.is_empty() && document.commit.archive_ranges.is_empty() && document.tally.supplements > 0
}

//! A batch that is not committed yet: its id and the files that it has so far.

use std::sync::Arc;

use bluelake_lake::{DataFile, StreamTable, Uploader};
use bluelake_schemas::Stream;
use bluelake_transform::TableLayout;
use uuid::Uuid;

use crate::progress::{Progress, WorkerStep};

/// A batch that is not committed yet: its id, and the files that it has so far.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    id: Uuid,
    files: Vec<DataFile>,
    rejected_files: Vec<DataFile>,
    next_number: usize,
    progress: Option<Arc<Progress>>,
}

/// The files of a draft by their paths: of events and of rejected events.
#[derive(Debug)]
pub(crate) struct DraftFiles {
    pub(crate) events: Vec<DataFile>,
    pub(crate) rejected: Vec<DataFile>,
}

/// The table that rows go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Events,
    Rejected,
}

/// Where the files of a stream go.
#[derive(Clone, Debug)]
pub(crate) struct Uploaders {
    pub(crate) stream: Stream,
    events: Uploader,
    rejected: Uploader,
}

impl Draft {
    /// A new batch without files.
    pub(crate) fn new() -> Self {
        let (files, rejected_files) = (Vec::new(), Vec::new());
        Self { id: Uuid::now_v7(), files, rejected_files, next_number: 0, progress: None }
    }

    /// As [`Self::new`], for a worker that reports its steps.
    pub(crate) fn reported_to(progress: &Arc<Progress>) -> Self {
        Self { progress: Some(progress.clone()), ..Self::new() }
    }

    /// Reports a step.
    pub(crate) fn observe_step(&self, step: WorkerStep) {
        if let Some(progress) = &self.progress {
            progress.observe_step(step);
        }
    }

    /// The batch's id.
    pub(crate) fn id(&self) -> Uuid {
        self.id
    }

    /// Bytes of its files.
    pub(crate) fn file_bytes(&self) -> usize {
        let sizes = self.files.iter().chain(&self.rejected_files).map(|file| file.size);
        usize::try_from(sizes.sum::<u64>()).unwrap_or(usize::MAX)
    }

    /// The number of its next file; none is given twice.
    pub(crate) fn take_number(&mut self) -> usize {
        self.next_number += 1;
        self.next_number - 1
    }

    /// Adds a file that was uploaded.
    pub(crate) fn add(&mut self, target: Target, file: DataFile) {
        match target {
            Target::Events => self.files.push(file),
            Target::Rejected => self.rejected_files.push(file),
        }
    }

    /// Its files, in the order of their paths.
    pub(crate) fn into_files(self) -> DraftFiles {
        let Self { files: mut events, rejected_files: mut rejected, .. } = self;
        events.sort_by(|left, right| left.path.cmp(&right.path));
        rejected.sort_by(|left, right| left.path.cmp(&right.path));
        DraftFiles { events, rejected }
    }
}

impl Target {
    /// How the files of the table are laid out.
    pub(crate) fn layout(self) -> TableLayout {
        match self {
            Self::Events => TableLayout::EVENTS,
            Self::Rejected => TableLayout::REJECTED,
        }
    }
}

impl Uploaders {
    /// Those of this table.
    pub(crate) fn of(table: &StreamTable) -> Self {
        Self { stream: table.stream(), events: table.event_uploader(), rejected: table.rejected_uploader() }
    }

    /// The one of a table.
    pub(crate) fn to(&self, target: Target) -> Uploader {
        match target {
            Target::Events => self.events.clone(),
            Target::Rejected => self.rejected.clone(),
        }
    }
}

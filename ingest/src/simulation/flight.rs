//! A flush: the files of a batch are uploaded one by one, then the batch is committed.

use std::{collections::BTreeMap, sync::Arc};

use bluelake_lake::{Batch, CommitOutcome, DataFile, ShardAdvance, Writer};
use bluelake_schemas::Millis;
use rand::Rng as _;
use uuid::Uuid;

use super::{
    env::Env,
    reader::SimRows,
    store::{Fate, Item, Request, StoreFault, event_file},
    table::{Committing, Table},
};
use crate::landing::buffer::Buffered;

/// A batch that is not committed yet: its id, and the files that it has so far.
#[derive(Debug)]
pub(super) struct Draft {
    id: Uuid,
    files: Vec<DataFile>,
    rejected_files: Vec<DataFile>,
    /// Events that went ahead.
    ahead: Vec<Item>,
    next_number: usize,
}

impl Draft {
    pub(super) fn new(env: &mut Env) -> Self {
        let id = Uuid::from_u128(env.random.random());
        Self { id, files: Vec::new(), rejected_files: Vec::new(), ahead: Vec::new(), next_number: 0 }
    }

    /// Uploads events as files, one for each day and one for those rejected, and takes them in when all have landed.
    pub(super) fn upload(&mut self, items: &[Item], env: &mut Env) -> Result<(), StoreFault> {
        let (mut files, mut rejected_files) = (Vec::new(), Vec::new());
        for day in 1..=3 {
            let wanted = |item: &&Item| item.fate == Fate::Stored && item.day() == day;
            if let Some(file) = self.upload_file(items.iter().filter(wanted), env)? {
                files.push(file);
            }
        }
        if let Some(file) = self.upload_file(items.iter().filter(|item| item.fate == Fate::Rejected), env)? {
            rejected_files.push(DataFile { partition_values: BTreeMap::new(), ..file });
        }
        self.files.extend(files);
        self.rejected_files.extend(rejected_files);
        self.ahead.extend_from_slice(items);
        Ok(())
    }

    fn upload_file<'a>(
        &mut self,
        rows: impl Iterator<Item = &'a Item>,
        env: &mut Env,
    ) -> Result<Option<DataFile>, StoreFault> {
        let rows: Arc<[Item]> = rows.cloned().collect();
        let Some(first) = rows.first() else { return Ok(None) };
        let name = format!("{}-{:05}", self.id, self.next_number);
        let mut file = event_file(&name, first.day(), &rows, env.now);
        if first.fate == Fate::Rejected {
            file.path = format!("rejected_events/{name}.parquet");
        }
        self.next_number += 1;
        env.send(Request::Rows { path: file.path.clone(), items: rows })?;
        // Their own place in the store says when they were written.
        let modified_at = env.store.file_written_at(&file.path).ok_or(StoreFault::Unclear)?;
        Ok(Some(DataFile { modified_at: Millis::new(modified_at), ..file }))
    }
}

enum Leg {
    Upload { draft: Draft, items: Vec<Item>, base: u64 },
    Commit(Box<Committing>),
}

pub(super) struct Flight {
    /// `None` only inside a step.
    leg: Option<Leg>,
    shards: Vec<ShardAdvance>,
    /// The erasure epoch of the time when its rows were read.
    epoch: u64,
    stood_still: bool,
}

impl Flight {
    pub(super) fn new(draft: Draft, buffered: Buffered<SimRows>, base: u64, epoch: u64) -> Self {
        let items = buffered.rows.into_iter().flat_map(|rows| rows.0).collect();
        Self { leg: Some(Leg::Upload { draft, items, base }), shards: buffered.shards, epoch, stood_still: false }
    }

    /// How far the batch moves each shard.
    pub(super) fn shards(&self) -> &[ShardAdvance] {
        &self.shards
    }

    pub(super) fn is_in_commit(&self) -> bool {
        matches!(&self.leg, Some(Leg::Commit(committing)) if committing.is_midway())
    }

    pub(super) fn stood_still(&mut self) {
        self.stood_still = true;
        if let Some(Leg::Commit(committing)) = &mut self.leg {
            committing.stood_still = true;
        }
    }

    /// One step; `Some` when the outcome of the batch is settled.
    pub(super) fn step(&mut self, table: &mut Table, writer: &Writer, env: &mut Env) -> Option<CommitOutcome> {
        match self.leg.take()? {
            Leg::Upload { mut draft, items, base } => {
                let next = if draft.upload(&items, env).is_err() {
                    Leg::Upload { draft, items, base }
                } else {
                    self.committing(draft, base, env)
                };
                self.leg = Some(next);
                None
            }
            Leg::Commit(mut committing) => {
                let outcome = committing.step(table, writer, env);
                self.leg = Some(Leg::Commit(committing));
                outcome
            }
        }
    }

    fn committing(&self, draft: Draft, base: u64, env: &mut Env) -> Leg {
        let Draft { id, files, rejected_files, ahead: items, .. } = draft;
        if files.is_empty() && !rejected_files.is_empty() {
            env.count("batch without a stored row");
        }
        let batch = Batch {
            id,
            base,
            erasure_epoch: self.epoch,
            shards: self.shards.clone(),
            retire: Vec::new(),
            supplement: None,
            files,
            rejected_files,
        };
        let mut committing = Committing::new(batch, items, Some(self.epoch));
        committing.stood_still = self.stood_still;
        Leg::Commit(Box::new(committing))
    }
}

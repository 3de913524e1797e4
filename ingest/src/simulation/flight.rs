//! A flush: the files of a batch are uploaded one by one, then the batch is committed.

use std::collections::BTreeMap;

use bluelake_lake::{Batch, CommitOutcome, DataFile, ShardAdvance, Writer};
use bluelake_schemas::Millis;
use rand::Rng as _;
use uuid::Uuid;

use super::{
    env::Env,
    reader::SimRows,
    store::{Fate, Item, Request, StoreFault},
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

    /// Uploads events as files, and takes them in when all have landed.
    pub(super) fn upload(&mut self, items: &[Item], env: &mut Env) -> Result<(), StoreFault> {
        let mut uploaded = Vec::new();
        for fate in [Fate::Stored, Fate::Rejected] {
            let rows: Vec<Item> = items.iter().filter(|item| item.fate == fate).cloned().collect();
            if rows.is_empty() {
                continue;
            }
            let path = format!("{fate:?}/{}-{}.parquet", self.id, self.next_number);
            self.next_number += 1;
            let count = u64::try_from(rows.len()).unwrap();
            env.send(Request::Rows { path: path.clone(), items: rows })?;
            // Their own place in the store says when they were written.
            let modified_at = env.store.file_written_at(&path).ok_or(StoreFault::Unclear)?;
            let file = DataFile {
                path,
                partition_values: BTreeMap::new(),
                size: 1,
                modified_at: Millis::new(modified_at),
                rows: count,
                statistics: String::new(),
            };
            uploaded.push((fate, file));
        }
        for (fate, file) in uploaded {
            if fate == Fate::Stored { self.files.push(file) } else { self.rejected_files.push(file) }
        }
        self.ahead.extend_from_slice(items);
        Ok(())
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
    stood_still: bool,
}

impl Flight {
    pub(super) fn new(draft: Draft, buffered: Buffered<SimRows>, base: u64) -> Self {
        let items = buffered.rows.into_iter().flat_map(|rows| rows.0).collect();
        Self { leg: Some(Leg::Upload { draft, items, base }), shards: buffered.shards, stood_still: false }
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

    /// One step; `Some` when it is settled what became of the batch.
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
            erasure_epoch: 0,
            shards: self.shards.clone(),
            retire: Vec::new(),
            supplement: None,
            files,
            rejected_files,
        };
        let mut committing = Committing::new(batch, items);
        committing.stood_still = self.stood_still;
        Leg::Commit(Box::new(committing))
    }
}

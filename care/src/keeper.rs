//! Automatic compaction beside ingest: a task now and then, in this worker's partitions, and none while ingest is busy.

use std::time::Duration;

use bluelake_lake::{Lake, TaskOutcome, table_names};
use bluelake_schemas::Contract;

use crate::{
    compaction::{CompactionOptions, LOST_IN_A_ROW, MergedPartition, Run},
    error::CareError,
    status::FileCounts,
};

/// Shortest and longest time between two looks at a table. A worker makes at most one maintenance commit a minute in a
/// table.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(75));
/// Looks for which a table is left alone after too many lost tasks in a row: as many as end a manual compaction.
const LEFT_ALONE: usize = 10;

/// What the keeper needs from its caller.
pub trait Surroundings: Send + Sync {
    /// Whether this worker compacts a partition, which is a folder below the lake.
    fn is_mine(&self, partition: &str) -> bool;

    /// Whether ingest needs the whole machine now.
    fn is_pressed(&self) -> bool;

    /// How the files of a table stand, each time that it was looked at.
    fn looked(&self, counts: FileCounts);
}

/// A table of the lake.
struct Kept<'a> {
    name: &'static str,
    /// It is open since the last successful look.
    run: Option<Run<'a>>,
    /// Looks for which it is left alone.
    rest: usize,
    /// Tasks in a row that failed or were lost.
    lost: usize,
}

/// Compacts the tables of a lake as long as it runs. It never ends by itself: failures are logged and tried again.
pub async fn keep_compact(
    lake: Lake,
    contract: Contract,
    options: CompactionOptions,
    surroundings: impl Surroundings,
) -> std::convert::Infallible {
    let mut tables: Vec<Kept<'_>> = table_names().map(|name| Kept { name, run: None, rest: 0, lost: 0 }).collect();
    loop {
        let (shortest, longest) = PAUSE;
        tokio::time::sleep(lake.chance().duration(shortest..=longest)).await;
        for table in &mut tables {
            if table.rest > 0 {
                table.rest -= 1;
                continue;
            }
            match table.task((&lake, &contract, &options), &surroundings).await {
                Ok(Some(TaskOutcome::Lost(_))) => table.lost += 1,
                Ok(_) => table.lost = 0,
                Err(error) => {
                    let error = bluelake_lake::causes(&error);
                    tracing::warn!(table = table.name, error, "a compaction failed; trying again later");
                    table.lost += 1;
                    table.run = None;
                }
            }
            if table.lost >= LOST_IN_A_ROW {
                (table.rest, table.lost) = (LEFT_ALONE, 0);
            }
        }
    }
}

impl<'a> Kept<'a> {
    async fn task(
        &mut self,
        (lake, contract, options): (&'a Lake, &'a Contract, &'a CompactionOptions),
        surroundings: &impl Surroundings,
    ) -> Result<Option<TaskOutcome>, CareError> {
        let table = self.name;
        let run = match &mut self.run {
            Some(run) => run,
            none => none.insert(Run::open(lake, table, contract, options).await?),
        };
        let known = run.left().clone();
        let is_pressed = surroundings.is_pressed();
        let wanted = |partition: &str| !is_pressed && surroundings.is_mine(&format!("{table}/{partition}"));
        let outcome = run.one_task(&wanted).await?;
        surroundings.looked(run.counts().clone());
        for MergedPartition { partition, files, bytes, outputs } in run.take_merges() {
            tracing::info!(table, partition, files, bytes, outputs, "compacted");
        }
        for (path, reason) in run.left().iter().filter(|(path, _)| !known.contains_key(*path)) {
            tracing::warn!(table, path, reason, "a file cannot be merged and stays as it is");
        }
        Ok(outcome)
    }
}

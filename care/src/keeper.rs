//! Compaction by itself, beside ingest: a task now and then, of the partitions that are this worker's, and none while ingest
//! has enough to do.

use std::{collections::BTreeMap, time::Duration};

use bluelake_lake::{Lake, REJECTED_EVENTS, TaskOutcome};
use bluelake_schemas::{Contract, Stream};

use crate::{
    compaction::{CompactionOptions, Run},
    error::CareError,
};

/// Shortest and longest time between two looks at a table. A table has one maintenance commit a minute at most of a worker.
const PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(75));
/// Tasks in a row that may be lost before a table is left alone for a while.
const LOST_IN_A_ROW: usize = 3;
/// How long.
const LEFT_ALONE: usize = 10;

/// What the keeper asks of who runs it.
pub trait Surroundings: Send + Sync {
    /// Whether this worker is the one that compacts a partition: a folder below the lake.
    fn is_mine(&self, partition: &str) -> bool;

    /// Whether ingest needs the machine for itself now.
    fn is_pressed(&self) -> bool;
}

/// Compacts the tables of a lake for as long as it runs. It never ends by itself: what fails is logged and tried again.
pub async fn keep_compact(
    lake: Lake,
    contract: Contract,
    options: CompactionOptions,
    surroundings: impl Surroundings,
) -> std::convert::Infallible {
    let tables: Vec<&str> = Stream::ALL.into_iter().map(Stream::table).chain([REJECTED_EVENTS]).collect();
    // Rounds that a table is left alone for, and tasks that it lost in a row.
    let mut rests: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    loop {
        let (shortest, longest) = PAUSE;
        tokio::time::sleep(lake.chance().duration(shortest..=longest)).await;
        for table in &tables {
            let (rest, lost) = rests.entry(table).or_default();
            if *rest > 0 || surroundings.is_pressed() {
                *rest = rest.saturating_sub(1);
                continue;
            }
            match task(&lake, table, &contract, &options, &surroundings).await {
                Ok(Some(TaskOutcome::Lost(_))) => *lost += 1,
                Ok(_) => *lost = 0,
                Err(error) => {
                    tracing::warn!(
                        table,
                        error = bluelake_lake::causes(&error),
                        "a compaction failed; trying again later"
                    );
                    *lost += 1;
                }
            }
            if *lost >= LOST_IN_A_ROW {
                (*rest, *lost) = (LEFT_ALONE, 0);
            }
        }
    }
}

async fn task(
    lake: &Lake,
    table: &str,
    contract: &Contract,
    options: &CompactionOptions,
    surroundings: &impl Surroundings,
) -> Result<Option<TaskOutcome>, CareError> {
    let mut run = Run::open(lake, table, contract, options).await?;
    let outcome = run.one_task(&|partition| surroundings.is_mine(&format!("{table}/{partition}"))).await?;
    let found = run.found();
    for merge in &found.merges {
        tracing::info!(
            table,
            partition = merge.partition,
            files = merge.files,
            bytes = merge.bytes,
            outputs = merge.outputs,
            "compacted"
        );
    }
    for (path, reason) in &found.left {
        tracing::warn!(table, path, reason, "a file cannot be merged and stays as it is");
    }
    if let Some(TaskOutcome::Lost(reason)) = &outcome {
        tracing::info!(table, %reason, "a compaction was overtaken");
    }
    Ok(outcome)
}

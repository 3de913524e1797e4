//! A seeded simulation of everything around the pure decisions: a stream that splits, merges, trims and throttles; a
//! store that loses answers and lets requests land late; workers that crash, stand still and come back as zombies. The
//! decisions are the real ones: lineage, first acts, gaps, shares, cursors, windows, buffer, the checkpoint algebra and
//! the settlement of commits. The parts between them (tasks, channels, clients) are simulated.
//!
//! One seed is one run: chance and time come from the seed alone. See `docs/simulation.md`.
//!
//! | variable | then |
//! | --- | --- |
//! | `BLUELAKE_SIMULATION_SEEDS=50000` | this number of seeds, from 0 on |
//! | `BLUELAKE_SIMULATION_SEED=17` | this seed alone, with its event log |

mod env;
mod flight;
mod follow;
mod maintenance;
mod oracle;
mod reader;
mod run;
mod store;
mod table;
mod worker;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use env::Counters;
use run::{Outcome, run};

/// Seeds of a run without variables.
const SEEDS: u64 = if cfg!(debug_assertions) { 200 } else { 10_000 };

/// What a run over the default seeds must have seen.
const MUST_HAPPEN: &[&str] = &[
    "a claim lapsed",
    "another program added rows",
    "another program deleted rows",
    "another program lost its files",
    "another program merged files",
    "answer lost",
    "batch expired",
    "batch fenced by an erasure",
    "batch landed behind a maintenance commit",
    "batch without a stored row",
    "child of a merge read",
    "child waits for a parent",
    "claim given back",
    "claim kept a task out",
    "commit behind one that did not matter",
    "compacted",
    "compaction lost its answer and was found in the chain",
    "conflict",
    "crash",
    "crash in a commit",
    "delayed request landed",
    "delayed request refused",
    "document number of a task taken",
    "document number skipped",
    "document number taken",
    "duplicate",
    "duplicate of an ancestor's event",
    "empty page of a closed shard",
    "empty while behind",
    "ended without a record",
    "ended without a signal",
    "entry retired",
    "epoch raised",
    "everything vacuumed",
    "expired",
    "fenced",
    "first act fenced",
    "floor raised",
    "floor was further already",
    "gap accepted",
    "gap found",
    "handing over",
    "idle for longer than the retention",
    "iterator expired",
    "left in order",
    "lost answer had landed",
    "maintainer killed in the middle",
    "maintainer refused a table that another program changed",
    "maintainer stands still",
    "maintenance commit lost a race",
    "merge",
    "operator restored the table",
    "orphan deleted",
    "own success met as taken",
    "partitions claimed",
    "pin inherited",
    "pinned",
    "position trimmed",
    "read after the retention",
    "read failed",
    "record number skipped",
    "record number taken",
    "records replayed",
    "rejected events followed for another",
    "retired file deleted",
    "rows landed in an expired day",
    "same answer twice",
    "shard let go",
    "shard vanished",
    "split",
    "stands still",
    "taken over",
    "task given up as contended",
    "task lost its answer and was found in the chain",
    "task lost to an erasure",
    "task lost to another program",
    "task lost to one that changed rows",
    "task tried again",
    "task was outrun",
    "task was too old",
    "recorded as drained",
    "tried again",
    "two compactions raced for one file",
    "undid a compaction",
    "undid an expiry",
    "undid another program's change",
    "undo came too late",
    "vacuum finished another's deletes",
    "vacuum kept what an undo put back",
    "vacuum went on after it stood still",
    "window not rebuilt",
    "window rebuilt",
    "worker refused a table that another program changed",
    "written ahead",
    "zombie refused",
    "zombie task refused",
];

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} should be a number, it is {text:?}")))
}

/// The run of a seed; a panic in it is a finding too.
fn examine(seed: u64, log: bool) -> Outcome {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, log)));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Outcome { counters: Counters::new(), finding: Some(format!("panic: {text:?}")), lines: Vec::new() }
    })
}

/// Runs seeds on all processors; gives the counters and the findings.
fn examine_all(seeds: u64) -> (Counters, Vec<(u64, String)>) {
    let next = AtomicU64::new(0);
    let result = Mutex::new((Counters::new(), Vec::new()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let outcome = examine(seed, false);
                    let mut result = result.lock().unwrap();
                    for (what, count) in outcome.counters {
                        *result.0.entry(what).or_default() += count;
                    }
                    result.1.extend(outcome.finding.map(|finding| (seed, finding)));
                }
            });
        }
    });
    let (counters, mut findings) = result.into_inner().unwrap();
    findings.sort_by_key(|(seed, _)| *seed);
    (counters, findings)
}

fn replay(seed: u64) {
    let outcome = examine(seed, true);
    for line in &outcome.lines {
        println!("{line}");
    }
    println!("{:#?}", outcome.counters);
    assert_eq!(outcome.finding, None, "seed {seed}");
}

#[test]
fn whatever_happens_every_event_is_counted_once() {
    if let Some(seed) = variable("BLUELAKE_SIMULATION_SEED") {
        return replay(seed);
    }
    let seeds = variable("BLUELAKE_SIMULATION_SEEDS").unwrap_or(SEEDS);
    let started = Instant::now();
    let (counters, findings) = examine_all(seeds);
    println!("{seeds} seeds in {:?}; {counters:#?}", started.elapsed());
    for (seed, finding) in findings.iter().take(20) {
        println!("seed {seed}: {finding}");
        println!(
            "  to see it: BLUELAKE_SIMULATION_SEED={seed} cargo test --release --workspace --lib simulation -- --nocapture"
        );
    }
    assert!(findings.is_empty(), "{} of {seeds} seeds found something", findings.len());
    if seeds >= SEEDS {
        let missed: Vec<_> = MUST_HAPPEN.iter().filter(|what| !counters.contains_key(*what)).collect();
        assert!(missed.is_empty(), "the simulation never reached: {missed:?}");
    }
}

#[test]
fn a_seed_is_one_run() {
    for seed in [3, 8, 21] {
        let (left, right) = (examine(seed, true), examine(seed, true));
        assert!(left.lines.len() > 10, "{:?}", left.lines);
        assert_eq!((left.lines, left.finding), (right.lines, right.finding), "seed {seed}");
    }
}

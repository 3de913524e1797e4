//! A seeded simulation of everything around the pure decisions: a stream that splits, merges, trims and throttles; a store
//! that loses answers and lets requests land late; workers that crash, stand still and come back as zombies. The
//! decisions are the real ones: lineage, first acts, gaps, shares, cursors, windows, buffer, the checkpoint algebra and
//! the settlement of commits. What stands between them (tasks, channels, clients) is simulated.
//!
//! One seed is one run: chance and time come from the seed alone. See `docs/simulation.md`.
//!
//! | variable | then |
//! | --- | --- |
//! | `BLUELAKE_SIMULATION_SEEDS=50000` | so many seeds, from 0 on |
//! | `BLUELAKE_SIMULATION_SEED=17` | this one alone, with its event log |

mod env;
mod flight;
mod follow;
mod oracle;
mod reader;
mod run;
mod store;
mod table;
mod worker;
mod world;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bluelake_schemas::KnownBug;
use env::Counters;
use run::{Outcome, run};

/// Seeds of a run without variables.
const SEEDS: u64 = if cfg!(debug_assertions) { 200 } else { 2_000 };

/// What a run over the default seeds must have seen.
const MUST_HAPPEN: &[&str] = &[
    "answer lost",
    "batch expired",
    "batch without a stored row",
    "child of a merge read",
    "child waits for a parent",
    "commit behind one that did not matter",
    "conflict",
    "crash",
    "crash in a commit",
    "delayed request landed",
    "delayed request refused",
    "document number skipped",
    "document number taken",
    "duplicate",
    "duplicate of an ancestor's event",
    "empty page of a closed shard",
    "empty while behind",
    "ended without a record",
    "ended without a signal",
    "entry retired",
    "fenced",
    "first act fenced",
    "gap accepted",
    "gap found",
    "handing over",
    "idle for longer than the retention",
    "iterator expired",
    "left in order",
    "lost answer had landed",
    "merge",
    "own success met as taken",
    "pin inherited",
    "pinned",
    "position trimmed",
    "read after the retention",
    "read failed",
    "rejected events followed for another",
    "same answer twice",
    "shard let go",
    "shard vanished",
    "split",
    "stands still",
    "taken over",
    "told to be drained",
    "tried again",
    "window not rebuilt",
    "window rebuilt",
    "written ahead",
    "zombie refused",
];

fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} should be a number, it is {text:?}")))
}

/// A seed's run; a panic in it is a finding too.
fn examine(seed: u64, tell: bool) -> Outcome {
    let outcome = catch_unwind(AssertUnwindSafe(|| run(seed, tell)));
    outcome.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string));
        Outcome { counters: Counters::new(), finding: Some(format!("panic: {text:?}")), told: Vec::new() }
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
                    if outcome.finding.is_some() && std::env::var_os("KNOWN_BUG").is_some() {
                        // One is enough.
                        next.store(seeds, Ordering::Relaxed);
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
    for line in &outcome.told {
        println!("{line}");
    }
    println!("{:#?}", outcome.counters);
    assert_eq!(outcome.finding, None, "seed {seed}");
}

#[test]
fn whatever_happens_every_event_is_counted_once_and_the_system_comes_to_rest() {
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
        assert!(left.told.len() > 10, "{:?}", left.told);
        assert_eq!((left.told, left.finding), (right.told, right.finding), "seed {seed}");
    }
}

/// Bugs that the simulation does not show: its events have no fields.
const NOT_HERE: [KnownBug; 1] = [KnownBug::DropTheExtras];

/// The bugs are in the real decisions, or where the simulated worker does what the real one does around them. A process has
/// one bug or none, so each gets a process of its own.
#[test]
fn each_known_bug_is_found_within_a_few_seeds() {
    if std::env::var_os("KNOWN_BUG").is_some() {
        return;
    }
    for bug in KnownBug::ALL.into_iter().filter(|bug| !NOT_HERE.contains(bug)) {
        let test = "simulation::whatever_happens_every_event_is_counted_once_and_the_system_comes_to_rest";
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .env("KNOWN_BUG", bug.name())
            .env("BLUELAKE_SIMULATION_SEEDS", "1000")
            .env_remove("BLUELAKE_SIMULATION_SEED")
            .output()
            .unwrap();
        let output = String::from_utf8_lossy(&child.stdout);
        let finding = output.lines().find(|line| line.starts_with("seed ")).unwrap_or("nothing");
        println!("{}: {}", bug.name(), finding.get(..200).unwrap_or(finding));
        assert!(!child.status.success() && finding != "nothing", "{bug:?} was not found:\n{output}");
    }
}

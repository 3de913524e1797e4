//! What everything in a run shares: the stream, the store, the clock, chance, the event log and the counters.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _};
use uuid::Uuid;

use super::{
    store::{Request, Store, StoreFault},
    world::{EndSignal, World},
};

/// The same on every machine and with every version of `rand`.
pub(super) type Random = rand_chacha::ChaCha8Rng;

const MINUTE: i64 = 60_000;
/// When every run begins, milliseconds since the epoch.
pub(super) const BEGIN: i64 = 1_790_000_000_000;

/// The settings of a run, drawn from its seed.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) workers: usize,
    pub(super) shards: u32,
    /// Records that are put.
    pub(super) puts: u32,
    /// The most milliseconds between two puts.
    pub(super) put_pause: i64,
    /// How long Kinesis keeps a record, milliseconds.
    pub(super) retention: i64,
    /// Whether workers may be away long enough for records to be discarded unread.
    pub(super) may_lose: bool,
    /// Whether puts pause for longer than the retention, while workers live.
    pub(super) idle: bool,
    pub(super) start_latest: bool,
    /// How Kinesis signals that a closed shard was read to its end.
    pub(super) end_signal: EndSignal,
    /// Faulty requests to the store, in a hundred.
    pub(super) store_faults: u32,
    /// Faulty requests to Kinesis, in a hundred.
    pub(super) stream_faults: u32,
    /// Steps at which a worker crashes, leaves or stops for a while, in ten thousand.
    pub(super) chaos: u32,
    /// Puts that a split or merge follows, in a hundred.
    pub(super) reshards: u32,
    /// Heartbeats are seen.
    pub(super) fleet: bool,
    /// The most milliseconds that a worker's wall clock is off.
    pub(super) skew: i64,
    /// The deduplication window, milliseconds.
    pub(super) window: i64,
    pub(super) beat: i64,
    pub(super) tick: i64,
    /// Pause of a reader at its tip.
    pub(super) rest: i64,
    pub(super) maintainers: usize,
    /// Another program changes the table too.
    pub(super) foreign: bool,
    /// Pause of a maintainer between two jobs, milliseconds.
    pub(super) care_pause: i64,
    /// Versions younger than this stay readable, milliseconds at most.
    pub(super) vacuum_age: i64,
    /// Of ten thousand steps, so many see a maintainer killed or stopped for a while.
    pub(super) care_chaos: u32,
}

impl Settings {
    pub(super) fn draw(random: &mut Random) -> Self {
        let kind = random.random_range(0..100);
        let (may_lose, idle) = (kind < 25, (25..35).contains(&kind));
        // Some runs let days pass in minutes.
        let (pace, retention) = if may_lose || idle { (8, 40 * MINUTE) } else { (1, 1_440 * MINUTE) };
        let (put_pauses, chaos, reshards) = match (may_lose, idle) {
            (true, _) => ([10_000, 60_000, 120_000], [40, 120, 240], [0, 5, 15]),
            (_, true) => ([10_000, 10_000, 10_000], [0, 40, 120], [0, 5, 5]),
            _ => ([200, 2_000, 20_000], [0, 40, 120], [0, 5, 15]),
        };
        Self {
            workers: random.random_range(1..4),
            shards: random.random_range(1..5),
            puts: random.random_range(30..120),
            put_pause: put_pauses[random.random_range(0..3)],
            retention,
            may_lose,
            idle,
            start_latest: random.random_ratio(1, 6),
            end_signal: [EndSignal::NoIterator, EndSignal::EmptyPageFirst, EndSignal::Never][random.random_range(0..3)],
            store_faults: [0, 3, 10, 25][random.random_range(0..4)],
            stream_faults: [0, 5, 20][random.random_range(0..3)],
            chaos: chaos[random.random_range(0..3)],
            reshards: reshards[random.random_range(0..3)],
            fleet: random.random_ratio(4, 5),
            skew: retention / 24 * random.random_range(0..4) / 3,
            window: random.random_range(1..16) * MINUTE,
            beat: 2_000 * pace,
            tick: 400 * pace,
            rest: 1_000 * pace,
            maintainers: [0, 1, 2, 2, 3][random.random_range(0..5)],
            foreign: random.random_ratio(1, 4),
            care_pause: [2_000, 20_000, 120_000][random.random_range(0..3)],
            vacuum_age: [5_000, MINUTE, 30 * MINUTE][random.random_range(0..3)],
            care_chaos: [0, 40, 160][random.random_range(0..3)],
        }
    }

    pub(super) fn retention(&self) -> Duration {
        millis(self.retention)
    }
}

pub(super) fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap())
}

/// How often each interesting thing happened.
pub(super) type Counters = BTreeMap<&'static str, u64>;

pub(super) struct Env {
    pub(super) settings: Settings,
    pub(super) random: Random,
    pub(super) world: World,
    pub(super) store: Store,
    pub(super) counters: Counters,
    /// True time, milliseconds since the epoch.
    pub(super) now: i64,
    /// Who read each shard last.
    pub(super) last_reader: BTreeMap<String, String>,
    /// Tasks that their maintainers were told to have happened, or to be lost.
    pub(super) committed_tasks: BTreeSet<Uuid>,
    pub(super) lost_tasks: BTreeSet<Uuid>,
    /// No erasure begins before this time: each epoch fences every worker, so there is at most one an hour. An hour is here
    /// what it is of a day of retention.
    pub(super) next_erasure: i64,
    /// Faults are over.
    pub(super) calm: bool,
    /// The first fault that was found.
    pub(super) finding: Option<String>,
    instants: Instant,
    /// `Some` when the run is traced.
    lines: Option<Vec<String>>,
}

impl Env {
    pub(super) fn new(seed: u64, log: bool) -> Self {
        let mut random = Random::seed_from_u64(seed);
        let settings = Settings::draw(&mut random);
        let world = World::new(settings.shards, settings.retention, settings.end_signal, &mut random);
        let mut env = Self {
            settings,
            random,
            world,
            store: Store::new(),
            counters: Counters::new(),
            now: BEGIN,
            last_reader: BTreeMap::new(),
            committed_tasks: BTreeSet::new(),
            lost_tasks: BTreeSet::new(),
            next_erasure: BEGIN,
            calm: false,
            finding: None,
            instants: Instant::now(),
            lines: log.then(Vec::new),
        };
        let settings = env.settings.clone();
        env.log(|| format!("{settings:?}"));
        env
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.counters.entry(what).or_default() += 1;
    }

    /// Writes a line of the event log.
    pub(super) fn log<T: fmt::Display>(&mut self, line: impl FnOnce() -> T) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>10.3} {}", (self.now - BEGIN) as f64 / 1_000.0, line()));
        }
    }

    pub(super) fn take_lines(&mut self) -> Vec<String> {
        self.lines.take().unwrap_or_default()
    }

    /// Records a fault; the run ends.
    pub(super) fn fail(&mut self, finding: String) {
        self.log(|| format!("FOUND {finding}"));
        self.finding.get_or_insert(finding);
    }

    /// The simulated time for code that takes an `Instant`.
    pub(super) fn instant(&self) -> Instant {
        self.instants + millis(self.now - BEGIN)
    }

    /// True in `share` of a hundred cases.
    pub(super) fn percent(&mut self, share: u32) -> bool {
        self.random.random_range(0..100) < share
    }

    pub(super) fn below(&mut self, bound: i64) -> i64 {
        self.random.random_range(0..bound.max(1))
    }

    /// Whether a request to Kinesis fails.
    pub(super) fn stream_fails(&mut self) -> bool {
        let share = if self.calm { 0 } else { self.settings.stream_faults };
        self.percent(share)
    }

    /// Whether a read of the store fails.
    pub(super) fn read(&mut self) -> Result<(), StoreFault> {
        let share = if self.calm { 0 } else { self.settings.store_faults };
        if self.percent(share) { Err(StoreFault::Unclear) } else { Ok(()) }
    }

    /// Sends a request to the store, over a network that may lose, delay or repeat it, but not alter it.
    pub(super) fn send(&mut self, request: Request) -> Result<(), StoreFault> {
        let share = if self.calm { 0 } else { self.settings.store_faults };
        if !self.percent(share) {
            return self.store.apply(request, self.now);
        }
        match self.random.random_range(0..4) {
            // It never arrives.
            0 => Err(StoreFault::Unclear),
            // It arrives, but its answer does not.
            1 => {
                self.count("answer lost");
                let _ = self.store.apply(request, self.now);
                Err(StoreFault::Unclear)
            }
            // It arrives long after its sender has given up.
            2 => {
                self.count("request delayed");
                let delay = if self.percent(50) { self.below(2_000) } else { self.below(120_000) };
                self.store.delay(request, self.now + delay);
                Err(StoreFault::Unclear)
            }
            // The client's own retry meets the outcome of its first try.
            _ => {
                let first = self.store.apply(request.clone(), self.now);
                let second = self.store.apply(request, self.now);
                if first.is_ok() && second.is_err() {
                    self.count("own success met as taken");
                }
                second
            }
        }
    }
}

//! One run: producers, operators and workers in a random order; then calm, until everything is at rest.

use rand::Rng as _;
use uuid::Uuid;

use super::{
    env::{Counters, Env},
    maintenance::{Crew, ORPHAN_AGE},
    oracle::Oracle,
    store::{Request, Version},
    worker::{End, Worker},
    world::{KEYS, SimEvent},
};
use crate::shards::gap::OnGap;

/// The most steps until a run must be at rest.
const CALM_STEPS: u32 = 60_000;
/// The most steps of the busy part.
const BUSY_STEPS: u32 = 60_000;
const MINUTE: i64 = 60_000;
/// Steps of the time after that, in which only maintainers are there, at most.
const LATE_STEPS: u32 = 3_000;

/// What came of a run.
pub(super) struct Outcome {
    pub(super) counters: Counters,
    pub(super) finding: Option<String>,
    pub(super) lines: Vec<String>,
}

/// A place for a worker.
struct Slot {
    name: String,
    worker: Option<Worker>,
    /// It is down or stands still until this time.
    until: i64,
}

struct Run {
    env: Env,
    oracle: Oracle,
    slots: Vec<Slot>,
    crew: Crew,
    puts_left: u32,
    next_put: i64,
    /// Puts to be repeated: when, and what.
    retries: Vec<(i64, u32, Vec<SimEvent>)>,
    on_gap: OnGap,
}

/// Runs a seed.
pub(super) fn run(seed: u64, log: bool) -> Outcome {
    let env = Env::new(seed, log);
    let slots = 0..env.settings.workers;
    let slots = slots.map(|number| Slot { name: format!("w{number}"), worker: None, until: env.now }).collect();
    let (puts_left, next_put) = (env.settings.puts, env.now);
    let (crew, oracle) = (Crew::new(&env), Oracle::default());
    let mut run = Run { env, oracle, slots, crew, puts_left, next_put, retries: Vec::new(), on_gap: OnGap::Stop };
    run.busy();
    if run.env.settings.idle {
        run.idle();
    }
    run.calm();
    if run.env.finding.is_none() {
        run.oracle.conclude(&mut run.env);
    }
    run.late();
    if run.env.finding.is_none() {
        run.oracle.conclude_files(&mut run.env);
    }
    let lines = run.env.take_lines();
    Outcome { counters: run.env.counters, finding: run.env.finding, lines }
}

impl Run {
    fn busy(&mut self) {
        let mut steps = 0;
        while (self.puts_left > 0 || !self.retries.is_empty()) && steps < BUSY_STEPS && self.env.finding.is_none() {
            steps += 1;
            self.producers();
            self.chaos();
            self.step();
        }
    }

    /// Puts pause for longer than the retention, while workers live.
    fn idle(&mut self) {
        let until = self.env.now + 5 * self.env.settings.retention / 2;
        self.env.settings.chaos = 0;
        self.env.settings.reshards = 0;
        while self.env.now < until && self.env.finding.is_none() {
            self.step();
        }
        self.env.count("idle for longer than the retention");
        self.puts_left = 5;
        self.next_put = self.env.now;
        self.busy();
    }

    /// Faults end, and an operator accepts the gaps.
    fn calm(&mut self) {
        self.env.calm = true;
        self.env.log(|| "calm");
        self.on_gap = OnGap::Continue;
        self.crew.end(self.env.now);
        for slot in &mut self.slots {
            slot.until = slot.until.min(self.env.now);
            if let Some(worker) = &mut slot.worker {
                worker.on_gap = OnGap::Continue;
            }
        }
        let mut steps = 0;
        // Time for everybody to look.
        let not_before = self.env.now + 4 * MINUTE;
        while self.env.finding.is_none() {
            let late = self.env.store.next_late().is_some() || self.env.now < not_before;
            if !late && self.crew.is_idle() && self.oracle.is_at_rest(&self.env) {
                return;
            }
            steps += 1;
            if steps > CALM_STEPS {
                let restless = self.oracle.restless(&self.env);
                let idle = self.crew.is_idle();
                self.env.fail(format!("it does not come to rest, maintainers at rest: {idle}: {restless}"));
            }
            self.step();
        }
    }

    /// The workers are gone, and maintainers go on for a day, in which what is old becomes old. Then they merge and delete what
    /// they can.
    fn late(&mut self) {
        if self.crew.is_empty() || self.env.finding.is_some() || self.env.percent(50) {
            return;
        }
        self.env.calm = false;
        self.crew.work();
        // They die in the middle of something.
        (self.puts_left, self.next_put) = (12, self.env.now);
        for _ in 0..self.env.random.random_range(0..2_000) {
            if self.env.finding.is_none() {
                self.producers();
                self.step();
            }
        }
        (self.puts_left, self.retries) = (0, Vec::new());
        self.oracle.is_over = true;
        for slot in &mut self.slots {
            (slot.worker, slot.until) = (None, i64::MAX);
        }
        if !self.oracle.has_followed(&self.env) {
            self.env.count("rejected events wait for a follower");
        }
        (self.env.settings.care_pause, self.env.settings.vacuum_age) = (20 * MINUTE, 4 * ORPHAN_AGE);
        self.env.log(|| "the workers are gone");
        let until = self.env.now + 3 * ORPHAN_AGE;
        let mut steps = 0;
        while self.env.now < until && steps < LATE_STEPS && self.env.finding.is_none() {
            steps += 1;
            self.chaos();
            self.step();
        }
        self.env.calm = true;
        self.crew.end(self.env.now);
        self.until("maintainers end", |run| run.crew.is_idle() && run.env.store.next_late().is_none());
        self.env.now += 3 * ORPHAN_AGE;
        self.tidy();
    }

    /// Nothing keeps a compaction out for ever, and what nobody needs is deleted.
    fn tidy(&mut self) {
        let files = self.env.store.snapshot().files.len();
        self.crew.compact(self.env.now);
        self.until("a compaction", |run| run.crew.done() >= 3);
        let left = self.env.store.snapshot().files.len();
        if files > 3 && left >= files {
            self.env.fail(format!("nothing keeps compactions out, and {files} files are {left}"));
        }
        self.crew.vacuum(self.env.now);
        self.until("a vacuum", |run| run.crew.done() >= 2);
        self.crew.end(self.env.now);
        self.until("maintainers end", |run| run.crew.is_idle());
        if self.env.finding.is_none() {
            self.oracle.nothing_is_left(&mut self.env);
        }
    }

    fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let mut steps = 0;
        while !is_so(self) && self.env.finding.is_none() {
            steps += 1;
            if steps > CALM_STEPS {
                self.env.fail(format!("maintenance does not come to an end: {what}"));
            }
            self.step();
        }
    }

    fn producers(&mut self) {
        let now = self.env.now;
        if let Some(due) = self.retries.iter().position(|(at, _, _)| *at <= now) {
            let (_, key, events) = self.retries.remove(due);
            self.put(key, events);
        }
        if now < self.next_put || self.puts_left == 0 {
            return;
        }
        self.puts_left -= 1;
        self.next_put = now + 1 + self.env.below(2 * self.env.settings.put_pause);
        let key = self.env.random.random_range(0..KEYS);
        let count = if self.env.percent(20) { self.env.random.random_range(1..4) } else { 1 };
        let all_bad = self.env.percent(8);
        let events: Vec<SimEvent> = (0..count)
            .map(|_| SimEvent { id: Uuid::from_u128(self.env.random.random()), bad: all_bad || self.env.percent(5) })
            .collect();
        if self.env.percent(12) {
            // The producer's own retry: soon, or when the window is over.
            let window = self.env.settings.window;
            let pause = if self.env.percent(70) { self.env.below(5_000) } else { self.env.below(2 * window) };
            self.retries.push((now + 1 + pause, key, events.clone()));
        }
        self.put(key, events);
        let reshards = self.env.settings.reshards;
        if self.env.percent(reshards) {
            self.reshard();
        }
    }

    fn put(&mut self, key: u32, events: Vec<SimEvent>) {
        let count = events.len();
        let shard = self.env.world.put(key, events, self.env.now, &mut self.env.random);
        self.env.log(|| format!("put {count} events to {shard}"));
    }

    fn reshard(&mut self) {
        let (now, world, random) = (self.env.now, &mut self.env.world, &mut self.env.random);
        if random.random_ratio(3, 5) {
            if let Some(id) = world.split(now, random) {
                self.env.count("split");
                self.env.log(|| format!("split {id}"));
            }
        } else if let Some((left, right)) = world.merge(now, random) {
            self.env.count("merge");
            self.env.log(|| format!("merge {left} and {right}"));
        }
    }

    /// Crashes, stand-stills, departures, and upkeep of the table.
    fn chaos(&mut self) {
        if self.env.random.random_range(0..400) == 0 {
            let now = self.env.now;
            // Upkeep moves no row and no file: it only makes the log longer.
            let version = self.env.store.log.len();
            let content = Version::default();
            let _ = self.env.store.apply(Request::Log { version, content }, now);
        }
        if self.env.random.random_range(0..10_000) < self.env.settings.care_chaos {
            self.crew.chaos(&mut self.env);
        }
        if self.env.random.random_range(0..10_000) >= self.env.settings.chaos {
            return;
        }
        let index = self.env.random.random_range(0..self.slots.len());
        let away = self.away();
        let slot = &mut self.slots[index];
        let Some(worker) = &mut slot.worker else { return };
        match self.env.random.random_range(0..10) {
            0..=3 => {
                self.env.count("crash");
                if worker.is_in_commit() {
                    self.env.count("crash in a commit");
                }
                self.env.log(|| format!("{} crashes for {away} ms", slot.name));
                slot.worker = None;
            }
            4..=7 => {
                self.env.count("stands still");
                self.env.log(|| format!("{} stands still for {away} ms", slot.name));
                worker.stood_still();
            }
            _ => {
                self.env.count("leaves");
                self.env.log(|| format!("{} is to leave", slot.name));
                worker.leave(&self.env);
                return;
            }
        }
        slot.until = self.env.now + away;
        if self.env.settings.may_lose && self.env.percent(40) {
            // A common cause: all are away.
            self.env.log(|| "all crash");
            for slot in &mut self.slots {
                slot.worker = None;
                slot.until = self.env.now + away;
            }
        }
    }

    /// How long a worker is away.
    fn away(&mut self) -> i64 {
        let retention = self.env.settings.retention;
        match self.env.random.random_range(0..10) {
            0..=4 => self.env.below(5_000),
            5..=7 => self.env.below(3 * MINUTE),
            _ if self.env.settings.may_lose => self.env.below(2 * retention),
            _ if self.env.settings.idle => self.env.below(10 * MINUTE),
            _ => self.env.below(150 * MINUTE),
        }
    }

    /// One step of one actor, or the time until one can make a step.
    fn step(&mut self) {
        if let Some(request) = self.env.store.take_late(self.env.now) {
            match self.env.store.apply(request, self.env.now) {
                Ok(()) => self.env.count("delayed request landed"),
                Err(_) => self.env.count("delayed request refused"),
            }
        } else if !self.somebody_steps() {
            self.wait();
        }
        self.oracle.look(&mut self.env);
    }

    fn somebody_steps(&mut self) -> bool {
        let now = self.env.now;
        let mut able = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate().filter(|(_, slot)| slot.until <= now) {
            let on_gap = if self.on_gap == OnGap::Continue || self.env.random.random_ratio(1, 3) {
                OnGap::Continue
            } else {
                OnGap::Stop
            };
            let worker = slot.worker.get_or_insert_with(|| Worker::new(&slot.name, on_gap, &mut self.env));
            able.extend(worker.activities(&self.env).into_iter().map(|activity| (index, activity)));
        }
        let maintainers = self.crew.able(now);
        let all = able.len() + maintainers.len();
        if all == 0 {
            return false;
        }
        let chosen = self.env.random.random_range(0..all);
        if let Some(maintainer) = chosen.checked_sub(able.len()).and_then(|index| maintainers.get(index)) {
            self.crew.step(*maintainer, &mut self.env);
            self.env.now += self.env.random.random_range(0..20);
            return true;
        }
        let (index, activity) = able.swap_remove(chosen);
        let slot = &mut self.slots[index];
        let Some(worker) = &mut slot.worker else { return false };
        if let Some(end) = worker.act(&activity, &mut self.env) {
            self.env.log(|| format!("{} {end:?}", slot.name));
            if end == End::Left {
                self.env.count("left in order");
            }
            slot.worker = None;
            slot.until = self.env.now + 500;
        }
        self.env.now += self.env.random.random_range(0..20);
        true
    }

    fn wait(&mut self) {
        let now = self.env.now;
        let workers = self.slots.iter().map(|slot| match &slot.worker {
            Some(worker) if slot.until <= now => worker.next_time(&self.env),
            _ => slot.until,
        });
        let puts = if self.puts_left > 0 { self.next_put } else { i64::MAX };
        let retries = self.retries.iter().map(|(at, _, _)| *at);
        let others = retries.chain(self.env.store.next_late()).chain(self.crew.next_time(now));
        let next = workers.chain([puts]).chain(others).filter(|at| *at > now && *at < i64::MAX).min();
        self.env.now = next.unwrap_or(now + 1_000);
    }
}

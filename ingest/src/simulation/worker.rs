//! A worker: what `worker.rs` and `round.rs` do with tasks and channels, in single steps that chance puts in order. Every
//! decision is the real one; here is only what carries them out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bluelake_lake::{CommitOutcome, FoundHeartbeat, Heartbeat, Position, ShardId, Writer};
use bluelake_schemas::Millis;
use chrono::{DateTime, Utc};
use rand::Rng as _;
use uuid::Uuid;

use super::{
    env::{Env, millis},
    flight::{Draft, Flight},
    follow::Follow,
    reader::{Read, SimReader, SimRows},
    table::Table,
};
use crate::{
    kinesis::skew::Skew,
    landing::{buffer::Buffer, limits::FlushLimits},
    reading::chunk::Chunk,
    shards::{
        claims::Claims,
        fleet::{Shards, membership::Membership},
        gap::OnGap,
    },
};

/// As in `round.rs`.
const CHUNKS_AHEAD: usize = 2;
const VANISHED_PAUSE: i64 = 5_000;
/// As in `worker.rs`.
const FENCED_PAUSE: i64 = 15_000;
/// The simulation has one stream.
pub(super) const STREAM: &str = "transaction-events";

fn time(millis: i64) -> DateTime<Utc> {
    DateTime::from_timestamp_millis(millis).unwrap()
}

/// One thing that a worker can do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Activity {
    Beat,
    Read(ShardId),
    Flight,
    WriteAhead,
    Main,
}

/// What the worker's own loop is at.
enum Main {
    /// Opens the table and brings `rejected_events` up to date.
    Open,
    /// Loads the table after a fence.
    Reload,
    Follow(Box<Follow>),
    /// Brings `rejected_events` up to date, best effort.
    CatchUp,
    Loop,
    /// Everything is committed; brings `rejected_events` up to date and leaves.
    Finish,
}

/// A worker's life is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Left,
    Failed,
}

/// What lives from one fence to the next.
#[derive(Default)]
pub(super) struct Round {
    pub(super) buffer: Buffer<SimRows>,
    channel: VecDeque<Chunk<SimRows>>,
    pub(super) readers: BTreeMap<ShardId, SimReader>,
    pub(super) claims: Claims,
    flight: Option<Flight>,
    settled: Option<(Flight, CommitOutcome)>,
    draft: Option<Draft>,
    /// Rows that are being written ahead of the commit.
    lent: Option<Vec<SimRows>>,
    shard_ended: bool,
}

pub(super) struct Worker {
    pub(super) name: String,
    pub(super) writer: Writer,
    /// Milliseconds that its wall clock is ahead.
    off: i64,
    skew: Skew,
    pub(super) on_gap: OnGap,
    pub(super) start: Position,
    limits: FlushLimits,
    born: i64,
    membership: Membership,
    pub(super) heartbeat: Heartbeat,
    pub(super) known: Shards,
    pub(super) others: Vec<Heartbeat>,
    fleet_changed: bool,
    next_beat: i64,
    pub(super) table: Table,
    main: Main,
    next_main: i64,
    pub(super) round: Round,
    pub(super) avoided: BTreeMap<ShardId, i64>,
    pub(super) lineage_due: i64,
    leaving: bool,
}

impl Worker {
    pub(super) fn new(name: &str, on_gap: OnGap, env: &mut Env) -> Self {
        let skew = env.settings.skew;
        let skew = if skew == 0 { 0 } else { env.below(2 * skew) - skew };
        let incarnation = Uuid::from_u128(env.random.random());
        let start = if env.settings.start_latest {
            // By the service's clock, if the local one is ahead of it.
            Position::AtTimestamp(Millis::new((env.now + skew).min(env.now)))
        } else {
            Position::TrimHorizon
        };
        let limits = FlushLimits {
            memory: 100 * usize::try_from(env.below(60)).unwrap() + 200,
            batch_bytes: usize::MAX,
            file_bytes: usize::MAX,
            rows: usize::try_from(env.below(60)).unwrap() + 1,
            age: millis(env.below(40_000) + 1_000),
        };
        let heartbeat = Heartbeat {
            worker: name.to_owned(),
            incarnation,
            beat: 0,
            started_at: Millis::new(env.now + skew),
            version: String::new(),
            streams: BTreeSet::from([STREAM.to_owned()]),
            max_shards: None,
            holds: BTreeMap::new(),
        };
        env.tell(|| format!("{name} starts, clock off by {skew} ms, {on_gap:?}, {limits:?}"));
        Self {
            name: name.to_owned(),
            writer: Writer {
                worker: name.to_owned(),
                stream_arn: "arn".to_owned(),
                stream_created_at: None,
                contract_version: 1,
            },
            off: skew,
            skew: Skew::of(time(env.now + skew), Some(time(env.now - env.now.rem_euclid(1_000)))),
            on_gap,
            start,
            limits,
            born: env.now,
            membership: Membership::new(name, millis(5 * env.settings.beat)),
            heartbeat,
            known: Shards::new(),
            others: Vec::new(),
            fleet_changed: false,
            next_beat: env.now,
            table: Table::default(),
            main: Main::Open,
            next_main: env.now,
            round: Round::default(),
            avoided: BTreeMap::new(),
            lineage_due: env.now,
            leaving: false,
        }
    }

    /// The worker's wall clock, and not later than the service's.
    pub(super) fn earliest(&self, env: &Env) -> i64 {
        self.skew.earliest(time(env.now + self.off)).get()
    }

    /// The worker's wall clock, and not earlier than the service's.
    pub(super) fn latest(&self, env: &Env) -> i64 {
        self.skew.latest(time(env.now + self.off)).get()
    }

    /// Whether a crash now comes in the middle of a commit.
    pub(super) fn is_in_commit(&self) -> bool {
        let follow = matches!(&self.main, Main::Follow(follow) if follow.is_in_commit());
        follow || self.round.flight.as_ref().is_some_and(Flight::is_in_commit)
    }

    /// The worker stood still, like a process that got SIGSTOP.
    pub(super) fn stood_still(&mut self) {
        if let Some(flight) = &mut self.round.flight {
            flight.stood_still();
        }
    }

    /// As SIGTERM: it stops reading, commits what it has, and leaves.
    pub(super) fn leave(&mut self) {
        self.leaving = true;
        self.round.readers.clear();
    }

    /// What it can do now.
    pub(super) fn activities(&self, env: &Env) -> Vec<Activity> {
        let mut found = Vec::new();
        if env.settings.fleet && env.now >= self.next_beat {
            found.push(Activity::Beat);
        }
        if self.round.channel.len() < CHUNKS_AHEAD {
            let due = self.round.readers.iter().filter(|(_, reader)| env.now >= reader.next_call);
            found.extend(due.map(|(id, _)| Activity::Read(id.clone())));
        }
        if self.round.flight.is_some() {
            found.push(Activity::Flight);
        }
        if self.round.lent.is_some() {
            found.push(Activity::WriteAhead);
        }
        let woken = matches!(self.main, Main::Loop) && (self.takes_chunk() || self.round.settled.is_some());
        if env.now >= self.next_main || woken {
            found.push(Activity::Main);
        }
        found
    }

    /// When it can do something next.
    pub(super) fn next_time(&self, env: &Env) -> i64 {
        let readers = self.round.readers.values().map(|reader| reader.next_call);
        let beat = if env.settings.fleet { self.next_beat } else { i64::MAX };
        readers.chain([beat, self.next_main]).filter(|time| *time > env.now).min().unwrap_or(env.now + 1_000)
    }

    pub(super) fn act(&mut self, activity: &Activity, env: &mut Env) -> Option<End> {
        match activity {
            Activity::Beat => self.beat(env),
            Activity::Read(shard) => self.read(shard, env),
            Activity::Flight => self.fly(env),
            Activity::WriteAhead => self.write_ahead(env),
            Activity::Main => return self.main(env),
        }
        None
    }

    fn beat(&mut self, env: &mut Env) {
        self.next_beat = env.now + env.settings.beat;
        if env.read().is_err() {
            return;
        }
        self.heartbeat.beat += 1;
        let found: Vec<FoundHeartbeat> = env.store.beats.values().cloned().collect();
        let own = FoundHeartbeat { heartbeat: self.heartbeat.clone(), written_at: Millis::new(env.now) };
        env.store.beats.insert(self.name.clone(), own);
        let monotonic = millis(env.now - self.born);
        self.membership.observe(found, monotonic);
        let others: Vec<Heartbeat> = self.membership.others(monotonic).into_iter().cloned().collect();
        let sketch = |beats: &[Heartbeat]| -> Vec<_> {
            beats.iter().map(|beat| (beat.worker.clone(), beat.holds.clone())).collect()
        };
        self.fleet_changed |= sketch(&others) != sketch(&self.others);
        self.others = others;
    }

    /// Tells the others which shards it reads or has not committed yet.
    pub(super) fn tell_holds(&mut self, env: &Env) {
        let before = self.heartbeat.holds.insert(STREAM.to_owned(), self.round.claims.held().clone());
        if before.unwrap_or_default() != *self.round.claims.held() {
            self.next_beat = env.now;
        }
    }

    fn read(&mut self, shard: &ShardId, env: &mut Env) {
        let bounds = (self.earliest(env), self.latest(env));
        let Some(reader) = self.round.readers.get_mut(shard) else { return };
        match reader.step(bounds, env) {
            Read::Nothing => {}
            Read::Chunk(chunk) => {
                let name = &self.name;
                env.tell(|| {
                    let (to, counts) = (&chunk.advance.to_inclusive, chunk.advance.counts);
                    format!("{name} read {shard} to {to:?}, ended {}, {counts:?}", chunk.advance.ended)
                });
                if reader.ended {
                    self.round.readers.remove(shard);
                }
                self.round.channel.push_back(chunk);
            }
            Read::Vanished => {
                env.count("shard vanished");
                let name = &self.name;
                env.tell(|| format!("{name} finds {shard} vanished"));
                self.round.readers.remove(shard);
                self.lineage_due = env.now;
                self.avoided.insert(shard.clone(), env.now + VANISHED_PAUSE);
                self.round.claims.release(shard);
                self.let_go(env);
            }
        }
    }

    fn takes_chunk(&self) -> bool {
        let Round { buffer, channel, flight, .. } = &self.round;
        let full = buffer.is_full(&self.limits) || (flight.is_some() && buffer.is_half_full(&self.limits));
        !full && !channel.is_empty()
    }

    fn take_chunk(&mut self, env: &mut Env) {
        let Some(chunk) = self.round.channel.pop_front() else { return };
        self.round.shard_ended |= chunk.advance.ended;
        if self.round.lent.is_none() {
            self.round.draft.get_or_insert_with(|| Draft::new(env));
        }
        if let Err(fault) = self.round.buffer.add(chunk, env.instant()) {
            env.fail(format!("{}: {fault}", self.name));
        }
    }

    /// Whether nobody reads the shard and everything that was read of it is in the buffer, or further.
    fn has_come_in(&self, shard: &ShardId) -> bool {
        let on_its_way = self.round.channel.iter().any(|chunk| chunk.advance.shard == *shard);
        !self.round.readers.contains_key(shard) && !on_its_way
    }

    fn let_go(&mut self, env: &mut Env) {
        if self.round.flight.is_some() || self.round.settled.is_some() {
            return;
        }
        let mut claims = std::mem::take(&mut self.round.claims);
        let before = claims.releasing().len();
        claims.let_go(|shard| self.has_come_in(shard) && !self.round.buffer.holds(shard));
        if claims.releasing().len() < before {
            env.count("shard let go");
        }
        self.round.claims = claims;
        self.tell_holds(env);
    }

    fn start_flight_if_due(&mut self, env: &mut Env) {
        let drained = self.round.readers.is_empty() && self.round.channel.is_empty();
        let held = |shard: &ShardId| self.has_come_in(shard) && self.round.buffer.holds(shard);
        let handing_over = self.round.claims.releasing().iter().any(held);
        let due = self.round.buffer.is_due(&self.limits, env.instant());
        let due = due || self.round.shard_ended || drained || handing_over;
        let lent_table = self.round.flight.is_some() || self.round.settled.is_some();
        if self.round.buffer.is_empty() || self.round.lent.is_some() || lent_table {
            return;
        }
        if due {
            self.round.shard_ended = false;
            let buffered = self.round.buffer.take();
            let draft = self.round.draft.take().unwrap_or_else(|| Draft::new(env));
            let base = self.table.document.as_ref().map_or(0, |document| document.head.number);
            let name = &self.name;
            env.tell(|| {
                format!("{name} flushes {} events", buffered.rows.iter().map(|rows| rows.0.len()).sum::<usize>())
            });
            self.round.flight = Some(Flight::new(draft, buffered, base));
        } else if self.round.buffer.is_half_full(&self.limits) && self.round.draft.is_some() {
            self.round.lent = Some(self.round.buffer.lend(env.instant()));
        }
    }

    /// Half of the rows become files of the coming batch.
    fn write_ahead(&mut self, env: &mut Env) {
        let (Some(lent), Some(draft)) = (self.round.lent.take(), &mut self.round.draft) else { return };
        let mut ahead: Vec<_> = lent.into_iter().flat_map(|rows| rows.0).collect();
        let rest = ahead.split_off(ahead.len() / 2);
        if draft.upload(&ahead, env).is_err() {
            ahead.extend(rest);
            self.round.lent = Some(vec![SimRows(ahead)]);
            return;
        }
        env.count("written ahead");
        self.round.buffer.give_back((!rest.is_empty()).then_some(SimRows(rest)), 10);
    }

    fn fly(&mut self, env: &mut Env) {
        let Some(mut flight) = self.round.flight.take() else { return };
        match flight.step(&mut self.table, &self.writer, env) {
            None => self.round.flight = Some(flight),
            Some(outcome) => {
                let name = &self.name;
                env.tell(|| format!("{name} {outcome:?}"));
                self.round.settled = Some((flight, outcome));
            }
        }
    }

    fn main(&mut self, env: &mut Env) -> Option<End> {
        self.next_main = env.now + 1;
        match std::mem::replace(&mut self.main, Main::Loop) {
            Main::Open => {
                let opened = self.table.reload(env).and_then(|()| self.table.follow(env));
                self.main = if opened == Ok(true) { Main::Follow(Box::new(Follow::first())) } else { Main::Open };
                if opened.is_err() {
                    self.next_main = env.now + 500;
                }
            }
            Main::Reload => {
                let loaded = self.table.reload(env).is_ok();
                self.main = if loaded { Main::Follow(Box::new(Follow::first())) } else { Main::Reload };
            }
            Main::Follow(follow) => return self.follow(follow, env),
            Main::CatchUp if self.table.follow(env) == Ok(false) => self.main = Main::CatchUp,
            Main::CatchUp => {}
            Main::Loop => self.turn(env),
            Main::Finish => match self.table.follow(env) {
                Ok(true) => {
                    env.store.beats.remove(&self.name);
                    return Some(End::Left);
                }
                Ok(false) | Err(_) => self.main = Main::Finish,
            },
        }
        None
    }

    fn follow(&mut self, mut follow: Box<Follow>, env: &mut Env) -> Option<End> {
        match follow.step(self, env) {
            Ok(true) if follow.is_first() => self.main = Main::Loop,
            Ok(true) => self.main = Main::CatchUp,
            Ok(false) => self.main = Main::Follow(follow),
            Err(()) if follow.is_hopeless() => {
                env.count("pins given up");
                return Some(End::Failed);
            }
            Err(()) => {
                // The first follow of a round is tried until it goes well; later ones wait for their next time.
                let again = follow.is_first();
                self.main = if again { Main::Follow(Box::new(Follow::first())) } else { Main::Loop };
                self.next_main = env.now + 500;
            }
        }
        None
    }

    /// One turn of the loop.
    fn turn(&mut self, env: &mut Env) {
        if self.leaving {
            self.round.readers.clear();
        }
        self.start_flight_if_due(env);
        let Round { buffer, channel, readers, flight, settled, .. } = &self.round;
        let idle =
            readers.is_empty() && channel.is_empty() && buffer.is_empty() && flight.is_none() && settled.is_none();
        if idle && self.leaving {
            self.main = Main::Finish;
        } else if let Some((flight, outcome)) = self.round.settled.take() {
            self.take_settled(&flight, outcome, env);
        } else if self.takes_chunk() {
            self.take_chunk(env);
        } else {
            self.refresh(env);
            self.next_main = env.now + 1 + env.below(2 * env.settings.tick);
        }
    }

    fn take_settled(&mut self, flight: &Flight, outcome: CommitOutcome, env: &mut Env) {
        match outcome {
            CommitOutcome::Committed { .. } => {
                self.let_go(env);
                if flight.ended_a_shard() {
                    self.lineage_due = env.now;
                    self.refresh(env);
                }
            }
            CommitOutcome::Fenced(fence) => {
                self.drop_round(fence.shards.into_iter().map(|moved| moved.shard).collect(), env);
            }
            CommitOutcome::Expired => self.drop_round(Vec::new(), env),
        }
    }

    /// What was read and is not committed is dropped; it goes on from the table.
    fn drop_round(&mut self, shards: Vec<ShardId>, env: &mut Env) {
        if !shards.is_empty() {
            env.count("fenced");
        }
        let until = env.now + FENCED_PAUSE / 5 + env.below(FENCED_PAUSE * 4 / 5);
        self.avoided.extend(shards.into_iter().map(|shard| (shard, until)));
        self.round = Round::default();
        self.tell_holds(env);
        self.lineage_due = env.now;
        self.main = if self.leaving { Main::Finish } else { Main::Reload };
    }

    fn refresh(&mut self, env: &mut Env) {
        let due = self.fleet_changed || self.lineage_due <= env.now;
        let held = |shard: &ShardId| !self.has_come_in(shard) || self.round.buffer.holds(shard);
        let letting_go = self.round.claims.releasing().iter().any(held);
        let lent = self.round.flight.is_some() || self.round.settled.is_some();
        if due && !letting_go && !lent && !self.leaving {
            self.fleet_changed = false;
            self.main = Main::Follow(Box::new(Follow::again()));
        }
    }

    /// Starts or stops to read by what the lineage says; the shards that get a reader now are held from here on.
    pub(super) fn release_all_but(&mut self, mine: &BTreeSet<ShardId>, env: &mut Env) {
        let strangers: Vec<ShardId> =
            self.round.readers.keys().filter(|shard| !mine.contains(*shard)).cloned().collect();
        for shard in strangers {
            env.count("handing over");
            let name = &self.name;
            env.tell(|| format!("{name} hands {shard} over"));
            self.round.readers.remove(&shard);
            self.round.claims.release(&shard);
        }
        self.let_go(env);
    }
}

//! A worker: the agenda of the real one, with its acts carried out in single steps in a random order.

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
    store::StoreFault,
    table::Table,
};
use crate::{
    kinesis::skew::Skew,
    landing::limits::FlushLimits,
    reading::{chunk::Chunk, reader::ReaderEnd},
    shards::{
        fleet::{Shards, membership::Membership},
        gap::OnGap,
    },
    worker::agenda::{Act, Agenda, CHUNKS_AHEAD, FENCED_PAUSE, Look},
};

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

/// The state of the worker's own loop.
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

pub(super) struct Worker {
    pub(super) name: String,
    pub(super) writer: Writer,
    /// Milliseconds that its wall clock is ahead.
    off: i64,
    skew: Skew,
    pub(super) on_gap: OnGap,
    pub(super) start: Position,
    born: i64,
    membership: Membership,
    pub(super) heartbeat: Heartbeat,
    pub(super) known: Shards,
    pub(super) others: Vec<Heartbeat>,
    next_beat: i64,
    pub(super) table: Table,
    /// The erasure epoch at which it began to read.
    epoch: u64,
    main: Main,
    next_main: i64,
    pub(super) agenda: Agenda<SimRows, Draft>,
    pub(super) readers: BTreeMap<ShardId, SimReader>,
    channel: VecDeque<Chunk<SimRows>>,
    flight: Option<Flight>,
    settled: Option<(Flight, CommitOutcome)>,
    /// A batch and rows that are being written ahead of its commit.
    lent: Option<(Draft, Vec<SimRows>)>,
    leaving: bool,
}

impl Worker {
    pub(super) fn new(name: &str, on_gap: OnGap, env: &mut Env) -> Self {
        let skew = env.settings.skew;
        let skew = if skew == 0 { 0 } else { env.below(2 * skew) - skew };
        let incarnation = Uuid::from_u128(env.random.random());
        let start = if env.settings.start_latest {
            // It takes the service's clock, if the local one is ahead.
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
        env.log(|| format!("{name} starts, clock off by {skew} ms, {on_gap:?}, {limits:?}"));
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
            born: env.now,
            membership: Membership::new(name, millis(5 * env.settings.beat)),
            heartbeat,
            known: Shards::new(),
            others: Vec::new(),
            next_beat: env.now,
            table: Table::default(),
            epoch: 0,
            main: Main::Open,
            next_main: env.now,
            agenda: Agenda::new(limits, false, look_interval(env), env.instant()),
            readers: BTreeMap::new(),
            channel: VecDeque::new(),
            flight: None,
            settled: None,
            lent: None,
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
        follow || self.flight.as_ref().is_some_and(Flight::is_in_commit)
    }

    /// The worker stood still, like a process that got SIGSTOP.
    pub(super) fn stood_still(&mut self) {
        if let Some(flight) = &mut self.flight {
            flight.stood_still();
        }
    }

    /// Like SIGTERM: it stops reading, commits its rows, and leaves.
    pub(super) fn leave(&mut self, env: &Env) {
        self.leaving = true;
        self.agenda.leave();
        self.stop_readers(env);
    }

    fn stop_readers(&mut self, env: &Env) {
        for (shard, reader) in std::mem::take(&mut self.readers) {
            self.agenda.reader_ended(&shard, ReaderEnd::Stopped, reader.sent, env.instant());
        }
    }

    /// What it can do now.
    pub(super) fn activities(&self, env: &Env) -> Vec<Activity> {
        let mut found = Vec::new();
        if env.settings.fleet && env.now >= self.next_beat {
            found.push(Activity::Beat);
        }
        if self.channel.len() < CHUNKS_AHEAD {
            let due = self.readers.iter().filter(|(_, reader)| env.now >= reader.next_call);
            found.extend(due.map(|(id, _)| Activity::Read(id.clone())));
        }
        if self.flight.is_some() {
            found.push(Activity::Flight);
        }
        if self.lent.is_some() {
            found.push(Activity::WriteAhead);
        }
        let takes_chunk = self.agenda.takes_chunks() && !self.channel.is_empty();
        let woken = matches!(self.main, Main::Loop) && (takes_chunk || self.settled.is_some());
        if env.now >= self.next_main || woken {
            found.push(Activity::Main);
        }
        found
    }

    /// When it can do something next.
    pub(super) fn next_time(&self, env: &Env) -> i64 {
        let readers = self.readers.values().map(|reader| reader.next_call);
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
        if sketch(&others) != sketch(&self.others) {
            self.agenda.fleet_changed();
        }
        self.others = others;
    }

    /// Publishes which shards it reads or has not committed yet.
    pub(super) fn publish_holds(&mut self, env: &Env) {
        let before = self.heartbeat.holds.insert(STREAM.to_owned(), self.agenda.held().clone());
        if before.unwrap_or_default() != *self.agenda.held() {
            self.next_beat = env.now;
        }
    }

    fn read(&mut self, shard: &ShardId, env: &mut Env) {
        let bounds = (self.earliest(env), self.latest(env));
        let Some(reader) = self.readers.get_mut(shard) else { return };
        match reader.step(bounds, env) {
            Read::Nothing => {}
            Read::Chunk(chunk) => {
                let name = &self.name;
                env.log(|| {
                    let (to, counts) = (&chunk.advance.to_inclusive, chunk.advance.counts);
                    format!("{name} read {shard} to {to:?}, ended {}, {counts:?}", chunk.advance.ended)
                });
                reader.sent += 1;
                if reader.ended {
                    self.end_reader(shard, ReaderEnd::ShardEnded, env);
                }
                self.channel.push_back(chunk);
            }
            Read::Vanished => {
                env.count("shard vanished");
                let name = &self.name;
                env.log(|| format!("{name} finds {shard} vanished"));
                self.end_reader(shard, ReaderEnd::ShardVanished, env);
            }
        }
    }

    pub(super) fn end_reader(&mut self, shard: &ShardId, end: ReaderEnd, env: &mut Env) {
        let Some(reader) = self.readers.remove(shard) else { return };
        let before = self.agenda.releasing();
        self.agenda.reader_ended(shard, end, reader.sent, env.instant());
        self.note_let_go(before, env);
        self.publish_holds(env);
    }

    fn note_let_go(&self, before: usize, env: &mut Env) {
        if self.agenda.releasing() < before {
            env.count("shard let go");
        }
    }

    fn take_chunk(&mut self, env: &mut Env) {
        let Some(chunk) = self.channel.pop_front() else { return };
        let now = env.instant();
        if let Err(fault) = self.agenda.take_chunk(chunk, || Draft::new(env), now) {
            env.fail(format!("{}: {fault}", self.name));
        }
    }

    /// Half of the rows become files of the coming batch.
    fn write_ahead(&mut self, env: &mut Env) {
        let Some((mut draft, lent)) = self.lent.take() else { return };
        let mut ahead: Vec<_> = lent.into_iter().flat_map(|rows| rows.0).collect();
        let rest = ahead.split_off(ahead.len() / 2);
        if draft.upload(&ahead, env).is_err() {
            ahead.extend(rest);
            self.lent = Some((draft, vec![SimRows(ahead)]));
            return;
        }
        env.count("written ahead");
        self.agenda.written_ahead(draft, (!rest.is_empty()).then_some(SimRows(rest)), 10);
    }

    fn fly(&mut self, env: &mut Env) {
        let Some(mut flight) = self.flight.take() else { return };
        match flight.step(&mut self.table, &self.writer, env) {
            None => self.flight = Some(flight),
            Some(outcome) => {
                let name = &self.name;
                env.log(|| format!("{name} {outcome:?}"));
                self.settled = Some((flight, outcome));
            }
        }
    }

    fn main(&mut self, env: &mut Env) -> Option<End> {
        self.next_main = env.now + 1;
        match std::mem::replace(&mut self.main, Main::Loop) {
            Main::Open => {
                let opened = self.table.reload(env).and_then(|()| self.table.follow(env));
                self.main = if opened == Ok(true) { Main::Loop } else { Main::Open };
                self.takes_epoch();
                if opened.is_err() {
                    self.next_main = env.now + 500;
                }
            }
            Main::Reload => {
                let loaded = self.table.reload(env);
                self.main = if loaded.is_ok() { Main::Loop } else { Main::Reload };
                if loaded == Err(StoreFault::Refused) {
                    self.next_main = env.now + 1_000;
                }
                self.takes_epoch();
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
            Ok(true) => {
                self.agenda.look_ends(follow.look);
                self.main = if follow.look == Look::First { Main::Loop } else { Main::CatchUp };
            }
            Ok(false) => self.main = Main::Follow(follow),
            Err(()) if follow.is_hopeless() => {
                env.count("pins given up");
                return Some(End::Failed);
            }
            // The first look of a round is tried until it succeeds; later ones wait for their next time.
            Err(()) => self.next_main = env.now + 500,
        }
        None
    }

    /// A round begins, at the epoch of the table as it was loaded.
    fn takes_epoch(&mut self) {
        self.epoch = self.table.document.as_ref().map_or(0, |document| document.head.erasure_epoch);
    }

    /// One turn of the loop.
    fn turn(&mut self, env: &mut Env) {
        if self.leaving {
            // A look that was under way may have started some.
            self.stop_readers(env);
        }
        match self.agenda.next(env.instant(), false) {
            Some(Act::Commit { draft, buffered }) => {
                let base = self.table.document.as_ref().map_or(0, |document| document.head.number);
                let name = &self.name;
                let events = buffered.rows.iter().map(|rows| rows.0.len()).sum::<usize>();
                env.log(|| format!("{name} flushes {events} events"));
                let draft = draft.unwrap_or_else(|| Draft::new(env));
                self.flight = Some(Flight::new(draft, buffered, base, self.epoch));
            }
            Some(Act::WriteAhead { draft, rows }) => self.lent = Some((draft, rows)),
            Some(Act::Look(look)) => self.main = Main::Follow(Box::new(Follow::new(look))),
            Some(Act::Finish { .. } | Act::Leave) => self.main = Main::Finish,
            Some(Act::Judge) => env.fail("a run that does not end at the tips judges its end".to_owned()),
            None => self.wait(env),
        }
    }

    /// Takes in an event, if there is one.
    fn wait(&mut self, env: &mut Env) {
        if let Some((flight, outcome)) = self.settled.take() {
            self.take_settled(&flight, outcome, env);
        } else if self.agenda.takes_chunks() && !self.channel.is_empty() {
            self.take_chunk(env);
        } else {
            self.next_main = env.now + 1 + env.below(2 * env.settings.tick);
        }
    }

    fn take_settled(&mut self, flight: &Flight, outcome: CommitOutcome, env: &mut Env) {
        match outcome {
            CommitOutcome::Committed { .. } => {
                let before = self.agenda.releasing();
                self.agenda.committed(flight.shards(), 0, 0, env.instant());
                self.note_let_go(before, env);
                self.publish_holds(env);
            }
            CommitOutcome::Fenced(fence) => {
                env.count("fenced");
                self.drop_round(fence.shards.into_iter().map(|moved| moved.shard).collect(), env);
            }
            CommitOutcome::Expired => self.drop_round(Vec::new(), env),
        }
    }

    /// Drops everything uncommitted, and goes on from the table.
    fn drop_round(&mut self, shards: Vec<ShardId>, env: &mut Env) {
        let now = env.instant();
        let longest = i64::try_from(FENCED_PAUSE.as_millis()).unwrap();
        let until = now + FENCED_PAUSE / 5 + millis(env.below(longest * 4 / 5));
        let fresh = Agenda::new(FlushLimits::default(), false, look_interval(env), now);
        self.agenda = std::mem::replace(&mut self.agenda, fresh).next_round(shards, until, now);
        self.readers.clear();
        self.channel.clear();
        self.lent = None;
        self.publish_holds(env);
        self.main = Main::Reload;
    }
}

/// The time until a worker looks at the shards again without an event.
fn look_interval(env: &Env) -> std::time::Duration {
    millis((75 * env.settings.tick).min(60_000))
}

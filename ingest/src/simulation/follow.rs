//! One look at the lineage: the table and the shards as they are now, the commits before reading, and the readers that
//! start then. The decisions are those of the real worker.

use bluelake_lake::{Batch, CommitOutcome, Position, RecentEvent};
use bluelake_schemas::{Micros, Millis};
use rand::Rng as _;
use uuid::Uuid;

use super::{
    env::Env,
    reader::SimReader,
    store::Item,
    table::Committing,
    worker::{STREAM, Worker},
};
use crate::{
    reading::{
        dedup::{limits::DedupLimits, rebuild::Rebuild, window::DedupWindow},
        reader::ReaderEnd,
    },
    shards::{
        fleet::Share,
        lineage::ReadableShard,
        pins_and_gaps::{GapRule, PIN_ROUNDS, PinsAndGaps, Seen},
        tip::{Listed, Listing},
    },
    worker::agenda::{Look, Looked},
};

enum Stage {
    Reload,
    List,
    Commit(Box<Committing>),
    /// The shards to read, and when they were listed.
    Windows(Vec<ReadableShard>, i64),
}

pub(super) struct Follow {
    stage: Stage,
    rounds: usize,
    pub(super) look: Look,
}

impl Follow {
    pub(super) fn new(look: Look) -> Self {
        Self { stage: Stage::Reload, rounds: 0, look }
    }

    pub(super) fn is_hopeless(&self) -> bool {
        self.rounds >= PIN_ROUNDS
    }

    pub(super) fn is_in_commit(&self) -> bool {
        matches!(&self.stage, Stage::Commit(committing) if committing.is_midway())
    }

    /// One request. Gives whether the look is done, or `Err` when the request failed.
    pub(super) fn step(&mut self, worker: &mut Worker, env: &mut Env) -> Result<bool, ()> {
        match &mut self.stage {
            Stage::Reload => {
                worker.agenda.look_begins(env.instant());
                worker.table.reload(env).map_err(drop)?;
                self.stage = Stage::List;
                Ok(false)
            }
            Stage::List => self.list(worker, env),
            Stage::Commit(committing) => {
                let Some(outcome) = committing.step(&mut worker.table, &worker.writer, env) else { return Ok(false) };
                let (name, batch) = (&worker.name, &committing.batch);
                env.log(|| format!("{name} {outcome:?}: {:?}, retires {:?}", batch.shards, batch.retire));
                note_acts(batch, &outcome, env);
                self.rounds += 1;
                self.stage = Stage::Reload;
                if self.is_hopeless() { Err(()) } else { Ok(false) }
            }
            Stage::Windows(shards, listed_at) => {
                let shards = std::mem::take(shards);
                start_readers(worker, shards, *listed_at, env)
            }
        }
    }

    fn list(&mut self, worker: &mut Worker, env: &mut Env) -> Result<bool, ()> {
        if env.stream_fails() {
            return Err(());
        }
        let listed = env.world.list(env.now);
        let listed_at = worker.earliest(env);
        let document = worker.table.document.as_ref();
        let window = super::env::millis(env.settings.window);
        let rule = GapRule {
            retention: env.settings.retention(),
            window,
            on_gap: worker.on_gap,
            now: Millis::new(worker.latest(env)),
        };
        let seen = Seen {
            listed: &listed,
            document,
            start: &worker.start,
            held: worker.agenda.held(),
            earliest: Millis::new(listed_at),
        };
        let (known, heartbeat, others) = (&mut worker.known, &worker.heartbeat, &worker.others);
        let first = PinsAndGaps::of(&seen, rule, |wanting| {
            known.insert(STREAM.to_owned(), wanting);
            Share::decide(heartbeat, others, known, STREAM)
        });
        if !first.is_empty() {
            let batch = Batch {
                id: Uuid::from_u128(env.random.random()),
                base: document.map_or(0, |document| document.head.number),
                erasure_epoch: document.map_or(0, |document| document.head.erasure_epoch),
                shards: first.acts,
                retire: first.retire,
                supplement: None,
                files: Vec::new(),
                rejected_files: Vec::new(),
            };
            self.stage = Stage::Commit(Box::new(Committing::new(batch, Vec::new(), None)));
            return Ok(false);
        }
        for shard in &listed {
            if let Some(reader) = worker.readers.get_mut(&shard.id) {
                reader.listed = Listed::of(shard, Millis::new(listed_at));
            }
        }
        if first.readable.waiting > 0 {
            env.count("child waits for a parent");
        }
        let listing = Listing { shards: listed, at: Millis::new(listed_at) };
        let in_company = !worker.others.is_empty();
        let Looked { start, stop } = worker.agenda.looked(first.readable, &listing, in_company, env.instant());
        for shard in stop {
            env.count("handing over");
            let name = &worker.name;
            env.log(|| format!("{name} hands {shard} over"));
            worker.end_reader(&shard, ReaderEnd::Stopped, env);
        }
        worker.publish_holds(env);
        if start.is_empty() {
            return Ok(true);
        }
        self.stage = Stage::Windows(start, listed_at);
        Ok(false)
    }
}

/// Rebuilds the windows from the table and starts the readers. When the table cannot be read, the shards are let go again.
fn start_readers(worker: &mut Worker, shards: Vec<ReadableShard>, listed_at: i64, env: &mut Env) -> Result<bool, ()> {
    if env.read().is_err() {
        env.count("window not rebuilt");
        worker.agenda.give_back(&shards);
        worker.publish_holds(env);
        return Err(());
    }
    let dedup = DedupLimits { span: super::env::millis(env.settings.window), max_ids: 1_000_000 };
    let mut rebuild = Rebuild::plan(&shards, worker.table.document.as_ref(), dedup);
    let wanted = rebuild.wanted().clone();
    // The table as it was loaded, not as it is: a file of it may be deleted since.
    let files = worker.table.snapshot.files.keys().map(|path| env.store.file(path).cloned());
    let Some(files) = files.collect::<Option<Vec<_>>>() else {
        env.count("window met a deleted file");
        worker.agenda.give_back(&shards);
        worker.publish_holds(env);
        return Err(());
    };
    let rows = files.iter().flat_map(|items| items.iter());
    let mut remembered = 0_u64;
    let within = |item: &&Item| {
        wanted.get(item.place.shard.as_str()).is_some_and(|range| range.contains(&Micros::new(item.arrived_at)))
    };
    for item in rows.filter(within) {
        remembered += 1;
        rebuild.remember(RecentEvent {
            shard: &item.place.shard,
            event_id: item.id,
            sequence: &item.place.sequence,
            sub_sequence: item.place.sub_sequence,
            arrived_at: Micros::new(item.arrived_at),
        });
    }
    if remembered > 0 {
        env.count("window rebuilt");
    }
    let mut windows = rebuild.finish();
    for shard in shards {
        let id = shard.shard.id.clone();
        let window = windows.remove(&id).unwrap_or_else(|| DedupWindow::new(dedup));
        note_reader(worker, &shard, env);
        worker.agenda.reading(&id);
        worker.readers.insert(id, SimReader::new(shard, window, listed_at, env));
    }
    Ok(true)
}

fn note_reader(worker: &Worker, shard: &ReadableShard, env: &mut Env) {
    let (name, id, position) = (&worker.name, &shard.shard.id, &shard.position);
    env.log(|| format!("{name} reads {id} from {position:?}"));
    let last = env.last_reader.insert(id.to_string(), name.clone());
    if last.is_some_and(|last| last != *name) {
        env.count("taken over");
    }
    if shard.shard.parents.len() > 1 {
        env.count("child of a merge read");
    }
}

fn note_acts(batch: &Batch, outcome: &CommitOutcome, env: &mut Env) {
    if !matches!(outcome, CommitOutcome::Committed { .. }) {
        env.count("first act fenced");
        return;
    }
    for step in &batch.shards {
        match (&step.gap, &step.from_exclusive, &step.to_inclusive) {
            (Some(gap), _, _) if gap.accepted => env.count("gap accepted"),
            (Some(_), _, _) => env.count("gap found"),
            (None, None, Position::AtTimestamp(_)) if !step.parents.is_empty() => env.count("pin inherited"),
            (None, None, _) => env.count("pinned"),
            _ => {}
        }
    }
    if !batch.retire.is_empty() {
        env.count("entry retired");
    }
}

//! Watches the tables grow and compares them with the puts. It knows the world, not the workers.
//!
//! | promise | checked |
//! | --- | --- |
//! | every put event is stored, rejected, counted as a duplicate, or covered by a reported gap: exactly once | with each version, and at the end |
//! | an event counts as a duplicate only of one that is stored, within the window, on the shard or an ancestor | at the end |
//! | no event id is stored twice within the window on a shard and its ancestors | at the end |
//! | a document builds on the one in force, its ranges start where that one ends, positions never go back, totals balance | with each version |
//! | no child is pinned before its parents ended | with each version |
//! | the watermark is right | with each version, by the document alone and with the list of Kinesis |
//! | a gap has a possible loss | at the end |

use std::collections::{BTreeMap, BTreeSet};

use bluelake_lake::{CheckpointDocument, Gap, Position, SeenInKinesis, ShardId, ShardRange, ShardState};
use bluelake_schemas::Millis;

use super::{
    env::Env,
    maintenance::Ledger,
    store::{Fate, Item, Place, Version},
    world::{SimRecord, SimShard},
};

#[derive(Default)]
pub(super) struct Oracle {
    /// Versions of the event table that were checked.
    seen: usize,
    document: Option<CheckpointDocument>,
    fates: BTreeMap<Place, Item>,
    /// The position before the first record that was promised, by shard.
    pins: BTreeMap<ShardId, Pin>,
    rejected_files: BTreeSet<String>,
    ledger: Ledger,
    /// Deletions that were looked at.
    seen_deletions: usize,
    /// Nobody reads any more, so Kinesis discards what is unread.
    pub(super) is_over: bool,
}

/// How a shard came into the table.
#[derive(Clone, Debug)]
struct Pin {
    start: Position,
    /// True time.
    at: i64,
    /// It had no parents in the table.
    is_root: bool,
}

impl Oracle {
    /// Checks what has landed since the last time.
    pub(super) fn look(&mut self, env: &mut Env) {
        while self.seen + 1 < env.store.log.len() && env.finding.is_none() {
            self.seen += 1;
            let version = env.store.log[self.seen].clone();
            if let Err(finding) = self.version(&version, env) {
                let number = self.seen;
                env.fail(format!("version {number}: {finding}"));
            }
        }
        while let Some(path) = env.store.deleted.get(self.seen_deletions).cloned() {
            self.seen_deletions += 1;
            let needed = if self.rejected_files.contains(&path) {
                Err(format!("{path} is deleted, and rejected_events has it or is given it"))
            } else {
                self.ledger.deleted(&path)
            };
            if let Err(finding) = needed {
                env.fail(finding);
            }
        }
    }

    /// What must hold of the files at the end.
    pub(super) fn conclude_files(&self, env: &mut Env) {
        if let Err(finding) = self.ledger.conclude(env) {
            env.fail(format!("at the end: {finding}"));
        }
    }

    /// What must hold when everything was vacuumed.
    pub(super) fn nothing_is_left(&self, env: &mut Env) {
        self.ledger.nothing_is_left(&self.rejected_files, env);
    }

    fn version(&mut self, version: &Version, env: &mut Env) -> Result<(), String> {
        self.ledger.version(self.seen, version, env)?;
        if version.record.is_none() && !version.uncounted {
            for file in &version.adds {
                let items = env.store.file(&file.path).ok_or(format!("{} is missing", file.path))?;
                self.take_in(items)?;
            }
        }
        self.take_in(&version.duplicates)?;
        if version.txn.is_some() {
            self.document(version, env)?;
        }
        self.ledger.count(self.document.as_ref())?;
        if version.txn.is_some() && !self.is_over { self.watermark(env) } else { Ok(()) }
    }

    /// The document that a version puts in force.
    fn document(&mut self, version: &Version, env: &mut Env) -> Result<(), String> {
        let Some(number) = version.txn else { return Ok(()) };
        let bytes = env.store.document(number).ok_or(format!("document {number} is missing"))?;
        let document = CheckpointDocument::read(bytes, number).map_err(|fault| fault.to_string())?;
        env.log(|| format!("document {number} of {} is in force", document.head.worker));
        let previous = self.document.take();
        follows(previous.as_ref(), &document)?;
        for range in &document.commit.ranges {
            self.range(range, previous.as_ref(), &document, env)?;
        }
        for file in &document.commit.rejected_files {
            let items = env.store.file(&file.path).ok_or(format!("{} is missing", file.path))?;
            self.take_in(items)?;
            self.rejected_files.insert(file.path.clone());
        }
        self.totals(&document)?;
        if env.store.document(number - 1).is_some()
            && document.head.previous.as_ref().is_some_and(|previous| previous.number < number - 1)
        {
            env.count("document number skipped");
        }
        let named = document.commit.maintenance.as_ref().map(|named| named.number);
        if named != version.record {
            return Err(format!("document {number} names record {named:?}, its version has {:?}", version.record));
        }
        self.document = Some(document);
        Ok(())
    }

    fn take_in(&mut self, items: &[Item]) -> Result<(), String> {
        for item in items {
            if let Some(before) = self.fates.insert(item.place.clone(), item.clone()) {
                return Err(format!("{:?} is {:?}, and was {:?} before", item.place, item.fate, before.fate));
            }
        }
        Ok(())
    }

    /// One shard's part of a document.
    fn range(
        &mut self,
        range: &ShardRange,
        previous: Option<&CheckpointDocument>,
        document: &CheckpointDocument,
        env: &Env,
    ) -> Result<(), String> {
        let id = &range.shard;
        let before = previous.and_then(|document| document.shards.get(id));
        let after = document.shards.get(id).ok_or(format!("{id} moved, and is not there"))?;
        match (&range.from_exclusive, before) {
            (None, None) => self.pin(id, after, previous, env)?,
            (Some(from), Some(before)) if *from == before.position && !before.ended => {}
            _ => return Err(format!("{id} starts from {:?}, it stood at {before:?}", range.from_exclusive)),
        }
        if range.from_exclusive.as_ref().is_some_and(|from| !from.reaches(&range.to_inclusive)) {
            return Err(format!("{id} goes back: {range:?}"));
        }
        // Every record of the range, and no other, has its fate.
        let shard = env.world.shards.get(id).ok_or(format!("{id} does not exist"))?;
        let reached = reached(shard, &range.to_inclusive)?;
        let start = range.from_exclusive.as_ref().map_or(Ok(0), |from| self::reached(shard, from))?;
        if after.ended && shard.closed_at.is_none() {
            return Err(format!("{id} ended, and is open"));
        }
        let covered = |record: &SimRecord| {
            let start_at = self.pins.get(id).map_or(i64::MIN, |pin| start_time(&pin.start));
            let passed_over = env.now - env.world.retention > record.arrived || record.arrived < start_at;
            let known = (0..).zip(&record.events).all(|(sub_sequence, _)| {
                let sequence = record.sequence.as_str().to_owned();
                self.fates.contains_key(&Place { shard: id.to_string(), sequence, sub_sequence })
            });
            known || passed_over
        };
        // Rejected events are checked with the document's files, which come later.
        let only_good = |record: &&SimRecord| record.events.iter().all(|event| !event.bad);
        match shard.records.get(start..reached).unwrap_or_default().iter().filter(only_good).find(|it| !covered(it)) {
            Some(lost) => Err(format!("{id} moved past {} without its events", lost.sequence)),
            None => Ok(()),
        }
    }

    fn pin(
        &mut self,
        id: &str,
        state: &ShardState,
        previous: Option<&CheckpointDocument>,
        env: &Env,
    ) -> Result<(), String> {
        let shard = env.world.shards.get(id).ok_or(format!("{id} does not exist"))?;
        for parent in &shard.listed.parents {
            let known = previous.and_then(|document| document.shards.get(parent));
            let listed = env.world.list(env.now).iter().any(|shard| shard.id == *parent);
            if known.map_or(listed && !self.pins.contains_key(parent), |parent| !parent.ended) {
                return Err(format!("{id} is pinned before its parent {parent} ended"));
            }
        }
        let is_root = !shard.listed.parents.iter().any(|parent| self.pins.contains_key(parent));
        self.pins.insert(id.into(), Pin { start: state.position.clone(), at: env.now, is_root });
        Ok(())
    }

    fn totals(&self, document: &CheckpointDocument) -> Result<(), String> {
        let totals = document.totals();
        let of = |fate| u64::try_from(self.fates.values().filter(|item| item.fate == fate).count()).unwrap();
        let found = (of(Fate::Stored), of(Fate::Rejected), of(Fate::Duplicate));
        let all_balance = document.shards.values().all(|shard| shard.totals.balance());
        if !totals.balance() || !all_balance || found != (totals.stored, totals.rejected, totals.duplicate) {
            return Err(format!("control totals {totals:?}, found {found:?}"));
        }
        Ok(())
    }

    /// Checks that "complete to" is right: by the document alone, and with what Kinesis lists now.
    pub(super) fn watermark(&self, env: &mut Env) -> Result<(), String> {
        let Some(document) = &self.document else { return Ok(()) };
        let mut seen = SeenInKinesis::default();
        for shard in env.world.list(env.now) {
            if shard.closed {
                seen.closed.insert(shard.id.clone());
            }
            match document.shards.get(&shard.id) {
                Some(state) => {
                    let world = &env.world.shards[&shard.id];
                    if !state.ended && unread(world, &state.position, env) == 0 && world.closed_at.is_none() {
                        seen.take_tip(&shard.id, state, Millis::new(env.now), env.settings.retention());
                    }
                }
                None => {
                    seen.unpinned.insert(shard.id, shard.parents);
                }
            }
        }
        for seen in [None, Some(&seen)] {
            let Some(until) = document.watermark(seen) else { continue };
            // The document alone knows nothing of a family without a shard in it.
            let known = |id: &str| seen.is_some() || self.pins.keys().any(|pinned| is_ancestor(pinned, id, env));
            // Losses in shards that it never saw come to light when their children are pinned, and are gaps then.
            let lost_unseen = |id: &str, record: &SimRecord| {
                !self.pins.contains_key(id) && record.arrived < env.now - env.world.retention
            };
            let claimed = |(id, record): &(&str, &SimRecord)| {
                record.arrived < until.get() && known(id) && !lost_unseen(id, record)
            };
            if let Some(missing) = self.missing(env).find(claimed) {
                let (shard, record) = missing;
                return Err(format!(
                    "complete up to {until:?} by {seen:?}, but {} of {shard} arrived at {}",
                    record.sequence, record.arrived
                ));
            }
        }
        Ok(())
    }

    /// Promised records without a fate, and not covered by a gap.
    fn missing<'a>(&'a self, env: &'a Env) -> impl Iterator<Item = (&'a str, &'a SimRecord)> {
        env.world.shards.values().flat_map(move |shard| {
            let id = shard.listed.id.as_str();
            let waiting = shard.records.iter().filter(move |record| {
                let place =
                    Place { shard: id.to_owned(), sequence: record.sequence.as_str().to_owned(), sub_sequence: 0 };
                !self.fates.contains_key(&place)
                    && self.is_promised(id, record, env)
                    && !self.is_covered(id, record, env)
            });
            waiting.map(move |record| (id, record))
        })
    }

    /// Records from before the start are not promised, nor those that Kinesis discarded and that were there before the
    /// pin.
    fn is_promised(&self, id: &str, record: &SimRecord, env: &Env) -> bool {
        let discarded = record.arrived < env.now - env.world.retention;
        let starts = self.pins.values().map(|pin| start_time(&pin.start)).filter(|start| *start > i64::MIN);
        let start = starts.min().unwrap_or(i64::MIN);
        let began = self.pins.values().map(|pin| pin.at).min().unwrap_or(i64::MIN);
        match self.pins.get(id) {
            Some(pin) => {
                let before = record.arrived < if pin.is_root { pin.at } else { began };
                record.arrived >= start.max(start_time(&pin.start)) && !(before && discarded)
            }
            None if self.pins.is_empty() => !env.settings.start_latest && !discarded,
            // A root does not promise records older than its pin, if the pin came too late.
            None if env.world.shards[id].listed.parents.is_empty() => record.arrived >= start && !discarded,
            // Nor does a family that was lost sight of promise records from before the lake began.
            None => record.arrived >= start && !(record.arrived < began && discarded),
        }
    }

    /// A gap covers its shard and its descendants; a shard that the table never saw is covered by a gap of its family.
    fn is_covered(&self, id: &str, record: &SimRecord, env: &Env) -> bool {
        let covers = |gap: &Gap| {
            let behind = match &gap.after {
                Position::After(after) => gap.shard != id || record.sequence > *after,
                Position::TrimHorizon | Position::AtTimestamp(_) => true,
            };
            let unseen = !self.pins.contains_key(id);
            let related = is_ancestor(&gap.shard, id, env) || (unseen && is_ancestor(id, &gap.shard, env));
            related
                && behind
                && gap.from.is_none_or(|from| from <= Millis::new(record.arrived))
                && gap.until.is_none_or(|until| record.arrived <= until.get())
        };
        self.document.iter().flat_map(|document| &document.gaps).any(covers)
    }

    /// Whether everything that can be read is in the tables, and `rejected_events` is complete.
    pub(super) fn is_at_rest(&self, env: &Env) -> bool {
        let Some(document) = &self.document else { return false };
        let done = |shard: &SimShard| match document.shards.get(&shard.listed.id) {
            Some(state) if shard.closed_at.is_some() => state.ended,
            Some(state) => unread(shard, &state.position, env) == 0 && document.open_gap(&shard.listed.id).is_none(),
            None => false,
        };
        let listed = env.world.list(env.now);
        listed.iter().all(|shard| done(&env.world.shards[&shard.id])) && self.has_followed(env)
    }

    /// Whether `rejected_events` has all that the documents give to it.
    pub(super) fn has_followed(&self, env: &Env) -> bool {
        env.store.rejected_log.iter().map(|version| version.adds.len()).sum::<usize>() >= self.rejected_files.len()
    }

    /// Why it is not at rest, for the finding.
    pub(super) fn restless(&self, env: &Env) -> String {
        let states = self.document.iter().flat_map(|document| &document.shards);
        let states: Vec<_> =
            states.map(|(id, state)| format!("{id}: {:?}, ended {}", state.position, state.ended)).collect();
        let listed = env.world.list(env.now);
        let shards = listed.iter().map(|shard| {
            let shard = &env.world.shards[&shard.id];
            format!(
                "{}: {:?}, closed {:?}",
                shard.listed.id,
                shard.records.last().map(|it| &it.sequence),
                shard.closed_at
            )
        });
        format!("in the table {states:#?}, in Kinesis {:#?}", shards.collect::<Vec<_>>())
    }

    /// What must hold at the end.
    pub(super) fn conclude(&self, env: &mut Env) {
        let lost = self.missing(env).next().map(|(shard, record)| {
            format!("{} of {shard}, arrived at {}, is nowhere", record.sequence, record.arrived)
        });
        let result = match lost {
            Some(lost) => Err(lost),
            None => self
                .watermark(env)
                .and_then(|()| self.duplicates(env))
                .and_then(|()| self.rejected_table(env))
                .and_then(|()| self.gaps(env)),
        };
        if let Err(finding) = result {
            env.fail(format!("at the end: {finding}"));
        }
    }

    fn duplicates(&self, env: &mut Env) -> Result<(), String> {
        let window = env.settings.window * 1_000;
        let mut by_id: BTreeMap<_, Vec<&Item>> = BTreeMap::new();
        for item in self.fates.values().filter(|item| item.fate != Fate::Rejected) {
            by_id.entry(item.id).or_default().push(item);
        }
        for items in by_id.values_mut().filter(|items| items.len() > 1 || items[0].fate == Fate::Duplicate) {
            items.sort_by_key(|item| (item.arrived_at, item.place.clone()));
            for (index, later) in items.iter().enumerate() {
                let near = |earlier: &&&Item| {
                    // What expired is not known any more when a window is made from the table.
                    (earlier.fate == Fate::Stored
                        && !(later.fate == Fate::Stored && self.ledger.ever_expired.contains(&earlier.place)))
                        && later.arrived_at - earlier.arrived_at <= window
                        && self.is_known_ancestor(&earlier.place.shard, &later.place.shard, env)
                };
                let earlier = items[..index].iter().find(near).map(|item| (*item).clone());
                match (earlier, later.fate) {
                    (Some(earlier), Fate::Stored) => {
                        return Err(format!("one id is stored at {:?} and {:?}", earlier.place, later.place));
                    }
                    (None, Fate::Duplicate) => {
                        return Err(format!("{:?} is a duplicate of nothing", later.place));
                    }
                    (Some(earlier), Fate::Duplicate) if earlier.place.shard != later.place.shard => {
                        env.count("duplicate of an ancestor's event");
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whether it is an ancestor over shards that the table has seen: the table does not know the parents of others.
    fn is_known_ancestor(&self, ancestor: &str, shard: &str, env: &Env) -> bool {
        let parents = env.world.shards.get(shard).map(|shard| shard.listed.parents.as_slice()).unwrap_or_default();
        let mut seen = parents.iter().filter(|parent| self.pins.contains_key(*parent));
        ancestor == shard || seen.any(|parent| self.is_known_ancestor(ancestor, parent, env))
    }

    fn rejected_table(&self, env: &Env) -> Result<(), String> {
        let mut files = BTreeSet::new();
        for file in env.store.rejected_log.iter().flat_map(|version| &version.adds) {
            if !files.insert(file.path.clone()) {
                return Err(format!("{} is twice in rejected_events", file.path));
            }
        }
        if files == self.rejected_files {
            Ok(())
        } else {
            Err("rejected_events has other files than the documents".to_owned())
        }
    }

    fn gaps(&self, env: &Env) -> Result<(), String> {
        let gaps = self.document.as_ref().map(|document| document.gaps.as_slice()).unwrap_or_default();
        match gaps.first() {
            Some(gap) if !env.settings.may_lose => Err(format!("a gap, though nothing could be lost: {gap:?}")),
            _ => Ok(()),
        }
    }
}

/// A document is the next one of the chain.
fn follows(previous: Option<&CheckpointDocument>, document: &CheckpointDocument) -> Result<(), String> {
    let expected = previous.map(|previous| (previous.head.number, previous.head.digest.clone()));
    let found = document.head.previous.as_ref().map(|previous| (previous.number, previous.digest.clone()));
    if expected != found {
        return Err(format!("document {} builds on {found:?}, in force is {expected:?}", document.head.number));
    }
    for (id, before) in previous.iter().flat_map(|previous| &previous.shards) {
        match document.shards.get(id) {
            Some(after) if !before.position.reaches(&after.position) => {
                return Err(format!("{id} goes back from {:?} to {:?}", before.position, after.position));
            }
            Some(after) if before.ended && !after.ended => return Err(format!("{id} had ended")),
            None if !before.ended => return Err(format!("{id} is gone before it ended")),
            _ => {}
        }
    }
    Ok(())
}

fn start_time(position: &Position) -> i64 {
    match position {
        Position::AtTimestamp(time) => time.get(),
        Position::TrimHorizon | Position::After(_) => i64::MIN,
    }
}

/// Records up to a position.
fn reached(shard: &SimShard, position: &Position) -> Result<usize, String> {
    match position {
        Position::After(sequence) => {
            let at = shard.records.iter().position(|record| record.sequence.as_str() == sequence.as_str());
            at.map(|index| index + 1).ok_or(format!("{} has no record {sequence}", shard.listed.id))
        }
        Position::TrimHorizon | Position::AtTimestamp(_) => Ok(0),
    }
}

/// Records behind a position that are still held.
fn unread(shard: &SimShard, position: &Position, env: &Env) -> usize {
    let held = &shard.records[env.world.horizon(shard, env.now)..];
    held.iter()
        .filter(|record| match position {
            Position::After(sequence) => record.sequence > *sequence,
            Position::AtTimestamp(time) => record.arrived >= time.get(),
            Position::TrimHorizon => true,
        })
        .count()
}

fn is_ancestor(ancestor: &str, shard: &str, env: &Env) -> bool {
    let parents = env.world.shards.get(shard).map(|shard| shard.listed.parents.as_slice()).unwrap_or_default();
    ancestor == shard || parents.iter().any(|parent| is_ancestor(ancestor, parent, env))
}

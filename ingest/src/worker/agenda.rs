//! What a worker does next, from one state of the table to the next fence or to the end. Pure: events and their times
//! in, acts out. Tasks, channels and requests belong to its driver, which is the worker (`round.rs`) or the simulation:
//! both have the same decisions.
//!
//! | event | act |
//! | --- | --- |
//! | the round begins | a look at the shards, until one succeeds |
//! | rows and positions are due, or a shard ended, or no reader runs, or a shard is handed over | a commit, while the table is here and no rows are lent |
//! | memory is short, and no commit is due or under way | rows written ahead |
//! | the interval is over, or the fleet changed, or a commit ended a shard | a look, while the table is here and no rows of a shard that is handed over are left |
//! | no shard is read, held or under way, and it is to leave | the end |
//! | the same, in a run that ends at the tips | a look, then the judgement of unread shards, then the end |
//!
//! Rows and files belong to its driver too: the agenda knows the number and weight of rows (`R`), and passes on the
//! batch that is filling (`D`).

mod ending;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bluelake_lake::{ShardAdvance, ShardId};

use crate::{
    landing::{
        buffer::{Buffer, Buffered, NotContiguous},
        limits::FlushLimits,
    },
    reading::{
        chunk::{Chunk, Rows},
        reader::ReaderEnd,
    },
    shards::{
        claims::Claims,
        lineage::ReadableShard,
        pins_and_gaps::Readable,
        tip::{Listed, Listing},
    },
};
use ending::Ending;

/// Chunks between the readers and the buffer, each at most a page. They are few, so that a full buffer stops reading
/// soon.
pub(crate) const CHUNKS_AHEAD: usize = 2;
/// Time until the next look when shards wait for parents that others may be reading: only the table records their end.
pub(crate) const WAITING_INTERVAL: Duration = Duration::from_secs(3);
/// Time until the next look at a shard that may have lost records, or that is listed although Kinesis denies it.
pub(crate) const VANISHED_PAUSE: Duration = Duration::from_secs(5);
/// A shard that another worker took is left alone for a fifth to the whole of this time.
pub(crate) const FENCED_PAUSE: Duration = Duration::from_secs(15);

/// Why the shards are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Look {
    /// A round begins: nothing is read before one succeeds.
    First,
    /// The interval is over: a transient failure does not stop reading.
    Again,
    /// A run that ends at the tips is idle and checks what is left.
    AtEnd,
}

/// An act for the driver.
#[derive(Debug)]
pub(crate) enum Act<R, D> {
    /// Commit the batch; [`Agenda::committed`] or [`Agenda::fenced`] reports the outcome. The table is lent until then.
    Commit {
        /// The batch so far, if it has files already.
        draft: Option<D>,
        /// Rows and positions.
        buffered: Buffered<R>,
    },
    /// Write the largest partitions of the rows as files of the batch; [`Agenda::written_ahead`] gives back the rest.
    WriteAhead {
        /// The batch that is filling.
        draft: D,
        /// The rows.
        rows: Vec<R>,
    },
    /// List the shards, commit pins and gaps, and start readers: [`Agenda::looked`], [`Agenda::reading`].
    Look(Look),
    /// Find the unread shards: [`Agenda::judged`].
    Judge,
    /// Bring `rejected_events` up to date and leave.
    Finish {
        /// Unread shards.
        unread: Vec<ShardId>,
    },
    /// Leave: nothing was read.
    Leave,
}

/// The outcome of a look.
#[derive(Debug)]
pub(crate) struct Looked {
    /// Shards to read from now on. Publish that they are held before the first read.
    pub(crate) start: Vec<ReadableShard>,
    /// Readers to stop: their shards are another worker's now.
    pub(crate) stop: Vec<ShardId>,
}

/// The chunks of one shard between its reader and the buffer.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    is_read: bool,
    /// All chunks that the reader sent; known when it has ended.
    sent: usize,
    taken: usize,
}

impl Flow {
    /// Whether the reader has ended and everything that it read is in the buffer, or further.
    fn has_come_in(self) -> bool {
        !self.is_read && self.sent <= self.taken
    }
}

/// What a worker does next. `R`: rows; `D`: the batch that is filling, with its files.
#[derive(Debug)]
pub(crate) struct Agenda<R, D> {
    limits: FlushLimits,
    once: bool,
    look_interval: Duration,
    buffer: Buffer<R>,
    draft: Option<D>,
    rows_are_lent: bool,
    table_is_lent: bool,
    shard_ended: bool,
    flows: BTreeMap<ShardId, Flow>,
    claims: Claims,
    /// Shards that were read to their tip, in a run that ends there.
    at_tip: BTreeSet<ShardId>,
    /// Shards that are left alone until a time.
    avoided: BTreeMap<ShardId, Instant>,
    has_looked: bool,
    look_due: Instant,
    fleet_changed: bool,
    leaving: bool,
    ending: Ending,
}

impl<R: Rows, D> Agenda<R, D> {
    /// The agenda of a worker that starts. With `once` it ends at the tips.
    pub(crate) fn new(limits: FlushLimits, once: bool, look_interval: Duration, now: Instant) -> Self {
        Self {
            limits,
            once,
            look_interval,
            buffer: Buffer::default(),
            draft: None,
            rows_are_lent: false,
            table_is_lent: false,
            shard_ended: false,
            flows: BTreeMap::new(),
            claims: Claims::default(),
            at_tip: BTreeSet::new(),
            avoided: BTreeMap::new(),
            has_looked: false,
            look_due: now,
            fleet_changed: false,
            leaving: false,
            ending: Ending::default(),
        }
    }

    /// Drops everything uncommitted: the next round goes on from the table, and leaves `moved` alone until a time.
    pub(crate) fn next_round(self, moved: impl IntoIterator<Item = ShardId>, until: Instant, now: Instant) -> Self {
        let Self { limits, once, look_interval, mut avoided, leaving, .. } = self;
        avoided.extend(moved.into_iter().map(|shard| (shard, until)));
        Self { avoided, leaving, ..Self::new(limits, once, look_interval, now) }
    }

    /// The next act; `None`: wait for the next event. `room_is_awaited`: readers wait for the room of heavy rows.
    pub(crate) fn next(&mut self, now: Instant, room_is_awaited: bool) -> Option<Act<R, D>> {
        if !self.has_looked {
            return Some(if self.leaving { Act::Leave } else { Act::Look(Look::First) });
        }
        if let Some(act) = self.landing(now, room_is_awaited) {
            return Some(act);
        }
        if self.is_time_to_look(now) {
            self.fleet_changed = false;
            return Some(Act::Look(Look::Again));
        }
        if self.is_idle() { self.at_end(now) } else { None }
    }

    /// Commits the batch if it is due, or writes rows ahead when memory is short.
    fn landing(&mut self, now: Instant, room_is_awaited: bool) -> Option<Act<R, D>> {
        if self.buffer.is_empty() || self.rows_are_lent || self.table_is_lent {
            return None;
        }
        let held = |shard: &ShardId| self.has_come_in(shard) && self.buffer.holds(shard);
        let handing_over = self.claims.releasing().iter().any(held);
        if self.buffer.is_due(&self.limits, now) || self.shard_ended || self.is_drained() || handing_over {
            self.shard_ended = false;
            self.table_is_lent = true;
            return Some(Act::Commit { draft: self.draft.take(), buffered: self.buffer.take() });
        }
        // The rows of an earlier batch on its way are in memory too: reading waits for that batch instead.
        if !room_is_awaited && !self.buffer.is_half_full(&self.limits) {
            return None;
        }
        let draft = self.draft.take()?;
        self.rows_are_lent = true;
        Some(Act::WriteAhead { draft, rows: self.buffer.lend(now) })
    }

    fn is_time_to_look(&self, now: Instant) -> bool {
        let due = self.fleet_changed || self.look_due <= now;
        let held = |shard: &ShardId| !self.has_come_in(shard) || self.buffer.holds(shard);
        let letting_go = self.claims.releasing().iter().any(held);
        due && !letting_go && !self.table_is_lent && !self.leaving
    }

    /// No reader runs, and everything that was read has come in.
    fn is_drained(&self) -> bool {
        self.flows.values().all(|flow| flow.has_come_in())
    }

    /// No shard is read, held or under way.
    fn is_idle(&self) -> bool {
        self.is_drained() && self.buffer.is_empty() && !self.table_is_lent
    }

    fn has_come_in(&self, shard: &ShardId) -> bool {
        self.flows.get(shard).is_none_or(|flow| flow.has_come_in())
    }

    /// Whether a chunk may be taken now: reading waits while the buffer is full, or half full beside a commit.
    #[must_use]
    pub(crate) fn takes_chunks(&self) -> bool {
        let beside = self.table_is_lent && self.buffer.is_half_full(&self.limits);
        !self.buffer.is_full(&self.limits) && !beside
    }

    /// Takes a chunk; `draft` makes a batch if the chunk is its first.
    ///
    /// # Errors
    /// [`NotContiguous`] when it does not follow the held chunks of its shard.
    pub(crate) fn take_chunk(
        &mut self,
        chunk: Chunk<R>,
        draft: impl FnOnce() -> D,
        now: Instant,
    ) -> Result<(), NotContiguous> {
        self.shard_ended |= chunk.advance.ended;
        if !self.rows_are_lent {
            self.draft.get_or_insert_with(draft);
        }
        self.flows.entry(chunk.advance.shard.clone()).or_default().taken += 1;
        self.buffer.add(chunk, now)
    }

    /// A reader ended after it had sent `sent` chunks.
    pub(crate) fn reader_ended(&mut self, shard: &ShardId, end: ReaderEnd, sent: usize, now: Instant) {
        let flow = self.flows.entry(shard.clone()).or_default();
        (flow.is_read, flow.sent) = (false, sent);
        match end {
            ReaderEnd::AtTip => {
                self.at_tip.insert(shard.clone());
            }
            // The lineage decides about it, once everything that was read of it is committed.
            ReaderEnd::ShardVanished | ReaderEnd::MayHaveLost => {
                self.look_due = now;
                self.avoided.insert(shard.clone(), now + VANISHED_PAUSE);
                self.claims.release(shard);
            }
            ReaderEnd::ShardEnded | ReaderEnd::Stopped => {}
        }
        self.let_go();
    }

    /// Lets go of the shards that are handed over and fully committed.
    fn let_go(&mut self) {
        if self.table_is_lent {
            return;
        }
        let mut claims = std::mem::take(&mut self.claims);
        claims.let_go(|shard| self.has_come_in(shard) && !self.buffer.holds(shard));
        self.claims = claims;
    }

    /// Rows went ahead: `file_bytes` of files were written, and `rest` is left.
    pub(crate) fn written_ahead(&mut self, draft: D, rest: Option<R>, file_bytes: usize) {
        self.draft = Some(draft);
        self.rows_are_lent = false;
        self.buffer.give_back(rest, file_bytes);
    }

    /// The batch that `moved` shards is committed; its rows of `row_bytes` became files of `file_bytes`. The table is
    /// back.
    pub(crate) fn committed(&mut self, moved: &[ShardAdvance], row_bytes: usize, file_bytes: usize, now: Instant) {
        self.table_is_lent = false;
        self.buffer.learn(row_bytes, file_bytes);
        self.let_go();
        if moved.iter().any(|step| step.ended) {
            self.look_due = now;
        }
    }

    /// A worker came or went, or took or left a shard.
    pub(crate) fn fleet_changed(&mut self) {
        self.fleet_changed = true;
    }

    /// The worker is to stop: it commits what it holds and reads no more.
    pub(crate) fn leave(&mut self) {
        self.leaving = true;
    }

    /// A look begins.
    pub(crate) fn look_begins(&mut self, now: Instant) {
        self.look_due = now + self.look_interval;
        self.avoided.retain(|_, until| *until > now);
    }

    /// The outcome of a look. `in_company`: other workers are alive.
    pub(crate) fn looked(&mut self, readable: Readable, listing: &Listing, in_company: bool, now: Instant) -> Looked {
        self.take_listing(listing);
        let Readable { shards, mine, waiting, .. } = readable;
        if in_company && waiting > 0 {
            self.look_due = self.look_due.min(now + WAITING_INTERVAL);
        }
        if let Some(first) = self.avoided.values().min() {
            self.look_due = self.look_due.min(*first);
        }
        let read = self.flows.iter().filter(|(shard, flow)| flow.is_read && !mine.contains(*shard));
        let stop = read.map(|(shard, _)| shard).filter(|shard| self.claims.release(shard)).cloned().collect();
        let avoided = &self.avoided;
        let start = self.claims.take(shards, |shard| avoided.contains_key(shard));
        Looked { start, stop }
    }

    /// A shard that was left at its tip and has been closed since may hold more: it is read on, once everything read of
    /// it is committed.
    fn take_listing(&mut self, listing: &Listing) {
        for shard in &listing.shards {
            let id = &shard.id;
            let settled = !self.table_is_lent && self.has_come_in(id) && !self.buffer.holds(id);
            if Listed::of(shard, listing.at) == Listed::Closed && settled && self.at_tip.remove(id) {
                self.claims.free(id);
            }
        }
    }

    /// A shard is read from now on.
    pub(crate) fn reading(&mut self, shard: &ShardId) {
        self.flows.insert(shard.clone(), Flow { is_read: true, ..Flow::default() });
        self.ending.look_again();
    }

    /// Shards are not read after all: the next look must find them free.
    pub(crate) fn give_back(&mut self, shards: &[ReadableShard]) {
        self.claims.give_back(shards);
    }

    /// A look succeeded.
    pub(crate) fn look_ends(&mut self, look: Look) {
        self.has_looked = true;
        if look == Look::AtEnd && self.is_drained() {
            self.ending.looked();
        }
    }

    /// Shards that this worker reads, or has read and not committed yet.
    #[must_use]
    pub(crate) fn held(&self) -> &BTreeSet<ShardId> {
        self.claims.held()
    }

    /// Shards that were read to their tip.
    #[must_use]
    pub(crate) fn at_tip(&self) -> &BTreeSet<ShardId> {
        &self.at_tip
    }

    /// Shards that are being let go, for the simulation's counters.
    #[cfg(test)]
    pub(crate) fn releasing(&self) -> usize {
        self.claims.releasing().len()
    }
}

impl<D> Agenda<crate::reading::chunk::ReadRows, D> {
    /// Whether heavy rows are held; readers may wait for their room.
    #[must_use]
    pub(crate) fn holds_room(&self) -> bool {
        self.buffer.holds_room()
    }
}

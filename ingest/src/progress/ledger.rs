//! The observations of one worker, and what follows from them at a given moment. Pure: it takes the time.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bluelake_lake::{ControlTotals, ShardAdvance, ShardId};
use bluelake_schemas::{Micros, Millis, Stream};

use super::{Moment, ProgressReport, ProgressSnapshot, ReadCounts, ShardReport, WorkerPhase, WorkerStep};

/// At the tip a reader asks about once a second. A shard without an answer for longer than this is no longer known to
/// be at its tip.
const TIP_HOLDS: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Ledger {
    counts: ProgressSnapshot,
    rejected: BTreeMap<String, u64>,
    fenced: u64,
    answers: u64,
    shards: BTreeMap<ShardId, ReadShard>,
    next_token: u64,
    waiting: usize,
    stopped: usize,
    filling: Pending,
    in_flight: Option<InFlight>,
    last_commit: Option<Millis>,
    fleet: Option<usize>,
    phase: WorkerPhase,
    step: WorkerStep,
}

/// A shard that is read.
#[derive(Debug)]
struct ReadShard {
    token: u64,
    started: Moment,
    known_until: Option<Millis>,
    answered: Option<Instant>,
    lag: Option<Lag>,
    dedup_ids: usize,
}

/// The last lag of a shard that Kinesis reported.
#[derive(Clone, Copy, Debug)]
struct Lag {
    behind: Duration,
    at_tip: bool,
    said: Instant,
}

/// Uncommitted reads.
#[derive(Debug, Default)]
struct Pending {
    since: Option<Instant>,
    rows: usize,
    bytes: usize,
    reasons: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct InFlight {
    pending: Pending,
    started: Moment,
}

impl ReadShard {
    /// The last reported lag and the time since then, so that a blocked or unanswered shard visibly falls behind. At
    /// the tip the lag is zero as long as answers come.
    fn lag(&self, now: Moment) -> Duration {
        match self.lag {
            Some(lag) => {
                let since = now.monotonic.saturating_duration_since(lag.said);
                if lag.at_tip && since <= TIP_HOLDS { Duration::ZERO } else { lag.behind + since }
            }
            None => match self.known_until {
                Some(known) => now.wall.since(known),
                None => now.since(self.started),
            },
        }
    }

    fn is_at_tip(&self, now: Moment) -> bool {
        self.lag.is_some_and(|lag| lag.at_tip && now.monotonic.saturating_duration_since(lag.said) <= TIP_HOLDS)
    }

    fn silence(&self, now: Moment) -> Duration {
        now.monotonic.saturating_duration_since(self.answered.unwrap_or(self.started.monotonic))
    }

    fn headroom(&self, retention: Duration, all_committed: bool, now: Moment) -> Option<Duration> {
        if all_committed && self.is_at_tip(now) {
            return Some(retention);
        }
        let age = now.wall.since(self.known_until?);
        Some(retention.saturating_sub(age))
    }
}

impl Ledger {
    pub(super) fn start_reading(
        &mut self,
        shard: &ShardId,
        known_until: Option<Millis>,
        ids: usize,
        now: Moment,
    ) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        let read = ReadShard { token, started: now, known_until, answered: None, lag: None, dedup_ids: ids };
        self.shards.insert(shard.to_owned(), read);
        token
    }

    pub(super) fn stop_reading(&mut self, shard: &ShardId, token: u64) {
        if self.shards.get(shard).is_some_and(|read| read.token == token) {
            self.shards.remove(shard);
        }
    }

    pub(super) fn set_lineage(&mut self, waiting: usize, stopped: usize) {
        (self.waiting, self.stopped) = (waiting, stopped);
    }

    pub(super) fn set_fleet(&mut self, living: usize) {
        self.fleet = Some(living);
    }

    pub(super) fn set_phase(&mut self, phase: WorkerPhase) {
        self.phase = phase;
    }

    pub(super) fn set_step(&mut self, step: WorkerStep) {
        self.step = step;
    }

    pub(super) fn fail_unless_left(&mut self) {
        if self.phase != WorkerPhase::Left {
            self.phase = WorkerPhase::Failed;
        }
    }

    pub(super) fn answer(&mut self, shard: &ShardId, millis_behind: Option<i64>, empty: bool, now: Moment) {
        self.answers += 1;
        let Some(read) = self.shards.get_mut(shard) else { return };
        read.answered = Some(now.monotonic);
        if let Some(behind) = millis_behind {
            let at_tip = empty && behind == 0;
            read.lag = Some(Lag { behind: millis(behind), at_tip, said: now.monotonic });
        }
    }

    pub(super) fn read(&mut self, read: ReadCounts) {
        self.counts.records += read.records;
        self.counts.bytes += read.bytes;
        self.counts.received += read.events;
        self.counts.unknown_fields += read.unknown_fields;
        self.counts.misrouted += read.misrouted;
    }

    /// Whether this is the first time that a window is shortened.
    pub(super) fn set_window(&mut self, shard: &ShardId, ids: usize, shortened: bool) -> bool {
        if let Some(read) = self.shards.get_mut(shard) {
            read.dedup_ids = ids;
        }
        let first = shortened && !self.counts.window_shortened;
        self.counts.window_shortened |= shortened;
        first
    }

    pub(super) fn buffer(&mut self, rows: usize, bytes: usize, reasons: BTreeMap<String, u64>, now: Moment) {
        self.filling.since.get_or_insert(now.monotonic);
        self.filling.rows += rows;
        self.filling.bytes += bytes;
        add(&mut self.filling.reasons, reasons);
    }

    pub(super) fn flush(&mut self, now: Moment) {
        self.step = WorkerStep::Encoding;
        self.in_flight = Some(InFlight { pending: std::mem::take(&mut self.filling), started: now });
    }

    pub(super) fn commit(&mut self, counts: ControlTotals, files: u64, file_bytes: u64, now: Moment) {
        self.counts.committed += counts;
        self.counts.commits += 1;
        self.counts.files += files;
        self.counts.file_bytes += file_bytes;
        self.last_commit = Some(now.wall);
    }

    /// The batch in flight is committed. Gives the time since it left the buffer.
    pub(super) fn land(&mut self, steps: &[ShardAdvance], now: Moment) -> Option<Duration> {
        for step in steps {
            if let Some(read) = self.shards.get_mut(&step.shard) {
                let arrived = step.arrived_at.map(Micros::millis);
                read.known_until = read.known_until.max(arrived).max(step.drained_at);
            }
        }
        self.step = WorkerStep::Reading;
        let landed = self.in_flight.take()?;
        add(&mut self.rejected, landed.pending.reasons);
        Some(now.since(landed.started))
    }

    pub(super) fn fence(&mut self) {
        self.fenced += 1;
    }

    pub(super) fn drop_pending(&mut self) {
        self.filling = Pending::default();
        self.in_flight = None;
        self.step = WorkerStep::Reading;
    }

    pub(super) fn counts(&self) -> ProgressSnapshot {
        let lags = self.shards.values().filter_map(|read| read.lag).map(|lag| lag.behind.as_millis());
        let lag_millis = i64::try_from(lags.max().unwrap_or(0)).unwrap_or(i64::MAX);
        ProgressSnapshot { lag_millis, ..self.counts }
    }

    /// Everything except what the admission knows.
    pub(super) fn report(&self, stream: Stream, retention: Duration, now: Moment) -> ProgressReport {
        let pending =
            || [Some(&self.filling), self.in_flight.as_ref().map(|batch| &batch.pending)].into_iter().flatten();
        let oldest = pending().filter_map(|pending| pending.since).min();
        let shards = self.shards.iter().map(|(shard, read)| ShardReport {
            shard: shard.clone(),
            lag: read.lag(now),
            silence: read.silence(now),
            headroom: read.headroom(retention, oldest.is_none(), now),
            dedup_ids: read.dedup_ids,
        });
        ProgressReport {
            stream,
            phase: self.phase,
            step: self.step,
            counts: self.counts(),
            rejected: self.rejected.clone(),
            fenced: self.fenced,
            answers: self.answers,
            shards: shards.collect(),
            waiting: self.waiting,
            stopped: self.stopped,
            uncommitted_rows: pending().map(|pending| pending.rows).sum(),
            uncommitted_bytes: pending().map(|pending| pending.bytes).sum(),
            oldest_uncommitted: oldest.map(|since| now.monotonic.saturating_duration_since(since)),
            last_commit: self.last_commit,
            fleet: self.fleet,
            budget_bytes: 0,
            budget_used_bytes: 0,
        }
    }
}

fn add(sum: &mut BTreeMap<String, u64>, more: BTreeMap<String, u64>) {
    for (reason, count) in more {
        *sum.entry(reason).or_default() += count;
    }
}

fn millis(millis: i64) -> Duration {
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use bluelake_lake::{Position, SequenceNumber};

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);
    const WALL: i64 = 1_790_000_000_000;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A clock that the test moves.
    struct Hand(Instant);

    impl Hand {
        fn at(&self, second: u64) -> Moment {
            let wall = WALL + i64::try_from(second * 1_000).unwrap();
            Moment { monotonic: self.0 + seconds(second), wall: Millis::new(wall) }
        }
    }

    fn step(shard: &str, arrived_second: i64) -> ShardAdvance {
        let after = |number: &str| Position::After(SequenceNumber::parse(number).unwrap());
        ShardAdvance {
            shard: shard.into(),
            starting_sequence: SequenceNumber::parse("1").unwrap(),
            parents: Vec::new(),
            from_exclusive: Some(after("1")),
            to_inclusive: after("2"),
            ended: false,
            arrived_at: Some(Micros::new((WALL + arrived_second * 1_000) * 1_000)),
            drained_at: None,
            pinned_at: None,
            counts: ControlTotals::default(),
            gap: None,
        }
    }

    fn shard(ledger: &Ledger, now: Moment) -> ShardReport {
        ledger.report(Stream::UserEvents, DAY, now).shards[0].clone()
    }

    #[test]
    fn lag_grows_while_no_answer_comes() {
        let (clock, mut ledger) = (Hand(Instant::now()), Ledger::default());
        ledger.start_reading(&ShardId::from("a"), None, 0, clock.at(0));
        ledger.answer(&ShardId::from("a"), Some(4_000), false, clock.at(10));
        assert_eq!(shard(&ledger, clock.at(10)).lag, seconds(4));
        assert_eq!(shard(&ledger, clock.at(70)).lag, seconds(64));
        assert_eq!(shard(&ledger, clock.at(70)).silence, seconds(60));
    }

    #[test]
    fn lag_at_the_tip_grows_without_answers() {
        let (clock, mut ledger) = (Hand(Instant::now()), Ledger::default());
        ledger.start_reading(&ShardId::from("a"), None, 0, clock.at(0));
        for second in 1..30 {
            ledger.answer(&ShardId::from("a"), Some(0), true, clock.at(second));
            assert_eq!(shard(&ledger, clock.at(second + 1)).lag, Duration::ZERO);
        }
        assert_eq!(shard(&ledger, clock.at(39)).lag, Duration::ZERO);
        assert_eq!(shard(&ledger, clock.at(629)).lag, seconds(600), "blocked: nothing was heard for ten minutes");
    }

    #[test]
    fn records_without_lag_are_not_the_tip() {
        let (clock, mut ledger) = (Hand(Instant::now()), Ledger::default());
        ledger.start_reading(&ShardId::from("a"), None, 0, clock.at(0));
        ledger.answer(&ShardId::from("a"), Some(0), false, clock.at(1));
        assert_eq!(shard(&ledger, clock.at(6)).lag, seconds(5));
    }

    #[test]
    fn lag_before_any_answer_is_position_age() {
        let (clock, mut ledger) = (Hand(Instant::now()), Ledger::default());
        ledger.start_reading(&ShardId::from("a"), Some(Millis::new(WALL - 3_600_000)), 0, clock.at(0));
        assert_eq!(shard(&ledger, clock.at(60)).lag, seconds(3_660));
        let mut ledger = Ledger::default();
        ledger.start_reading(&ShardId::from("a"), None, 0, clock.at(0));
        assert_eq!(shard(&ledger, clock.at(60)).lag, seconds(60), "of an unknown position, the time since the start");
    }

    #[test]
    fn headroom_is_retention_minus_committed_age() {
        let (clock, mut ledger) = (Hand(Instant::now()), Ledger::default());
        ledger.start_reading(&ShardId::from("a"), Some(Millis::new(WALL - 3_600_000)), 0, clock.at(0));
        assert_eq!(shard(&ledger, clock.at(0)).headroom, Some(DAY - seconds(3_600)));
        ledger.flush(clock.at(1));
        ledger.land(&[step("a", -60)], clock.at(2));
        assert_eq!(shard(&ledger, clock.at(2)).headroom, Some(DAY - seconds(62)));
        assert_eq!(shard(&ledger, clock.at(48 * 3_600)).headroom, Some(Duration::ZERO));
        ledger.answer(&ShardId::from("a"), Some(0), true, clock.at(48 * 3_600));
        assert_eq!(shard(&ledger, clock.at(48 * 3_600)).headroom, Some(DAY), "drained, and everything is committed");
        ledger.buffer(1, 1, BTreeMap::new(), clock.at(48 * 3_600));
        assert_eq!(shard(&ledger, clock.at(48 * 3_600)).headroom, Some(Duration::ZERO), "something is not committed");
    }

    #[test]
    fn the_oldest_uncommitted_read_survives_the_flush() {
        let (clock, mut ledger) = (Hand(Instant::now()), Ledger::default());
        let report = |ledger: &Ledger, second| ledger.report(Stream::UserEvents, DAY, clock.at(second));
        assert_eq!(report(&ledger, 5).oldest_uncommitted, None);
        ledger.buffer(10, 1_000, BTreeMap::new(), clock.at(10));
        ledger.flush(clock.at(70));
        ledger.buffer(5, 500, BTreeMap::new(), clock.at(71));
        let both = report(&ledger, 80);
        assert_eq!(both.oldest_uncommitted, Some(seconds(70)));
        assert_eq!((both.uncommitted_rows, both.uncommitted_bytes), (15, 1_500));
        assert_eq!(ledger.land(&[], clock.at(82)), Some(seconds(12)));
        let one = report(&ledger, 83);
        assert_eq!(one.oldest_uncommitted, Some(seconds(12)));
        assert_eq!((one.uncommitted_rows, one.uncommitted_bytes), (5, 500));
        ledger.drop_pending();
        assert_eq!(report(&ledger, 90).oldest_uncommitted, None);
    }

    #[test]
    fn a_step_lasts_its_batch_and_starts_anew() {
        let (clock, mut ledger) = (Hand(Instant::now()), Ledger::default());
        let step_of = |ledger: &Ledger| ledger.report(Stream::UserEvents, DAY, clock.at(9)).step;
        assert_eq!(step_of(&ledger), WorkerStep::Reading);
        ledger.buffer(3, 1, BTreeMap::new(), clock.at(1));
        ledger.flush(clock.at(2));
        assert_eq!(step_of(&ledger), WorkerStep::Encoding);
        ledger.set_step(WorkerStep::Committing);
        assert_eq!(step_of(&ledger), WorkerStep::Committing);
        ledger.land(&[], clock.at(3));
        assert_eq!(step_of(&ledger), WorkerStep::Reading);
        ledger.flush(clock.at(4));
        ledger.drop_pending();
        assert_eq!(step_of(&ledger), WorkerStep::Reading, "fenced: the round begins anew");
    }

    #[test]
    fn rejected_events_count_once_their_batch_is_committed() {
        let (clock, mut ledger) = (Hand(Instant::now()), Ledger::default());
        let reasons = || BTreeMap::from([("not_json".to_owned(), 3)]);
        ledger.buffer(3, 1, reasons(), clock.at(1));
        ledger.flush(clock.at(2));
        ledger.fence();
        ledger.drop_pending();
        assert!(ledger.report(Stream::UserEvents, DAY, clock.at(3)).rejected.is_empty(), "dropped, and read again");
        ledger.buffer(3, 1, reasons(), clock.at(4));
        ledger.flush(clock.at(5));
        ledger.land(&[], clock.at(6));
        let report = ledger.report(Stream::UserEvents, DAY, clock.at(7));
        assert_eq!((report.rejected, report.fenced), (reasons(), 1));
    }
}

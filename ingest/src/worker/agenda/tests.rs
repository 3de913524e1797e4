use bluelake_lake::{ControlTotals, Position, SequenceNumber, ShardState};
use bluelake_schemas::Millis;

use super::*;
use crate::kinesis::listed::ListedShard;

const LOOK_INTERVAL: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Rows100(usize);

impl Rows for Rows100 {
    fn count(&self) -> usize {
        self.0
    }

    fn bytes(&self) -> usize {
        self.0 * 100
    }
}

type Plan = Agenda<Rows100, &'static str>;

/// A clock that the test moves, and the agenda.
struct Worker {
    began: Instant,
    now: Instant,
    agenda: Plan,
}

fn listed(id: &str, closed: bool) -> ListedShard {
    let starting_sequence = SequenceNumber::parse("1").unwrap();
    ListedShard { id: id.into(), starting_sequence, parents: Vec::new(), hash_keys: None, closed }
}

fn readable(id: &str) -> ReadableShard {
    let state = ShardState {
        starting_sequence: SequenceNumber::parse("1").unwrap(),
        parents: Vec::new(),
        position: Position::TrimHorizon,
        ended: false,
        arrived_at: None,
        drained_at: None,
        pinned_at: None,
        totals: ControlTotals::default(),
    };
    ReadableShard { shard: listed(id, false), position: Position::TrimHorizon, state }
}

fn after(number: usize) -> Position {
    if number == 0 {
        Position::TrimHorizon
    } else {
        Position::After(SequenceNumber::parse(&number.to_string()).unwrap())
    }
}

fn advance(id: &str, from: usize, to: usize, ended: bool) -> ShardAdvance {
    ShardAdvance {
        shard: id.into(),
        starting_sequence: SequenceNumber::parse("1").unwrap(),
        parents: Vec::new(),
        from_exclusive: Some(after(from)),
        to_inclusive: after(to),
        ended,
        arrived_at: None,
        drained_at: None,
        pinned_at: None,
        counts: ControlTotals::default(),
        gap: None,
    }
}

impl Worker {
    fn new(once: bool) -> Self {
        let limits = FlushLimits {
            memory: 1_000,
            batch_bytes: usize::MAX,
            file_bytes: usize::MAX,
            rows: 1_000,
            age: Duration::from_secs(30),
        };
        let now = Instant::now();
        Self { began: now, now, agenda: Agenda::new(limits, once, LOOK_INTERVAL, now) }
    }

    fn at(&mut self, seconds: u64) -> &mut Self {
        self.now = self.began + Duration::from_secs(seconds);
        self
    }

    /// The next act by its name, or `wait`.
    fn next(&mut self) -> &'static str {
        match self.agenda.next(self.now, false) {
            Some(Act::Commit { .. }) => "commit",
            Some(Act::WriteAhead { .. }) => "write ahead",
            Some(Act::Look(Look::First)) => "first look",
            Some(Act::Look(Look::Again)) => "look",
            Some(Act::Look(Look::AtEnd)) => "look at the end",
            Some(Act::Judge) => "judge",
            Some(Act::Finish { unread }) if unread.is_empty() => "finish",
            Some(Act::Finish { .. }) => "finish with shards unread",
            Some(Act::Leave) => "leave",
            None => "wait",
        }
    }

    /// A look that finds these shards readable and this worker's.
    fn look(&mut self, look: Look, mine: &[&str]) -> Looked {
        self.agenda.look_begins(self.now);
        let shards = mine.iter().map(|id| readable(id)).collect();
        let readable =
            Readable { shards, mine: mine.iter().map(|id| ShardId::from(*id)).collect(), ..Readable::default() };
        let listing = Listing { shards: mine.iter().map(|id| listed(id, false)).collect(), at: Millis::new(0) };
        let looked = self.agenda.looked(readable, &listing, false, self.now);
        for shard in &looked.start {
            self.agenda.reading(&shard.shard.id);
        }
        self.agenda.look_ends(look);
        looked
    }

    fn chunk(&mut self, id: &str, from: usize, to: usize, ended: bool) {
        let chunk = Chunk { advance: advance(id, from, to, ended), rows: Rows100(to - from) };
        self.agenda.take_chunk(chunk, || "draft", self.now).unwrap();
    }

    fn ended(&mut self, id: &str, end: ReaderEnd, sent: usize) {
        self.agenda.reader_ended(&id.into(), end, sent, self.now);
    }

    fn committed(&mut self, id: &str, ended: bool) {
        self.agenda.committed(&[advance(id, 0, 1, ended)], 0, 0, self.now);
    }
}

#[test]
fn nothing_is_read_before_the_first_look_succeeds() {
    let mut worker = Worker::new(false);
    assert_eq!((worker.next(), worker.next()), ("first look", "first look"));
    worker.look(Look::First, &["a"]);
    assert_eq!(worker.next(), "wait");
    let mut stopping = Worker::new(false);
    stopping.agenda.leave();
    assert_eq!(stopping.next(), "leave");
}

#[test]
fn batches_commit_by_age_one_at_a_time() {
    let mut worker = Worker::new(false);
    worker.look(Look::First, &["a"]);
    worker.chunk("a", 0, 1, false);
    assert_eq!(worker.next(), "wait");
    assert_eq!(worker.at(30).next(), "commit");
    worker.chunk("a", 1, 2, false);
    assert_eq!(worker.at(60).next(), "wait", "the table is lent");
    worker.committed("a", false);
    assert_eq!(worker.next(), "commit");
}

#[test]
fn a_shards_end_commits_before_its_children_start() {
    let mut worker = Worker::new(false);
    worker.look(Look::First, &["a", "b"]);
    worker.chunk("a", 0, 1, true);
    worker.ended("a", ReaderEnd::ShardEnded, 1);
    assert_eq!(worker.next(), "commit");
    worker.committed("a", true);
    assert_eq!(worker.next(), "look");
}

#[test]
fn memory_pressure_uploads_rows_then_stops_reading() {
    let mut worker = Worker::new(false);
    worker.look(Look::First, &["a"]);
    worker.chunk("a", 0, 5, false);
    assert_eq!(worker.next(), "write ahead");
    worker.chunk("a", 5, 9, false);
    assert!(worker.agenda.takes_chunks());
    worker.chunk("a", 9, 10, false);
    assert!(!worker.agenda.takes_chunks());
    assert_eq!(worker.at(30).next(), "wait", "rows are lent: the batch is not whole");
    worker.agenda.written_ahead("draft", None, 10);
    assert!(worker.agenda.takes_chunks());
    assert_eq!(worker.next(), "commit");
}

#[test]
fn a_shard_is_released_once_fully_committed() {
    let mut worker = Worker::new(false);
    worker.look(Look::First, &["a", "b"]);
    worker.chunk("a", 0, 1, false);
    let looked = worker.at(60).look(Look::Again, &["b"]);
    assert_eq!(looked.stop, ["a"]);
    worker.ended("a", ReaderEnd::Stopped, 2);
    worker.agenda.fleet_changed();
    assert_eq!(worker.next(), "commit", "it is older than the age");
    worker.committed("a", false);
    assert!(worker.agenda.held().contains("a"), "a chunk of it is still on its way");
    assert_eq!(worker.next(), "wait", "no look before it is let go");
    worker.chunk("a", 1, 2, false);
    assert_eq!(worker.next(), "commit", "all of it has come in");
    worker.committed("a", false);
    assert!(!worker.agenda.held().contains("a"));
    assert_eq!(worker.next(), "look");
}

#[test]
fn an_empty_shard_is_left_alone_briefly() {
    let mut worker = Worker::new(false);
    worker.look(Look::First, &["a", "b"]);
    worker.ended("a", ReaderEnd::ShardVanished, 0);
    assert_eq!(worker.next(), "look");
    assert!(worker.look(Look::Again, &["a", "b"]).start.is_empty());
    assert_eq!(worker.at(4).next(), "wait");
    assert_eq!(worker.at(5).next(), "look");
    assert_eq!(worker.look(Look::Again, &["a", "b"]).start.len(), 1);
}

#[test]
fn a_fence_drops_reads_and_leaves_moved_shards() {
    let mut worker = Worker::new(false);
    worker.look(Look::First, &["a", "b"]);
    worker.chunk("a", 0, 1, false);
    let until = worker.now + FENCED_PAUSE;
    let now = worker.now;
    worker.agenda = worker.agenda.next_round([ShardId::from("a")], until, now);
    assert_eq!(worker.next(), "first look");
    let started: Vec<_> = worker.look(Look::First, &["a", "b"]).start.into_iter().map(|it| it.shard.id).collect();
    assert_eq!(started, ["b"]);
    assert_eq!(worker.at(30).next(), "look", "when the shard may be read again");
}

#[test]
fn a_stopping_worker_commits_and_finishes() {
    let mut worker = Worker::new(false);
    worker.look(Look::First, &["a"]);
    worker.chunk("a", 0, 1, false);
    worker.agenda.leave();
    assert_eq!(worker.at(61).next(), "commit", "and it does not look");
    worker.ended("a", ReaderEnd::Stopped, 1);
    assert_eq!(worker.next(), "wait");
    worker.committed("a", false);
    assert_eq!(worker.next(), "finish");
}

#[test]
fn a_once_run_looks_again_before_finishing() {
    let mut worker = Worker::new(true);
    worker.look(Look::First, &["a"]);
    worker.ended("a", ReaderEnd::AtTip, 0);
    assert_eq!(worker.next(), "look at the end");
    worker.look(Look::AtEnd, &["a"]);
    assert_eq!(worker.next(), "judge");
    assert!(worker.agenda.judged(vec!["b".into()], Some(1), worker.now), "it begins to wait");
    assert_eq!(worker.next(), "wait");
    assert_eq!(worker.at(3).next(), "look at the end");
    worker.look(Look::AtEnd, &["a", "b"]);
    assert_eq!(worker.next(), "wait", "what was left is this worker's now");
    worker.ended("b", ReaderEnd::AtTip, 0);
    assert_eq!(worker.at(6).next(), "look at the end");
    worker.look(Look::AtEnd, &["a", "b"]);
    assert_eq!(worker.next(), "judge");
    assert!(!worker.agenda.judged(Vec::new(), Some(1), worker.now));
    assert_eq!(worker.next(), "finish");
}

#[test]
fn unread_shards_are_awaited_for_five_idle_minutes() {
    let mut worker = Worker::new(true);
    worker.look(Look::First, &[]);
    let judge = |worker: &mut Worker, seconds: u64, document: u64| {
        worker.at(seconds);
        let now = worker.now;
        worker.look(Look::AtEnd, &[]);
        worker.agenda.judged(vec!["b".into()], Some(document), now);
        worker.next()
    };
    assert_eq!(judge(&mut worker, 10, 1), "wait");
    assert_eq!(judge(&mut worker, 300, 1), "wait");
    assert_eq!(judge(&mut worker, 309, 2), "wait", "somebody has committed");
    assert_eq!(judge(&mut worker, 608, 2), "wait");
    assert_eq!(judge(&mut worker, 609, 2), "finish with shards unread");
}

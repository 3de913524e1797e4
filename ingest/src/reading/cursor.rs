//! How far one shard has been read, and how a page moves it. Pure: pages and the time in, what to do out.
//!
//! | the page | the cursor |
//! | --- | --- |
//! | has records behind the position | moves to the last of them |
//! | has only records at or before it (the same answer twice) | stays, and skips them |
//! | is empty, 0 ms behind, of an open shard | is at the tip; records that once an interval |
//! | is empty, 0 ms behind, of a closed shard | goes on: a closed shard has an end and no tip; after some such pages in a row it has ended, for servers that do not signal the end |
//! | is empty, behind | goes on: empty is not the end |
//! | is the last of a closed shard | has ended |
//! | comes when the last record read is older than the retention | must not take it: records in between may be discarded |

use std::time::Duration;

use bluelake_lake::{ControlTotals, Position, SequenceNumber, ShardAdvance};
use bluelake_schemas::{Micros, Millis};

use crate::{
    kinesis::listed::ListedShard,
    shards::{lineage::ReadableShard, tip::Listed},
};

/// Commits per retention that say an idle shard is still drained.
const IDLE_COMMITS_PER_RETENTION: u32 = 8;
/// The longest time between two such commits: "complete to" of an idle stream follows it.
const IDLE_COMMIT_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// The same in a run that ends at the tip: whoever comes after it needs to know how far it came.
const IDLE_COMMIT_INTERVAL_ONCE: Duration = Duration::from_secs(60);

/// Empty pages in a row, not behind the tip and a second apart, after which a closed shard has ended without a signal.
/// Kinesis signals the end; some servers send one such page before it.
const DRAINED_PAGES: u32 = 3;

/// The facts of a page, without its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageFacts {
    /// Sequence numbers of its records, in the order of the page.
    pub(crate) sequences: Vec<SequenceNumber>,
    /// Milliseconds behind the tip, if the page says so.
    pub(crate) millis_behind: Option<i64>,
    /// The shard is closed and nothing follows this page.
    pub(crate) end_of_shard: bool,
}

/// The effect of a page on its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageOutcome {
    /// Indices of the records that were not read before, in ascending order.
    pub(crate) new: Vec<usize>,
    /// How the shard moves, when there is anything to record.
    pub(crate) step: Option<Step>,
    /// Nothing unread lies behind this page for now.
    pub(crate) at_tip: bool,
    /// The shard was read to its end.
    pub(crate) ended: bool,
}

/// A move of a shard, without the totals of its records yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    shard: ListedShard,
    from_exclusive: Position,
    to_inclusive: Position,
    ended: bool,
    drained_at: Option<Millis>,
}

impl Step {
    /// Takes off the part of the move that ends at a record; the rest goes on behind it.
    #[must_use]
    pub(crate) fn take_up_to(&mut self, record: SequenceNumber) -> Self {
        let reached = Position::After(record);
        let from_exclusive = std::mem::replace(&mut self.from_exclusive, reached.clone());
        Self { from_exclusive, to_inclusive: reached, ended: false, drained_at: None, ..self.clone() }
    }

    /// The move with the control totals of its records and the newest arrival time among them (microseconds since the
    /// epoch).
    #[must_use]
    pub(crate) fn advance(self, counts: ControlTotals, arrived_at: Option<Micros>) -> ShardAdvance {
        ShardAdvance {
            shard: self.shard.id,
            starting_sequence: self.shard.starting_sequence,
            parents: self.shard.parents,
            from_exclusive: Some(self.from_exclusive),
            to_inclusive: self.to_inclusive,
            ended: self.ended,
            arrived_at,
            drained_at: self.drained_at,
            pinned_at: None,
            counts,
            gap: None,
        }
    }
}

/// How far one shard has been read.
#[derive(Clone, Debug)]
pub(crate) struct ShardCursor {
    shard: ListedShard,
    position: Position,
    /// When the shard was last recorded as drained, or was pinned.
    recorded_at: Option<Millis>,
    /// The time up to which everything is known to have been read.
    known_until: Option<Millis>,
    retention: Duration,
    /// Time between two commits that say that the shard is drained.
    record_after: Duration,
    /// Empty pages in a row that were not behind, since the shard was listed as closed.
    drained_pages: u32,
    ended: bool,
}

impl ShardCursor {
    /// Stands where the table has the shard. While the shard stays drained, that is recorded again after an eighth of
    /// the `retention`, or sooner.
    #[must_use]
    pub(crate) fn new(shard: ReadableShard, retention: Duration) -> Self {
        let recorded_at = shard.state.drained_at.max(shard.state.pinned_at);
        Self::recording(shard, retention, recorded_at, IDLE_COMMIT_INTERVAL)
    }

    /// As [`ShardCursor::new`], for a run that ends at the tip: records more often that the shard is drained, also
    /// right after the pin.
    #[must_use]
    pub(crate) fn once(shard: ReadableShard, retention: Duration) -> Self {
        let recorded_at = shard.state.drained_at;
        Self::recording(shard, retention, recorded_at, IDLE_COMMIT_INTERVAL_ONCE)
    }

    fn recording(shard: ReadableShard, retention: Duration, recorded_at: Option<Millis>, within: Duration) -> Self {
        let ReadableShard { shard, position, state } = shard;
        Self {
            shard,
            position,
            recorded_at,
            known_until: state.safe_until(),
            retention,
            record_after: (retention / IDLE_COMMITS_PER_RETENTION).min(within),
            drained_pages: 0,
            ended: false,
        }
    }

    /// Whether records after the last one read may be discarded at `now`. A page that comes now may then begin behind a
    /// hole; the table decides how large the gap is.
    #[must_use]
    pub(crate) fn may_have_lost(&self, now: Millis) -> bool {
        self.known_until.is_some_and(|known| known < now.earlier(self.retention))
    }

    /// Takes in the newest arrival time among the records of a page.
    pub(crate) fn arrived(&mut self, arrived_at: Option<Micros>) {
        self.known_until = self.known_until.max(arrived_at.map(Micros::millis));
    }

    /// Reading goes on behind this.
    #[must_use]
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// Takes a page and moves. `now` is no later than the request for the page, and `listed` is what was known of the
    /// shard then. The steps of a cursor join without a hole: each must be handed on, or reading starts over from the
    /// table.
    pub(crate) fn take(&mut self, page: &PageFacts, now: Millis, listed: Listed) -> PageOutcome {
        let from_exclusive = self.position.clone();
        let mut new = Vec::with_capacity(page.sequences.len());
        let mut last = match &self.position {
            Position::After(sequence) => Some(sequence),
            Position::TrimHorizon | Position::AtTimestamp(_) => None,
        };
        for (index, sequence) in page.sequences.iter().enumerate() {
            if last.is_none_or(|last| sequence > last) {
                new.push(index);
                last = Some(sequence);
            }
        }
        if let Some(last) = last.filter(|_| !new.is_empty()) {
            self.position = Position::After(last.clone());
        }
        let drained = page.sequences.is_empty() && page.millis_behind == Some(0);
        if drained {
            self.known_until = self.known_until.max(Some(now));
        }
        self.ended |= page.end_of_shard || self.ends_without_a_signal(drained, listed);
        // The shard may have been closed since it was listed, and its children may hold records since then.
        let open_at = match listed {
            Listed::Open { at } if drained && !self.ended => Some(at.min(now)),
            Listed::Open { .. } | Listed::Closed => None,
        };
        let at_tip = open_at.is_some();
        let due = |at: &Millis| self.recorded_at.is_none_or(|recorded| *at >= recorded.later(self.record_after));
        let drained_at = open_at.filter(due);
        self.recorded_at = drained_at.or(self.recorded_at);
        let moves = !new.is_empty() || self.ended || drained_at.is_some();
        let step = moves.then(|| Step {
            shard: self.shard.clone(),
            from_exclusive,
            to_inclusive: self.position.clone(),
            ended: self.ended,
            drained_at,
        });
        PageOutcome { new, step, at_tip, ended: self.ended }
    }

    /// Whether a closed shard has given enough drained pages that no more records can come.
    fn ends_without_a_signal(&mut self, drained: bool, listed: Listed) -> bool {
        let counts = drained && listed == Listed::Closed;
        self.drained_pages = if counts { self.drained_pages.saturating_add(1) } else { 0 };
        self.drained_pages >= DRAINED_PAGES
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_lake::ShardState;
    use proptest::prelude::*;

    use super::*;

    const MINUTE: i64 = 60_000;
    /// Open to this day.
    const OPEN: Listed = Listed::Open { at: Millis::MAX };

    fn number(value: u64) -> SequenceNumber {
        SequenceNumber::parse(&value.to_string()).unwrap()
    }

    fn after(value: u64) -> Position {
        Position::After(number(value))
    }

    fn cursor(position: Position) -> ShardCursor {
        let shard = ListedShard {
            id: "s".into(),
            starting_sequence: number(1),
            parents: vec!["p".into()],
            hash_keys: None,
            closed: false,
        };
        let state = ShardState {
            starting_sequence: number(1),
            parents: shard.parents.clone(),
            position: position.clone(),
            ended: false,
            arrived_at: None,
            drained_at: None,
            pinned_at: None,
            totals: ControlTotals::default(),
        };
        ShardCursor::new(ReadableShard { shard, position, state }, Duration::from_secs(4_800))
    }

    fn page(numbers: &[u64], millis_behind: i64) -> PageFacts {
        PageFacts {
            sequences: numbers.iter().copied().map(number).collect(),
            millis_behind: Some(millis_behind),
            end_of_shard: false,
        }
    }

    #[test]
    fn records_up_to_the_position_are_skipped() {
        let mut cursor = cursor(Position::TrimHorizon);
        assert_eq!(
            cursor.take(&page(&[8, 9, 10, 11], 5), Millis::new(0), OPEN).new,
            [0, 1, 2, 3],
            "compared as numbers: 9 < 10"
        );
        let again = cursor.take(&page(&[8, 9, 10, 11], 5), Millis::new(0), OPEN);
        assert_eq!((again.new.len(), again.step), (0, None), "the same answer twice");
        let overlap = cursor.take(&page(&[10, 11, 12, 13], 0), Millis::new(0), OPEN);
        assert_eq!(overlap.new, [2, 3]);
        let step = overlap.step.unwrap().advance(ControlTotals::default(), Some(Micros::new(7)));
        assert_eq!(
            (step.from_exclusive, step.to_inclusive, step.arrived_at),
            (Some(after(11)), after(13), Some(Micros::new(7)))
        );
        assert_eq!(cursor.position(), &after(13));
        assert!(!overlap.at_tip, "records came: there may be more");
    }

    #[test]
    fn the_tip_is_an_empty_caught_up_page() {
        let mut cursor = cursor(after(5));
        assert_eq!(
            cursor.take(&page(&[], 1), Millis::new(0), OPEN),
            PageOutcome { new: vec![], step: None, at_tip: false, ended: false }
        );
        let unsaid = PageFacts { millis_behind: None, ..PageFacts::default() };
        assert!(!cursor.take(&unsaid, Millis::new(0), OPEN).at_tip);
        assert!(cursor.take(&page(&[], 0), Millis::new(0), OPEN).at_tip);
    }

    #[test]
    fn idleness_is_reported_at_once_then_periodically() {
        let mut cursor = cursor(Position::AtTimestamp(Millis::new(3)));
        let recorded: Vec<i64> = (0..25)
            .map(|minute| minute * MINUTE)
            .filter_map(|now| {
                let step =
                    cursor.take(&page(&[], 0), Millis::new(now), OPEN).step?.advance(ControlTotals::default(), None);
                assert_eq!(step.from_exclusive.as_ref(), Some(&step.to_inclusive), "the position stays");
                assert_eq!(step.drained_at, Some(Millis::new(now)));
                Some(now / MINUTE)
            })
            .collect();
        assert_eq!(recorded, [0, 10, 20]);
    }

    #[test]
    fn the_end_is_reported_with_or_without_records() {
        for numbers in [&[6, 7][..], &[]] {
            let mut cursor = cursor(after(5));
            let last = PageFacts { end_of_shard: true, ..page(numbers, 0) };
            let outcome = cursor.take(&last, Millis::new(0), OPEN);
            let step = outcome.step.unwrap().advance(ControlTotals::default(), None);
            assert!(outcome.ended && step.ended);
            assert_eq!(step.to_inclusive, after(*numbers.last().unwrap_or(&5)));
            assert_eq!(step.drained_at, None, "what its children hold is not known to be read");
            assert_eq!(step.parents, ["p"]);
        }
    }

    #[test]
    fn a_closed_shard_claims_no_tip() {
        let mut cursor = cursor(after(5));
        let outcome = cursor.take(&page(&[], 0), Millis::new(0), Listed::Closed);
        assert_eq!(outcome, PageOutcome { new: vec![], step: None, at_tip: false, ended: false });
        let last = PageFacts { end_of_shard: true, ..page(&[], 0) };
        let step =
            cursor.take(&last, Millis::new(0), Listed::Closed).step.unwrap().advance(ControlTotals::default(), None);
        assert_eq!((step.ended, step.drained_at), (true, None));
    }

    #[test]
    fn a_drained_closed_shard_ends_without_a_signal() {
        let mut cursor = cursor(after(5));
        let mut take = |page: PageFacts, listed| cursor.take(&page, Millis::new(0), listed).ended;
        assert!(!take(page(&[], 0), OPEN), "it was open");
        assert!(!take(page(&[], 0), Listed::Closed) && !take(page(&[], 0), Listed::Closed));
        assert!(!take(page(&[6], 0), Listed::Closed), "there was more");
        assert!(!take(page(&[], 0), Listed::Closed) && !take(page(&[], 9), Listed::Closed), "there is more");
        let unsaid = PageFacts { millis_behind: None, ..PageFacts::default() };
        assert!(!take(page(&[], 0), Listed::Closed) && !take(unsaid, Listed::Closed), "it is not known");
        assert!(!take(page(&[], 0), Listed::Closed) && !take(page(&[], 0), Listed::Closed));
        assert!(take(page(&[], 0), Listed::Closed));
    }

    #[test]
    fn a_drained_time_is_from_an_open_shard() {
        let mut cursor = cursor(after(5));
        let step = cursor
            .take(&page(&[], 0), Millis::new(9 * MINUTE), Listed::Open { at: Millis::new(8 * MINUTE) })
            .step
            .unwrap();
        assert_eq!(step.advance(ControlTotals::default(), None).drained_at, Some(Millis::new(8 * MINUTE)));
        let listed_later = cursor
            .take(&page(&[], 0), Millis::new(19 * MINUTE), Listed::Open { at: Millis::new(20 * MINUTE) })
            .step
            .unwrap();
        assert_eq!(listed_later.advance(ControlTotals::default(), None).drained_at, Some(Millis::new(19 * MINUTE)));
    }

    #[test]
    fn a_late_page_may_begin_behind_a_hole() {
        let mut cursor = cursor(after(5));
        assert!(!cursor.may_have_lost(Millis::new(1_000 * MINUTE)), "nothing is known of it yet");
        cursor.take(&page(&[6], 9), Millis::new(0), OPEN);
        cursor.arrived(Some(Micros::new(3 * MINUTE * 1_000)));
        assert!(!cursor.may_have_lost(Millis::new(83 * MINUTE)));
        assert!(cursor.may_have_lost(Millis::new(83 * MINUTE + 1)), "the reader stood still, or had to wait");
        cursor.take(&page(&[], 0), Millis::new(70 * MINUTE), OPEN);
        assert!(!cursor.may_have_lost(Millis::new(150 * MINUTE)), "it was seen drained since");
    }

    proptest! {
        /// Each record is new exactly once and the steps join, even if pages repeat or overlap.
        #[test]
        fn every_record_is_new_once(cuts in proptest::collection::vec((0_usize..40, 0_usize..12), 1..60)) {
            let mut cursor = cursor(Position::TrimHorizon);
            let (mut seen, mut reached) = (Vec::<u64>::new(), Position::TrimHorizon);
            for (start, length) in cuts {
                // A source leaves no hole: it reads on from the position, or answers with something older.
                let start = start.min(seen.len());
                let numbers: Vec<u64> = (start..start + length).map(|index| 100 + 3 * index as u64).collect();
                let outcome = cursor.take(&page(&numbers, 9), Millis::new(0), OPEN);
                seen.extend(outcome.new.iter().filter_map(|index| numbers.get(*index)));
                if let Some(step) = outcome.step {
                    let step = step.advance(ControlTotals::default(), None);
                    prop_assert_eq!(step.from_exclusive, Some(reached));
                    reached = step.to_inclusive;
                }
            }
            let whole: Vec<u64> = (0..seen.len()).map(|index| 100 + 3 * index as u64).collect();
            prop_assert_eq!(seen, whole);
        }
    }
}

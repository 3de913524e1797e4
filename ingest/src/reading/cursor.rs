//! How far one shard has been read, and what a page moves. Pure: pages and the time in, what to do out.
//!
//! | the page | the cursor |
//! | --- | --- |
//! | has records behind the position | moves to the last of them |
//! | has only records at or before it (the same answer twice) | stays, and passes over them |
//! | is empty, 0 ms behind, of an open shard | is at the tip; says so once an interval |
//! | is empty, 0 ms behind, of a closed shard | goes on: a closed shard has an end and no tip; after some such pages in a row it has ended, for servers that do not signal the end |
//! | is empty, behind | goes on: empty is not the end |
//! | is the last of a closed shard | has ended |
//! | comes when what was read last is older than the retention | must not take it: what lay between may be discarded |

use std::time::Duration;

use bluelake_lake::{ControlTotals, Position, SequenceNumber, ShardAdvance};
use bluelake_schemas::{Micros, Millis};

use crate::{
    kinesis::listed::ListedShard,
    shards::{lineage::ReadableShard, tip::Listed},
};

/// While a shard stays drained, that is told so many times within the retention.
const TOLD_DRAINED: u32 = 8;
/// And at least so often, milliseconds: "complete to" of an idle stream follows it.
const TOLD_DRAINED_WITHIN: Duration = Duration::from_secs(15 * 60);
/// So often, milliseconds, in a run that ends at the tip: what comes after it wants to know how far it came.
const TOLD_DRAINED_ONCE: Duration = Duration::from_secs(60);

/// Pages in a row, empty and not behind, after which a closed shard has ended though its end was not signalled. They are
/// a second apart. Kinesis signals it, some servers with one such page before.
const DRAINED_PAGES: u32 = 3;

/// What a page says, without its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageFacts {
    /// Sequence numbers of its records, in the order of the page.
    pub(crate) sequences: Vec<SequenceNumber>,
    /// Milliseconds behind the tip, if the page says so.
    pub(crate) millis_behind: Option<i64>,
    /// The shard is closed and nothing follows this page.
    pub(crate) end_of_shard: bool,
}

/// What a page means for its shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageOutcome {
    /// Indices of the records that were not read before, ascending.
    pub(crate) new: Vec<usize>,
    /// How the shard moves, when there is anything to tell.
    pub(crate) step: Option<Step>,
    /// Nothing unread lies behind this page for now.
    pub(crate) at_tip: bool,
    /// The shard was read to its end.
    pub(crate) ended: bool,
}

/// A move of a shard, still without the totals of the records in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    shard: ListedShard,
    from_exclusive: Position,
    to_inclusive: Position,
    ended: bool,
    drained_at: Option<Millis>,
}

impl Step {
    /// Takes off the part of the move that ends at a record: what is left goes on behind it.
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
    /// When the table was last told that the shard is drained, or pinned it.
    told_at: Option<Millis>,
    /// Until when everything is known to have been read.
    known_until: Option<Millis>,
    retention: Duration,
    /// Time between two commits that say that the shard is drained.
    tell_after: Duration,
    /// Empty pages in a row that were not behind, since the shard was listed as closed.
    drained_pages: u32,
    ended: bool,
}

impl ShardCursor {
    /// Stands where the table has the shard. While the shard stays drained, that is told again after an eighth of the
    /// `retention`, or sooner.
    #[must_use]
    pub(crate) fn new(shard: ReadableShard, retention: Duration) -> Self {
        let told_at = shard.state.drained_at.max(shard.state.pinned_at);
        Self::telling(shard, retention, told_at, TOLD_DRAINED_WITHIN)
    }

    /// As [`ShardCursor::new`], for a run that ends at the tip: tells more often that the shard is drained, also right after
    /// the pin.
    #[must_use]
    pub(crate) fn once(shard: ReadableShard, retention: Duration) -> Self {
        let told_at = shard.state.drained_at;
        Self::telling(shard, retention, told_at, TOLD_DRAINED_ONCE)
    }

    fn telling(shard: ReadableShard, retention: Duration, told_at: Option<Millis>, within: Duration) -> Self {
        let ReadableShard { shard, position, state } = shard;
        Self {
            shard,
            position,
            told_at,
            known_until: state.safe_until(),
            retention,
            tell_after: (retention / TOLD_DRAINED).min(within),
            drained_pages: 0,
            ended: false,
        }
    }

    /// Whether records that followed what was read last may be discarded at `now`: then a
    /// page that comes now may begin behind a hole. It is for the table to tell how large the gap is.
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

    /// Takes a page and moves; `now` is no later than the moment at which the page was asked for (milliseconds since the
    /// epoch), and `listed` what was known of the shard then. The steps of a cursor join without a hole: each must be handed
    /// on, or reading starts over from the table.
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
        // It may have been closed since it was listed, and its children may have filled since it was closed.
        let open_at = match listed {
            Listed::Open { at } if drained && !self.ended => Some(at.min(now)),
            Listed::Open { .. } | Listed::Closed => None,
        };
        let at_tip = open_at.is_some();
        let due = |at: &Millis| self.told_at.is_none_or(|told| *at >= told.later(self.tell_after));
        let drained_at = open_at.filter(due);
        self.told_at = drained_at.or(self.told_at);
        let tell = !new.is_empty() || self.ended || drained_at.is_some();
        let step = tell.then(|| Step {
            shard: self.shard.clone(),
            from_exclusive,
            to_inclusive: self.position.clone(),
            ended: self.ended,
            drained_at,
        });
        PageOutcome { new, step, at_tip, ended: self.ended }
    }

    /// Whether a closed shard has given so many drained pages that nothing can come any more.
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
    fn records_at_or_before_the_position_are_passed_over() {
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
    fn the_tip_is_an_empty_page_that_is_not_behind() {
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
    fn being_drained_is_told_at_once_and_then_once_an_interval() {
        let mut cursor = cursor(Position::AtTimestamp(Millis::new(3)));
        let told: Vec<i64> = (0..25)
            .map(|minute| minute * MINUTE)
            .filter_map(|now| {
                let step =
                    cursor.take(&page(&[], 0), Millis::new(now), OPEN).step?.advance(ControlTotals::default(), None);
                assert_eq!(step.from_exclusive.as_ref(), Some(&step.to_inclusive), "the position stays");
                assert_eq!(step.drained_at, Some(Millis::new(now)));
                Some(now / MINUTE)
            })
            .collect();
        assert_eq!(told, [0, 10, 20]);
    }

    #[test]
    fn the_end_is_told_with_its_last_records_or_without() {
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
    fn a_closed_shard_has_no_tip_and_claims_nothing_of_what_its_children_hold() {
        let mut cursor = cursor(after(5));
        let outcome = cursor.take(&page(&[], 0), Millis::new(0), Listed::Closed);
        assert_eq!(outcome, PageOutcome { new: vec![], step: None, at_tip: false, ended: false });
        let last = PageFacts { end_of_shard: true, ..page(&[], 0) };
        let step =
            cursor.take(&last, Millis::new(0), Listed::Closed).step.unwrap().advance(ControlTotals::default(), None);
        assert_eq!((step.ended, step.drained_at), (true, None));
    }

    #[test]
    fn a_closed_shard_whose_end_is_never_signalled_ends_when_it_stays_drained() {
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
    fn drained_is_told_as_of_the_moment_at_which_the_shard_was_still_open() {
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
    fn a_page_that_comes_after_the_retention_may_begin_behind_a_hole() {
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
        /// Whatever pages come, repeated or overlapping, each record is new exactly once and the steps join.
        #[test]
        fn every_record_is_new_once(cuts in proptest::collection::vec((0_usize..40, 0_usize..12), 1..60)) {
            let mut cursor = cursor(Position::TrimHorizon);
            let (mut seen, mut reached) = (Vec::<u64>::new(), Position::TrimHorizon);
            for (start, length) in cuts {
                // A source never leaves a hole: it reads on from the position, or answers something older.
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

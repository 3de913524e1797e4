//! What a worker commits before it reads, and what it may read then. Pure: plan, share and document in.
//!
//! | a shard of this worker | then |
//! | --- | --- |
//! | is new to the table | its start is pinned |
//! | may have lost records | the gap is recorded; the shard stands still until the gap is accepted |
//! | has an open gap, with `--on-gap continue` | the gap is accepted |
//! | left the stream long ago, ended | its entry retires |
//! | else | may be read |

use std::{collections::BTreeSet, time::Duration};

use bluelake_lake::{CheckpointDocument, Gap, Position, ShardAdvance, ShardId, ShardState};
use bluelake_schemas::Millis;

use crate::{
    kinesis::listed::ListedShard,
    shards::{
        fleet::Share,
        gap::{self, OnGap},
        lineage::{LineagePlan, ReadableShard, plan},
    },
};

/// Which shards a worker may read.
#[derive(Debug, Default)]
pub(crate) struct Readable {
    /// Shards to read now.
    pub(crate) shards: Vec<ReadableShard>,
    /// All shards that are this worker's by the assignment.
    pub(crate) mine: BTreeSet<ShardId>,
    /// Gaps, each of which stops a shard of this worker.
    pub(crate) stopped: Vec<Gap>,
    /// Shards that wait for a parent.
    pub(crate) waiting: usize,
}

/// The commits before any read, and the shards that may be read then.
#[derive(Debug)]
pub(crate) struct PinsAndGaps {
    /// Pins and gaps.
    pub(crate) acts: Vec<ShardAdvance>,
    /// Entries to fold into the retired totals.
    pub(crate) retire: Vec<ShardId>,
    /// The shards that may be read if nothing is to be committed first.
    pub(crate) readable: Readable,
}

/// The rules by which gaps are judged and entries retire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GapRule {
    /// How long Kinesis keeps a record.
    pub(crate) retention: Duration,
    /// How far back deduplication looks.
    pub(crate) window: Duration,
    /// What to do about a gap.
    pub(crate) on_gap: OnGap,
    pub(crate) now: Millis,
}

/// Tries of pinning; each is lost only to another worker that pins.
pub(crate) const PIN_ROUNDS: usize = 10;

/// What a worker sees when it looks at the shards.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen<'a> {
    /// The listed shards.
    pub(crate) listed: &'a [ListedShard],
    /// The document in force.
    pub(crate) document: Option<&'a CheckpointDocument>,
    /// Where a stream new to the table starts.
    pub(crate) start: &'a Position,
    /// Shards that may be read and not committed: they have not vanished.
    pub(crate) held: &'a BTreeSet<ShardId>,
    /// Not later than the listing, by the worker's clock and by the service's.
    pub(crate) earliest: Millis,
}

impl PinsAndGaps {
    /// Decides from what is seen; `share` gives this worker's share of the shards that need a worker.
    #[must_use]
    pub(crate) fn of(seen: &Seen<'_>, rule: GapRule, share: impl FnOnce(BTreeSet<ShardId>) -> Share) -> Self {
        let mut plan = plan(seen.listed, seen.document, seen.start, seen.earliest);
        plan.vanished.retain(|shard| !seen.held.contains(shard));
        let share = share(plan.wanting());
        let mut first = Self::decide(plan, &share, seen.document, rule);
        first.readable.shards.retain(|readable| !share.held.contains(&readable.shard.id));
        first
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.acts.is_empty() && self.retire.is_empty()
    }

    /// Decides for the shards that are this worker's.
    #[must_use]
    pub(crate) fn decide(
        plan: LineagePlan,
        share: &Share,
        document: Option<&CheckpointDocument>,
        rule: GapRule,
    ) -> Self {
        let GapRule { retention, now, .. } = rule;
        let mut acts: Vec<ShardAdvance> = plan.pins.into_iter().filter(|pin| share.mine.contains(&pin.shard)).collect();
        let mut readable = Readable { mine: share.mine.clone(), waiting: plan.waiting.len(), ..Readable::default() };
        let mut settle = |id: &str, state: &ShardState, found: Option<Gap>, listed: bool| {
            let open = document.and_then(|document| document.open_gap(id));
            match settle_gap(open, found, rule) {
                Settled::Read => return true,
                Settled::Stop(open) => readable.stopped.push(open),
                Settled::Write(gap) => acts.push(gap::advance(state, gap, listed, now)),
            }
            false
        };
        let mine = plan.readable.into_iter().filter(|readable| share.mine.contains(&readable.shard.id));
        let shards = mine
            .filter(|shard| {
                let found = gap::by_retention(&shard.shard.id, &shard.state, retention, now);
                settle(&shard.shard.id, &shard.state, found, true)
            })
            .collect();
        let state_of = |id: &ShardId| document.and_then(|document| document.shards.get(id));
        for id in plan.vanished.iter().filter(|id| share.mine.contains(*id)) {
            if let Some(state) = state_of(id) {
                settle(id, state, Some(gap::by_vanishing(id, state, retention, now)), false);
            }
        }
        readable.shards = shards;
        // Records of its children may be as old as the retention, and deduplication looks back over the window from
        // there. Clocks may be wrong, so this takes twice the longer of both, which is more than their sum.
        let reach = retention.max(rule.window) * 2;
        let out_of_reach = |id: &ShardId| {
            let known = state_of(id).and_then(ShardState::safe_until).unwrap_or(now);
            now.since(known) > reach
        };
        let retire = plan.retirable.into_iter().filter(out_of_reach).collect();
        Self { acts, retire, readable }
    }
}

/// What becomes of a shard.
enum Settled {
    /// It may be read.
    Read,
    /// It stands still behind a gap that is known.
    Stop(Gap),
    /// The gap is to be committed first.
    Write(Gap),
}

fn settle_gap(open: Option<&Gap>, found: Option<Gap>, rule: GapRule) -> Settled {
    match (open, found, rule.on_gap) {
        (None, None, _) => Settled::Read,
        (Some(open), _, OnGap::Stop) => Settled::Stop(open.clone()),
        (Some(open), _, OnGap::Continue) => Settled::Write(gap::accept(open.clone(), rule.now)),
        (None, Some(found), OnGap::Stop) => Settled::Write(found),
        (None, Some(found), OnGap::Continue) => Settled::Write(gap::accept(found, rule.now)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_lake::{Batch, ControlTotals, GapCause, Position, SequenceNumber, Writer, advance};
    use uuid::Uuid;

    use super::*;

    const HOUR: i64 = 3_600_000;
    const RULE: GapRule = GapRule {
        retention: Duration::from_secs(24 * 3600),
        window: Duration::from_secs(900),
        on_gap: OnGap::Stop,
        now: Millis::new(0),
    };

    fn pin(id: &str, known: i64) -> ShardAdvance {
        ShardAdvance {
            shard: id.into(),
            starting_sequence: SequenceNumber::parse("1").unwrap(),
            parents: Vec::new(),
            from_exclusive: None,
            to_inclusive: Position::TrimHorizon,
            ended: false,
            arrived_at: None,
            drained_at: None,
            pinned_at: Some(Millis::new(known)),
            counts: ControlTotals::default(),
            gap: None,
        }
    }

    fn after(document: Option<&CheckpointDocument>, acts: Vec<ShardAdvance>) -> CheckpointDocument {
        let batch = Batch {
            id: Uuid::nil(),
            base: 0,
            erasure_epoch: 0,
            shards: acts,
            retire: Vec::new(),
            supplement: None,
            files: Vec::new(),
            rejected_files: Vec::new(),
        };
        let writer = Writer {
            worker: "w".to_owned(),
            stream_arn: "arn".to_owned(),
            stream_created_at: None,
            contract_version: 1,
        };
        advance(document, document.map_or(1, |document| document.head.number + 1), &batch, &writer).unwrap()
    }

    fn all(ids: &[&str]) -> Share {
        Share { mine: ids.iter().map(|id| ShardId::from(*id)).collect(), ..Share::default() }
    }

    fn vanished(ids: &[&str]) -> LineagePlan {
        LineagePlan { vanished: ids.iter().map(|id| ShardId::from(*id)).collect(), ..LineagePlan::default() }
    }

    #[test]
    fn only_shards_of_this_worker_are_pinned() {
        let plan = LineagePlan { pins: vec![pin("a", 0), pin("b", 0)], ..LineagePlan::default() };
        let first = PinsAndGaps::decide(plan, &all(&["b"]), None, RULE);
        assert!(first.acts.iter().map(|act| act.shard.as_str()).eq(["b"]));
    }

    #[test]
    fn a_gap_is_written_once_and_stops_reading() {
        let pinned = after(None, vec![pin("a", 0)]);
        let decide = |document: &CheckpointDocument, on_gap| {
            PinsAndGaps::decide(
                vanished(&["a"]),
                &all(&["a"]),
                Some(document),
                GapRule { on_gap, now: Millis::new(HOUR), ..RULE },
            )
        };
        let found = decide(&pinned, OnGap::Stop);
        let gap = found.acts.first().unwrap().gap.as_ref().unwrap();
        assert_eq!((gap.cause, gap.accepted), (GapCause::Vanished, false));
        let stopped = after(Some(&pinned), found.acts.clone());
        let again = decide(&stopped, OnGap::Stop);
        assert!(again.is_empty() && again.readable.stopped.len() == 1);
        let accepted = decide(&stopped, OnGap::Continue);
        let gap = accepted.acts.first().unwrap().gap.as_ref().unwrap();
        assert_eq!((gap.accepted, gap.until), (true, Some(Millis::new(HOUR))), "what is lost until then is part of it");
    }

    #[test]
    fn an_ended_shard_retires_after_its_windows() {
        let ended = ShardAdvance { from_exclusive: Some(Position::TrimHorizon), ended: true, ..pin("a", 0) };
        let document = after(Some(&after(None, vec![pin("a", 0)])), vec![ended]);
        let retires = |now| {
            let plan = LineagePlan { retirable: vec!["a".into()], ..LineagePlan::default() };
            !PinsAndGaps::decide(plan, &all(&[]), Some(&document), GapRule { now, ..RULE }).retire.is_empty()
        };
        assert!(
            !retires(Millis::new(25 * HOUR)),
            "a child's record may be a day old, and a retry of one of this shard"
        );
        assert!(retires(Millis::new(49 * HOUR)));
    }
}

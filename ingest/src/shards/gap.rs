//! When records may have been discarded before they were read. Pure.
//!
//! | the shard | then |
//! | --- | --- |
//! | still listed, and unknown for longer than the retention | gap by retention |
//! | not ended, and no longer listed | gap: it has vanished |
//! | idle, but seen drained within the retention | no gap |
//! | ended | no gap |

use std::time::Duration;

use bluelake_lake::{ControlTotals, Gap, GapCause, Position, ShardAdvance, ShardId, ShardState};
use bluelake_schemas::Millis;

/// The gap of a shard whose position is older than the stream's retention.
pub(crate) fn by_retention(shard: &ShardId, state: &ShardState, retention: Duration, now: Millis) -> Option<Gap> {
    let known = state.safe_until()?;
    let horizon = now.earlier(retention);
    let lost = !state.ended && known < horizon;
    lost.then(|| gap(shard, state, GapCause::Retention, horizon, now))
}

/// The gap of an unfinished shard that has left the stream.
pub(crate) fn by_vanishing(shard: &ShardId, state: &ShardState, retention: Duration, now: Millis) -> Gap {
    gap(shard, state, GapCause::Vanished, now.earlier(retention), now)
}

/// Records that Kinesis held when the shard was pinned may be lost too, although the shard's age counts from the pin.
fn gap(shard: &ShardId, state: &ShardState, cause: GapCause, until: Millis, now: Millis) -> Gap {
    let start = match state.position {
        Position::AtTimestamp(start) => Some(start),
        Position::TrimHorizon | Position::After(_) => None,
    };
    Gap {
        shard: shard.to_owned(),
        starting_sequence: state.starting_sequence.clone(),
        after: state.position.clone(),
        from: state.read_until().max(start),
        until: Some(until.max(state.safe_until().unwrap_or(Millis::MIN))),
        found_at: now,
        cause,
        accepted: false,
    }
}

/// The gap as an operator accepts it at `now`. From then on the shard counts as known up to `now`. Records between its
/// position and `now` may still be discarded before they are read, so they are part of the gap too.
pub(crate) fn accept(gap: Gap, now: Millis) -> Gap {
    Gap { accepted: true, until: gap.until.map(|until| until.max(now)), ..gap }
}

/// The commit that writes a gap into the lake. An accepted gap lets the shard go on, or ends it when it has vanished; a
/// shard that is listed again goes on.
pub(crate) fn advance(state: &ShardState, gap: Gap, listed: bool, now: Millis) -> ShardAdvance {
    let vanished = gap.cause == GapCause::Vanished && !listed;
    ShardAdvance {
        shard: gap.shard.clone(),
        starting_sequence: state.starting_sequence.clone(),
        parents: state.parents.clone(),
        from_exclusive: Some(state.position.clone()),
        to_inclusive: state.position.clone(),
        ended: gap.accepted && vanished,
        arrived_at: None,
        drained_at: None,
        pinned_at: gap.accepted.then_some(now),
        counts: ControlTotals::default(),
        gap: Some(Box::new(gap)),
    }
}

/// What to do about a gap. It is written to the lake and reported in both cases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnGap {
    /// The shard stands still until an operator has looked.
    Stop,
    /// The shard goes on behind the gap.
    Continue,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_lake::SequenceNumber;
    use bluelake_schemas::Micros;

    use super::*;

    const DAY: i64 = 24 * 3600 * 1000;
    const RETENTION: Duration = Duration::from_secs(24 * 3600);

    fn state(arrived_at: Option<Millis>, drained_at: Option<Millis>) -> ShardState {
        ShardState {
            starting_sequence: SequenceNumber::parse("1").unwrap(),
            parents: Vec::new(),
            position: Position::After(SequenceNumber::parse("9").unwrap()),
            ended: false,
            arrived_at: arrived_at.map(Millis::micros),
            drained_at,
            pinned_at: None,
            totals: ControlTotals::default(),
        }
    }

    #[test]
    fn a_position_past_the_retention_is_a_gap() {
        let behind = state(Some(Millis::new(100 * DAY)), None);
        assert_eq!(by_retention(&ShardId::from("a"), &behind, RETENTION, Millis::new(101 * DAY)), None, "just held");
        let gap = by_retention(&ShardId::from("a"), &behind, RETENTION, Millis::new(103 * DAY)).unwrap();
        assert_eq!(
            (gap.from, gap.until, gap.cause),
            (Some(Millis::new(100 * DAY)), Some(Millis::new(102 * DAY)), GapCause::Retention)
        );
        assert_eq!(gap.after, behind.position);
    }

    #[test]
    fn an_idle_drained_shard_has_no_gap() {
        let idle = state(Some(Millis::new(100 * DAY)), Some(Millis::new(109 * DAY)));
        assert_eq!(by_retention(&ShardId::from("a"), &idle, RETENTION, Millis::new(110 * DAY)), None);
        assert!(by_retention(&ShardId::from("a"), &idle, RETENTION, Millis::new(110 * DAY + 1)).is_some());
    }

    #[test]
    fn an_unread_shards_gap_precedes_its_pin() {
        let pinned = |position| ShardState { position, pinned_at: Some(Millis::new(100 * DAY)), ..state(None, None) };
        let found = |position| {
            by_retention(&ShardId::from("a"), &pinned(position), RETENTION, Millis::new(103 * DAY)).unwrap().from
        };
        assert_eq!(
            by_retention(&ShardId::from("a"), &pinned(Position::TrimHorizon), RETENTION, Millis::new(101 * DAY)),
            None,
            "its age counts"
        );
        assert_eq!(found(Position::TrimHorizon), None, "all that Kinesis held");
        assert_eq!(
            found(Position::AtTimestamp(Millis::new(99 * DAY))),
            Some(Millis::new(99 * DAY)),
            "what lies before was not asked for"
        );
        let read = ShardState { arrived_at: Some(Micros::new(99 * DAY * 1_000)), ..pinned(state(None, None).position) };
        assert_eq!(
            by_retention(&ShardId::from("a"), &read, RETENTION, Millis::new(103 * DAY)).unwrap().from,
            Some(Millis::new(99 * DAY))
        );
    }

    #[test]
    fn a_shard_that_ended_has_no_gap() {
        let ended = ShardState { ended: true, ..state(Some(Millis::new(DAY)), None) };
        assert_eq!(by_retention(&ShardId::from("a"), &ended, RETENTION, Millis::new(100 * DAY)), None);
    }

    #[test]
    fn an_accepted_gap_covers_losses_until_acceptance() {
        let behind = state(Some(Millis::new(100 * DAY)), None);
        let found = by_retention(&ShardId::from("a"), &behind, RETENTION, Millis::new(103 * DAY)).unwrap();
        let accepted = accept(found, Millis::new(105 * DAY));
        assert!(accepted.accepted);
        assert_eq!((accepted.from, accepted.until), (Some(Millis::new(100 * DAY)), Some(Millis::new(105 * DAY))));
    }

    #[test]
    fn an_accepted_gap_lets_the_shard_advance() {
        let behind = state(Some(Millis::new(100 * DAY)), None);
        let found = by_retention(&ShardId::from("a"), &behind, RETENTION, Millis::new(103 * DAY)).unwrap();
        let step = advance(&behind, Gap { accepted: true, ..found.clone() }, true, Millis::new(104 * DAY));
        assert_eq!((step.ended, step.pinned_at, step.drained_at), (false, Some(Millis::new(104 * DAY)), None));
        let held = advance(&behind, found, true, Millis::new(104 * DAY));
        assert_eq!((held.ended, held.pinned_at), (false, None), "found only: the shard stands still");
        let vanished =
            Gap { accepted: true, ..by_vanishing(&ShardId::from("a"), &behind, RETENTION, Millis::new(103 * DAY)) };
        assert!(advance(&behind, vanished.clone(), false, Millis::new(104 * DAY)).ended);
        let back = advance(&behind, vanished, true, Millis::new(104 * DAY));
        assert_eq!(
            (back.ended, back.pinned_at),
            (false, Some(Millis::new(104 * DAY))),
            "listed again: it still holds records"
        );
    }
}

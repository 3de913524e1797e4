//! How a round comes to its end: told to leave, or in a run that ends at the tips, when every shard was read as far as it
//! went when the run began, by this worker or by others, or when nobody reads what is left. Pure.

use std::time::{Duration, Instant};

use bluelake_lake::ShardId;

use super::{Act, Agenda, Look, WAITING_INTERVAL};
use crate::reading::chunk::Rows;

/// A run that ends at the tips waits no longer for shards that are not read by anybody, once nothing was committed for this
/// time. Workers commit every minute, unless told otherwise, and are taken for gone within seconds.
const STANDSTILL: Duration = Duration::from_secs(300);

/// What a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waited {
    /// Number of the document in force.
    document: Option<u64>,
    shards: Vec<ShardId>,
}

/// What the end of a round waits for.
#[derive(Debug, Default)]
pub(super) struct Ending {
    has_looked: bool,
    /// When to look again.
    next: Option<Instant>,
    /// What was waited for last, and since when nothing of it has moved.
    standstill: Option<(Waited, Instant)>,
    unread: Option<Vec<ShardId>>,
}

impl Ending {
    pub(super) fn looked(&mut self) {
        self.has_looked = true;
    }

    /// What was seen is not the end any more.
    pub(super) fn look_again(&mut self) {
        self.has_looked = false;
        self.unread = None;
    }
}

impl<R: Rows, D> Agenda<R, D> {
    /// What an idle worker does.
    pub(super) fn at_end(&mut self, now: Instant) -> Option<Act<R, D>> {
        if self.leaving {
            return Some(Act::Finish { unread: Vec::new() });
        }
        if let Some(unread) = self.ending.unread.take() {
            return Some(Act::Finish { unread });
        }
        if !self.once || self.ending.next.is_some_and(|at| at > now) {
            return None;
        }
        Some(if self.ending.has_looked { Act::Judge } else { Act::Look(Look::AtEnd) })
    }

    /// Shards that nobody has read as far as this run should, and the number of the document in force. Whether the run
    /// begins to wait for these shards.
    pub(crate) fn judged(&mut self, unread: Vec<ShardId>, document: Option<u64>, now: Instant) -> bool {
        self.ending.look_again();
        let is_read = unread.is_empty();
        let waited = Waited { document, shards: unread.clone() };
        let before = self.ending.standstill.take().filter(|(before, _)| *before == waited);
        let since = before.as_ref().map_or(now, |(_, since)| *since);
        self.ending.standstill = Some((waited, since));
        if is_read || now.saturating_duration_since(since) >= STANDSTILL {
            self.ending.unread = Some(unread);
            return false;
        }
        self.ending.next = Some(now + WAITING_INTERVAL);
        before.is_none()
    }
}

//! How a round ends. It ends when the worker is to leave. In a run that ends at the tips it also ends when every shard
//! was read as far as it went at the start of the run, by this or another worker, or when no worker reads the rest.
//! Pure.

use std::time::{Duration, Instant};

use bluelake_lake::ShardId;

use super::{Act, Agenda, Look, WAITING_INTERVAL};
use crate::reading::chunk::Rows;

/// A run that ends at the tips stops waiting for unread shards when nothing was committed for this time. Workers commit
/// every minute, unless set otherwise, and are taken for gone within seconds.
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
    /// What was waited for last, and since when none of it has moved.
    standstill: Option<(Waited, Instant)>,
    unread: Option<Vec<ShardId>>,
}

impl Ending {
    pub(super) fn looked(&mut self) {
        self.has_looked = true;
    }

    /// The end that was seen no longer holds.
    pub(super) fn look_again(&mut self) {
        self.has_looked = false;
        self.unread = None;
    }
}

impl<R: Rows, D> Agenda<R, D> {
    /// The next act of an idle worker.
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

    /// Takes the shards that are not read as far as this run should, and the number of the document in force. Gives
    /// whether the run begins to wait for these shards.
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

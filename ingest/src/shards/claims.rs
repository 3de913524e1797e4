//! The shards that a worker holds: it reads them, or has read and not committed them yet. Other workers should not
//! start on them. Pure.

use std::collections::BTreeSet;

use bluelake_lake::ShardId;

use crate::shards::lineage::ReadableShard;

/// The shards of one round.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    held: BTreeSet<ShardId>,
    /// Those of them that are another worker's now. Each is let go when everything read of it is committed.
    releasing: BTreeSet<ShardId>,
}

impl Claims {
    /// Every shard that is held.
    #[must_use]
    pub(crate) fn held(&self) -> &BTreeSet<ShardId> {
        &self.held
    }

    /// Shards that are to be let go.
    #[must_use]
    pub(crate) fn releasing(&self) -> &BTreeSet<ShardId> {
        &self.releasing
    }

    /// Takes the readable shards that are neither held nor `avoided`, and gives them.
    pub(crate) fn take(
        &mut self,
        mut readable: Vec<ReadableShard>,
        avoided: impl Fn(&ShardId) -> bool,
    ) -> Vec<ReadableShard> {
        readable.retain(|shard| !avoided(&shard.shard.id) && self.held.insert(shard.shard.id.clone()));
        readable
    }

    /// Gives back shards that were taken and not read, so that they can be taken again.
    pub(crate) fn give_back(&mut self, shards: &[ReadableShard]) {
        for shard in shards {
            self.held.remove(&shard.shard.id);
        }
    }

    /// Frees a shard without work under way, so that it can be taken again. A shard of another worker is not freed.
    pub(crate) fn free(&mut self, shard: &ShardId) {
        if !self.releasing.contains(shard) {
            self.held.remove(shard);
        }
    }

    /// Begins to let a shard go. Gives whether that is new.
    pub(crate) fn release(&mut self, shard: &ShardId) -> bool {
        self.releasing.insert(shard.to_owned())
    }

    /// Lets go of the shards without work under way.
    pub(crate) fn let_go(&mut self, is_settled: impl Fn(&ShardId) -> bool) {
        let (held, releasing) = (&mut self.held, &mut self.releasing);
        releasing.retain(|shard| {
            let settled = is_settled(shard);
            if settled {
                held.remove(shard);
            }
            !settled
        });
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_lake::{ControlTotals, Position, SequenceNumber, ShardState};

    use super::*;
    use crate::kinesis::listed::ListedShard;

    fn readable(ids: &[&str]) -> Vec<ReadableShard> {
        let starting_sequence = SequenceNumber::parse("1").unwrap();
        let shard = |id: &&str| ReadableShard {
            shard: ListedShard {
                id: (*id).into(),
                starting_sequence: starting_sequence.clone(),
                parents: Vec::new(),
                hash_keys: None,
                closed: false,
            },
            position: Position::TrimHorizon,
            state: ShardState {
                starting_sequence: starting_sequence.clone(),
                parents: Vec::new(),
                position: Position::TrimHorizon,
                ended: false,
                arrived_at: None,
                drained_at: None,
                pinned_at: None,
                totals: ControlTotals::default(),
            },
        };
        ids.iter().map(shard).collect()
    }

    fn ids(shards: &[ReadableShard]) -> Vec<&str> {
        shards.iter().map(|shard| shard.shard.id.as_str()).collect()
    }

    #[test]
    fn what_is_held_or_avoided_is_not_taken() {
        let mut claims = Claims::default();
        assert_eq!(ids(&claims.take(readable(&["a", "b"]), |shard| shard == "b")), ["a"]);
        assert_eq!(ids(&claims.take(readable(&["a", "b"]), |_| false)), ["b"]);
    }

    #[test]
    fn a_shard_that_failed_to_start_is_retried() {
        let mut claims = Claims::default();
        let taken = claims.take(readable(&["a"]), |_| false);
        claims.give_back(&taken);
        assert!(claims.held().is_empty(), "nobody reads it: it must not look so");
        assert_eq!(ids(&claims.take(readable(&["a"]), |_| false)), ["a"]);
    }

    #[test]
    fn a_shard_is_held_until_its_reads_settle() {
        let mut claims = Claims::default();
        claims.take(readable(&["a", "b"]), |_| false);
        assert!(claims.release(&ShardId::from("a")) && !claims.release(&ShardId::from("a")));
        claims.let_go(|_| false);
        assert_eq!(claims.held().len(), 2);
        claims.let_go(|_| true);
        assert!(claims.held().iter().eq(["b"]) && claims.releasing().is_empty());
    }
}

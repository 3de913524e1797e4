//! What each look at the lineage tells the readers, and those who watch.

use bluelake_lake::Gap;

use super::Round;
use crate::shards::tip::{Listed, Listing};

impl Round<'_> {
    /// Tells the readers what is known of their shards now. A shard that was left at its tip and has been closed since may hold
    /// more: it is to be read on, once all of it that was read is committed.
    pub(super) fn take_listing(&mut self, listing: Listing) {
        for shard in &listing.shards {
            let listed = Listed::of(shard, listing.at);
            if let Some(flow) = self.flows.get(&shard.id) {
                flow.listed.send_replace(listed);
            }
            let settled = self.flushing.is_none() && self.has_come_in(&shard.id) && !self.buffer.holds(&shard.id);
            if listed == Listed::Closed && settled && self.at_tip.remove(&shard.id) {
                self.claims.free(&shard.id);
            }
        }
        self.listing = listing;
    }

    /// Tells of the gaps that stop a shard, once.
    pub(super) fn tell_gaps(&mut self, gaps: Vec<Gap>) {
        let shards: Vec<String> = gaps.into_iter().map(|gap| gap.shard).collect();
        if !shards.is_empty() && self.told_gaps != shards {
            tracing::error!(stream = %self.worker.stream, ?shards, "gap: these shards stand still until they are let go on with --on-gap continue");
        }
        self.told_gaps = shards;
    }
}

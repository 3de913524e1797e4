//! Each look at the lineage: which readers start and stop, and what is told to them and to those who watch.

use std::time::Instant;

use bluelake_lake::{Gap, ShardId};

use super::{Round, WAITING_INTERVAL};
use crate::{
    error::IngestError,
    reading::dedup::window::DedupWindow,
    shards::{
        pins_and_gaps::Readable,
        tip::{Listed, Listing},
    },
};

impl Round<'_> {
    /// Follows the lineage when it is time to; a fault that may pass is no reason to stop reading.
    pub(super) async fn refresh_lineage(&mut self) -> Result<(), IngestError> {
        let fleet_changed = self.others.as_mut().is_some_and(|others| others.has_changed().unwrap_or(false));
        let due = fleet_changed || self.lineage_due <= Instant::now();
        let held = |shard: &ShardId| !self.has_come_in(shard) || self.buffer.holds(shard);
        let letting_go = self.claims.releasing().iter().any(held);
        if !due || letting_go || self.worker.table.is_none() || self.shutdown.is_cancelled() {
            return Ok(());
        }
        if let Some(others) = &mut self.others {
            others.mark_unchanged();
        }
        match self.follow_lineage().await {
            Ok(gaps) => {
                self.catch_up_rejected().await;
                self.tell_gaps(gaps);
                Ok(())
            }
            Err(error) if error.is_transient() => {
                tracing::warn!(stream = %self.worker.stream, error = bluelake_lake::causes(&error), "the shards could not be followed");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// What follows the commits was left behind by a fault, or by a worker that died: the next commit may be long in coming.
    async fn catch_up_rejected(&mut self) {
        let Some(table) = &mut self.worker.table else { return };
        if let Err(error) = table.follow_rejected().await {
            let error = bluelake_lake::causes(&error);
            tracing::warn!(stream = %self.worker.stream, error, "rejected_events is still behind");
        }
    }

    /// Starts a reader for each shard that may be read now and has none, and stops those of shards that are another
    /// worker's. Gives the gaps that stop a shard.
    pub(super) async fn follow_lineage(&mut self) -> Result<Vec<Gap>, IngestError> {
        let now = Instant::now();
        self.lineage_due = now + self.worker.options.lineage_interval;
        self.worker.avoided.retain(|_, until| *until > now);
        let (readable, listing) = self.worker.readable(self.claims.held(), self.shutdown).await?;
        let Readable { shards, mine, stopped, waiting } = readable;
        self.take_listing(listing);
        let in_company = self.worker.options.fleet.as_ref().is_some_and(|fleet| fleet.living() > 1);
        if in_company && waiting > 0 {
            // The parents may be another worker's: only the table tells when they have ended.
            self.lineage_due = self.lineage_due.min(now + WAITING_INTERVAL);
        }
        if let Some(first) = self.worker.avoided.values().min() {
            self.lineage_due = self.lineage_due.min(*first);
        }
        self.release_all_but(&mine);
        self.worker.progress.observe_lineage(waiting, stopped.len());
        if let Some(fleet) = &self.worker.options.fleet {
            self.worker.progress.observe_fleet(fleet.living());
        }
        let avoided = &self.worker.avoided;
        let shards = self.claims.take(shards, |shard| avoided.contains_key(shard));
        if shards.is_empty() {
            return Ok(stopped);
        }
        // Told before the first read, so that a worker that comes now does not take them too.
        self.tell_holds();
        let shutdown = self.shutdown.clone();
        let windows = tokio::select! {
            windows = self.worker.windows(&shards) => windows.map(Some),
            () = shutdown.cancelled() => Ok(None),
        };
        let Ok(Some(mut windows)) = windows else {
            // Nobody reads them yet: the next look must find them free.
            self.claims.give_back(&shards);
            self.tell_holds();
            return windows.map(|_| stopped);
        };
        for shard in shards {
            let window = windows.remove(&shard.shard.id).unwrap_or_else(|| DedupWindow::new(self.worker.options.dedup));
            self.spawn_reader(shard, window);
        }
        Ok(stopped)
    }

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
        let shards: Vec<ShardId> = gaps.into_iter().map(|gap| gap.shard).collect();
        if !shards.is_empty() && self.told_gaps != shards {
            tracing::error!(stream = %self.worker.stream, ?shards, "gap: these shards stand still until they are let go on with --on-gap continue");
        }
        self.told_gaps = shards;
    }
}

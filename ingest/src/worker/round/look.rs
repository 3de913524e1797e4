//! A look at the shards: which readers start and stop, and what is reported of it; and at the end of a run, which
//! shards are unread.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Instant,
};

use bluelake_lake::{Gap, ShardId};
use tokio::sync::watch;

use super::{Read, Round};
use crate::{
    error::IngestError,
    reading::{dedup::window::DedupWindow, reader::ShardReader},
    shards::{
        lineage::ReadableShard,
        probe::is_read_up_to,
        tip::{Listed, state_of, unread},
    },
    worker::agenda::Look,
};

impl Round<'_> {
    /// Looks at the shards. At the beginning and the end of a round it must succeed; in between a transient fault does
    /// not stop reading.
    pub(super) async fn look(&mut self, look: Look) -> Result<(), IngestError> {
        match look {
            Look::First => {
                let shutdown = self.shutdown.clone();
                tokio::select! {
                    biased;
                    // No shard is read yet, so there is nothing to commit.
                    () = shutdown.cancelled() => return Ok(()),
                    looked = self.look_until_it_succeeds() => looked?,
                };
                self.worker.progress.observe_start();
            }
            Look::AtEnd => {
                let gaps = self.look_until_it_succeeds().await?;
                self.report_gaps(gaps);
            }
            Look::Again => match self.look_once().await {
                Ok(gaps) => {
                    self.catch_up_rejected().await;
                    self.report_gaps(gaps);
                }
                Err(error) if error.is_transient() => {
                    tracing::warn!(stream = %self.worker.stream, error = bluelake_lake::causes(&error), "the shards could not be followed");
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        }
        self.agenda.look_ends(look);
        Ok(())
    }

    async fn look_until_it_succeeds(&mut self) -> Result<Vec<Gap>, IngestError> {
        let mut tries = self.worker.patience(self.shutdown).tries("follow the shards");
        loop {
            if let Some(gaps) = tries.judge(self.look_once().await).await? {
                return Ok(gaps);
            }
        }
    }

    /// Starts a reader for each readable shard without one, and stops the readers of shards that are another worker's.
    /// Gives the gaps that stop a shard.
    async fn look_once(&mut self) -> Result<Vec<Gap>, IngestError> {
        self.agenda.look_begins(Instant::now());
        let (readable, listing) = self.worker.readable(self.agenda.held(), self.shutdown).await?;
        let gaps = readable.stopped.clone();
        let living = self.worker.options.fleet.as_ref().map(crate::shards::fleet::Fleet::living);
        self.worker.progress.observe_lineage(readable.waiting, gaps.len());
        if let Some(living) = living {
            self.worker.progress.observe_fleet(living);
        }
        for shard in &listing.shards {
            if let Some(read) = self.reads.get(&shard.id) {
                read.listed.send_replace(Listed::of(shard, listing.at));
            }
        }
        let in_company = living.is_some_and(|living| living > 1);
        let looked = self.agenda.looked(readable, &listing, in_company, Instant::now());
        self.listing = listing;
        for shard in &looked.stop {
            tracing::info!(stream = %self.worker.stream, %shard, "handing the shard over to another worker");
            if let Some(read) = self.reads.get(shard) {
                read.stop.cancel();
            }
        }
        self.start_readers(looked.start).await?;
        Ok(gaps)
    }

    async fn start_readers(&mut self, shards: Vec<ReadableShard>) -> Result<(), IngestError> {
        if shards.is_empty() {
            return Ok(());
        }
        // They are published before the first read, so that a worker that comes now does not take them too.
        self.publish_holds();
        let shutdown = self.shutdown.clone();
        let windows = tokio::select! {
            windows = self.worker.windows(&shards) => windows.map(Some),
            () = shutdown.cancelled() => Ok(None),
        };
        let Ok(Some(mut windows)) = windows else {
            self.agenda.give_back(&shards);
            self.publish_holds();
            return windows.map(drop);
        };
        for shard in shards {
            let window = windows.remove(&shard.shard.id).unwrap_or_else(|| DedupWindow::new(self.worker.options.dedup));
            self.spawn_reader(shard, window);
        }
        Ok(())
    }

    fn spawn_reader(&mut self, shard: ReadableShard, window: DedupWindow) {
        tracing::debug!(stream = %self.worker.stream, shard = %shard.shard.id, position = ?shard.position, ids = window.len(), "reading");
        let id = shard.shard.id.clone();
        let stop = self.stop_readers.child_token();
        let sent = Arc::new(AtomicUsize::new(0));
        let (listed, listings) = watch::channel(Listed::of(&shard.shard, self.listing.at));
        self.reads.insert(id.clone(), Read { stop: stop.clone(), sent: Arc::clone(&sent), listed });
        self.agenda.reading(&id);
        let reader = ShardReader {
            source: self.worker.source.clone(),
            stream: self.worker.stream,
            shard,
            decoder: self.worker.decoder.clone(),
            window,
            chunks: self.sender.clone(),
            sent,
            stop_at_tip: self.worker.options.once,
            listed: listings,
            retention: self.worker.description.retention,
            admission: self.worker.options.admission.clone(),
            clock: self.worker.options.clock.clone(),
            skew: self.worker.skew,
            progress: self.worker.progress.clone(),
        };
        self.readers.spawn(async move { (id, reader.run(stop).await) });
    }

    /// A fault or a dead worker left `rejected_events` behind, and the next commit may come late.
    async fn catch_up_rejected(&mut self) {
        let Some(table) = &mut self.worker.table else { return };
        if let Err(error) = table.follow_rejected().await {
            let error = bluelake_lake::causes(&error);
            tracing::warn!(stream = %self.worker.stream, error, "rejected_events is still behind");
        }
    }

    /// Reports the gaps that stop a shard, once.
    fn report_gaps(&mut self, gaps: Vec<Gap>) {
        let shards: Vec<ShardId> = gaps.into_iter().map(|gap| gap.shard).collect();
        if !shards.is_empty() && self.reported_gaps != shards {
            tracing::error!(stream = %self.worker.stream, ?shards, "gap: these shards stand still until they are let go on with --on-gap continue");
        }
        self.reported_gaps = shards;
    }

    /// Finds the shards that are not read as far as this run should. Shards of other workers may never be at a tip:
    /// Kinesis decides whether their commits are enough.
    pub(super) async fn judge(&mut self) -> Result<(), IngestError> {
        let (since, in_fleet) = (self.worker.began_at, self.worker.options.fleet.is_some());
        let (source, clock) = (self.worker.source.clone(), self.worker.options.clock.clone());
        let document = self.worker.table()?.document();
        let number = document.map(|document| document.head.number);
        let mut found = Vec::new();
        for shard in unread(&self.listing.shards, document, self.agenda.at_tip(), since) {
            let state = state_of(shard, document).filter(|_| in_fleet && !shard.closed);
            let is_read = match state {
                Some(state) => is_read_up_to(&source, &shard.id, state, since, &clock).await,
                None => false,
            };
            if !is_read {
                found.push(shard.id.clone());
            }
        }
        if self.agenda.judged(found.clone(), number, Instant::now()) {
            tracing::info!(stream = %self.worker.stream, shards = ?found, "waiting until these shards are read");
        }
        Ok(())
    }
}

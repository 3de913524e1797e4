//! How a round comes to its end in a run that ends at the tips: when every shard was read as far as it went when the run
//! began, by this worker or by others, or when nobody reads what is left.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bluelake_lake::ShardId;

use super::{Round, RoundEnd, WAITING_INTERVAL};
use crate::{
    error::IngestError,
    progress::WorkerStep,
    shards::{
        probe::is_read_up_to,
        tip::{state_of, unread},
    },
};

/// A run that ends at the tips waits no longer for shards that are not read by anybody, once nothing was committed for so
/// long. Workers commit every minute, unless told otherwise, and are taken for gone within seconds.
const STANDSTILL: Duration = Duration::from_secs(300);

/// What a run waits for: the number of the document in force, and the shards.
type Standstill = (Option<u64>, Vec<ShardId>);

/// What the end of a round waits for.
#[derive(Debug, Default)]
pub(super) struct Ending {
    /// When to look again.
    look_again: Option<Instant>,
    /// What was waited for last, and since when nothing of it has moved.
    standstill: Option<(Standstill, Instant)>,
}

/// What an idle round does next.
pub(super) enum Next {
    /// Something is read, or will be.
    Wait,
    /// There is nothing to do any more, but for shards that nobody has read so far.
    End {
        /// Ids of these shards.
        unread: Vec<ShardId>,
    },
}

impl Round<'_> {
    /// What an idle round does next; starts it.
    pub(super) async fn go_on(&mut self) -> Result<Next, IngestError> {
        if self.shutdown.is_cancelled() {
            return Ok(Next::End { unread: Vec::new() });
        }
        if !self.worker.options.once || self.ending.look_again.is_some_and(|at| at > Instant::now()) {
            return Ok(Next::Wait);
        }
        let mut pauses = self.worker.patience(self.shutdown).pauses();
        loop {
            match self.follow_lineage().await {
                Ok(gaps) => break self.tell_gaps(gaps),
                Err(error) => pauses.wait_after("follow the shards", error).await?,
            }
        }
        if !self.readers.is_empty() {
            return Ok(Next::Wait);
        }
        let unread = self.unread().await?;
        if unread.is_empty() || self.stands_still(&unread)? {
            return Ok(Next::End { unread });
        }
        self.ending.look_again = Some(Instant::now() + WAITING_INTERVAL);
        Ok(Next::Wait)
    }

    /// Shards that nobody has read as far as this run should. Those of other workers may never be at a tip: Kinesis tells
    /// whether what they have committed is enough.
    async fn unread(&mut self) -> Result<Vec<ShardId>, IngestError> {
        let (since, in_fleet) = (self.worker.began_at, self.worker.options.fleet.is_some());
        let (source, clock) = (self.worker.source.clone(), self.worker.options.clock.clone());
        let document = self.worker.table()?.document();
        let mut found = Vec::new();
        for shard in unread(&self.listing.shards, document, &self.at_tip, since) {
            let state = state_of(shard, document).filter(|_| in_fleet && !shard.closed);
            let is_read = match state {
                Some(state) => is_read_up_to(&source, &shard.id, state, since, &clock).await,
                None => false,
            };
            if !is_read {
                found.push(shard.id.clone());
            }
        }
        Ok(found)
    }

    /// Whether the shards that are waited for are read by nobody, as it seems.
    fn stands_still(&mut self, unread: &[ShardId]) -> Result<bool, IngestError> {
        let number = self.worker.table()?.document().map(|document| document.head.number);
        let waiting = (number, unread.to_vec());
        let now = Instant::now();
        let since = match self.ending.standstill.take() {
            Some((before, since)) if before == waiting => since,
            _ => {
                tracing::info!(stream = %self.worker.stream, shards = ?unread, "waiting until these shards are read");
                now
            }
        };
        self.ending.standstill = Some((waiting, since));
        Ok(now.saturating_duration_since(since) >= STANDSTILL)
    }

    /// Everything is committed; what follows the commits must not stay behind when nobody comes after.
    pub(super) async fn finish(self, unread: Vec<ShardId>) -> Result<RoundEnd, IngestError> {
        self.worker.progress.observe_step(WorkerStep::Following);
        let mut pauses = self.worker.patience(self.shutdown).pauses();
        while let Err(error) = self.worker.table()?.follow_rejected().await {
            pauses.wait_after("bring rejected_events up to date", error.into()).await?;
        }
        Ok(self.leave(unread))
    }

    /// Lets go of every shard.
    pub(super) fn leave(&self, unread: Vec<ShardId>) -> RoundEnd {
        if let Some(fleet) = &self.worker.options.fleet {
            fleet.hold(self.worker.stream, BTreeSet::new());
        }
        RoundEnd::Done { unread }
    }
}

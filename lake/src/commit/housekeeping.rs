//! Clears away what nobody needs any more: old checkpoint documents and old files of the Delta logs. Best effort, now and
//! then, after a commit; what is old is told by the store's clock.

use std::{collections::BTreeSet, time::Duration};

use bluelake_schemas::Millis;
use deltalake::{DeltaTable, checkpoints::cleanup_expired_logs_for, table::config::TablePropertiesExt as _};
use futures::StreamExt as _;

use crate::{
    backoff::Chance,
    checkpoint::document::CheckpointDocument,
    commit::chain::{DocumentChain, Listed},
    error::LakeError,
};

/// Documents deleted in one go: each is read first.
const AT_ONCE: usize = 500;
/// Documents read side by side.
const READS: usize = 16;

/// What is kept, and how often the rest is cleared away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Housekeeping {
    /// Commits between two rounds, about.
    pub every: u32,
    /// Younger documents are kept.
    pub document_age: Duration,
    /// So many documents of the chain are kept, the newest.
    pub documents: usize,
    /// Younger files of a Delta log are kept; `None`: as the table's own property says, 30 days by default.
    pub log_age: Option<Duration>,
}

impl Default for Housekeeping {
    fn default() -> Self {
        Self { every: 100, document_age: Duration::from_secs(30 * 24 * 3600), documents: 1_000, log_age: None }
    }
}

impl Housekeeping {
    /// Commits until the next round: anywhere from half to one and a half of the interval, so that the workers of a fleet
    /// do not all clear away the same things.
    pub(crate) fn next_round(&self, chance: &Chance) -> u32 {
        chance.number(self.every.div_ceil(2)..=self.every.saturating_add(self.every / 2))
    }

    /// Deletes documents that nobody needs any more. `followed` is how far `rejected_events` is known to be.
    pub(crate) async fn prune_documents(
        &self,
        chain: &DocumentChain,
        current: &CheckpointDocument,
        followed: Option<u64>,
        now: Millis,
    ) -> Result<usize, LakeError> {
        let listed = chain.list().await?;
        let bounds = Bounds { older_than: now.earlier(self.document_age), below: needed_from(current, followed) };
        if candidates(&listed, &bounds).is_empty() {
            return Ok(0);
        }
        let Some(oldest_kept) = nth_newest(chain, current, &listed, self.documents).await? else { return Ok(0) };
        let below = bounds.below.min(oldest_kept);
        let numbers = candidates(&listed, &Bounds { below, ..bounds });
        // Those that stay, because they hold archive ranges or repairs, must not hide those behind them for ever.
        let places = numbers.len().saturating_sub(AT_ONCE) + 1;
        let skipped = usize::try_from(current.head.number).unwrap_or(0) % places;
        let mut read = futures::stream::iter(numbers.into_iter().skip(skipped).take(AT_ONCE))
            .map(|number| async move { (number, chain.get(number).await) })
            .buffer_unordered(READS);
        let mut deleted = 0;
        while let Some((number, document)) = read.next().await {
            let commit = document?.commit;
            if commit.archive_ranges.is_empty() && commit.repair.is_none() {
                chain.delete(number).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    /// Deletes files of a Delta log that are older than its retention and lie before a log checkpoint.
    pub(crate) async fn prune_log(&self, name: &str, table: &DeltaTable, now: Millis) -> Result<usize, LakeError> {
        let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
        let age = self.log_age.unwrap_or_else(|| state.table_config().log_retention_duration());
        let cutoff = now.earlier(age).get();
        cleanup_expired_logs_for(state.version(), table.log_store().as_ref(), cutoff, None)
            .await
            .map_err(LakeError::table(name, "clear its log"))
    }
}

struct Bounds {
    /// By the store's clock.
    older_than: Millis,
    /// First number that is kept.
    below: u64,
}

/// Numbers that may go, ascending.
fn candidates(listed: &[Listed], bounds: &Bounds) -> Vec<u64> {
    let old = |document: &&Listed| document.number < bounds.below && document.written_at < bounds.older_than;
    let numbers: BTreeSet<u64> = listed.iter().filter(old).map(|document| document.number).collect();
    numbers.into_iter().collect()
}

/// The first document that the table or `rejected_events` may still ask for.
fn needed_from(current: &CheckpointDocument, followed: Option<u64>) -> u64 {
    match current.links.last_rejected {
        // Its files may not be in the table yet, and the way to them leads over every document up to the current one.
        Some(newest) => newest.min(followed.unwrap_or(0)),
        None => current.head.number,
    }
}

/// Number of the `count`-th newest document of the chain; `None` when it is not so long, or cannot be followed so far.
async fn nth_newest(
    chain: &DocumentChain,
    current: &CheckpointDocument,
    listed: &[Listed],
    count: usize,
) -> Result<Option<u64>, LakeError> {
    let mut numbers: Vec<u64> = listed.iter().map(|document| document.number).collect();
    numbers.retain(|number| *number < current.head.number);
    numbers.sort_unstable_by(|left, right| right.cmp(left));
    let mut read =
        futures::stream::iter(numbers).map(|number| async move { (number, chain.get(number).await) }).buffered(READS);
    let (mut reached, mut previous) =
        (current.head.number, current.head.previous.as_ref().map(|previous| previous.number));
    for _ in 1..count {
        let Some(wanted) = previous else { return Ok(None) };
        let document = loop {
            match read.next().await {
                Some((number, document)) if number == wanted => break document?,
                // A document that was never committed is not of the chain.
                Some((number, _)) if number > wanted => {}
                _ => return Ok(None),
            }
        };
        reached = wanted;
        previous = document.head.previous.map(|previous| previous.number);
    }
    Ok(Some(reached))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_old_and_below_every_need_may_go() {
        let listed: Vec<_> = (1..=6)
            .map(|number| Listed { number, written_at: Millis::new(i64::try_from(number).unwrap_or(0) * 10) })
            .collect();
        let numbers = |older_than, below| candidates(&listed, &Bounds { older_than, below });
        assert_eq!(numbers(Millis::new(45), 100), [1, 2, 3, 4]);
        assert_eq!(numbers(Millis::new(1_000), 3), [1, 2]);
        assert_eq!(numbers(Millis::new(10), 100), Vec::<u64>::new());
    }

    #[test]
    fn rounds_come_about_every_so_many_commits() {
        let chance = Chance::seeded(3);
        for every in [1, 2, 100] {
            let housekeeping = Housekeeping { every, ..Housekeeping::default() };
            for _ in 0..100 {
                assert!((every.div_ceil(2)..=every + every / 2).contains(&housekeeping.next_round(&chance)), "{every}");
            }
        }
    }
}

//! Clears away what nobody needs any more: old checkpoint documents and old files of the Delta logs. Best effort, now
//! and then, after a commit; what is old is told by the store's clock.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use bluelake_schemas::Millis;
use deltalake::{DeltaTable, table::config::TablePropertiesExt as _};
use futures::StreamExt as _;

use crate::{
    backoff::Chance,
    checkpoint::document::CheckpointDocument,
    commit::{
        chain::{DocumentChain, Listed},
        log::{checkpoint::LogCheckpoints, outline, pruning},
    },
    error::LakeError,
};

/// Documents deleted in one round: each is read first. A fleet commits about 1,400 a day and worker, and one of it deletes
/// them.
const AT_ONCE: usize = 2_000;
/// Documents read and deleted side by side.
const READS: usize = 64;
/// Versions looked at for the document that was in force at one of them: nearly all are commits of ingest.
const LOOKED_BACK: u64 = 1_000;

/// What is kept, and how often the rest is removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Housekeeping {
    /// Commits between two rounds, about.
    pub every: u32,
    /// Younger documents are kept.
    pub document_age: Duration,
    /// The number of newest documents of the chain that are kept.
    pub documents: usize,
    /// Younger files of a Delta log are kept; `None`: by the table's own property, 30 days by default.
    pub log_age: Option<Duration>,
    /// Versions from one log checkpoint to the next, at least.
    pub log_checkpoint_every: u64,
}

/// Which tables this process clears away: of the workers of a fleet one does it for each table.
#[derive(Clone)]
pub struct Housekeeper(Arc<dyn Fn(&str) -> bool + Send + Sync>);

impl Housekeeper {
    /// Asks whether a table of this name is this process's, before each round.
    pub fn new(is_mine: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(is_mine))
    }

    pub(crate) fn keeps(&self, table: &str) -> bool {
        (self.0)(table)
    }
}

impl Default for Housekeeper {
    fn default() -> Self {
        Self::new(|_| true)
    }
}

impl fmt::Debug for Housekeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Housekeeper")
    }
}

impl Default for Housekeeping {
    fn default() -> Self {
        Self {
            every: 100,
            document_age: Duration::from_secs(30 * 24 * 3600),
            documents: 1_000,
            log_age: None,
            log_checkpoint_every: LogCheckpoints::default().every,
        }
    }
}

impl Housekeeping {
    /// Commits until the next round: anywhere from half to one and a half of the interval, so that the workers of a
    /// fleet do not all clear away the same things.
    pub(crate) fn next_round(&self, chance: &Chance) -> u32 {
        chance.number(self.every.div_ceil(2)..=self.every.saturating_add(self.every / 2))
    }

    /// Deletes documents that nobody needs any more, as many as one round may.
    pub(crate) async fn prune_documents(
        &self,
        chain: &DocumentChain,
        current: &CheckpointDocument,
        need: &Need,
        now: Millis,
    ) -> Result<usize, LakeError> {
        let numbers = self.prunable_documents(chain, current, need, now).await?;
        // Documents that stay for their archive ranges or repairs must not hide earlier ones for ever.
        let places = numbers.len().saturating_sub(AT_ONCE) + 1;
        let skipped = usize::try_from(current.head.number).unwrap_or(0) % places;
        delete_documents(chain, numbers.into_iter().skip(skipped).take(AT_ONCE)).await
    }

    /// Deletes all documents that nobody needs any more.
    pub(crate) async fn prune_all_documents(
        &self,
        chain: &DocumentChain,
        current: &CheckpointDocument,
        need: &Need,
        now: Millis,
    ) -> Result<usize, LakeError> {
        delete_documents(chain, self.prunable_documents(chain, current, need, now).await?.into_iter()).await
    }

    /// Numbers of documents that nobody needs any more, unless they hold archive ranges or a repair; ascending.
    async fn prunable_documents(
        &self,
        chain: &DocumentChain,
        current: &CheckpointDocument,
        need: &Need,
        now: Millis,
    ) -> Result<Vec<u64>, LakeError> {
        let listed = chain.list().await?;
        let below = needed_from(current, need.followed).min(need.promised.unwrap_or(u64::MAX));
        let bounds = Bounds { older_than: now.earlier(self.document_age), below };
        if candidates(&listed, &bounds).is_empty() {
            return Ok(Vec::new());
        }
        let Some(oldest_kept) = nth_newest(chain, current, &listed, self.documents).await? else {
            return Ok(Vec::new());
        };
        let below = bounds.below.min(oldest_kept);
        Ok(candidates(&listed, &Bounds { below, ..bounds }))
    }

    /// Deletes files of a Delta log that are older than its retention and lie before a log checkpoint.
    pub(crate) async fn prune_log(&self, name: &str, table: &DeltaTable, now: Millis) -> Result<usize, LakeError> {
        let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
        let age = self.log_age.unwrap_or_else(|| state.table_config().log_retention_duration());
        pruning::prune(name, table, age, now).await
    }
}

/// Who else may need documents.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// How far `rejected_events` is known to be.
    pub(crate) followed: Option<u64>,
    /// The document of the oldest version that is promised to be readable, where that counts.
    pub(crate) promised: Option<u64>,
}

/// The document in force at a version; `None` when the log does not tell any more.
pub(crate) async fn document_at(
    name: &str,
    table: &DeltaTable,
    app_id: &str,
    at: u64,
) -> Result<Option<u64>, LakeError> {
    for number in (at.saturating_sub(LOOKED_BACK)..=at).rev() {
        match outline::read(name, table, number).await? {
            Some(version) if version.numbers.contains_key(app_id) => return Ok(version.numbers.get(app_id).copied()),
            Some(_) => {}
            None => break,
        }
    }
    Ok(None)
}

/// Deletes documents, many at once, and says how many.
async fn delete_documents(
    chain: &DocumentChain,
    numbers: impl Iterator<Item = u64> + Send,
) -> Result<usize, LakeError> {
    let mut done =
        futures::stream::iter(numbers).map(|number| delete_unless_kept(chain, number)).buffer_unordered(READS);
    let mut deleted = 0;
    while let Some(is_gone) = done.next().await {
        deleted += usize::from(is_gone?);
    }
    Ok(deleted)
}

/// Deletes a document, unless it holds archive ranges or a repair; says whether it did.
async fn delete_unless_kept(chain: &DocumentChain, number: u64) -> Result<bool, LakeError> {
    let commit = chain.get(number).await?.commit;
    let goes = commit.archive_ranges.is_empty() && commit.repair.is_none();
    if goes {
        chain.delete(number).await?;
    }
    Ok(goes)
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

/// The first document that the table or `rejected_events` may still need.
fn needed_from(current: &CheckpointDocument, followed: Option<u64>) -> u64 {
    match current.links.last_rejected {
        // Its files may not be in the table yet, and the links to them lead over every document up to the current one.
        Some(newest) => newest.min(followed.unwrap_or(0)),
        None => current.head.number,
    }
}

/// The number of the `count`-th newest document of the chain; `None` when the chain is shorter, or cannot be followed
/// that far.
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
                // A document that was never committed is not part of the chain.
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
    fn only_old_unneeded_documents_may_go() {
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

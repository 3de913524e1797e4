//! Lets `rejected_events` follow the event tables: the documents name its files, and any worker may add them.

use deltalake::{
    DeltaTable,
    kernel::{Action, transaction::CommitBuilder},
};

use bluelake_schemas::{REJECTED_PARTITIONS, Stream};

use crate::{
    backoff::{Backoff, Chance},
    checkpoint::{data_file::DataFile, document::CheckpointDocument},
    commit::{chain::DocumentChain, log::checkpoint::LogCheckpoints, self_check, stream_table::document_number},
    error::LakeError,
    failpoint,
    layout::{REJECTED_EVENTS, app_id},
    place::{
        delta::{append, quiet_commit, transaction},
        lake::Lake,
    },
};

/// Rounds before the follower leaves the work to the next commit.
const FOLLOW_ATTEMPTS: usize = 8;

/// Brings `rejected_events` up to date with the documents in force of both streams, for a command that writes no batch.
///
/// # Errors
/// When a table, its log or its documents cannot be read or are not what they should be, and when others commit all the time.
pub async fn follow_rejected(lake: &Lake) -> Result<(), LakeError> {
    for stream in Stream::ALL {
        let name = stream.table();
        let events = lake.table(name).await?;
        let state = events.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
        let app_id = app_id(stream);
        let Some(number) = document_number(name, &events, state, &app_id).await? else { continue };
        let chain = DocumentChain::new(lake, stream);
        let document = chain.get(number).await?;
        self_check::check(stream, state, Some(&document), &chain).await?;
        let rejected = lake.table(REJECTED_EVENTS).await?;
        RejectedFollower::new(rejected, chain, app_id, lake.chance()).follow(&document).await?;
    }
    Ok(())
}

/// Brings `rejected_events` up to date with one stream's documents.
#[derive(Debug)]
pub(crate) struct RejectedFollower {
    table: DeltaTable,
    chain: DocumentChain,
    app_id: String,
    /// Newest document whose files are known to be in the table.
    reached: Option<u64>,
    chance: Chance,
    pub(crate) log_checkpoints: LogCheckpoints,
}

impl RejectedFollower {
    pub(crate) fn new(table: DeltaTable, chain: DocumentChain, app_id: String, chance: &Chance) -> Self {
        let log_checkpoints = LogCheckpoints::default();
        Self { table, chain, app_id, reached: None, chance: chance.clone(), log_checkpoints }
    }

    pub(crate) fn table(&self) -> &DeltaTable {
        &self.table
    }

    /// The known progress of the table; `None` before the first look.
    pub(crate) fn reached(&self) -> Option<u64> {
        self.reached
    }

    /// Adds all missing files of documents up to `document`, in one commit.
    pub(crate) async fn follow(&mut self, document: &CheckpointDocument) -> Result<(), LakeError> {
        let Some(newest) = document.links.last_rejected else {
            return Ok(());
        };
        failpoint::pass("before_follow").await?;
        let mut last_error = None;
        let mut backoff = Backoff::of_conflicts(&self.chance);
        for attempt in 0..FOLLOW_ATTEMPTS {
            backoff.before(attempt).await;
            if self.reached.is_some_and(|reached| reached >= newest) {
                return Ok(());
            }
            match self.attempt(document, newest).await {
                Ok(()) => self.reached = Some(document.head.number),
                Err(error) if error.is_transient() => last_error = Some(Box::new(error)),
                Err(error) => return Err(error),
            }
        }
        if self.reached.is_some_and(|reached| reached >= newest) {
            return Ok(());
        }
        Err(LakeError::Contention { table: REJECTED_EVENTS.to_owned(), attempts: FOLLOW_ATTEMPTS, source: last_error })
    }

    async fn attempt(&mut self, document: &CheckpointDocument, newest: u64) -> Result<(), LakeError> {
        self.table.update_incremental(None).await.map_err(LakeError::table(REJECTED_EVENTS, "load its Delta log"))?;
        let state = self.table.snapshot().map_err(LakeError::table(REJECTED_EVENTS, "load its Delta log"))?.clone();
        let done = state
            .transaction_version(self.table.log_store().as_ref(), &self.app_id)
            .await
            .map_err(LakeError::table(REJECTED_EVENTS, "read its txn"))?
            .and_then(|version| u64::try_from(version).ok())
            .unwrap_or(0);
        if done >= newest {
            return Ok(());
        }
        let files = files_since(&self.chain, document, done).await?;
        let mut actions: Vec<Action> = files.iter().map(|file| Action::Add(file.add_action())).collect();
        actions.push(Action::Txn(transaction(&self.app_id, document.head.number)?));
        let finished = CommitBuilder::from(quiet_commit(1))
            .with_actions(actions)
            .build(Some(&state), self.table.log_store(), append(&REJECTED_PARTITIONS))
            .await
            .map_err(LakeError::table(REJECTED_EVENTS, "commit"))?;
        self.table.state = Some(finished.snapshot());
        self.log_checkpoints.write_if_due(REJECTED_EVENTS, &self.table).await;
        Ok(())
    }
}

/// The files that documents give to `rejected_events`: of those after `done` up to `document`. Walks `last_rejected` back.
pub(crate) async fn files_since(
    chain: &DocumentChain,
    document: &CheckpointDocument,
    done: u64,
) -> Result<Vec<DataFile>, LakeError> {
    let mut files = Vec::new();
    let mut newest = document.clone();
    while let Some(number) = newest.rejected_after(done) {
        let found = if number == newest.head.number { newest } else { chain.get(number).await? };
        files.extend(found.commit.rejected_files);
        match found.head.previous {
            Some(previous) => newest = chain.get(previous.number).await?,
            None => break,
        }
    }
    Ok(files)
}

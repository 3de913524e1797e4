//! One stream's event table together with `rejected_events`, and the exactly-once commit over both.
//!
//! A batch happens at the Delta commit of the event table, for all its shards and both tables (`docs/protocol.md`,
//! P16). Everything before it is unreferenced, everything after it is repeatable.

mod steps;

use bluelake_schemas::{Contract, Stream, rejected_events_schema};
use chrono::NaiveDate;
use deltalake::{DeltaTable, table::state::DeltaTableState};

use crate::{
    backoff::{Backoff, Chance},
    checkpoint::{
        advance::{Batch, Fence, Writer},
        document::{ArchiveRange, CheckpointDocument},
        stream_identity,
    },
    commit::{
        chain::DocumentChain,
        housekeeping::{Housekeeper, Housekeeping, Need},
        log::checkpoint::LogCheckpoints,
        rejected::RejectedFollower,
        self_check,
        uploader::{Uploader, check_files},
    },
    error::LakeError,
    failpoint,
    layout::{REJECTED_EVENTS, app_id},
    place::lake::Lake,
};

/// The most tries of one commit, each on a fresh snapshot; then it is contended.
const COMMIT_ATTEMPTS: usize = 12;
/// Retries inside deltalake: few, because they use an ever older read of the table.
const INNER_RETRIES: usize = 3;

/// Rounds of clearing away that a worker leaves to the one whose they are before it does one itself.
const ROUNDS_LEFT_TO_OTHERS: u32 = 9;

/// The outcome of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It happened: the new document is in force.
    Committed {
        /// Delta version of the event table.
        version: u64,
    },
    /// It can never happen: the table has moved on. Drop the batch and go on from the table.
    Fenced(Fence),
    /// It was too old and was dropped without a commit.
    Expired,
}

/// The event table of a stream, open for writing. It has one owner, which alone refreshes it.
#[derive(Debug)]
pub struct StreamTable {
    stream: Stream,
    chain: DocumentChain,
    events: DeltaTable,
    current: Option<CheckpointDocument>,
    rejected: RejectedFollower,
    writer: Writer,
    app_id: String,
    /// The version that was checked against its document, or that our commit made from a checked one.
    checked: Option<u64>,
    housekeeping: Housekeeping,
    housekeeper: Housekeeper,
    /// Commits until old documents and log files are removed.
    commits_until_round: u32,
    /// Rounds that were left to another worker since the last one.
    rounds_left: u32,
    log_checkpoints: LogCheckpoints,
    chance: Chance,
}

impl StreamTable {
    /// Opens the table for writing: probes the store, adds new columns of the contract, checks the table against its
    /// documents, and updates `rejected_events`.
    ///
    /// # Errors
    /// [`LakeError::NotALake`] without tables; [`LakeError::Refused`] when a self-check fails.
    pub async fn open(lake: &Lake, contract: &Contract, stream: Stream, writer: Writer) -> Result<Self, LakeError> {
        let events = lake.table(stream.table()).await?;
        lake.probe_put_if_absent().await?;
        let schema = contract.stream(stream).table_schema();
        let events = lake.with_columns_of(stream.table(), events, &schema).await?;
        let rejected = lake.table(REJECTED_EVENTS).await?;
        let rejected = lake.with_columns_of(REJECTED_EVENTS, rejected, &rejected_events_schema()).await?;
        let app_id = app_id(stream);
        let chain = DocumentChain::new(lake, stream);
        let chance = lake.chance().clone();
        let mut table = Self {
            stream,
            rejected: RejectedFollower::new(rejected, chain.clone(), app_id.clone(), &chance),
            chain,
            events,
            current: None,
            writer,
            app_id,
            checked: None,
            housekeeping: Housekeeping::default(),
            housekeeper: Housekeeper::default(),
            commits_until_round: Housekeeping::default().next_round(&chance),
            rounds_left: 0,
            log_checkpoints: LogCheckpoints::default(),
            chance,
        };
        table.reload().await?;
        table.follow_rejected().await?;
        Ok(table)
    }

    /// Sets what is kept of old documents and logs, and how often the rest is removed.
    #[must_use]
    pub fn with_housekeeping(mut self, housekeeping: Housekeeping) -> Self {
        self.commits_until_round = housekeeping.next_round(&self.chance);
        self.log_checkpoints.every = housekeeping.log_checkpoint_every;
        self.rejected.log_checkpoints.every = housekeeping.log_checkpoint_every;
        self.housekeeping = housekeeping;
        self
    }

    /// Says which tables this process clears away; without it, all of them.
    #[must_use]
    pub fn with_housekeeper(self, housekeeper: Housekeeper) -> Self {
        Self { housekeeper, ..self }
    }

    /// The document in force; `None` before the first commit.
    #[must_use]
    pub fn document(&self) -> Option<&CheckpointDocument> {
        self.current.as_ref()
    }

    /// The stream whose events the table holds.
    #[must_use]
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// Uploads into the event table's folder.
    #[must_use]
    pub fn event_uploader(&self) -> Uploader {
        Uploader::of(&self.events)
    }

    /// Uploads into `rejected_events`.
    #[must_use]
    pub fn rejected_uploader(&self) -> Uploader {
        Uploader::of(self.rejected.table())
    }

    /// The Delta table, as last loaded.
    #[must_use]
    pub fn delta_table(&self) -> &DeltaTable {
        &self.events
    }

    /// Rows of days (in UTC) before this one expired; so far as the document in force says.
    #[must_use]
    pub fn expired_before(&self) -> Option<NaiveDate> {
        self.current.as_ref().and_then(|document| document.tally.expired_before)
    }

    /// `rejected_events`, as last loaded; up to date with the document in force after [`StreamTable::follow_rejected`].
    #[must_use]
    pub fn rejected_table(&self) -> &DeltaTable {
        self.rejected.table()
    }

    /// The parts of archived objects from backfills so far, newest first.
    ///
    /// # Errors
    /// When a document with such parts cannot be read.
    pub async fn archive_ranges(&self) -> Result<Vec<ArchiveRange>, LakeError> {
        match &self.current {
            Some(document) => self.chain.archive_ranges(document).await,
            None => Ok(Vec::new()),
        }
    }

    /// Loads the newest version and its document, and checks them against each other if others moved the table.
    ///
    /// # Errors
    /// When the log or the document cannot be read or is invalid, and [`LakeError::Refused`] when the check fails.
    pub async fn reload(&mut self) -> Result<DeltaTableState, LakeError> {
        self.events
            .update_incremental(None)
            .await
            .map_err(LakeError::table(self.stream.table(), "load its Delta log"))?;
        let state =
            self.events.snapshot().map_err(LakeError::table(self.stream.table(), "load its Delta log"))?.clone();
        let number = document_number(self.stream.table(), &self.events, &state, &self.app_id).await?;
        self.current = match number {
            Some(number) if self.current.as_ref().map(|document| document.head.number) == Some(number) => {
                self.current.take()
            }
            Some(number) => Some(self.chain.get(number).await?),
            None => None,
        };
        stream_identity::check(self.stream.table(), self.current.as_ref(), &self.writer)?;
        if self.checked != Some(state.version()) {
            self_check::check(self.stream, &state, self.current.as_ref(), &self.chain).await?;
            self.checked = Some(state.version());
        }
        Ok(state)
    }

    /// Commits a batch exactly once, or reports that it can never happen.
    ///
    /// # Errors
    /// When the outcome could not be settled: the batch may then be tried again as it is, with the same files.
    pub async fn commit(&mut self, batch: &Batch) -> Result<CommitOutcome, LakeError> {
        check_files(batch)?;
        let mut last_error = None;
        let mut backoff = Backoff::of_conflicts(&self.chance);
        for attempt in 0..COMMIT_ATTEMPTS {
            backoff.before(attempt).await;
            match self.attempt(batch).await {
                Ok(outcome) => {
                    if matches!(outcome, CommitOutcome::Committed { .. }) {
                        self.after_commit().await;
                    }
                    return Ok(outcome);
                }
                Err(error) if error.is_transient() => {
                    tracing::info!(
                        stream = %self.stream, batch = %batch.id, attempt,
                        error = crate::causes(&error),
                        "a commit was refused or not acknowledged; reading the table back"
                    );
                    last_error = Some(Box::new(error));
                }
                Err(error) => return self.settle(batch, error).await,
            }
        }
        Err(LakeError::Contention {
            table: self.stream.table().to_owned(),
            attempts: COMMIT_ATTEMPTS,
            source: last_error,
        })
    }

    /// Work that may fail without harm: the follower and the log checkpoint catch up later.
    async fn after_commit(&mut self) {
        if let Err(error) = self.follow_rejected().await {
            tracing::warn!(
                stream = %self.stream,
                error = crate::causes(&error),
                "rejected_events is behind and will be brought up to date with the next commit"
            );
        }
        if failpoint::pass("after_follow").await.is_err() {
            return;
        }
        self.log_checkpoints.write_if_due(self.stream.table(), &self.events).await;
        self.commits_until_round = self.commits_until_round.saturating_sub(1);
        if self.commits_until_round == 0 {
            self.commits_until_round = self.housekeeping.next_round(&self.chance);
            if let Err(error) = self.clear_away().await {
                tracing::warn!(
                    stream = %self.stream,
                    error = crate::causes(&error),
                    "old checkpoint documents or log files were not cleared away"
                );
            }
        }
    }

    /// Deletes old documents and old files of the Delta logs: of the tables that are this worker's, and now and then of
    /// all, because the worker whose they are may have nothing to commit.
    async fn clear_away(&mut self) -> Result<(), LakeError> {
        let Some(current) = &self.current else {
            return Ok(());
        };
        let is_turn = self.rounds_left >= ROUNDS_LEFT_TO_OTHERS;
        let keeps = |table: &str| is_turn || self.housekeeper.keeps(table);
        let (events, rejected) = (keeps(self.stream.table()), keeps(REJECTED_EVENTS));
        self.rounds_left = if events { 0 } else { self.rounds_left + 1 };
        // It was just put, so its time is the store's time.
        let now = self.chain.written_at(current.head.number).await?;
        let (mut documents, mut log_files) = (0, 0);
        if events {
            let need = Need { followed: self.rejected.reached(), promised: None };
            documents = self.housekeeping.prune_documents(&self.chain, current, &need, now).await?;
            log_files += self.housekeeping.prune_log(self.stream.table(), &self.events, now).await?;
        }
        if rejected {
            log_files += self.housekeeping.prune_log(REJECTED_EVENTS, self.rejected.table(), now).await?;
        }
        tracing::debug!(stream = %self.stream, documents, log_files, "cleared away what nobody needs any more");
        Ok(())
    }

    /// Brings `rejected_events` up to the document in force.
    ///
    /// # Errors
    /// When the table cannot be brought up to date; it is tried again with the next commit.
    pub async fn follow_rejected(&mut self) -> Result<(), LakeError> {
        match &self.current {
            Some(document) => self.rejected.follow(document).await,
            None => Ok(()),
        }
    }
}

/// Number of the document in force by the table's own `txn`.
pub(crate) async fn document_number(
    name: &str,
    table: &DeltaTable,
    state: &DeltaTableState,
    app_id: &str,
) -> Result<Option<u64>, LakeError> {
    let version = state
        .transaction_version(table.log_store().as_ref(), app_id)
        .await
        .map_err(LakeError::table(name, "read its txn"))?;
    version
        .map(|version| {
            u64::try_from(version).map_err(|_| LakeError::Refused {
                table: name.to_owned(),
                check: format!("its txn '{app_id}' is negative"),
                remedy: "another program wrote it; restore the table".to_owned(),
            })
        })
        .transpose()
}

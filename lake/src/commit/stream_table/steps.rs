//! One try to commit a batch, by the steps of [`Attempt`], on the table in its store.

use bluelake_schemas::EVENT_PARTITIONS;
use deltalake::{
    kernel::{Action, transaction::CommitBuilder},
    table::state::DeltaTableState,
};

use super::{CommitOutcome, INNER_RETRIES, StreamTable};
use crate::{
    checkpoint::advance::{Batch, Refusal},
    commit::attempt::Attempt,
    error::LakeError,
    failpoint,
    place::delta::{append, quiet_commit, transaction},
};

impl StreamTable {
    /// After a permanent error, which may still hide a success.
    pub(super) async fn settle(&mut self, batch: &Batch, error: LakeError) -> Result<CommitOutcome, LakeError> {
        match self.reload().await {
            Ok(state) if self.chain_holds(batch).await.unwrap_or(false) => {
                Ok(CommitOutcome::Committed { version: state.version() })
            }
            _ => Err(error),
        }
    }

    /// One try, step by step. A transient error asks for another.
    pub(super) async fn attempt(&mut self, batch: &Batch) -> Result<CommitOutcome, LakeError> {
        let mut state = None;
        let mut lost_races = 0;
        let mut step = Attempt::Read;
        loop {
            step = match step {
                Attempt::Read => {
                    let read = self.reload().await?;
                    let found = self.chain_holds(batch).await?;
                    state = Some(read);
                    let decided = Attempt::decide(self.current.as_ref(), found, batch, &self.writer);
                    let decided = decided.map_err(|refusal| self.contradiction(&refusal))?;
                    if matches!(decided, Attempt::Put(_)) {
                        failpoint::pass("before_document").await?;
                    }
                    decided
                }
                Attempt::Put(mut document) => {
                    if self.chain.put(&mut document).await? {
                        failpoint::pass("after_document").await?;
                        Attempt::put(document, batch)
                    } else {
                        lost_races += 1;
                        self.chain.check_races(lost_races, document.head.number)?;
                        let highest = self.chain.highest(Some(document.head.number)).await?;
                        Attempt::taken(document, highest)
                    }
                }
                Attempt::Age(document) => {
                    let written_at = self.chain.written_at(document.head.number).await?;
                    Attempt::written(document, batch, written_at)
                }
                Attempt::Commit(document) => {
                    let Some(read) = state.take() else {
                        step = Attempt::Read;
                        continue;
                    };
                    let version = self.commit_to_delta(&read, batch, document.head.number).await?;
                    failpoint::pass("after_delta_commit").await?;
                    self.current = Some(*document);
                    return Ok(CommitOutcome::Committed { version });
                }
                Attempt::Done => {
                    let version = state.as_ref().map_or(0, DeltaTableState::version);
                    return Ok(CommitOutcome::Committed { version });
                }
                Attempt::Fenced(fence) => return Ok(CommitOutcome::Fenced(fence)),
                Attempt::Expired => return Ok(CommitOutcome::Expired),
            };
        }
    }

    fn contradiction(&self, refusal: &Refusal) -> LakeError {
        let check = match refusal {
            Refusal::Inconsistent(reason) => reason.clone(),
            Refusal::Fenced(fence) => fence.to_string(),
        };
        LakeError::Refused {
            table: self.stream.table().to_owned(),
            check,
            remedy: "this is a fault of the program; please report it".to_owned(),
        }
    }

    async fn commit_to_delta(&mut self, state: &DeltaTableState, batch: &Batch, number: u64) -> Result<u64, LakeError> {
        let mut actions: Vec<Action> = batch.files.iter().map(|file| Action::Add(file.add_action())).collect();
        actions.push(Action::Txn(transaction(&self.app_id, number)?));
        let finished = CommitBuilder::from(quiet_commit(INNER_RETRIES))
            .with_actions(actions)
            .build(Some(state), self.events.log_store(), append(&EVENT_PARTITIONS))
            .await
            .map_err(LakeError::table(self.stream.table(), "commit"))?;
        self.events.state = Some(finished.snapshot());
        // If others committed between the two versions, the next load checks.
        self.checked = (finished.version() == state.version() + 1).then_some(finished.version());
        Ok(finished.version())
    }

    /// Whether the chain has the batch between the document in force and the one from which the batch started.
    async fn chain_holds(&self, batch: &Batch) -> Result<bool, LakeError> {
        Ok(self.chain.find(self.current.as_ref(), batch.base, batch.id).await?.is_some())
    }
}

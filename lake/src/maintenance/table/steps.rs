//! One try to commit a task, by the steps of [`TaskAttempt`], on the table in its store.

use std::collections::BTreeSet;

use deltalake::{
    kernel::{Action, Add, transaction::CommitBuilder},
    protocol::DeltaOperation,
    table::state::DeltaTableState,
};
use serde_json::Value;

use super::{Held, MaintainedTable, TaskOutcome};
use crate::{
    error::LakeError,
    failpoint,
    layout::app_id,
    maintenance::{
        attempt::{Proposal, TaskAttempt},
        record::TaskKind,
        record_chain::MAINTENANCE,
        task::Task,
    },
    place::delta::{quiet_commit, transaction},
};

impl MaintainedTable {
    /// After a permanent error, which may still hide a success.
    pub(super) async fn settle(&mut self, task: &Task, error: LakeError) -> Result<TaskOutcome, LakeError> {
        let Ok(state) = self.read_back().await else { return Err(error) };
        match self.records.find(self.current.as_ref(), task.base, task.id).await {
            Ok(Some(record)) => Ok(TaskOutcome::Committed { version: state.version(), record }),
            _ => Err(error),
        }
    }

    /// One try, step by step. A transient error asks for another.
    pub(super) async fn attempt(&mut self, task: &Task) -> Result<TaskOutcome, LakeError> {
        if self.only_undo && !matches!(task.kind, TaskKind::Undo { .. }) {
            return Err(self.contradiction("the table is open for undos alone".to_owned()));
        }
        let mut state = self.read_back().await?;
        let mut lost_races = 0;
        let mut step = TaskAttempt::Read;
        loop {
            step = match step {
                TaskAttempt::Read => {
                    let found = self.records.find(self.current.as_ref(), task.base, task.id).await?;
                    let decided = self.decide(&state, task, found).await?;
                    if matches!(decided, TaskAttempt::PutRecord(_)) {
                        failpoint::pass("before_record").await?;
                    }
                    decided
                }
                TaskAttempt::PutRecord(mut proposal) => {
                    if self.records.put(&mut proposal.record).await? {
                        failpoint::pass("after_record").await?;
                        TaskAttempt::record_put(proposal)
                    } else {
                        lost_races += 1;
                        let number = proposal.record.number;
                        self.records.check_races(lost_races, number)?;
                        TaskAttempt::record_taken(proposal, self.records.highest(Some(number)).await?)
                    }
                }
                TaskAttempt::Age(proposal) => {
                    let written_at = self.records.written_at(proposal.record.number).await?;
                    TaskAttempt::written(proposal, written_at)
                }
                TaskAttempt::PutDocument(proposal) => self.put_document(proposal, &mut lost_races).await?,
                TaskAttempt::Commit(proposal) => {
                    failpoint::pass("before_maintenance_commit").await?;
                    return self.commit_to_delta(&mut state, task, *proposal).await;
                }
                TaskAttempt::Done(record) => return Ok(TaskOutcome::Committed { version: state.version(), record }),
                TaskAttempt::Lost(lost) => return Ok(TaskOutcome::Lost(lost)),
            };
        }
    }

    /// Decides from the table as it was just read.
    pub(super) async fn decide(
        &self,
        state: &DeltaTableState,
        task: &Task,
        found: Option<u64>,
    ) -> Result<TaskAttempt, LakeError> {
        let mut view = self.view(state, task);
        view.undo = self.undo_view(state, task).await?;
        let decided = TaskAttempt::decide(&view, found, task, &self.worker);
        decided.map_err(|contradiction| self.contradiction(contradiction))
    }

    async fn put_document(
        &self,
        mut proposal: Box<Proposal>,
        lost_races: &mut usize,
    ) -> Result<TaskAttempt, LakeError> {
        let (Some(document), Some(Held { chain, .. })) = (&mut proposal.document, self.streams.first()) else {
            return Ok(TaskAttempt::document_put(proposal));
        };
        failpoint::pass("before_maintenance_document").await?;
        if chain.put(document).await? {
            failpoint::pass("after_maintenance_document").await?;
            return Ok(TaskAttempt::document_put(proposal));
        }
        *lost_races += 1;
        let number = document.head.number;
        chain.check_races(*lost_races, number)?;
        Ok(TaskAttempt::document_taken(proposal, chain.highest(Some(number)).await?))
    }

    fn contradiction(&self, check: String) -> LakeError {
        LakeError::Refused {
            table: self.name.to_owned(),
            check,
            remedy: "this is a fault of the program; please report it".to_owned(),
        }
    }

    /// Removes, adds and numbers in one version, from the snapshot that was read and checked.
    async fn commit_to_delta(
        &mut self,
        state: &mut DeltaTableState,
        task: &Task,
        proposal: Proposal,
    ) -> Result<TaskOutcome, LakeError> {
        let mut actions = file_actions(state, task);
        let record = proposal.record.number;
        actions.push(Action::Txn(transaction(MAINTENANCE, record)?));
        if let (Some(document), Some(held)) = (&proposal.document, self.streams.first()) {
            actions.push(Action::Txn(transaction(&app_id(held.stream), document.head.number)?));
        }
        let metadata = [
            ("bluelakeTask", Value::from(task.id.to_string())),
            ("bluelakeKind", Value::from(task.kind.name())),
            ("bluelakeRecord", Value::from(record)),
        ];
        let metadata = metadata.map(|(name, value)| (name.to_owned(), value));
        let finished = CommitBuilder::from(quiet_commit(TaskAttempt::INNER_RETRIES).with_metadata(metadata))
            .with_actions(actions)
            .build(Some(&*state), self.table.log_store(), operation(task))
            .await
            .map_err(LakeError::table(self.name, "commit"))?;
        failpoint::pass("after_maintenance_commit").await?;
        self.table.state = Some(finished.snapshot());
        self.current = Some(proposal.record);
        if let (Some(document), Some(held)) = (proposal.document, self.streams.first()) {
            self.documents.insert(held.stream, Some(document));
        }
        self.checked = Some(finished.version());
        Ok(TaskOutcome::Committed { version: finished.version(), record })
    }
}

/// What leaves and what comes.
fn file_actions(state: &DeltaTableState, task: &Task) -> Vec<Action> {
    let data_change = task.changes_data();
    let inputs: BTreeSet<&str> = task.inputs.iter().map(|file| file.path.as_str()).collect();
    let log = state.log_data();
    let leaving = log.iter().filter(|file| inputs.contains(file.object_store_path().as_ref()));
    let mut actions: Vec<Action> = leaving.map(|file| Action::Remove(file.remove_action(data_change))).collect();
    let coming = task.outputs.iter().map(|file| Action::Add(Add { data_change, ..file.add_action() }));
    actions.extend(coming);
    actions
}

/// The label in the log. It never holds a condition: that might name a person.
fn operation(task: &Task) -> DeltaOperation {
    if !task.changes_data() || !task.kind.changes_files() {
        DeltaOperation::Optimize { predicate: None, target_size: 0 }
    } else {
        DeltaOperation::Delete { predicate: None }
    }
}

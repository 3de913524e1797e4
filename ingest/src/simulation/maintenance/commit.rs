//! The commit of a task in single steps, by the lake's own [`TaskAttempt`].

use bluelake_lake::{DataFile, Lost, Proposal, Task, TaskAttempt, TaskKind};
use bluelake_schemas::Millis;

use super::{
    super::{
        env::Env,
        store::{Request, Snapshot, StoreFault, Version},
    },
    kept_table::KeptTable,
    plans::index,
};

/// What became of a task.
#[derive(Clone, Debug)]
pub(super) enum TaskEnd {
    Committed,
    Lost,
    /// Nobody knows; it was tried as often as it may be, or the table was refused.
    GivenUp,
}

#[derive(Debug)]
pub(super) struct TaskCommit {
    pub(super) task: Task,
    step: TaskAttempt,
    snapshot: Snapshot,
    /// The version that is put next.
    next: usize,
    tries: usize,
    unclear: bool,
    began_epoch: Option<u64>,
    /// It undoes what another program did, which makes its self-check fail until then.
    pub(super) mends: bool,
    pub(super) stood_still: bool,
}

impl TaskCommit {
    pub(super) fn new(task: Task) -> Self {
        Self {
            began_epoch: task.erasure_epochs.values().next().copied(),
            task,
            step: TaskAttempt::Read,
            snapshot: Snapshot::default(),
            next: 0,
            tries: 0,
            unclear: false,
            mends: false,
            stood_still: false,
        }
    }

    /// Whether a crash now comes between the record and the end.
    pub(super) fn is_midway(&self) -> bool {
        !matches!(self.step, TaskAttempt::Read)
    }

    /// One request; `Some` when it is settled what became of the task.
    pub(super) fn step(&mut self, table: &mut KeptTable, worker: &str, env: &mut Env) -> Option<TaskEnd> {
        // What fails begins anew.
        match std::mem::replace(&mut self.step, TaskAttempt::Read) {
            TaskAttempt::Read => {
                if let Some(end) = self.read(table, worker, env) {
                    return Some(end);
                }
            }
            TaskAttempt::PutRecord(proposal) => self.put_record(proposal, env),
            TaskAttempt::Age(proposal) => {
                env.read().ok()?;
                let written_at = env.store.record_written_at(proposal.record.number)?;
                self.step = TaskAttempt::written(proposal, Millis::new(written_at));
            }
            TaskAttempt::PutDocument(proposal) => self.put_document(proposal, env),
            TaskAttempt::Commit(proposal) => return self.commit(table, *proposal, env),
            TaskAttempt::Done(_) | TaskAttempt::Lost(_) => {}
        }
        self.settled(env)
    }

    fn settled(&mut self, env: &mut Env) -> Option<TaskEnd> {
        match &self.step {
            TaskAttempt::Done(_) => {
                env.count(match self.task.kind {
                    TaskKind::Compact => "compaction lost its answer and was found in the chain",
                    _ => "task lost its answer and was found in the chain",
                });
                Some(self.committed(env))
            }
            TaskAttempt::Lost(lost) => {
                let (lost, id, kind) = (lost.clone(), self.task.id, self.task.kind.name());
                env.tell(|| format!("{kind} {id} is lost: {lost}"));
                self.note_lost(&lost, env);
                Some(TaskEnd::Lost)
            }
            _ => None,
        }
    }

    fn committed(&self, env: &mut Env) -> TaskEnd {
        env.committed_tasks.insert(self.task.id);
        TaskEnd::Committed
    }

    fn note_lost(&self, lost: &Lost, env: &mut Env) {
        if self.stood_still {
            env.count("zombie task refused");
        }
        // An old one may have been put at its last try, and land yet.
        if *lost != Lost::TooOld {
            env.lost_tasks.insert(self.task.id);
        }
        let what = match lost {
            Lost::InputGone { path } => self.taker(path, env),
            Lost::Epoch { .. } => "task lost to an erasure",
            Lost::TooOld => "task was too old",
            Lost::Claimed { .. } => "claim kept a task out",
            Lost::Outrun { .. } => match self.task.kind {
                TaskKind::Floor { .. } => "floor was further already",
                TaskKind::Undo { .. } => "undo lost to the floor, or to another",
                _ => "task was outrun",
            },
            Lost::InputChanged { .. } | Lost::OutputThere { .. } => "task found other files",
        };
        env.count(what);
    }

    /// Who took a file out that the task wanted.
    fn taker(&self, path: &str, env: &Env) -> &'static str {
        let takes = |version: &&Version| version.removes.iter().any(|removed| removed == path);
        match env.store.log.iter().rev().find(takes) {
            Some(version) if version.uncounted => "task lost to another program",
            Some(version) if version.data_change => "task lost to one that changed rows",
            Some(_) if self.task.kind == TaskKind::Compact => "two compactions raced for one file",
            _ => "task lost to a compaction",
        }
    }

    /// Reads the table back and decides.
    fn read(&mut self, table: &mut KeptTable, worker: &str, env: &mut Env) -> Option<TaskEnd> {
        self.tries += 1;
        if self.tries > TaskAttempt::TRIES {
            env.count("task given up as contended");
            return Some(TaskEnd::GivenUp);
        }
        match table.reload(env) {
            Err(StoreFault::Refused) if !self.mends => {
                env.count("maintainer refused a table that another program changed");
                return Some(TaskEnd::GivenUp);
            }
            Ok(()) | Err(StoreFault::Refused) => {}
            Err(_) => return None,
        }
        let Ok(found) = table.find(&self.task, env) else { return None };
        if found.is_none() && self.is_undone(env) {
            env.count("two undid one version");
            return Some(TaskEnd::Lost);
        }
        self.snapshot = table.snapshot.clone();
        self.next = self.snapshot.version + 1;
        match TaskAttempt::decide(&table.view(&self.task), found, &self.task, worker) {
            Ok(step) => {
                if matches!(step, TaskAttempt::PutRecord(_)) && std::mem::replace(&mut self.unclear, false) {
                    env.count("task tried again");
                }
                self.step = step;
            }
            Err(contradiction) => env.fail(format!("the task contradicts itself: {contradiction}: {:?}", self.task)),
        }
        None
    }

    /// What is undone stands no more. Its rows may be back in other files.
    fn is_undone(&self, env: &Env) -> bool {
        let TaskKind::Undo { version } = self.task.kind else { return false };
        env.store.log.iter().any(|later| later.undoes == Some(index(version)))
    }

    fn put_record(&mut self, mut proposal: Box<Proposal>, env: &mut Env) {
        let number = proposal.record.number;
        let bytes = proposal.record.seal().unwrap();
        match env.send(Request::Record { number, bytes }) {
            Ok(()) => self.step = TaskAttempt::record_put(proposal),
            Err(StoreFault::Taken) => {
                env.count("record number taken");
                self.step = TaskAttempt::record_taken(proposal, env.store.highest_record());
            }
            Err(_) => {}
        }
    }

    fn put_document(&mut self, mut proposal: Box<Proposal>, env: &mut Env) {
        let Some(document) = &mut proposal.document else {
            self.step = TaskAttempt::document_put(proposal);
            return;
        };
        let number = document.head.number;
        let bytes = document.seal().unwrap();
        match env.send(Request::Document { number, bytes }) {
            Ok(()) => self.step = TaskAttempt::document_put(proposal),
            Err(StoreFault::Taken) => {
                env.count("document number of a task taken");
                self.step = TaskAttempt::document_taken(proposal, env.store.highest_document());
            }
            Err(_) => {}
        }
    }

    /// The put of one version of the log, as deltalake does it: only files that are there are taken out.
    fn commit(&mut self, table: &mut KeptTable, proposal: Proposal, env: &mut Env) -> Option<TaskEnd> {
        let is_there = |path: &&String| self.snapshot.files.contains_key(path.as_str());
        let content = Version {
            adds: self.task.outputs.clone(),
            removes: self.task.inputs.iter().map(|file| &file.path).filter(is_there).cloned().collect(),
            data_change: self.task.kind != TaskKind::Compact,
            txn: proposal.document.as_ref().map(|document| document.head.number),
            record: Some(proposal.record.number),
            began_epoch: self.began_epoch,
            uncounted: self.mends,
            undoes: match self.task.kind {
                TaskKind::Undo { version } => Some(index(version)),
                _ => None,
            },
            ..Version::default()
        };
        match env.send(Request::Log { version: self.next, content: content.clone() }) {
            Ok(()) => {
                table.snapshot = env.store.snapshot();
                table.record = Some(proposal.record);
                if let Some(document) = proposal.document {
                    table.document = Some(document);
                }
                return Some(self.committed(env));
            }
            Err(StoreFault::Taken) => {
                env.count("maintenance commit lost a race");
                let moved = env.store.log.get(self.snapshot.version + 1..=self.next).unwrap_or_default();
                let lets_pass = !moved.iter().any(|landed| content.conflicts_with(landed));
                let tried = self.next - self.snapshot.version;
                if lets_pass && TaskAttempt::INNER_RETRIES.checked_sub(tried).is_some() {
                    self.next += 1;
                    self.step = TaskAttempt::Commit(Box::new(proposal));
                }
            }
            Err(_) => self.unclear = true,
        }
        None
    }
}

/// The rows of files.
pub(super) fn rows(files: &[DataFile]) -> u64 {
    files.iter().map(|file| file.rows).sum()
}

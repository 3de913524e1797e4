//! The frame of an erasure: it claims partitions, raises the epoch, holds the claim for a while and gives it back. Rows are not
//! erased here.

use bluelake_lake::{CheckpointDocument, Claim, Commit, Predecessor, TaskKind};
use bluelake_schemas::Millis;
use rand::Rng as _;
use uuid::Uuid;

use super::{
    super::{
        env::Env,
        store::{Request, StoreFault, Version, date},
    },
    commit::{TaskCommit, TaskEnd},
    kept_table::KeptTable,
};

#[derive(Debug)]
enum Stage {
    Claim(Option<Box<TaskCommit>>),
    /// The epoch that is wanted.
    Epoch(u64),
    /// With the document that raises it, and the version that it becomes.
    PutDocument(u64, Box<CheckpointDocument>, usize),
    CommitDocument(u64, Box<CheckpointDocument>, usize),
    Hold(i64),
    Release(Box<TaskCommit>),
}

#[derive(Debug)]
pub(super) struct Erasure {
    request: Uuid,
    until: i64,
    stage: Stage,
}

impl Erasure {
    pub(super) fn new(env: &mut Env) -> Self {
        let request = Uuid::from_u128(env.random.random());
        let until = env.now + 2_000 + env.below(4 * env.settings.care_pause);
        Self { request, until, stage: Stage::Claim(None) }
    }

    /// When it goes on.
    pub(super) fn due(&self) -> i64 {
        if let Stage::Hold(until) = self.stage { until } else { 0 }
    }

    pub(super) fn is_midway(&self) -> bool {
        !matches!(self.stage, Stage::Claim(_))
    }

    pub(super) fn commit(&mut self) -> Option<&mut TaskCommit> {
        match &mut self.stage {
            Stage::Claim(Some(commit)) | Stage::Release(commit) => Some(commit),
            _ => None,
        }
    }

    /// One request; whether it is done.
    pub(super) fn step(&mut self, table: &mut KeptTable, worker: &str, env: &mut Env) -> bool {
        match std::mem::replace(&mut self.stage, Stage::Claim(None)) {
            Stage::Claim(None) => {
                if table.reload(env).is_ok() {
                    let kind = TaskKind::Claim(self.claim(env));
                    self.stage = Stage::Claim(Some(Box::new(TaskCommit::new(table.begin(kind, env)))));
                }
            }
            Stage::Claim(Some(mut commit)) => match commit.step(table, worker, env) {
                None => self.stage = Stage::Claim(Some(commit)),
                Some(TaskEnd::Committed) => {
                    env.count("partitions claimed");
                    self.stage = Stage::Epoch(table.epoch() + 1);
                }
                Some(_) => return true,
            },
            Stage::Epoch(wanted) => self.raise(wanted, table, worker, env),
            Stage::PutDocument(wanted, document, version) => self.put(wanted, document, version, env),
            Stage::CommitDocument(wanted, document, version) => {
                let content = Version { txn: Some(document.head.number), ..Version::default() };
                // Whatever came of it is read back.
                let _ = env.send(Request::Log { version, content });
                self.stage = Stage::Epoch(wanted);
            }
            Stage::Hold(_) => {
                if table.reload(env).is_ok() {
                    let kind = TaskKind::Release { request: self.request };
                    self.stage = Stage::Release(Box::new(TaskCommit::new(table.begin(kind, env))));
                } else {
                    self.stage = Stage::Hold(env.now + 500);
                }
            }
            Stage::Release(mut commit) => match commit.step(table, worker, env) {
                None => self.stage = Stage::Release(commit),
                Some(TaskEnd::Committed) => {
                    env.count("claim given back");
                    return true;
                }
                Some(_) => return true,
            },
        }
        false
    }

    fn claim(&self, env: &mut Env) -> Claim {
        let folder = |day| format!("event_type=donation/event_date={}", date(day));
        let partitions = env.percent(50).then(|| [folder(3)].into());
        Claim { request: self.request, partitions, until: Millis::new(self.until) }
    }

    /// Puts the document with the higher epoch in force, unless it is.
    fn raise(&mut self, wanted: u64, table: &mut KeptTable, worker: &str, env: &mut Env) {
        if table.reload(env).is_err() {
            self.stage = Stage::Epoch(wanted);
            return;
        }
        if table.epoch() >= wanted {
            env.count("epoch raised");
            let longest = if env.calm { 1 } else { 2 * (self.until - env.now) };
            self.stage = Stage::Hold(env.now + env.below(longest));
            return;
        }
        let Some(current) = &table.document else {
            // Nothing can have been read before the first document.
            self.stage = Stage::Hold(env.now);
            return;
        };
        let mut next = current.clone();
        next.head.number += 1;
        next.head.previous = Some(Predecessor { number: current.head.number, digest: current.head.digest.clone() });
        next.head.batch_id = Uuid::from_u128(env.random.random());
        next.head.worker = worker.to_owned();
        next.head.erasure_epoch = wanted;
        next.commit = Commit::default();
        self.stage = Stage::PutDocument(wanted, Box::new(next), table.snapshot.version + 1);
    }

    fn put(&mut self, wanted: u64, mut document: Box<CheckpointDocument>, version: usize, env: &mut Env) {
        let number = document.head.number;
        let bytes = document.seal().unwrap();
        self.stage = match env.send(Request::Document { number, bytes }) {
            Ok(()) => Stage::CommitDocument(wanted, document, version),
            Err(StoreFault::Taken) => {
                document.take_free_number(env.store.highest_document());
                Stage::PutDocument(wanted, document, version)
            }
            Err(_) => Stage::Epoch(wanted),
        };
    }
}

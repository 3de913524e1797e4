//! A vacuum in single steps: the floor by a record, the files below it, the record that they are gone, then orphans.

use std::{collections::BTreeSet, sync::Arc};

use bluelake_lake::TaskKind;

use super::{
    super::{
        env::Env,
        store::{Files, Request, StoreFault},
        table::read_document,
    },
    commit::{TaskCommit, TaskEnd},
    kept_table::KeptTable,
    plans::{Known, floor, orphans, retired},
};

#[derive(Debug)]
enum Stage {
    Begin,
    RaiseFloor(Box<TaskCommit>),
    Plan,
    /// Files that are left to delete, and the newest record whose files they are; `None`: orphans.
    Delete(Vec<String>, Option<u64>),
    NotePurged(Box<TaskCommit>),
    /// Files of the first snapshot.
    List(Arc<Files>),
    /// With the listing, and when it was made.
    Compare(Arc<Files>, Vec<(String, i64)>, i64),
}

#[derive(Debug)]
pub(super) struct Vacuum {
    stage: Stage,
    with_orphans: bool,
    /// Versions older than this are given up, milliseconds.
    age: i64,
    pub(super) stood_still: bool,
}

impl Vacuum {
    pub(super) fn new(age: i64, with_orphans: bool) -> Self {
        Self { stage: Stage::Begin, with_orphans, age, stood_still: false }
    }

    pub(super) fn is_midway(&self) -> bool {
        matches!(self.stage, Stage::RaiseFloor(_) | Stage::Delete(..) | Stage::NotePurged(_))
    }

    /// One request; whether it is done.
    pub(super) fn step(&mut self, table: &mut KeptTable, worker: &str, env: &mut Env) -> bool {
        match std::mem::replace(&mut self.stage, Stage::Begin) {
            Stage::Begin => self.begin(table, worker, env),
            Stage::RaiseFloor(mut commit) => match commit.step(table, worker, env) {
                None => self.stage = Stage::RaiseFloor(commit),
                Some(TaskEnd::Committed) => {
                    env.count("floor raised");
                    self.stage = Stage::Plan;
                }
                Some(TaskEnd::Lost | TaskEnd::GivenUp) => return true,
            },
            Stage::Plan => return self.plan(table, worker, env),
            Stage::Delete(files, purged_to) => return self.delete(files, purged_to, table, env),
            Stage::NotePurged(mut commit) => match commit.step(table, worker, env) {
                None => self.stage = Stage::NotePurged(commit),
                Some(_) => return self.search(table, env),
            },
            Stage::List(first) => {
                let listed = env.read().is_ok();
                let listing = env.store.data_files().map(|(path, at)| (path.to_owned(), at)).collect();
                self.stage = if listed { Stage::Compare(first, listing, env.now) } else { Stage::List(first) };
            }
            Stage::Compare(first, listing, at) => return self.compare(first, (listing, at), table, env),
        }
        false
    }

    fn begin(&mut self, table: &mut KeptTable, worker: &str, env: &mut Env) {
        if table.reload(env).is_err() {
            return;
        }
        let standing = table.standing();
        let floor = u64::try_from(floor(&env.store.log, &standing, env.now - self.age)).unwrap();
        if floor <= standing.readable_from {
            // What another left is finished.
            let by_other = table.record.as_ref().is_some_and(|record| record.worker != worker);
            if by_other && !retired(&env.store, &standing).files.is_empty() {
                env.count("vacuum finished another's deletes");
            }
            self.stage = Stage::Plan;
            return;
        }
        let kind = TaskKind::Floor { readable_from: floor, purged_to: standing.purged_to };
        self.stage = Stage::RaiseFloor(Box::new(TaskCommit::new(table.begin(kind, env))));
    }

    fn plan(&mut self, table: &mut KeptTable, worker: &str, env: &mut Env) -> bool {
        if table.reload(env).is_err() {
            self.stage = Stage::Plan;
            return false;
        }
        let retired = retired(&env.store, &table.standing());
        if retired.came_back {
            env.count("vacuum kept what an undo put back");
        }
        env.tell(|| format!("{worker} deletes {:?} up to record {}", retired.files, retired.purged_to));
        self.stage = Stage::Delete(retired.files, Some(retired.purged_to));
        false
    }

    fn delete(&mut self, mut files: Vec<String>, purged_to: Option<u64>, table: &mut KeptTable, env: &mut Env) -> bool {
        if let Some(path) = files.pop() {
            if env.send(Request::Delete { path: path.clone() }) == Err(StoreFault::Unclear) {
                files.push(path);
            } else {
                env.count(if purged_to.is_some() { "retired file deleted" } else { "orphan deleted" });
            }
            self.stage = Stage::Delete(files, purged_to);
            return false;
        }
        let standing = table.standing();
        match purged_to {
            None => true,
            Some(purged_to) if purged_to > standing.purged_to => {
                let kind = TaskKind::Floor { readable_from: standing.readable_from, purged_to };
                self.stage = Stage::NotePurged(Box::new(TaskCommit::new(table.begin(kind, env))));
                false
            }
            Some(_) => self.search(table, env),
        }
    }

    /// Goes on with the orphans, or is done.
    fn search(&mut self, table: &mut KeptTable, env: &mut Env) -> bool {
        if !self.with_orphans {
            return true;
        }
        if table.reload(env).is_err() {
            return true;
        }
        self.stage = Stage::List(Arc::clone(&table.snapshot.files));
        false
    }

    fn compare(
        &mut self,
        first: Arc<Files>,
        (listing, at): (Vec<(String, i64)>, i64),
        table: &mut KeptTable,
        env: &mut Env,
    ) -> bool {
        let rejected = table.reload(env).and_then(|()| rejected_files(table, env));
        let Ok(rejected) = rejected else { return true };
        let snapshots = [first, Arc::clone(&table.snapshot.files)];
        let known = Known { snapshots, rejected, standing: table.standing() };
        let found = orphans(&listing, &known, &env.store, at);
        env.tell(|| format!("orphans: {found:?}"));
        self.stage = Stage::Delete(found, None);
        false
    }
}

/// Files that `rejected_events` has, and those that documents give to it and it does not have yet.
fn rejected_files(table: &KeptTable, env: &mut Env) -> Result<BTreeSet<String>, StoreFault> {
    env.read()?;
    let has = env.store.rejected_log.iter().flat_map(|version| &version.adds).map(|file| file.path.clone());
    let mut files: BTreeSet<String> = has.collect();
    let followed = env.store.rejected_log.last().map_or(0, |version| version.txn);
    let mut newest = table.document.clone();
    while let Some(document) = newest.take() {
        let Some(number) = document.rejected_after(followed) else { break };
        let found = if number == document.head.number { document } else { read_document(number, env)? };
        files.extend(found.commit.rejected_files.into_iter().map(|file| file.path));
        newest = match found.head.previous {
            Some(previous) => Some(read_document(previous.number, env)?),
            None => None,
        };
    }
    Ok(files)
}

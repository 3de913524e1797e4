//! A maintainer: it picks a job by chance and does it in single steps. It may stand still for hours between any two of them.

use std::{collections::BTreeMap, sync::Arc};

use bluelake_lake::{ContentChange, DataFile, RowChange, Task, TaskKind};
use rand::Rng as _;

use super::{
    super::{
        env::Env,
        store::{Item, Request, date, event_file},
    },
    commit::{TaskCommit, TaskEnd, rows},
    erasure::Erasure,
    kept_table::{KeptTable, STREAM},
    plans::{by_folder, content, index, input, undo},
    vacuum::Vacuum,
};

/// What it is at.
#[derive(Debug)]
enum Job {
    Idle,
    /// A compaction whose inputs from this one on are still to be read.
    Read(Box<Task>, usize),
    /// A compaction whose rows are still to be written, and the number of its next file.
    Write(Box<Task>, Vec<Item>, usize),
    Commit(Box<TaskCommit>),
    Vacuum(Box<Vacuum>),
    Erasure(Box<Erasure>),
}

/// What a maintainer is told to do when it has nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// What chance says.
    Anything,
    /// Nothing: it is to end.
    Nothing,
    /// Merges what it can.
    Compact,
    /// Deletes what it can, orphans too.
    Vacuum,
}

#[derive(Debug)]
pub(super) struct Maintainer {
    pub(super) name: String,
    table: KeptTable,
    job: Job,
    /// Nothing happens before this time.
    pub(super) next: i64,
    /// Jobs that are over.
    pub(super) done: u64,
}

impl Maintainer {
    pub(super) fn new(name: String, now: i64) -> Self {
        Self { name, table: KeptTable::default(), job: Job::Idle, next: now, done: 0 }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.job, Job::Idle)
    }

    /// Whether a crash now leaves something half done.
    pub(super) fn is_midway(&self) -> bool {
        match &self.job {
            Job::Idle | Job::Read(..) | Job::Write(..) => false,
            Job::Commit(commit) => commit.is_midway(),
            Job::Vacuum(vacuum) => vacuum.is_midway(),
            Job::Erasure(erasure) => erasure.is_midway(),
        }
    }

    /// The maintainer stood still, like a process that got SIGSTOP.
    pub(super) fn stood_still(&mut self) {
        match &mut self.job {
            Job::Commit(commit) => commit.stood_still = true,
            Job::Vacuum(vacuum) => vacuum.stood_still = true,
            Job::Erasure(erasure) => {
                if let Some(commit) = erasure.commit() {
                    commit.stood_still = true;
                }
            }
            Job::Idle | Job::Read(..) | Job::Write(..) => {}
        }
    }

    /// One request.
    pub(super) fn step(&mut self, wish: Wish, env: &mut Env) {
        self.next = env.now + 1;
        match std::mem::replace(&mut self.job, Job::Idle) {
            Job::Idle => self.pick(wish, env),
            Job::Read(task, at) => self.read(task, at, env),
            Job::Write(task, items, number) => self.write(task, items, number, env),
            Job::Commit(mut commit) => match commit.step(&mut self.table, &self.name, env) {
                None => self.job = Job::Commit(commit),
                Some(end) => {
                    note(&commit.task, &end, env);
                    self.over(env);
                }
            },
            Job::Vacuum(mut vacuum) => {
                if vacuum.step(&mut self.table, &self.name, env) {
                    if vacuum.stood_still {
                        env.count("vacuum went on after it stood still");
                    }
                    self.over(env);
                } else {
                    self.job = Job::Vacuum(vacuum);
                }
            }
            Job::Erasure(mut erasure) => {
                if erasure.step(&mut self.table, &self.name, env) {
                    self.over(env);
                } else {
                    self.next = self.next.max(if env.calm { 0 } else { erasure.due() });
                    self.job = Job::Erasure(erasure);
                }
            }
        }
    }

    fn over(&mut self, env: &mut Env) {
        self.done += 1;
        self.next = env.now + 1 + env.below(2 * env.settings.care_pause);
    }

    fn pick(&mut self, wish: Wish, env: &mut Env) {
        let chance = match wish {
            Wish::Nothing => return,
            Wish::Anything => env.random.random_range(0..100),
            Wish::Compact => 0,
            Wish::Vacuum => {
                self.job = Job::Vacuum(Box::new(Vacuum::new(1, true)));
                return;
            }
        };
        if self.table.reload(env).is_err() {
            self.next = env.now + 500;
            return;
        }
        match chance {
            0..55 => self.compact(env),
            55..62 => self.expire(env),
            62..80 => self.undo(env),
            80..97 => {
                // Without a reader, the shortest age is no fault.
                let age = if env.percent(30) { 1 } else { 1 + env.below(env.settings.vacuum_age) };
                let with_orphans = env.percent(50);
                self.job = Job::Vacuum(Box::new(Vacuum::new(age, with_orphans)));
            }
            _ if env.now < env.next_erasure => {}
            _ => {
                env.next_erasure = env.now + env.settings.retention / 24;
                self.job = Job::Erasure(Box::new(Erasure::new(env)));
            }
        }
        if self.is_idle() {
            self.over(env);
        }
    }

    /// Some files of one folder become one.
    fn compact(&mut self, env: &mut Env) {
        let folders = by_folder(&self.table.snapshot.files);
        let name = &self.name;
        env.log(|| format!("{name} looks for files to merge"));
        let rich: Vec<_> = folders.into_values().filter(|files| files.len() > 1).collect();
        if rich.is_empty() {
            return;
        }
        let mut files = rich[env.random.random_range(0..rich.len())].clone();
        while files.len() > 2 && env.percent(40) {
            files.swap_remove(env.random.random_range(0..files.len()));
        }
        let mut task = self.table.begin(TaskKind::Compact, env);
        task.inputs = files.iter().map(|file| input(file)).collect();
        let sum = task.inputs.iter().map(|file| file.rows).sum();
        task.rows = BTreeMap::from([(STREAM, RowChange { before: sum, after: sum })]);
        self.job = Job::Read(Box::new(task), 0);
    }

    /// Reads one input of a compaction.
    fn read(&mut self, task: Box<Task>, at: usize, env: &mut Env) {
        if env.read().is_err() {
            self.job = Job::Read(task, at);
            return;
        }
        let Some(file) = task.inputs.get(at) else {
            let items = task.inputs.iter().filter_map(|file| env.store.file(&file.path)).flat_map(|items| items.iter());
            let items: Vec<Item> = items.cloned().collect();
            self.job = Job::Write(task, items, 0);
            return;
        };
        if env.store.file(&file.path).is_none() {
            env.count("compaction met a deleted file");
            let path = &file.path;
            env.log(|| format!("{path} is gone"));
            return self.over(env);
        }
        self.job = Job::Read(task, at + 1);
    }

    /// Writes the output of a compaction: one file, or two.
    fn write(&mut self, mut task: Box<Task>, items: Vec<Item>, next_number: usize, env: &mut Env) {
        if u64::try_from(items.len()).ok() != task.rows.get(&STREAM).map(|rows| rows.before) {
            // One was deleted while it read the others.
            env.count("compaction met a deleted file");
            return self.over(env);
        }
        let digest = content(items.iter());
        let cut = if items.len() > 1 && env.percent(20) { items.len() / 2 } else { 0 };
        let parts = [&items[..cut], &items[cut..]];
        let named = parts.into_iter().filter(|part| !part.is_empty()).enumerate();
        let files: Vec<(DataFile, Arc<[Item]>)> = named
            .map(|(number, part)| {
                let name = format!("{}-{:05}", task.id, next_number + number);
                (event_file(&name, part[0].day(), part, env.now), Arc::from(part))
            })
            .collect();
        for (file, part) in &files {
            let request = Request::Rows { path: file.path.clone(), items: Arc::clone(part) };
            if env.send(request).is_err() {
                // What may have landed is an orphan: who tries again writes files of other names.
                self.job = Job::Write(task, items, next_number + 2);
                return;
            }
        }
        task.outputs = files.into_iter().map(|(file, _)| file).collect();
        task.content = Some(ContentChange { before: digest, after: digest });
        self.job = Job::Commit(Box::new(TaskCommit::new(*task)));
    }

    /// All files of days before one leave.
    fn expire(&mut self, env: &mut Env) {
        let day = date(if env.percent(50) { 2 } else { 3 });
        let before = day.to_string();
        let files = self.table.snapshot.files.values();
        let old = files.filter(|file| file.partition_values.get("event_date").is_some_and(|date| *date < before));
        let inputs: Vec<_> = old.map(|file| input(file)).collect();
        if inputs.is_empty() {
            return;
        }
        let mut task = self.table.begin(TaskKind::Expire { before: day }, env);
        let sum = inputs.iter().map(|file| file.rows).sum();
        task.rows = BTreeMap::from([(STREAM, RowChange { before: sum, after: 0 })]);
        task.inputs = inputs;
        self.job = Job::Commit(Box::new(TaskCommit::new(task)));
    }

    /// Takes back what one of the last versions did, if it was no batch.
    fn undo(&mut self, env: &mut Env) {
        let log = &env.store.log;
        let removes = (1..log.len()).filter(|version| !log[*version].removes.is_empty()).collect::<Vec<_>>();
        let Some(back) = removes.len().checked_sub(1) else { return };
        let version = removes[back - env.random.random_range(0..=back.min(4))];
        let log = &env.store.log;
        if log[version].undoes.is_some() || log.iter().any(|later| later.undoes == Some(version)) {
            return;
        }
        let planned = undo(&env.store, version, &self.table.snapshot.files, &self.table.standing());
        let Some(planned) = planned else {
            env.count("undo came too late");
            return;
        };
        let undone = &env.store.log[version];
        let (record, is_quiet) = (undone.record, !undone.data_change);
        let kind = TaskKind::Undo { version: u64::try_from(version).unwrap(), record };
        let mut task = self.table.begin(kind, env);
        task.undo.is_quiet = is_quiet;
        let before = planned.inputs.iter().map(|file| file.rows).sum();
        task.rows = BTreeMap::from([(STREAM, RowChange { before, after: rows(&planned.outputs) })]);
        (task.inputs, task.outputs) = (planned.inputs, planned.outputs);
        self.job = Job::Commit(Box::new(TaskCommit::new(task)));
    }
}

fn note(task: &Task, end: &TaskEnd, env: &mut Env) {
    env.log(|| format!("task {} {:?} {end:?}", task.id, task.kind));
    if !matches!(end, TaskEnd::Committed) {
        return;
    }
    env.count(match &task.kind {
        TaskKind::Compact => "compacted",
        TaskKind::Expire { .. } => "expired",
        TaskKind::Undo { version, .. } => match env.store.log.get(index(*version)) {
            Some(version) if version.uncounted => "undid another program's change",
            Some(version) if version.data_change => "undid an expiry",
            _ => "undid a compaction",
        },
        _ => "task without files",
    });
}

//! Another program at the same table. It knows nothing of documents, records and epochs: it merges files, and sometimes adds or
//! deletes rows. Then every worker and maintainer refuses the table until somebody takes that back.

use std::sync::Arc;

use bluelake_lake::DataFile;
use rand::Rng as _;
use uuid::Uuid;

use super::{
    super::{
        env::Env,
        store::{Fate, Item, Place, Request, Version, event_file},
    },
    plans::{by_folder, undo},
};

#[derive(Debug)]
enum Act {
    Rest,
    /// Files that it wants out, and rows that it puts in.
    Write(Vec<Arc<DataFile>>, Vec<Item>),
    Commit(Version),
    /// The version that is to be taken back.
    Restore(usize),
}

#[derive(Debug)]
pub(super) struct Foreign {
    act: Act,
    pub(super) next: i64,
    made: u32,
}

impl Foreign {
    pub(super) fn new(now: i64) -> Self {
        Self { act: Act::Rest, next: now, made: 0 }
    }

    /// Whether nothing of it is under way, and all of its rows are taken back.
    pub(super) fn is_idle(&self) -> bool {
        matches!(self.act, Act::Rest)
    }

    /// One request. When `ends`, it begins nothing any more.
    pub(super) fn step(&mut self, ends: bool, env: &mut Env) {
        self.next = env.now + 1;
        match std::mem::replace(&mut self.act, Act::Rest) {
            Act::Rest if ends => {}
            Act::Rest => self.begin(env),
            Act::Write(files, items) => self.write(&files, &items, env),
            Act::Commit(content) => self.commit(content, env),
            Act::Restore(version) => self.restore(version, env),
        }
    }

    fn begin(&mut self, env: &mut Env) {
        self.next = env.now + 1 + env.below(12 * env.settings.care_pause);
        let snapshot = env.store.snapshot();
        let folders = by_folder(&snapshot.files);
        let rich: Vec<_> = folders.values().filter(|files| files.len() > 1).collect();
        let all: Vec<_> = snapshot.files.values().collect();
        let (files, items) = match env.random.random_range(0..10) {
            0..7 if !rich.is_empty() => {
                let files: Vec<_> = rich[env.random.random_range(0..rich.len())].iter().copied().cloned().collect();
                let items = files.iter().filter_map(|file| env.store.file(&file.path));
                let items: Vec<Item> = items.flat_map(|items| items.iter()).cloned().collect();
                (files, items)
            }
            7..9 if !all.is_empty() => (vec![Arc::clone(all[env.random.random_range(0..all.len())])], Vec::new()),
            9 => (Vec::new(), vec![self.row(env)]),
            _ => return,
        };
        self.act = Act::Write(files, items);
    }

    /// A row that no stream has.
    fn row(&mut self, env: &mut Env) -> Item {
        self.made += 1;
        let place = Place { shard: "foreign".to_owned(), sequence: self.made.to_string(), sub_sequence: 0 };
        let id = Uuid::from_u128(env.random.random());
        Item { place, id, arrived_at: env.now * 1_000, fate: Fate::Stored }
    }

    fn write(&mut self, files: &[Arc<DataFile>], items: &[Item], env: &mut Env) {
        let mut content = Version {
            removes: files.iter().map(|file| file.path.clone()).collect(),
            // A merge changes no data, and nothing else may meet it.
            data_change: files.is_empty() || items.is_empty(),
            uncounted: true,
            ..Version::default()
        };
        if let Some(first) = items.first() {
            let file =
                event_file(&format!("part-{}", Uuid::from_u128(env.random.random())), first.day(), items, env.now);
            let request = Request::Rows { path: file.path.clone(), items: Arc::from(items) };
            if env.send(request).is_err() || env.store.file(&file.path).is_none() {
                return;
            }
            content.adds = vec![file];
        }
        self.act = Act::Commit(content);
    }

    /// Its files must be there, as Spark demands; its own answer is never lost, because it would do the same once more.
    fn commit(&mut self, content: Version, env: &mut Env) {
        let now = env.store.snapshot();
        if content.removes.iter().any(|path| !now.files.contains_key(path.as_str())) {
            env.count("another program lost its files");
            return;
        }
        let before = env.store.uncounted_rows;
        let version = env.store.log.len();
        let changes = content.data_change;
        env.log(|| {
            format!("another program: version {version} adds {:?}, removes {:?}", content.adds, content.removes)
        });
        if env.store.apply(Request::Log { version, content }, env.now).is_err() {
            return;
        }
        match (changes, env.store.uncounted_rows - before) {
            (false, _) => env.count("another program merged files"),
            (true, rows) => {
                env.log(|| format!("{rows} rows more than the documents count"));
                env.count(if rows > 0 { "another program added rows" } else { "another program deleted rows" });
                self.act = Act::Restore(version);
                self.next = env.now + 1 + if env.calm { 0 } else { env.below(8_000) };
            }
        }
    }

    /// An operator takes back what it did, with the tool of that program.
    fn restore(&mut self, version: usize, env: &mut Env) {
        let now = env.store.snapshot();
        let standing = bluelake_lake::Standing::default();
        let Some(undo) = undo(&env.store, version, &now.files, &standing) else {
            env.fail(format!("version {version} of another program cannot be taken back"));
            return;
        };
        let content = Version {
            adds: undo.outputs,
            removes: undo.inputs.into_iter().map(|file| file.path).collect(),
            data_change: true,
            uncounted: true,
            undoes: Some(version),
            ..Version::default()
        };
        let _ = env.store.apply(Request::Log { version: env.store.log.len(), content }, env.now);
        env.count("operator restored the table");
    }
}

//! Lost answers, kills and foreign hands in every step of a maintenance commit.

use std::sync::Mutex;

use async_trait::async_trait;
use object_store::{ObjectStore, PutOptions, PutPayload, PutResult, Result};

use super::*;
use crate::stores::{Concern, Fault, with_concern};

/// The puts of a commit.
pub(crate) const PUTS: [&str; 3] =
    ["transactions/_maintenance", "transactions/_checkpoints", "transactions/_delta_log/0000"];

/// Prepares a task of one of both kinds.
async fn prepared(table: &MaintainedTable, erases: bool) -> Task {
    if erases { erasure(table).await } else { compaction(table).await }
}

#[tokio::test]
async fn a_lost_answer_still_gives_one_commit() {
    for erases in [false, true] {
        for (pattern, fault) in PUTS
            .into_iter()
            .flat_map(|pattern| [Fault::LoseAnswer, Fault::SayAlreadyExists, Fault::Fail].map(|fault| (pattern, fault)))
        {
            let case = format!("{pattern} {fault:?} erases {erases}");
            let fixture = Fixture::new().await;
            with_batches(&fixture, 2).await;
            let mut table = maintained(&fixture.faulty(pattern, fault, 2)).await;
            let task = prepared(&table, erases).await;
            let outcome = table.commit(&task).await;
            assert!(matches!(outcome, Ok(TaskOutcome::Committed { .. })), "{case}: {outcome:?}");
            let again = maintained(&fixture.lake).await.commit(&task).await.unwrap();
            assert!(matches!(again, TaskOutcome::Committed { .. }), "{case}: it is found in the chain: {again:?}");
            assert_eq!(check_versions(&fixture.lake).await, 1, "{case}");
            expect_sound(&fixture.lake).await;
        }
    }
}

#[tokio::test]
async fn the_next_task_finishes_a_killed_one() {
    let upload = "event_type=donation";
    for erases in [false, true] {
        for (pattern, fault) in PUTS
            .into_iter()
            .chain([upload])
            .flat_map(|pattern| [Fault::HangBefore, Fault::HangAfter].map(|fault| (pattern, fault)))
        {
            let case = format!("{pattern} {fault:?} erases {erases}");
            let fixture = Fixture::new().await;
            with_batches(&fixture, 2).await;
            let mut killed = maintained(&fixture.faulty(pattern, fault, 1)).await;
            let run = async {
                let task = prepared(&killed, erases).await;
                killed.commit(&task).await
            };
            let outcome = tokio::time::timeout(Duration::from_millis(400), run).await;
            let ended = !erases && pattern.contains("_checkpoints");
            assert_eq!(outcome.is_ok(), ended, "{case}: a compaction puts no document");
            let mut table = maintained(&fixture.lake).await;
            let happened = table.record().is_some();
            assert_eq!(happened, ended || (pattern.contains("_delta_log") && fault == Fault::HangAfter), "{case}");
            if !happened {
                let task = prepared(&table, erases).await;
                let outcome = table.commit(&task).await.unwrap();
                assert!(matches!(outcome, TaskOutcome::Committed { .. }), "{case}: {outcome:?}");
            }
            assert_eq!(check_versions(&fixture.lake).await, 1, "{case}");
            expect_sound(&fixture.lake).await;
        }
    }
}

/// An intervention of another program at the first put whose path holds a pattern.
type Intervention = Box<dyn FnOnce() + Send>;

struct Intervening {
    pattern: &'static str,
    intervention: Mutex<Option<Intervention>>,
}

#[async_trait]
impl Concern for Intervening {
    async fn put(
        &self,
        store: &dyn ObjectStore,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if location.as_ref().contains(self.pattern)
            && let Some(intervene) = self.intervention.lock().unwrap().take()
        {
            intervene();
        }
        store.put_opts(location, payload, options).await
    }
}

/// Replaces the file of version 2 by a copy, as another program's compaction would: without changed rows, without a
/// txn.
pub(crate) fn compact_by_another_hand(folder: &std::path::Path, version: u64) {
    let log = folder.join("transactions/_delta_log");
    let text = std::fs::read_to_string(log.join(format!("{:020}.json", 2))).unwrap();
    let add = text.lines().find(|line| line.contains("\"add\"")).unwrap();
    let path = add.split("\"path\":\"").nth(1).unwrap().split('"').next().unwrap();
    let other = path.replace(path.rsplit('/').next().unwrap(), "part-00000-of-another-program.parquet");
    let data = folder.join("transactions");
    std::fs::copy(data.join(path), data.join(&other)).unwrap();
    let remove = format!("{{\"remove\":{{\"path\":\"{path}\",\"deletionTimestamp\":1,\"dataChange\":false}}}}");
    let add = add.replace(path, &other).replace("\"dataChange\":true", "\"dataChange\":false");
    std::fs::write(log.join(format!("{version:020}.json")), format!("{remove}\n{add}")).unwrap();
}

#[tokio::test]
async fn a_foreign_compaction_in_between_fails_the_task() {
    let puts = ["transactions/_maintenance", "transactions/_delta_log/0000"];
    for (pattern, erases) in puts.into_iter().flat_map(|pattern| [(pattern, false), (pattern, true)]) {
        let fixture = Fixture::new().await;
        with_batches(&fixture, 2).await;
        let folder = fixture.folder.path().to_owned();
        let intervene: Intervention = Box::new(move || compact_by_another_hand(&folder, 4));
        let lake = fixture
            .over(|inner| with_concern(inner, Intervening { pattern, intervention: Mutex::new(Some(intervene)) }));
        let mut table = maintained(&lake).await;
        let mut task = prepared(&table, erases).await;
        if erases {
            // The file that the other program takes: the first to come.
            let taken = log(&lake, STREAM.table(), 2).await.unwrap();
            let taken = taken.iter().find_map(|action| action["add"]["path"].as_str()).unwrap().to_owned();
            let input = active(&table).into_iter().filter(|file| file.path == taken).collect();
            task = rewrite(&table, TaskKind::Erase { request: REQUEST }, input, &[0]).await;
        }
        let outcome = table.commit(&task).await.unwrap();
        assert!(matches!(outcome, TaskOutcome::Lost(Lost::InputGone { .. })), "{pattern}: {outcome:?}");
        assert_eq!(active(&table).iter().map(|file| file.rows).sum::<u64>(), 4);
        assert_eq!(fixture.sequences().await.len(), 4);
        assert_eq!(check_versions(&fixture.lake).await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_batch_in_between_costs_another_try() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 2).await;
    let next = batch(&ingest, SHARD, after(4), 5..=6, 0).await;
    let (send, receive) = std::sync::mpsc::channel();
    let handle = tokio::runtime::Handle::current();
    let intervene: Intervention = Box::new(move || {
        let committed = std::thread::spawn(move || handle.block_on(async { ingest.commit(&next).await.unwrap() }));
        send.send(committed.join().unwrap()).unwrap();
    });
    let pattern = "transactions/_maintenance";
    let lake =
        fixture.over(|inner| with_concern(inner, Intervening { pattern, intervention: Mutex::new(Some(intervene)) }));
    let mut table = maintained(&lake).await;
    let task = erasure(&table).await;
    let outcome = tokio::task::spawn(async move { table.commit(&task).await.unwrap() }).await.unwrap();
    expect_committed(&outcome, 2);
    assert!(matches!(receive.recv().unwrap(), CommitOutcome::Committed { .. }));
    assert_eq!(check_versions(&fixture.lake).await, 1);
    assert_eq!(fixture.sequences().await.len(), 5);
    expect_sound(&fixture.lake).await;
}

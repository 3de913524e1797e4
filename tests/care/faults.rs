//! Faults under a compaction: lost, refused or doubled answers of the bucket, and a full disk.

use bluelake_fault_proxy::{Action, Answer, When, Which};
use hyper::{Method, StatusCode};

use crate::care::compaction::{COMPACT, all_rows, commit_small_files};
use crate::landing::lake_verify::assert_lake_verifies;
use crate::support::lake_files::parquet_files;
use crate::support::stage::Stage;

fn puts(part: &'static str) -> When {
    When::any().method(Method::PUT).path_contains(part)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_at_any_put_compacts_once() {
    let mut stage = Stage::on_bucket(1, 2).await;
    let internal =
        Answer::s3_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", "We encountered an internal error.");
    let conflict = Answer::s3_error(StatusCode::CONFLICT, "ConditionalRequestConflict", "Try again.");
    for (fault, action) in [
        ("the connection ends before the answer", Action::LoseAnswer),
        ("the answer says 500 although it landed", Action::ReplaceAnswer(internal)),
        ("the network delivers it twice", Action::Repeat),
        ("409: another conditional put is under way", Action::Answer(conflict)),
    ] {
        commit_small_files(&mut stage, 3).await;
        let before = all_rows(&stage).await;
        let targets = ["transactions/event_type", "transactions/_maintenance/", "transactions/_delta_log/"];
        let rules = targets.map(|part| stage.store().on(puts(part), Which::First(2), action.clone()));
        let done = stage.machine.run(&COMPACT).await.expect_code(0).json();
        for rule in &rules {
            assert!(rule.taken() > 0, "{fault}: {rules:?}");
            rule.remove();
        }
        assert_eq!(done["tables"].as_array().unwrap().len(), 3, "{done}");
        assert_eq!(all_rows(&stage).await, before, "{fault}");
        assert_lake_verifies(&stage.machine, &stage.lake).await;
    }
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_a_compaction() {
    let Some(mut stage) = Stage::on_disk("16m").await else {
        eprintln!("DID NOT RUN: this process may not mount a small disk");
        return;
    };
    commit_small_files(&mut stage, 4).await;
    let before = all_rows(&stage).await;
    let files = parquet_files(stage.folder(), "transactions");
    let ballast = stage.disk.as_ref().unwrap().fill();
    stage.machine.run(&COMPACT).await.expect_code(1).expect_message(&["No space left"]);
    std::fs::remove_file(ballast).unwrap();
    assert_eq!(parquet_files(stage.folder(), "transactions"), files, "what could not be written was cleared away");
    assert_eq!(all_rows(&stage).await, before);
    stage.machine.succeed(&COMPACT).await;
    assert_eq!(all_rows(&stage).await, before);
    stage.verify().await;
}

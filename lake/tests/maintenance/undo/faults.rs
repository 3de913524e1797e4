//! Lost answers, kills and races in every step of an undo.

use super::*;
use crate::stores::Fault;

/// The puts of an undo; one of what another program did puts no document.
const PUTS: [&str; 3] = ["transactions/_maintenance", "transactions/_checkpoints", "transactions/_delta_log/0000"];

/// What is undone.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Append,
    Delete,
    Compaction,
    Expiry,
}

const VICTIMS: [Victim; 4] = [Victim::Append, Victim::Delete, Victim::Compaction, Victim::Expiry];

impl Victim {
    /// A lake of two batches to which it happened, and the version.
    async fn happened(self) -> (Fixture, u64) {
        let fixture = Fixture::new().await;
        with_batches(&fixture, 2).await;
        let version = match self {
            Self::Append => append_by_another(&fixture, &[90, 91]).await,
            Self::Delete => delete_by_another(&fixture, 3).await,
            Self::Expiry => expire(&fixture, day(3), &[0]).await,
            Self::Compaction => {
                let mut table = maintained(&fixture.lake).await;
                let task = compaction(&table).await;
                expect_committed(&table.commit(&task).await.unwrap(), 1)
            }
        };
        (fixture, version)
    }
}

/// Undos in the log.
async fn undos(lake: &Lake) -> usize {
    let mut found = 0;
    for version in 0.. {
        let Some(actions) = log(lake, TABLE, version).await else { break };
        found += actions.iter().filter(|action| action["commitInfo"]["bluelakeKind"] == "undo").count();
    }
    found
}

#[tokio::test]
async fn a_lost_answer_still_gives_one_undo() {
    for victim in VICTIMS {
        for (pattern, fault) in PUTS
            .into_iter()
            .flat_map(|pattern| [Fault::LoseAnswer, Fault::SayAlreadyExists, Fault::Fail].map(|fault| (pattern, fault)))
        {
            let case = format!("{victim:?} {pattern} {fault:?}");
            let (fixture, version) = victim.happened().await;
            let outcome = undo(&fixture.faulty(pattern, fault, 2), TABLE, version).await;
            assert!(outcome.is_ok(), "{case}: {outcome:?}");
            assert_eq!(undos(&fixture.lake).await, 1, "{case}");
            expect_ingest_goes_on(&fixture, 2).await;
        }
    }
}

#[tokio::test]
async fn the_next_undo_finishes_one_killed_anywhere() {
    for victim in VICTIMS {
        for (pattern, fault) in
            PUTS.into_iter().flat_map(|pattern| [Fault::HangBefore, Fault::HangAfter].map(|fault| (pattern, fault)))
        {
            let case = format!("{victim:?} {pattern} {fault:?}");
            let (fixture, version) = victim.happened().await;
            let lake = fixture.faulty(pattern, fault, 1);
            let outcome = tokio::time::timeout(Duration::from_millis(500), undo(&lake, TABLE, version)).await;
            let ended = pattern.contains("_checkpoints") && !matches!(victim, Victim::Expiry);
            assert_eq!(outcome.is_ok(), ended, "{case}: only an undone expiry puts a document");
            let happened = ended || (pattern.contains("_delta_log") && fault == Fault::HangAfter);
            assert_eq!(undos(&fixture.lake).await, usize::from(happened), "{case}");
            match undo(&fixture.lake, TABLE, version).await {
                Ok(_) => assert!(!happened, "{case}: it was undone twice"),
                Err(error) => assert!(happened && error.to_string().contains("undone it already"), "{case}: {error}"),
            }
            assert_eq!(undos(&fixture.lake).await, 1, "{case}");
            expect_ingest_goes_on(&fixture, 2).await;
        }
    }
}

#[tokio::test]
async fn of_two_undos_at_once_one_lands() {
    for victim in VICTIMS {
        for race in 0..5 {
            let (fixture, version) = victim.happened().await;
            let left = plan_undo(&fixture.lake, TABLE, version, "left").await.unwrap();
            let right = plan_undo(&fixture.lake, TABLE, version, "right").await.unwrap();
            let (left, right) = tokio::join!(left.commit(), right.commit());
            assert_eq!(
                usize::from(left.is_ok()) + usize::from(right.is_ok()),
                1,
                "{victim:?} {race}: {left:?} {right:?}"
            );
            assert_eq!(undos(&fixture.lake).await, 1);
            expect_ingest_goes_on(&fixture, 2).await;
        }
    }
}

#[tokio::test]
async fn an_expiry_that_comes_first_is_not_forgotten() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 4).await;
    let version = expire(&fixture, day(5), &[0]).await;
    let plan = plan_undo(&fixture.lake, TABLE, version, "undo").await.unwrap();
    expire(&fixture, day(4), &[0]).await;
    plan.commit().await.unwrap();
    let tally = fixture.open().await.document().unwrap().tally;
    assert_eq!((tally.expired, tally.expired_before), (2, Some(day(4))));
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn rows_that_another_program_brings_first_stop_an_undo() {
    let (fixture, version) = Victim::Delete.happened().await;
    let plan = plan_undo(&fixture.lake, TABLE, version, "undo").await.unwrap();
    append_by_another(&fixture, &[90]).await;
    let reason = plan.commit().await.expect_err("must be overtaken").to_string();
    assert!(reason.contains("it would leave 5 rows") && reason.contains("4 should be"), "{reason}");
    assert_eq!(undos(&fixture.lake).await, 0);
}

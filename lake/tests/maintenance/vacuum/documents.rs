//! Checkpoint documents that only versions below the floor were of go sooner.

use chrono::TimeDelta;
use object_store::ObjectMeta;

use super::*;
use crate::fixture::{advance, empty};

/// Documents are fifteen days old, and versions up to one of them two.
struct Older {
    up_to: u64,
}

impl Concern for Older {
    fn listed(&self, mut object: ObjectMeta) -> Option<ObjectMeta> {
        let path = object.location.as_ref();
        let number = object.location.filename().and_then(|name| name.strip_suffix(".json")?.parse::<u64>().ok());
        if path.contains("_checkpoints/") {
            object.last_modified -= TimeDelta::days(15);
        } else if path.contains("_delta_log/") && number.is_some_and(|number| number <= self.up_to) {
            object.last_modified -= TimeDelta::days(2);
        }
        Some(object)
    }
}

async fn documents(fixture: &Fixture) -> Vec<u64> {
    let table = fixture.lake.table(STREAM.table()).await.unwrap();
    let folder = Path::from(format!("_checkpoints/{}", STREAM.name()));
    let listed = table.object_store().list_with_delimiter(Some(&folder)).await.unwrap();
    let number = |object: &ObjectMeta| object.location.filename().unwrap().trim_end_matches(".json").parse().unwrap();
    listed.objects.iter().map(number).collect()
}

#[tokio::test]
async fn documents_of_versions_below_the_floor_go_at_fourteen_days() {
    let fixture = Fixture::in_memory().await;
    let mut ingest = with_batches(&fixture, 3).await;
    compact(&fixture.lake).await;
    for sequence in 7..1_020 {
        let step = advance(SHARD, Some(after(sequence - 1)), after(sequence), 0, 0);
        let outcome = ingest.commit(&empty(&ingest, vec![step])).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
    }
    let all: Vec<u64> = (1..=1_017).collect();
    assert_eq!(documents(&fixture).await, all);
    let day = VacuumOptions { time_travel: DAY, ..at_once() };
    for (up_to, first) in [(0, 1), (10, 9), (2_000, 18)] {
        if up_to == 2_000 {
            // Something to delete, or the floor stays.
            compact(&fixture.lake).await;
        }
        let lake = fixture.lake.clone().with_store(|inner| with_concern(inner, Older { up_to }));
        let done = run(&lake, &day).await;
        let left = documents(&fixture).await;
        // Version 10 put document 9 in force; the newest thousand stay in any case.
        assert_eq!((left.first(), left.last()), (Some(&first), Some(&1_017)), "{up_to}: {done:?}");
    }
    expect_sound(&fixture.lake).await;
}

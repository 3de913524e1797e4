//! What is old is told by the store's clock, which may be days apart from this machine's.

use chrono::TimeDelta;

use super::*;

/// A store whose clock is so far ahead, or behind.
struct Clock(TimeDelta);

#[async_trait]
impl Concern for Clock {
    async fn get(
        &self,
        store: &dyn object_store::ObjectStore,
        location: &Path,
        options: object_store::GetOptions,
    ) -> object_store::Result<object_store::GetResult> {
        let mut found = store.get_opts(location, options).await?;
        found.meta.last_modified += self.0;
        Ok(found)
    }

    fn listed(&self, mut object: object_store::ObjectMeta) -> Option<object_store::ObjectMeta> {
        object.last_modified += self.0;
        Some(object)
    }
}

#[tokio::test]
async fn a_wrong_clock_deletes_nothing_too_early() {
    for hours in [-24, 24] {
        let fixture = Fixture::new().await;
        compacted_twice(&fixture).await;
        let before = stored(&fixture, STREAM.table());
        let lake = fixture.over(|inner| with_concern(inner, Clock(TimeDelta::hours(hours))));
        let half = VacuumOptions { time_travel: DAY / 2, orphan_age: DAY / 2, orphans: OrphanSearch::Now, ..at_once() };
        let batch = batch(&fixture.open().await, SHARD, after(12), 13..=14, 0).await;
        let done = run(&lake, &half).await;
        assert_eq!((done.retired.len(), done.readable_from), (0, 0), "{hours}");
        assert_eq!(done.orphans, Some(Vec::new()), "{hours}");
        let now = stored(&fixture, STREAM.table());
        assert_eq!(now, before.into_iter().chain([batch.files[0].path.clone()]).collect(), "{hours}");
        // By that clock all of the log is old.
        age_log(&fixture, 0..=9, DAY);
        assert_eq!(run(&lake, &half).await.retired.len(), 6, "{hours}");
        expect_sound(&fixture.lake).await;
    }
}

#[tokio::test]
async fn a_floor_has_the_time_of_the_store() {
    let fixture = Fixture::new().await;
    compacted_twice(&fixture).await;
    let lake = fixture.over(|inner| with_concern(inner, Clock(TimeDelta::days(3))));
    run(&lake, &at_once()).await;
    let began = maintained(&fixture.lake).await.record().unwrap().began_at;
    let now = fixture.lake.store_time().await.unwrap();
    assert!(began.since(now) > 2 * DAY, "{began:?} {now:?}");
}

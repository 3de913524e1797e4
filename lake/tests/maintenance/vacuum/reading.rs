//! Older versions and vacuum: what is read is right, or it is told that it cannot be read.

use bluelake_lake::AsOf;
use datafusion::{arrow::array::AsArray as _, prelude::SessionContext};

use super::*;

async fn refused(lake: &Lake, as_of: AsOf) -> String {
    match lake.read(&as_of).await {
        Err(error @ LakeError::NoSuchVersion { .. }) => error.to_string(),
        Err(error) => panic!("{as_of}: {error}"),
        Ok(_) => panic!("{as_of} can be read"),
    }
}

fn versions(version: u64) -> AsOf {
    AsOf::Versions([(STREAM.table().to_owned(), version)].into())
}

#[tokio::test]
async fn a_version_below_the_floor_is_refused() {
    let fixture = Fixture::new().await;
    compacted_twice(&fixture).await;
    let log = fixture.folder.path().join("transactions/_delta_log");
    let time = std::fs::metadata(log.join(format!("{:020}.json", 3))).unwrap().modified().unwrap();
    for as_of in [AsOf::Version(3), versions(3), AsOf::Time(time.into()), AsOf::Newest] {
        fixture.lake.read(&as_of).await.unwrap();
    }
    run(&fixture.lake, &at_once()).await;
    let first = maintained(&fixture.lake).await;
    let since = first.record().unwrap().began_at.time().unwrap().format("%FT%H:%M:").to_string();
    // Another floor above it: version 3 is gone since the first.
    let mut ingest = fixture.open().await;
    add_batch(&mut ingest, 6).await;
    compact(&fixture.lake).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    run(&fixture.lake, &at_once()).await;
    for as_of in [AsOf::Version(3), versions(3)] {
        let message = refused(&fixture.lake, as_of).await;
        let words = format!("table 'transactions': version 3 can no longer be read since {since}");
        assert!(message.starts_with(&words), "{message}");
        assert!(message.contains("its files were deleted (vacuum); the oldest that can be read is 13"), "{message}");
    }
    let message = refused(&fixture.lake, AsOf::Time(time.into())).await;
    assert!(message.contains("version 3 can no longer be read"), "{message}");
    for as_of in [AsOf::Newest, AsOf::Version(13), versions(14), AsOf::Time(chrono::Utc::now())] {
        fixture.lake.read(&as_of).await.unwrap();
    }
}

#[tokio::test]
async fn a_floor_has_its_next_records_time() {
    let fixture = Fixture::new().await;
    let mut ingest = compacted_twice(&fixture).await;
    run(&fixture.lake, &at_once()).await;
    let record = maintained(&fixture.lake).await.record().unwrap().clone();
    let path = fixture.folder.path().join("transactions/_maintenance").join(format!("{:020}.json", 3));
    let first = MaintenanceRecord::read(&std::fs::read(path).unwrap(), 3).unwrap();
    assert_eq!((first.standing.readable_from, first.standing.purged_to), (9, 0));
    assert!(record.began_at >= first.began_at);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    add_batch(&mut ingest, 6).await;
    compact(&fixture.lake).await;
    run(&fixture.lake, &at_once()).await;
    let since = first.began_at.time().unwrap().format("%FT%TZ").to_string();
    assert!(refused(&fixture.lake, versions(8)).await.contains(&since));
    assert!(!refused(&fixture.lake, versions(10)).await.contains(&since), "the second floor is above it");
}

/// Reads data files slowly: each takes so long.
struct Slow(Duration);

#[async_trait]
impl Concern for Slow {
    async fn get(
        &self,
        store: &dyn object_store::ObjectStore,
        location: &Path,
        options: object_store::GetOptions,
    ) -> object_store::Result<object_store::GetResult> {
        if location.as_ref().ends_with("-00000.parquet") {
            tokio::time::sleep(self.0).await;
        }
        store.get_opts(location, options).await
    }
}

/// The sum of all sequence numbers, by a query.
async fn sum(lake: &Lake, as_of: &AsOf) -> std::result::Result<i64, String> {
    let reading = lake.read(as_of).await.map_err(|error| bluelake_lake::causes(&error))?;
    let table = reading.tables.into_iter().find(|table| table.name == STREAM.table()).unwrap();
    let context = SessionContext::new();
    context.register_table("t", table.provider).unwrap();
    let query = context.sql("SELECT sum(CAST(stream_sequence AS BIGINT)) FROM t").await.unwrap();
    let rows = query.collect().await.map_err(|error| bluelake_lake::causes(&error))?;
    Ok(rows[0].column(0).as_primitive::<datafusion::arrow::datatypes::Int64Type>().value(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_query_beside_deletes_fails_or_is_right() {
    let (mut right, mut told, mut vanished) = (0, 0, 0);
    for round in 0..100 {
        let fixture = Fixture::new().await;
        with_batches(&fixture, 6).await;
        compact(&fixture.lake).await;
        // From a query that ends before anything is deleted to one that lasts longer than all of it.
        let lake = fixture.over(|inner| with_concern(inner, Slow(Duration::from_millis(round % 50))));
        let query = tokio::spawn(async move { sum(&lake, &AsOf::Version(7)).await });
        tokio::time::sleep(Duration::from_millis(round % 25)).await;
        run(&fixture.lake, &at_once()).await;
        match query.await.unwrap() {
            Ok(found) => {
                assert_eq!(found, (1..=12).sum::<i64>(), "round {round}");
                right += 1;
            }
            Err(message) if message.contains("can no longer be read") => told += 1,
            Err(message) => {
                assert!(message.contains("not found") || message.contains("NotFound"), "round {round}: {message}");
                vanished += 1;
            }
        }
        assert_eq!(sum(&fixture.lake, &AsOf::Newest).await, Ok((1..=12).sum::<i64>()));
    }
    assert!(right > 0 && vanished > 0, "{right} right, {told} told, {vanished} vanished: the times do not meet");
}

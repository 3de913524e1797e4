//! The files of a table, as maintenance sees them.

use super::{faults::compact_by_another_hand, *};

#[tokio::test]
async fn a_file_apart_from_its_partition_is_odd() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let (files, odd) = maintained(&fixture.lake).await.files().unwrap();
    assert_eq!((files.len(), odd.len()), (2, 0));
    let version = maintained(&fixture.lake).await.delta_table().version().unwrap() + 1;
    compact_by_another_hand(fixture.folder.path(), version);
    // The same file, and the same values in the log, in a folder of its own.
    let table = fixture.folder.path().join("transactions");
    let log = table.join(format!("_delta_log/{version:020}.json"));
    let text = std::fs::read_to_string(&log).unwrap();
    let path = text.split("\"add\"").nth(1).unwrap().split("\"path\":\"").nth(1).unwrap().split('"').next().unwrap();
    std::fs::create_dir(table.join("elsewhere")).unwrap();
    std::fs::rename(table.join(path), table.join("elsewhere/a.parquet")).unwrap();
    std::fs::write(&log, text.replace(path, "elsewhere/a.parquet")).unwrap();
    let (files, odd) = maintained(&fixture.lake).await.files().unwrap();
    assert_eq!((files.len(), odd.len()), (1, 1));
    assert_eq!((odd[0].path.as_str(), odd[0].reason.contains("folder")), ("elsewhere/a.parquet", true));
}

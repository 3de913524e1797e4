//! What has no way back, and what was changed since, is refused with the reason; nothing is changed.

use bluelake_lake::Claim;

use super::*;

async fn commit_of(table: &mut MaintainedTable, kind: TaskKind) -> u64 {
    let task = table.begin(kind).await.unwrap();
    let TaskOutcome::Committed { version, .. } = table.commit(&task).await.unwrap() else { panic!("lost") };
    version
}

/// The newest version of the table.
async fn newest(fixture: &Fixture) -> u64 {
    fixture.lake.table(TABLE).await.unwrap().version().unwrap()
}

#[tokio::test]
async fn versions_without_a_way_back_are_refused() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let mut table = maintained(&fixture.lake).await;
    let task = erasure(&table).await;
    let TaskOutcome::Committed { version: erased, .. } = table.commit(&task).await.unwrap() else { panic!("lost") };
    let until = fixture.lake.store_time().await.unwrap().later(Duration::from_secs(60));
    let claim = Claim { request: REQUEST, partitions: None, until };
    let claimed = commit_of(&mut table, TaskKind::Claim(claim)).await;
    let released = commit_of(&mut table, TaskKind::Release { request: REQUEST }).await;
    let floor = commit_of(&mut table, TaskKind::Floor { readable_from: 1, purged_to: 0 }).await;
    let last = newest(&fixture).await;
    for (version, words) in [
        (0, "it changed no file"),
        (1, "it changed no file"),
        (2, "a batch of ingest: Kinesis may have discarded"),
        (erased, "it is an erasure"),
        (claimed, "it is a claim"),
        (released, "it is a claim"),
        (floor, "older versions up"),
        (last + 1, "there is no version"),
    ] {
        let reason = refused(&fixture, version).await;
        assert!(reason.contains(words), "{version}: {reason}");
    }
    assert_eq!(newest(&fixture).await, last, "nothing was changed");
}

#[tokio::test]
async fn a_version_that_was_given_up_is_refused() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let version = expire(&fixture, day(3), &[0]).await;
    let overtaken = plan_undo(&fixture.lake, TABLE, version, "undo").await.unwrap();
    let mut table = maintained(&fixture.lake).await;
    commit_of(&mut table, TaskKind::Floor { readable_from: version, purged_to: 1 }).await;
    let late = overtaken.commit().await.expect_err("must be overtaken").to_string();
    assert!(late.contains("can no longer be read"), "{late}");
    let reason = refused(&fixture, version).await;
    assert!(reason.contains("are given up"), "{reason}");
    expect_sound(&fixture.lake).await;
}

#[tokio::test]
async fn changed_files_are_refused_by_an_undo() {
    type Damage = (fn(&std::path::Path), &'static str);
    let damages: [Damage; 3] = [
        (|path| std::fs::remove_file(path).unwrap(), "was deleted"),
        (|path| std::fs::write(path, b"short").unwrap(), "it has 5 bytes, the log says"),
        (
            |path| {
                let size = usize::try_from(std::fs::metadata(path).unwrap().len()).unwrap();
                std::fs::write(path, vec![b'x'; size]).unwrap();
            },
            "arquet",
        ),
    ];
    for (damage, words) in damages {
        let fixture = Fixture::new().await;
        with_batches(&fixture, 2).await;
        let path = active(&maintained(&fixture.lake).await)[0].path.clone();
        let version = expire(&fixture, day(3), &[0]).await;
        let last = newest(&fixture).await;
        damage(&fixture.folder.path().join(TABLE).join(path));
        let reason = refused(&fixture, version).await;
        assert!(reason.contains("cannot be undone") && reason.contains(words), "{reason}");
        assert_eq!(newest(&fixture).await, last);
        expect_sound(&fixture.lake).await;
    }
}

#[tokio::test]
async fn a_file_of_other_rows_is_refused() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 2).await;
    let rows = batch(&ingest, SHARD, after(4), 5..=7, 0).await;
    ingest.commit(&rows).await.unwrap();
    let version = expire(&fixture, day(3), &[0]).await;
    let log = fixture.folder.path().join("transactions/_delta_log").join(format!("{:020}.json", 2));
    let text = std::fs::read_to_string(&log).unwrap();
    std::fs::write(&log, text.replace("\\\"numRecords\\\":2", "\\\"numRecords\\\":3")).unwrap();
    let reason = refused(&fixture, version).await;
    assert!(reason.contains("has 2 rows, the log said 3"), "{reason}");
}

#[tokio::test]
async fn a_version_that_was_compacted_further_is_refused() {
    let fixture = Fixture::new().await;
    let mut ingest = with_batches(&fixture, 2).await;
    let mut table = maintained(&fixture.lake).await;
    let first = compaction(&table).await;
    let first = expect_committed(&table.commit(&first).await.unwrap(), 1);
    add_batch(&mut ingest, 2).await;
    table.reload().await.unwrap();
    let second = compaction(&table).await;
    let second = expect_committed(&table.commit(&second).await.unwrap(), 2);
    let reason = refused(&fixture, first).await;
    assert!(reason.contains(&format!("version {second} took out")), "{reason}");
    undone(&fixture, second).await;
    undone(&fixture, first).await;
    assert_eq!(check_versions(&fixture.lake).await, 4);
    expect_ingest_goes_on(&fixture, 3).await;
}

#[tokio::test]
async fn a_table_open_for_undo_does_nothing_else() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    append_by_another(&fixture, &[90]).await;
    let mut table = MaintainedTable::open_for_undo(&fixture.lake, TABLE, "care").await.unwrap();
    let ours = active(&table).into_iter().filter(|file| file.rows == 2).collect();
    let task = rewrite(&table, TaskKind::Compact, ours, &[]).await;
    let error = table.commit(&task).await.expect_err("must be refused").to_string();
    assert!(error.contains("open for undos alone"), "{error}");
}

#[tokio::test]
async fn rows_that_no_version_explains_are_refused() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 3).await;
    // As if the log had been altered: the rows of a batch are gone, and no version took them out.
    let log = fixture.folder.path().join("transactions/_delta_log").join(format!("{:020}.json", 4));
    let text = std::fs::read_to_string(&log).unwrap();
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains("\"add\"")).collect();
    assert_eq!(kept.len() + 1, text.lines().count());
    std::fs::write(&log, kept.join("\n")).unwrap();
    let version = append_by_another(&fixture, &[90]).await;
    let reason = refused(&fixture, version).await;
    assert!(reason.contains("no other program's version explains it"), "{reason}");
    assert_eq!(newest(&fixture).await, version);
}

#[tokio::test]
async fn a_foreign_change_of_columns_is_no_undo() {
    let fixture = Fixture::new().await;
    with_batches(&fixture, 2).await;
    let version = delete_by_another(&fixture, 3).await;
    let folder = fixture.folder.path().join("transactions/_delta_log");
    let first = std::fs::read_to_string(folder.join(format!("{:020}.json", 0))).unwrap();
    let metadata = first.lines().find(|line| line.contains("\"metaData\"")).unwrap();
    let path = folder.join(format!("{version:020}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{metadata}\n{text}")).unwrap();
    let reason = refused(&fixture, version).await;
    assert!(reason.contains("columns or properties too"), "{reason}");
}

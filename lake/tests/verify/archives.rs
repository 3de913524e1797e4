//! Verification of archives and rejected events, and beside a worker.

use super::*;

/// Commits rows of an archived object that begin at these bytes, as its part `bytes`.
async fn commit_archived(table: &mut StreamTable, rows: RangeInclusive<u32>, bytes: Range<u64>, ended: bool) {
    let counts = u64::try_from(rows.clone().count()).unwrap();
    let counts = ControlTotals { received: counts, stored: counts, ..ControlTotals::default() };
    let (object, version) = ("s3://bucket/object".to_owned(), "etag".to_owned());
    let range = ArchiveRange { object, version, from: bytes.start, to: bytes.end, ended, counts };
    let shard = range.shard();
    let base = table.document().map_or(0, |document| document.tally.supplements);
    let mut batch = batch(table, &shard, after(0), rows, 0).await;
    batch.shards.clear();
    batch.supplement = Some(Supplement { base, counts, archive_ranges: vec![range] });
    commit(table, &batch).await;
}

#[tokio::test]
async fn verify_passes_archives_whose_parts_join() {
    let (fixture, mut table) = good().await;
    commit_archived(&mut table, 101..=105, 0..200, false).await;
    let rows = batch(&table, SHARD, after(8), 9..=10, 0).await;
    commit(&mut table, &rows).await;
    commit_archived(&mut table, 201..=205, 200..300, true).await;
    let report = report(&fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
}

#[tokio::test]
async fn verify_names_overlaps_and_holes_of_archives() {
    for (first, second, words) in [
        (0..200, 150..300, "overlap or leave a hole"),
        (0..200, 250..300, "overlap or leave a hole"),
        (50..200, 200..300, "before byte 50"),
    ] {
        let (fixture, mut table) = good().await;
        commit_archived(&mut table, 101..=105, first, false).await;
        commit_archived(&mut table, 251..=255, second, true).await;
        expect_alone(&report(&fixture).await, "positions", words);
    }
}

#[tokio::test]
async fn verify_names_archive_rows_read_elsewhere() {
    let (fixture, mut table) = good().await;
    commit_archived(&mut table, 101..=105, 0..103, true).await;
    expect_alone(&report(&fixture).await, "reach", "was not read at byte 105");
}

#[tokio::test]
async fn verify_names_rejected_files_without_a_document() {
    let (fixture, _) = good().await;
    add_copy(&fixture, "rejected_events", 2);
    let report = report(&fixture).await;
    assert_eq!(failed(&report), ["uniqueness", "rejected"], "{:#?}", report.checks);
    expect_example(&report, "rejected", "no document names it");
    expect_example(&report, "rejected", "holds 4 rows by its log, the document in force counts 3 rejected");
}

#[tokio::test]
async fn verify_names_rejected_files_that_the_table_lost() {
    let (fixture, _) = good().await;
    edit_log(&fixture, "rejected_events", 1, |line| (!line.contains("\"add\"")).then(|| line.to_owned()));
    expect_alone(&report(&fixture).await, "rejected", "document 2 names it, the log lacks it");
}

#[tokio::test]
async fn verify_calls_a_follower_behind_no_failure() {
    let (fixture, _) = good().await;
    std::fs::remove_file(log_path(&fixture, "rejected_events", 2)).unwrap();
    let report = report(&fixture).await;
    assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
    let note = check(&report, "rejected").note.as_deref().unwrap();
    assert!(note.contains("it follows document 2, document 3 has more"), "{note}");
}

#[tokio::test]
async fn verify_samples_alike_for_a_seed() {
    let (fixture, mut table) = good().await;
    for sequence in 9..=30 {
        let rows = batch(&table, SHARD, after(sequence - 1), sequence..=sequence, 0).await;
        commit(&mut table, &rows).await;
    }
    let mut counts = Vec::new();
    for seed in [1, 1, 2, 3] {
        let options = VerifyOptions { sample: Some(0.5), seed, ..VerifyOptions::default() };
        let report = report_with(&fixture, &options).await;
        assert_eq!(failed(&report), Vec::<&str>::new(), "{:#?}", report.checks);
        assert!((1..26).contains(&report.files_read), "{} of 26 files", report.files_read);
        assert!(check(&report, "uniqueness").note.as_deref().unwrap().contains("of 26 files were read"));
        counts.push((report.files_read, report.rows));
    }
    assert_eq!(counts[0], counts[1]);
    std::fs::remove_file(data_file(&fixture, "transactions", 20)).unwrap();
    let options = VerifyOptions { sample: Some(0.01), ..VerifyOptions::default() };
    assert_eq!(failed(&report_with(&fixture, &options).await), ["files"], "a missing file is seen in any sample");
}

#[tokio::test]
async fn verify_holds_beside_a_worker_that_commits() {
    let (fixture, mut table) = good().await;
    let worker = tokio::spawn(async move {
        for sequence in 9..=40 {
            let rows = batch(&table, SHARD, after(sequence - 1), sequence..=sequence, 1).await;
            commit(&mut table, &rows).await;
        }
    });
    let mut seen = Vec::new();
    while !worker.is_finished() {
        let report = report(&fixture).await;
        assert_eq!((failed(&report), unchecked(&report)), (vec![], vec![]), "{:#?}", report.checks);
        seen.push(report.document);
    }
    worker.await.unwrap();
    seen.dedup();
    assert!(seen.len() > 1, "verify ran while the table moved: {seen:?}");
    assert_eq!(report(&fixture).await.rows, 40 + 35);
}

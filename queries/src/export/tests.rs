#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::header::column::{ReportColumn, Unit};
use crate::testing::provenance;

const FORMATS: [OutputFormat; 7] = [
    OutputFormat::Csv,
    OutputFormat::Json,
    OutputFormat::Ndjson,
    OutputFormat::Parquet,
    OutputFormat::Xlsx,
    OutputFormat::Markdown,
    OutputFormat::Html,
];

fn result(points: &[i64]) -> ReportResult {
    let column: ArrayRef = Arc::new(Int64Array::from(points.to_vec()));
    let batch = RecordBatch::try_from_iter([("points", column)]).unwrap();
    ReportResult {
        title: "Gifts".to_owned(),
        question: "How much?".to_owned(),
        audience: "finance".to_owned(),
        chart: None,
        figures: Vec::new(),
        columns: vec![ReportColumn { name: "points".to_owned(), unit: Unit::Points, description: "Given.".to_owned() }],
        is_cut: false,
        schema: batch.schema(),
        batches: vec![batch],
        provenance: provenance(),
    }
}

fn options(formats: &[OutputFormat]) -> ExportOptions {
    ExportOptions { formats: formats.to_vec(), ..ExportOptions::default() }
}

fn store(folder: &Path) -> FileStore {
    FileStore::at(&folder.display().to_string().parse().unwrap(), None).unwrap()
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())).collect()
}

#[tokio::test]
async fn manifests_are_true_and_exports_are_reproducible() {
    let folder = tempfile::tempdir().unwrap();
    let export = export_report(&result(&[1, 2]), &options(&FORMATS), &store(folder.path())).await.unwrap();
    let first = files(&folder.path().join("gifts/all"));
    assert_eq!(first.len(), FORMATS.len() + 1);
    for file in &export.manifest.files {
        let content = &first[&file.name];
        let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((file.bytes, &file.sha256, file.rows), (content.len() as u64, &digest, 2), "{}", file.name);
    }
    export_report(&result(&[1, 2]), &options(&FORMATS), &store(folder.path())).await.unwrap();
    assert_eq!(files(&folder.path().join("gifts/all")), first);
}

#[tokio::test]
async fn an_export_removes_only_its_own_files() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("gifts/all");
    let formats = [OutputFormat::Csv, OutputFormat::Json];
    export_report(&result(&[1]), &options(&formats), &store(folder.path())).await.unwrap();
    std::fs::write(place.join("notes.txt"), "mine").unwrap();
    export_report(&result(&[2]), &options(&[OutputFormat::Html]), &store(folder.path())).await.unwrap();
    let names: Vec<String> = files(&place).into_keys().collect();
    assert_eq!(names, ["_manifest.json", "gifts.html", "notes.txt"]);
}

#[tokio::test]
async fn a_failure_leaves_earlier_files_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("gifts/all");
    export_report(&result(&[1]), &options(&[OutputFormat::Csv]), &store(folder.path())).await.unwrap();
    let before = files(&place);
    let mut unfit = result(&[1]);
    unfit.batches = vec![
        RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from_iter_values(0..1_048_576)) as ArrayRef)]).unwrap(),
    ];
    let formats = [OutputFormat::Csv, OutputFormat::Xlsx];
    export_report(&unfit, &options(&formats), &store(folder.path())).await.unwrap_err();
    assert_eq!(files(&place), before);
    let elsewhere = tempfile::tempdir().unwrap();
    export_report(&unfit, &options(&formats), &store(elsewhere.path())).await.unwrap_err();
    assert_eq!(std::fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn an_older_state_never_replaces_the_newest() {
    let folder = tempfile::tempdir().unwrap();
    export_report(&result(&[2]), &options(&[OutputFormat::Csv]), &store(folder.path())).await.unwrap();
    let newest = files(&folder.path().join("gifts/all"));
    let older = ExportOptions { is_as_of: true, ..options(&[OutputFormat::Csv]) };
    let export = export_report(&result(&[1]), &older, &store(folder.path())).await.unwrap();
    assert_eq!(files(&folder.path().join("gifts/all")), newest);
    let place = folder.path().join("gifts/as-of=transactions.12");
    assert_eq!(files(&place).len(), 2, "{}", export.folder);
}

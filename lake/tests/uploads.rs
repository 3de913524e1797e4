//! Files that are put part by part: in bounded memory, whole or not at all, and without replacing another.

use std::{
    collections::BTreeMap,
    path::Path as FilePath,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arrow::{
    array::{Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use async_trait::async_trait;
use bluelake_lake::{FileEnd, LakeError, Uploader};
use bluelake_transform::{FileOptions, FileWriter, TableLayout};
use bytes::Bytes;
use futures::FutureExt as _;
use object_store::{
    Error, MultipartUpload, ObjectStore, PutMultipartOptions, PutPayload, PutResult, Result, UploadPart, path::Path,
};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{
    fixture::{Fixture, lake_at},
    stores::{Concern, Fault, lost, with_concern},
};

const NAME: &str = "event_type=donation/event_date=2026-01-01/0-00000.parquet";
const PART: usize = 5 << 20;

/// Watches the parts of uploads, and fails one of them.
#[derive(Clone, Debug)]
struct Watched {
    seen: Arc<Seen>,
    /// The part that fails, from 1.
    fails: usize,
}

#[derive(Debug, Default)]
struct Seen {
    parts: Mutex<Vec<usize>>,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    aborted: AtomicUsize,
}

#[derive(Debug)]
struct WatchedUpload {
    inner: Box<dyn MultipartUpload>,
    by: Watched,
}

#[async_trait]
impl MultipartUpload for WatchedUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (seen, length) = (self.by.seen.clone(), data.content_length());
        let number = {
            let mut parts = seen.parts.lock().unwrap();
            parts.push(length);
            parts.len()
        };
        let now = seen.under_way.fetch_add(length, Ordering::SeqCst) + length;
        seen.most_under_way.fetch_max(now, Ordering::SeqCst);
        let (put, fails) = (self.inner.put_part(data), number == self.by.fails);
        async move {
            let put = if fails { Err(lost()) } else { put.await };
            seen.under_way.fetch_sub(length, Ordering::SeqCst);
            put
        }
        .boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.by.seen.aborted.fetch_add(1, Ordering::SeqCst);
        self.inner.abort().await
    }
}

#[async_trait]
impl Concern for Watched {
    async fn begin(
        &self,
        store: &dyn ObjectStore,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let inner = store.put_multipart_opts(location, options).await?;
        Ok(Box::new(WatchedUpload { inner, by: self.clone() }))
    }
}

/// An uploader into a lake's table whose store is watched.
async fn watched(fixture: &Fixture, fails: usize) -> (Uploader, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let concern = Watched { seen: seen.clone(), fails };
    let lake = lake_at(fixture.folder.path()).with_store(|inner| with_concern(inner, concern));
    (fixture.try_open(&lake).await.unwrap().event_uploader(), seen)
}

fn end() -> FileEnd {
    let values = [("event_type", "donation"), ("event_date", "2026-01-01")];
    FileEnd {
        partition_values: values.map(|(column, value)| (column.to_owned(), value.to_owned())).into(),
        rows: 7,
        statistics: r#"{"numRecords":7}"#.to_owned(),
    }
}

/// Files in the folder of the partition, hidden ones among them.
fn names(fixture: &Fixture) -> Vec<String> {
    let folder = fixture.folder.path().join("transactions").join(NAME).parent().unwrap().to_owned();
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

fn part(byte: u8, bytes: usize) -> Bytes {
    Bytes::from(vec![byte; bytes])
}

/// Puts a file of N parts, each of its own byte.
async fn put(uploader: &Uploader, name: &str, parts: &[(u8, usize)]) -> std::result::Result<u64, LakeError> {
    let mut upload = uploader.begin(name.to_owned()).unwrap();
    for (byte, bytes) in parts {
        upload = upload.part(part(*byte, *bytes)).await?;
    }
    upload.finish(end()).await.map(|file| file.size)
}

#[tokio::test]
async fn a_file_of_many_parts_is_whole() {
    let fixture = Fixture::new().await;
    let (uploader, seen) = watched(&fixture, 0).await;
    let parts = [(1, PART), (2, PART), (3, PART), (4, PART), (5, 9)];
    assert_eq!(put(&uploader, NAME, &parts).await.unwrap(), u64::try_from(4 * PART + 9).unwrap());
    assert_eq!(*seen.parts.lock().unwrap(), [PART, PART, PART, PART, 9]);
    assert!(seen.most_under_way.load(Ordering::SeqCst) <= 2 * PART);
    let bytes = std::fs::read(fixture.folder.path().join("transactions").join(NAME)).unwrap();
    let expected: Vec<u8> = parts.iter().flat_map(|(byte, bytes)| vec![*byte; *bytes]).collect();
    assert!(bytes == expected);
    assert_eq!(names(&fixture), ["0-00000.parquet"]);
}

#[tokio::test]
async fn a_part_that_fails_leaves_nothing() {
    let fixture = Fixture::new().await;
    for fails in 1..=3 {
        let (uploader, seen) = watched(&fixture, fails).await;
        let failed = put(&uploader, NAME, &[(1, PART), (2, PART), (3, 10)]).await.unwrap_err();
        assert!(failed.is_transient() && failed.to_string().contains(NAME), "{failed}");
        assert_eq!(seen.aborted.load(Ordering::SeqCst), 1, "part {fails}");
        assert_eq!(names(&fixture), Vec::<String>::new(), "part {fails}");
    }
    let (uploader, seen) = watched(&fixture, 0).await;
    put(&uploader, NAME, &[(1, PART), (2, PART), (3, 10)]).await.unwrap();
    assert_eq!((seen.aborted.load(Ordering::SeqCst), names(&fixture).len()), (0, 1));
}

#[tokio::test]
async fn an_upload_that_is_dropped_leaves_nothing() {
    let fixture = Fixture::new().await;
    let (uploader, seen) = watched(&fixture, 0).await;
    let mut upload = uploader.begin(NAME.to_owned()).unwrap();
    for byte in 0..3 {
        upload = upload.part(part(byte, PART)).await.unwrap();
    }
    assert_eq!(names(&fixture).len(), 1, "hidden");
    drop(upload);
    for _ in 0..200 {
        if names(&fixture).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!((seen.aborted.load(Ordering::SeqCst), names(&fixture)), (1, Vec::new()));
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused() {
    let fixture = Fixture::new().await;
    for first in [&[(1, 10)][..], &[(1, PART), (1, 10)]] {
        for second in [&[(2, 10)][..], &[(2, PART), (2, 10)]] {
            let (uploader, _) = watched(&fixture, 0).await;
            let size = put(&uploader, NAME, first).await.unwrap();
            let refused = put(&uploader, NAME, second).await.unwrap_err();
            let taken = matches!(&refused, LakeError::Store { source: Error::AlreadyExists { .. }, .. });
            assert!(taken, "{refused:?}");
            let path = fixture.folder.path().join("transactions").join(NAME);
            let kept = std::fs::read(&path).unwrap();
            assert!(u64::try_from(kept.len()).unwrap() == size && kept.iter().all(|byte| *byte == 1));
            assert_eq!(names(&fixture).len(), 1);
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[tokio::test]
async fn a_small_file_survives_a_lost_answer() {
    let fixture = Fixture::new().await;
    let lake = fixture.faulty(".parquet", Fault::SayAlreadyExists, 1);
    let uploader = fixture.try_open(&lake).await.unwrap().event_uploader();
    assert_eq!(put(&uploader, NAME, &[(1, 10)]).await.unwrap(), 10);
}

#[tokio::test]
async fn small_parts_and_odd_names_are_refused() {
    let fixture = Fixture::new().await;
    let (uploader, _) = watched(&fixture, 0).await;
    let small = put(&uploader, NAME, &[(1, 10), (2, PART)]).await.unwrap_err();
    assert!(matches!(&small, LakeError::DataFile { reason, .. } if reason.contains("10 bytes")), "{small}");
    assert!(uploader.begin("a//b".to_owned()).is_err());
    assert_eq!(names(&fixture), Vec::<String>::new());
}

/// Rows of texts that cannot be compressed.
fn random_rows(random: &mut u64, rows: usize, time: i64) -> RecordBatch {
    let mut text = || {
        let mut text = String::with_capacity(128);
        for _ in 0..8 {
            *random = random.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
            text.push_str(&format!("{:016x}", random.rotate_left(23) ^ *random >> 7));
        }
        text
    };
    let texts: StringArray = (0..rows).map(|_| Some(text())).collect();
    let kinds = StringArray::from(vec!["donation"; rows]);
    let schema = Schema::new(vec![
        Field::new("donor_id", DataType::Utf8, false),
        Field::new("event_type", DataType::Utf8, false),
        Field::new("occurred_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        Field::new("event_date", DataType::Date32, false),
    ]);
    let times = TimestampMicrosecondArray::from(vec![time; rows]).with_timezone("UTC");
    let dates = Date32Array::from(vec![20_454; rows]);
    RecordBatch::try_new(Arc::new(schema), vec![Arc::new(texts), Arc::new(kinds), Arc::new(times), Arc::new(dates)])
        .unwrap()
}

/// Writes a file of N batches of 8,192 rows through the uploader; gives its size and the most bytes that were held.
async fn stream(uploader: &Uploader, seen: &Seen, batches: i64) -> (u64, usize) {
    let options = FileOptions::large(1, BTreeMap::from([("donor_id".to_owned(), 0.001)]));
    let mut random = 0x9E37_79B9_7F4A_7C15;
    let schema = random_rows(&mut random, 0, 0).schema();
    let mut writer = FileWriter::new(schema, TableLayout::EVENTS, &options).unwrap();
    let mut upload = uploader.begin(format!("event_type=donation/event_date=2026-01-01/{batches}.parquet")).unwrap();
    let mut held = 0;
    for number in 0..batches {
        writer.push(&random_rows(&mut random, 8_192, 1_767_225_600_000_000 + number)).unwrap();
        held = held.max(writer.held_bytes() + seen.under_way.load(Ordering::SeqCst));
        for part in writer.take_parts() {
            upload = upload.part(part).await.unwrap();
        }
    }
    let finished = writer.finish().unwrap();
    for part in finished.rest {
        upload = upload.part(part).await.unwrap();
    }
    let end = FileEnd { rows: finished.rows, statistics: finished.statistics, ..end() };
    let file = upload.finish(end).await.unwrap();
    assert_eq!((file.size, file.rows), (finished.size, u64::try_from(batches * 8_192).unwrap()));
    (file.size, held)
}

fn rows_of(path: &FilePath) -> usize {
    let file = std::fs::File::open(path).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    reader.map(|rows| rows.unwrap().num_rows()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_300_mb_file_takes_bounded_memory() {
    let fixture = Fixture::new().await;
    let (uploader, seen) = watched(&fixture, 0).await;
    let (small, small_held) = stream(&uploader, &seen, 80).await;
    let (large, large_held) = stream(&uploader, &seen, 620).await;
    assert!(large > 300_000_000 && small < large / 7, "{small} {large} bytes");
    let parts = seen.parts.lock().unwrap().clone();
    assert!(parts.iter().filter(|part| **part == 16 << 20).count() >= 20, "{parts:?}");
    // A row group, and the parts on their way: no memory grows with the file.
    assert!(
        large_held < 160 << 20 && large_held < small_held + (48 << 20),
        "{small_held} {large_held} bytes were held"
    );
    let name = "event_type=donation/event_date=2026-01-01/620.parquet";
    assert_eq!(rows_of(&fixture.folder.path().join("transactions").join(name)), 620 * 8_192);
}

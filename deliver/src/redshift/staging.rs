//! What COPY reads: Parquet objects below a prefix that is the target's own, and the manifest that lists them. The name of a
//! folder says for which version or load it is, so that left-overs of processes that were killed are told from what is in use.

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bluelake_lake::{FileStore, LakeError, causes};
use parquet::{
    arrow::ArrowWriter,
    basic::Compression,
    file::properties::{EnabledStatistics, WriterProperties},
};
use serde_json::json;
use uuid::Uuid;

/// An object is ended when it has this many bytes. A load is several of them, which the slices of a cluster read at once.
const OBJECT: usize = 32 << 20;
/// A row group is ended when its encoded values take about this much memory.
const ROW_GROUP: usize = 16 << 20;

/// A load that is staged: a folder of its own.
pub(super) struct Staging {
    store: FileStore,
    folder: String,
    written: Vec<String>,
}

/// The place of a manifest, and what its objects hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) url: String,
    pub(super) rows: u64,
}

impl Staging {
    /// In a folder that holds nothing else.
    pub(super) fn new(store: &FileStore, folder: String) -> Self {
        Self { store: store.clone(), folder, written: Vec::new() }
    }

    /// Begins a table of it.
    pub(super) fn table(&mut self, name: &'static str, schema: SchemaRef) -> StagedTable<'_> {
        StagedTable { staging: self, name, schema, writer: None, objects: Vec::new(), rows: 0 }
    }

    async fn put(&mut self, name: String, bytes: Vec<u8>, media_type: &'static str) -> Result<String, LakeError> {
        let path = format!("{}/{name}", self.folder);
        // Before it is written: a put that fails may have happened.
        self.written.push(path.clone());
        let staged = self.store.stage(&path, bytes.into(), media_type).await?;
        self.store.publish(staged).await?;
        Ok(self.store.name(&path))
    }

    /// Deletes it. What cannot be deleted is left for a later run.
    pub(super) async fn clear(self) {
        for path in &self.written {
            if let Err(error) = self.store.remove(path).await {
                tracing::warn!(
                    error = causes(&error),
                    "a staged object is left for a later run, or for a rule of the bucket"
                );
                return;
            }
        }
    }
}

/// The name of an attempt, which no other has: 60 random bits. Names of objects have it, and should not be long.
pub(super) fn attempt() -> String {
    Uuid::new_v4().simple().to_string().chars().take(16).collect()
}

/// The folder of a step from a version to another.
pub(super) fn of_step(from: u64, to: u64, attempt: &str) -> String {
    format!("step-{from}-{to}-{attempt}")
}

/// The folder of a load, by the attempt that began it.
pub(super) fn of_load(attempt: &str) -> String {
    format!("load-{attempt}")
}

/// Whether a folder can no longer be of use: its step begins with a version that the target has left behind, or its load is
/// over. What cannot be told is in use.
pub(super) fn is_over(folder: &str, held: Option<u64>, load: Option<&str>) -> bool {
    if let Some(attempt) = folder.strip_prefix("load-") {
        return load != Some(attempt);
    }
    let from = folder.strip_prefix("step-").and_then(|rest| rest.split('-').next()?.parse::<u64>().ok());
    from.zip(held).is_some_and(|(from, held)| from < held)
}

/// Rows that are being staged, object after object.
pub(super) struct StagedTable<'a> {
    staging: &'a mut Staging,
    name: &'static str,
    schema: SchemaRef,
    writer: Option<ArrowWriter<Vec<u8>>>,
    objects: Vec<(String, usize)>,
    rows: u64,
}

impl StagedTable<'_> {
    /// Adds rows.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> Result<(), LakeError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let mut writer = match self.writer.take() {
            Some(writer) => writer,
            None => {
                ArrowWriter::try_new(Vec::new(), self.schema.clone(), Some(properties())).map_err(self.encoding())?
            }
        };
        writer.write(batch).map_err(self.encoding())?;
        self.rows += u64::try_from(batch.num_rows()).unwrap_or_default();
        if writer.in_progress_size() >= ROW_GROUP {
            writer.flush().map_err(self.encoding())?;
        }
        let is_full = writer.bytes_written() >= OBJECT;
        self.writer = Some(writer);
        if is_full { self.end_object().await } else { Ok(()) }
    }

    async fn end_object(&mut self) -> Result<(), LakeError> {
        let Some(writer) = self.writer.take() else { return Ok(()) };
        let bytes = writer.into_inner().map_err(self.encoding())?;
        let (length, name) = (bytes.len(), format!("{}-{:05}.parquet", self.name, self.objects.len()));
        let url = self.staging.put(name, bytes, "application/vnd.apache.parquet").await?;
        self.objects.push((url, length));
        Ok(())
    }

    /// Writes the manifest; `None` without rows.
    pub(super) async fn end(mut self) -> Result<Option<Manifest>, LakeError> {
        self.end_object().await?;
        if self.rows == 0 {
            return Ok(None);
        }
        let entry = |(url, length): &(String, usize)| json!({ "url": url, "mandatory": true, "meta": { "content_length": length } });
        let manifest = json!({ "entries": self.objects.iter().map(entry).collect::<Vec<_>>() });
        let name = format!("{}.manifest", self.name);
        let url = self.staging.put(name, manifest.to_string().into_bytes(), "application/json").await?;
        Ok(Some(Manifest { url, rows: self.rows }))
    }

    fn encoding(&self) -> impl FnOnce(parquet::errors::ParquetError) -> LakeError + use<> {
        let path = format!("{}/{}", self.staging.folder, self.name);
        move |error| LakeError::DataFile { path, reason: format!("it cannot be encoded: {}", causes(&error)) }
    }
}

fn properties() -> WriterProperties {
    WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_statistics_enabled(EnabledStatistics::None)
        .build()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use serde_json::Value;

    use super::*;

    fn batch(rows: usize, length: usize) -> RecordBatch {
        // A linear congruence: it does not compress.
        let mut chance = 7_u64;
        let mut letter = || {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b' ' + u8::try_from((chance >> 33) % 90).unwrap())
        };
        let mut text = || (0..length).map(|_| letter()).collect::<String>();
        let texts: StringArray = (0..rows).map(|_| Some(text())).collect();
        RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef)]).unwrap()
    }

    #[tokio::test]
    async fn a_load_is_several_objects_and_a_manifest_with_their_lengths() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::at(&folder.path().display().to_string().parse().unwrap(), None).unwrap();
        let mut staging = Staging::new(&store, "finance/t/1".to_owned());
        let rows = batch(3_000, 20_000);
        let mut table = staging.table("rows", rows.schema());
        for start in (0..3_000).step_by(100) {
            table.write(&rows.slice(start, 100)).await.unwrap();
        }
        table.write(&rows.slice(0, 0)).await.unwrap();
        let manifest = table.end().await.unwrap().unwrap();
        assert_eq!(manifest.rows, 3_000);
        let found: Value = serde_json::from_slice(&std::fs::read(&manifest.url).unwrap()).unwrap();
        let entries = found["entries"].as_array().unwrap();
        assert!(entries.len() > 1, "{found}");
        for entry in entries {
            let length = std::fs::metadata(entry["url"].as_str().unwrap()).unwrap().len();
            assert_eq!(
                (&entry["mandatory"], entry["meta"]["content_length"].as_u64()),
                (&Value::Bool(true), Some(length))
            );
            assert!(length < u64::try_from(2 * OBJECT).unwrap());
        }
        assert_eq!(staging.table("gone", rows.schema()).end().await.unwrap(), None);
        staging.clear().await;
        assert!(!std::path::Path::new(&manifest.url).exists());
    }

    #[test]
    fn folders_of_what_is_over_are_told_from_those_in_use() {
        for (folder, held, load, expected) in [
            (of_step(4, 7, "a"), Some(7), None, true),
            (of_step(7, 9, "a"), Some(7), None, false),
            (of_step(7, 9, "a"), None, None, false),
            (of_load("b-c"), Some(7), Some("b-c"), false),
            (of_load("b-c"), Some(7), Some("d"), true),
            (of_load("b-c"), None, None, true),
            ("mine".to_owned(), Some(7), None, false),
        ] {
            assert_eq!(is_over(&folder, held, load), expected, "{folder} {held:?} {load:?}");
        }
    }
}

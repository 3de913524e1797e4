//! Rewrites the files of one merge: reads, merges, writes, uploads, and reads back what was written.
//!
//! Nothing refers to the new files when this ends. The content of what was read and of what was written is added up apart:
//! from the rows as they were decoded, and from the objects as they are in the store.

use std::collections::BTreeMap;

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use bluelake_lake::{
    ContentChange, ContentDigest, DataFile, FileEnd, InputFile, LakeError, MaintainedTable, TableFile,
};
use bluelake_schemas::Micros;
use bluelake_transform::{FileOptions, FileWriter, TableLayout};
use futures::{FutureExt as _, Stream, TryStreamExt as _, future::BoxFuture, stream::BoxStream};
use tokio::sync::Mutex;
use uuid::Uuid;

use crate::{
    conform::{PartitionValues, conform},
    digest::Content,
    error::CareError,
    merge::{Input, MergedRows},
    pace::Pace,
    policy::{Cause, Merge, SMALL_FILE, open_bytes},
};

/// Rows of a file that are decoded at once, and rows that are written at once.
const ROWS_AT_ONCE: usize = 8_192;
/// Part of the memory for open files; the rest is for decoded rows, the row group that is filling, and its parts.
const OPEN_SHARE: usize = 2;
/// zstd level of a file that will be merged again soon, and of one that stays.
const LEVELS: (i32, i32) = (1, 3);
/// False positives of a filter on ids that name a person, and on others.
const FALSE_POSITIVES: (f64, f64) = (0.001, 0.01);
/// The id that names no person.
const EVENT_ID: &str = "event_id";

/// What is rewritten, and with what.
pub(crate) struct Rewriter<'a> {
    pub(crate) table: &'a MaintainedTable,
    pub(crate) layout: TableLayout,
    /// The table's columns, with their numbers.
    pub(crate) schema: SchemaRef,
    /// Bytes that a rewrite may hold, about.
    pub(crate) memory: usize,
    /// Task that the files belong to.
    pub(crate) task: Uuid,
    pub(crate) pace: Pace,
}

/// What became of a merge.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) inputs: Vec<InputFile>,
    pub(crate) outputs: Vec<DataFile>,
    pub(crate) rows: u64,
    pub(crate) content: ContentChange,
}

/// A file of the table that is read once, from its start.
struct StoredInput<'a> {
    table: &'a MaintainedTable,
    file: TableFile,
    schema: SchemaRef,
    partition: PartitionValues,
    /// What was read of all inputs.
    content: &'a Mutex<Content>,
    pace: &'a Pace,
    rows: Option<BoxStream<'static, Result<RecordBatch, LakeError>>>,
}

impl Input for StoredInput<'_> {
    fn first(&self) -> Option<Micros> {
        self.file.first
    }

    fn weight(&self) -> usize {
        usize::try_from(open_bytes(self.file.size)).unwrap_or(usize::MAX)
    }

    fn next(&mut self) -> BoxFuture<'_, Result<Option<RecordBatch>, CareError>> {
        async move {
            let rows = match &mut self.rows {
                Some(rows) => rows,
                none => {
                    let opened = self.table.open_file(&self.file).await?.read(ROWS_AT_ONCE)?;
                    none.insert(if self.file.size <= SMALL_FILE { whole(opened).await? } else { Box::pin(opened) })
                }
            };
            let Some(part) = rows.try_next().await? else { return Ok(None) };
            let share = u64::try_from(part.num_rows()).unwrap_or_default().saturating_mul(self.file.size);
            self.pace.admit(share / self.file.rows.max(1)).await;
            let part = conform(&part, &self.schema, &self.partition).map_err(|error| error.of_file(&self.file.path))?;
            self.content.lock().await.add(&part)?;
            Ok(Some(part))
        }
        .boxed()
    }
}

impl Rewriter<'_> {
    /// Rewrites the files of a merge, all of one partition. `files` has them by path; `number` is that of the task's next
    /// file.
    ///
    /// # Errors
    /// When a file cannot be read or does not fit the table, or what was read back is not what was read: nothing refers to
    /// what was written.
    pub(crate) async fn run(
        &self,
        merge: &Merge,
        files: &BTreeMap<String, TableFile>,
        number: &mut usize,
    ) -> Result<Rewritten, CareError> {
        let inputs: Vec<&TableFile> = merge.files.iter().filter_map(|file| files.get(&file.path)).collect();
        let partition = self.partition(inputs.first().copied())?;
        let content = Mutex::new(Content::new(&self.schema)?);
        let sources = inputs.iter().map(|file| StoredInput {
            table: self.table,
            file: (*file).clone(),
            schema: self.schema.clone(),
            partition: partition.clone(),
            content: &content,
            pace: &self.pace,
            rows: None,
        });
        let sorted_by = self.schema.index_of(self.layout.sort_by)?;
        let mut rows = MergedRows::new(sources.collect(), sorted_by, self.memory / OPEN_SHARE);
        let total: u64 = inputs.iter().map(|file| file.rows).sum();
        let outputs = self.write(merge, &mut rows, total, number).await?;
        let read = content.into_inner();
        let written = self.read_back(&outputs, &partition).await?;
        if (read.rows(), read.sum()) != (written.rows(), written.sum()) || read.rows() != total {
            return Err(CareError::Content {
                files: inputs.len(),
                log: total,
                read: read.rows(),
                written: written.rows(),
            });
        }
        Ok(Rewritten {
            inputs: inputs
                .iter()
                .map(|file| InputFile { path: file.path.clone(), size: file.size, rows: file.rows })
                .collect(),
            outputs,
            rows: total,
            content: ContentChange { before: ContentDigest::new(read.sum()), after: ContentDigest::new(written.sum()) },
        })
    }

    /// The values of the partition columns, as the log has them.
    fn partition(&self, file: Option<&TableFile>) -> Result<PartitionValues, CareError> {
        let value = |column: &str| file.and_then(|file| file.partition_values.get(column)).cloned();
        let lacks = |column: &str| CareError::Column {
            column: column.to_owned(),
            reason: "the log has no value of it for a file".to_owned(),
        };
        let text = value(self.layout.text_partition).ok_or_else(|| lacks(self.layout.text_partition))?;
        let date = value(self.layout.date_partition).ok_or_else(|| lacks(self.layout.date_partition))?;
        let days = date.parse::<chrono::NaiveDate>().ok().map(|date| (date - chrono::NaiveDate::default()).num_days());
        let days = days.and_then(|days| i32::try_from(days).ok()).ok_or_else(|| lacks(self.layout.date_partition))?;
        Ok(PartitionValues {
            text: (self.layout.text_partition.to_owned(), text),
            date: (self.layout.date_partition.to_owned(), days),
        })
    }

    /// Writes the rows as so many files of about one size.
    async fn write<I: Input>(
        &self,
        merge: &Merge,
        rows: &mut MergedRows<I>,
        total: u64,
        number: &mut usize,
    ) -> Result<Vec<DataFile>, CareError> {
        let options = self.options(merge);
        let each = total.div_ceil(merge.outputs.max(1)).max(1);
        let mut written = Vec::new();
        let mut left = rows.next(ROWS_AT_ONCE).await?;
        while left.is_some() {
            let folder =
                merge.files.first().and_then(|file| file.path.rsplit_once('/')).map_or("", |(folder, _)| folder);
            let path = format!("{folder}/{}-{number:05}{}.parquet", self.task, merge.role.suffix());
            *number += 1;
            written.push(self.write_one(path, &options, (rows, &mut left), each).await?);
        }
        Ok(written)
    }

    /// Writes one file of about `most` rows: those that are `left`, and what follows.
    async fn write_one<I: Input>(
        &self,
        path: String,
        options: &FileOptions,
        (rows, left): (&mut MergedRows<I>, &mut Option<RecordBatch>),
        most: u64,
    ) -> Result<DataFile, CareError> {
        let folder_values = folder_values(&path);
        let mut upload = self.table.uploader().begin(path)?;
        let mut writer = FileWriter::new(self.schema.clone(), self.layout, options)?;
        let mut count = 0_u64;
        while let Some(batch) = left.take() {
            let room = usize::try_from(most - count).unwrap_or(usize::MAX);
            let now = batch.slice(0, batch.num_rows().min(room));
            count += u64::try_from(now.num_rows()).unwrap_or(u64::MAX);
            writer.push(&now)?;
            for part in writer.take_parts() {
                upload = upload.part(part).await?;
            }
            if now.num_rows() < batch.num_rows() {
                *left = Some(batch.slice(now.num_rows(), batch.num_rows() - now.num_rows()));
            } else {
                *left = rows.next(ROWS_AT_ONCE).await?;
            }
            if count >= most {
                break;
            }
        }
        let finished = writer.finish()?;
        for part in finished.rest {
            upload = upload.part(part).await?;
        }
        let end = FileEnd { partition_values: folder_values, rows: finished.rows, statistics: finished.statistics };
        Ok(upload.finish(end).await?)
    }

    fn options(&self, merge: &Merge) -> FileOptions {
        let (fast, dense) = LEVELS;
        let level = if merge.cause == Cause::Run { fast } else { dense };
        let ids = self.schema.fields().iter().filter(|field| field.name().ends_with("_id"));
        let (person, other) = FALSE_POSITIVES;
        let filters = ids.map(|field| (field.name().clone(), if field.name() == EVENT_ID { other } else { person }));
        FileOptions::large(level, filters.collect())
    }

    /// The content of files as they are in the store.
    async fn read_back(&self, files: &[DataFile], partition: &PartitionValues) -> Result<Content, CareError> {
        let mut content = Content::new(&self.schema)?;
        for file in files {
            let opened = self.table.open_written(file).await?;
            let mut rows = std::pin::pin!(opened.read(ROWS_AT_ONCE)?);
            while let Some(part) = rows.try_next().await? {
                content.add(&conform(&part, &self.schema, partition)?)?;
            }
        }
        Ok(content)
    }
}

/// All rows of a small file: its decoders are gone before the next file is opened.
async fn whole(
    rows: impl Stream<Item = Result<RecordBatch, LakeError>> + Send,
) -> Result<BoxStream<'static, Result<RecordBatch, LakeError>>, LakeError> {
    let parts: Vec<RecordBatch> = rows.try_collect().await?;
    Ok(Box::pin(futures::stream::iter(parts.into_iter().map(Ok))))
}

/// Partition columns and values of a path, `<column>=<value>/…`.
fn folder_values(path: &str) -> Vec<(String, String)> {
    let folders = path.split('/').filter_map(|folder| folder.split_once('='));
    folders.map(|(column, value)| (column.to_owned(), value.to_owned())).collect()
}

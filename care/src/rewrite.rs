//! Rewrites the files of one merge: reads, merges, writes, uploads, and reads back the result.
//!
//! The new files are unreferenced when this ends. The contents of inputs and outputs are added up apart: from the
//! decoded rows, and from the objects in the store.

pub(crate) mod columns;
mod conform;
pub(crate) mod digest;
mod merge;

use arrow::{
    array::RecordBatch,
    datatypes::{DataType, SchemaRef},
};
use bluelake_lake::{
    ContentChange, ContentDigest, DataFile, FileEnd, FileUpload, LakeError, MaintainedTable, StoredFile, TableFile,
};
use bluelake_schemas::Micros;
use bluelake_transform::{FileOptions, FileWriter, FinishedFile, TableLayout};
use futures::{FutureExt as _, Stream, TryStreamExt as _, future::BoxFuture, stream::BoxStream};
use tokio::sync::Mutex;
use uuid::Uuid;

use self::{
    conform::{PartitionValues, conform},
    digest::Content,
    merge::{Input, MergedRows},
};
use crate::{
    error::CareError,
    pace::Pace,
    policy::{Cause, DECODED_BYTES, Merge, SMALL_DECODED, SMALL_FILE, open_bytes},
};

/// Rows that are decoded at once, and rows that are written at once. A rejected event may have some MiB, so their bytes
/// are bounded too.
const ROWS_AT_ONCE: usize = 8_192;
const BYTES_AT_ONCE: usize = 4 << 20;
/// zstd level of a file that will be merged again soon, and of one that stays.
const LEVELS: (i32, i32) = (1, 3);
/// False positives of a filter on ids that name a person, and on others.
const FALSE_POSITIVES: (f64, f64) = (0.001, 0.01);
/// The id that names no person.
const EVENT_ID: &str = "event_id";

/// The context of a rewrite.
pub(crate) struct Rewriter<'a> {
    pub(crate) table: &'a MaintainedTable,
    pub(crate) layout: TableLayout,
    /// The table's columns, with their numbers.
    pub(crate) schema: SchemaRef,
    /// Bytes of files that may be open at once.
    pub(crate) room: u64,
    /// The most encoded bytes of a row group.
    pub(crate) group_bytes: u64,
    /// The task of the files.
    pub(crate) task: Uuid,
    pub(crate) pace: Pace,
}

/// What became of a merge.
#[derive(Debug)]
pub(crate) struct Rewritten {
    pub(crate) outputs: Vec<DataFile>,
    pub(crate) content: ContentChange,
}

type Rows = BoxStream<'static, Result<RecordBatch, LakeError>>;

/// A file of the table that is read once, from its start.
struct StoredInput<'a> {
    table: &'a MaintainedTable,
    file: &'a TableFile,
    schema: SchemaRef,
    partition: PartitionValues,
    /// The content of all inputs so far.
    content: &'a Mutex<Content>,
    pace: &'a Pace,
    rows: Option<Rows>,
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
                none => none.insert(open(self.table, self.file).await?),
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
    /// Rewrites the files of a merge, all of one partition. `number` is the number of the task's next file.
    ///
    /// # Errors
    /// When a file cannot be read or does not fit the table, or the content read back differs from the inputs. The new
    /// files are then unreferenced.
    pub(crate) async fn run(&self, merge: &Merge, number: &mut usize) -> Result<Rewritten, CareError> {
        let partition = PartitionValues::of(merge.files.first(), self.layout)?;
        let content = Mutex::new(Content::new(&self.schema)?);
        let sources = merge.files.iter().map(|file| StoredInput {
            table: self.table,
            file,
            schema: self.schema.clone(),
            partition: partition.clone(),
            content: &content,
            pace: &self.pace,
            rows: None,
        });
        let sorted_by = self.schema.index_of(self.layout.sort_by)?;
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let mut rows = MergedRows::new(sources.collect(), sorted_by, room);
        let total: u64 = merge.files.iter().map(|file| file.rows).sum();
        let outputs = self.write(merge, &mut rows, total, number).await?;
        let read = content.into_inner();
        let written = self.read_back(&outputs, &partition).await?;
        if (read.rows(), read.sum()) != (written.rows(), written.sum()) || read.rows() != total {
            return Err(CareError::Content {
                files: merge.files.len(),
                log: total,
                read: read.rows(),
                written: written.rows(),
            });
        }
        Ok(Rewritten {
            outputs,
            content: ContentChange { before: ContentDigest::new(read.sum()), after: ContentDigest::new(written.sum()) },
        })
    }

    /// Writes the rows as N files of about one size.
    async fn write<I: Input>(
        &self,
        merge: &Merge,
        rows: &mut MergedRows<I>,
        total: u64,
        number: &mut usize,
    ) -> Result<Vec<DataFile>, CareError> {
        let options = self.options(merge);
        let each = total.div_ceil(merge.outputs.max(1)).max(1);
        let values = merge.files.first().map(|file| file.partition_values.clone().into_iter().collect::<Vec<_>>());
        let values = values.unwrap_or_default();
        let mut written = Vec::new();
        let mut left = rows.next(ROWS_AT_ONCE, BYTES_AT_ONCE).await?;
        while left.is_some() {
            let path = format!("{}/{}-{number:05}{}.parquet", merge.partition(), self.task, merge.role.suffix());
            *number += 1;
            let upload = self.table.uploader().begin(path)?;
            let (upload, finished) = self.write_one(upload, &options, (rows, &mut left), each).await?;
            let partition_values = values.clone();
            let end = FileEnd { partition_values, rows: finished.rows, statistics: finished.statistics };
            written.push(upload.finish(end).await?);
        }
        Ok(written)
    }

    /// Writes one file of about `most` rows: those that are `left`, and the next ones. All of its bytes are on their
    /// way then.
    async fn write_one<I: Input>(
        &self,
        mut upload: FileUpload,
        options: &FileOptions,
        (rows, left): (&mut MergedRows<I>, &mut Option<RecordBatch>),
        most: u64,
    ) -> Result<(FileUpload, FinishedFile), CareError> {
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
                *left = rows.next(ROWS_AT_ONCE, BYTES_AT_ONCE).await?;
            }
            if count >= most {
                break;
            }
        }
        let mut finished = writer.finish()?;
        for part in std::mem::take(&mut finished.rest) {
            upload = upload.part(part).await?;
        }
        Ok((upload, finished))
    }

    fn options(&self, merge: &Merge) -> FileOptions {
        let (fast, dense) = LEVELS;
        let level = if merge.cause == Cause::Run { fast } else { dense };
        let ids = self.schema.fields().iter().filter(|field| field.name().ends_with("_id"));
        let (person, other) = FALSE_POSITIVES;
        let filters = ids.map(|field| (field.name().clone(), if field.name() == EVENT_ID { other } else { person }));
        // Rejected events are bytes, all different.
        let bytes = self.schema.fields().iter().filter(|field| *field.data_type() == DataType::Binary);
        let heavy = bytes.map(|field| field.name().clone()).collect();
        let group_bytes = usize::try_from(self.group_bytes).ok();
        FileOptions { heavy, group_bytes, ..FileOptions::large(level, filters.collect()) }
    }

    /// The content of files in the store.
    async fn read_back(&self, files: &[DataFile], partition: &PartitionValues) -> Result<Content, CareError> {
        let mut content = Content::new(&self.schema)?;
        for file in files {
            let mut rows = std::pin::pin!(in_parts(self.table.open_file(&file.path, file.size).await?)?);
            while let Some(part) = rows.try_next().await? {
                content.add(&conform(&part, &self.schema, partition)?)?;
            }
        }
        Ok(content)
    }
}

/// The rows of a file of the table. A small one is read whole: its decoders are gone before the next file is opened.
async fn open(table: &MaintainedTable, file: &TableFile) -> Result<Rows, LakeError> {
    let stored = table.open_file(&file.path, file.size).await?;
    let is_small = file.size <= SMALL_FILE && stored.decoded_bytes() <= SMALL_DECODED;
    let rows = in_parts(stored)?;
    if !is_small {
        return Ok(Box::pin(rows));
    }
    let parts: Vec<RecordBatch> = rows.try_collect().await?;
    Ok(Box::pin(futures::stream::iter(parts.into_iter().map(Ok))))
}

/// The rows of a file, in parts that are light enough.
fn in_parts(file: StoredFile) -> Result<impl Stream<Item = Result<RecordBatch, LakeError>> + Send + use<>, LakeError> {
    let rows = file.rows_within(DECODED_BYTES, ROWS_AT_ONCE);
    file.read(rows)
}

//! Readers of the files of a table: a small file is read in one call, and footers are kept.

use std::{
    any::Any,
    fmt::{self, Debug, Formatter},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use datafusion::{
    common::{DataFusionError, HashMap},
    datasource::{listing::PartitionedFile, physical_plan::ParquetFileReaderFactory},
    execution::cache::cache_manager::{CachedFileMetadataEntry, FileMetadata, FileMetadataCache},
    physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder},
};
use futures::{FutureExt as _, future::BoxFuture};
use object_store::{ObjectMeta, ObjectStore};
use parquet::{
    arrow::{arrow_reader::ArrowReaderOptions, async_reader::AsyncFileReader},
    errors::Result,
    file::metadata::{
        PageIndexPolicy, ParquetMetaData, ParquetMetaDataOptions, ParquetMetaDataReader, ParquetStatisticsPolicy,
    },
};

use crate::place::parquet_object::ParquetObject;

/// Bytes at the end of a larger file that are read first: nearly every footer fits.
const FOOTER: usize = 64 << 10;

/// Makes the readers.
#[derive(Clone)]
pub(super) struct FileReaders {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) footers: Arc<FileMetadataCache>,
    /// Whether bounds of columns are asked for. They are most of a footer, and without a condition nobody looks at them.
    pub(super) with_bounds: bool,
    /// Whether footers are kept. Those of very many files would only push each other out.
    pub(super) keeps: bool,
}

impl Debug for FileReaders {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "FileReaders of {}", self.store)
    }
}

impl ParquetFileReaderFactory for FileReaders {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        _: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>, DataFusionError> {
        let read = MetricBuilder::new(metrics).counter("bytes_scanned", partition);
        let meta = file.object_meta;
        let object = ParquetObject::new(Arc::clone(&self.store), meta.location.clone(), meta.size);
        Ok(Box::new(FileReader { readers: self.clone(), meta, object, read }))
    }
}

/// Reads one file.
struct FileReader {
    readers: FileReaders,
    meta: ObjectMeta,
    object: ParquetObject,
    /// Bytes that were read.
    read: Count,
}

impl FileReader {
    /// Counts what came from the store since `before`.
    fn count(&self, before: usize) {
        self.read.add(self.object.fetched - before);
    }

    /// The footer, if it is kept and has what is asked for.
    fn kept(&self, policy: PageIndexPolicy) -> Option<Arc<ParquetMetaData>> {
        let kept = self.readers.footers.get(&self.meta.location).filter(|kept| kept.is_valid_for(&self.meta))?;
        let footer: &Footer = kept.file_metadata.as_any().downcast_ref()?;
        let known = &footer.metadata;
        let has_index = known.column_index().is_some() && known.offset_index().is_some();
        let is_enough = footer.has_bounds || !self.readers.with_bounds;
        (is_enough && (has_index || policy == PageIndexPolicy::Skip)).then(|| Arc::clone(known))
    }

    /// Reads the footer: all of it that anybody looks at, whatever else the options leave out, as it is kept for others.
    async fn footer(&mut self, policy: PageIndexPolicy) -> Result<Arc<ParquetMetaData>> {
        let has_bounds = self.readers.with_bounds;
        let bounds = if has_bounds { ParquetStatisticsPolicy::KeepAll } else { ParquetStatisticsPolicy::SkipAll };
        let options = ParquetMetaDataOptions::new()
            .with_column_stats_policy(bounds)
            .with_size_stats_policy(ParquetStatisticsPolicy::SkipAll);
        let reader = ParquetMetaDataReader::new()
            .with_metadata_options(Some(options))
            .with_page_index_policy(policy)
            .with_prefetch_hint(Some(FOOTER));
        let meta = self.meta.clone();
        let metadata = Arc::new(reader.load_and_finish(&mut *self, meta.size).await?);
        if self.readers.keeps {
            let footer = Arc::new(Footer { metadata: Arc::clone(&metadata), has_bounds });
            let location = meta.location.clone();
            self.readers.footers.put(&location, CachedFileMetadataEntry::new(meta, footer));
        }
        Ok(metadata)
    }
}

/// A footer as it is kept.
struct Footer {
    metadata: Arc<ParquetMetaData>,
    has_bounds: bool,
}

impl FileMetadata for Footer {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn memory_size(&self) -> usize {
        self.metadata.memory_size()
    }

    fn extra_info(&self) -> HashMap<String, String> {
        HashMap::new()
    }
}

impl AsyncFileReader for FileReader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            let before = self.object.fetched;
            let bytes = self.object.get_bytes(range).await;
            self.count(before);
            bytes
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            let before = self.object.fetched;
            let bytes = self.object.get_byte_ranges(ranges).await;
            self.count(before);
            bytes
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let policy = options.map_or(PageIndexPolicy::Skip, ArrowReaderOptions::column_index_policy);
            match self.kept(policy) {
                Some(footer) => Ok(footer),
                None => self.footer(policy).await,
            }
        }
        .boxed()
    }
}

//! Reads byte ranges and the footer of one Parquet object for the parquet crate.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{FutureExt as _, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt as _, path::Path};
use parquet::{
    arrow::{
        arrow_reader::ArrowReaderOptions,
        async_reader::{AsyncFileReader, ParquetRecordBatchStreamBuilder},
    },
    errors::{ParquetError, Result},
    file::metadata::{ParquetMetaData, ParquetMetaDataReader},
};

/// An object up to this size is read in one call: footer, metadata and columns would each take another.
pub(crate) const SMALL: u64 = 256 << 10;

/// A Parquet object of known size.
#[derive(Debug)]
pub(crate) struct ParquetObject {
    store: Arc<dyn ObjectStore>,
    pub(crate) path: Path,
    pub(crate) size: u64,
    /// The whole object, once it was read.
    whole: Option<Bytes>,
    /// Bytes that came from the store.
    pub(crate) fetched: usize,
}

impl ParquetObject {
    /// Reads nothing yet.
    pub(crate) fn new(store: Arc<dyn ObjectStore>, path: Path, size: u64) -> Self {
        Self { store, path, size, whole: None, fetched: 0 }
    }

    /// The whole of a small object; `None` for a larger one.
    async fn whole(&mut self) -> Result<Option<Bytes>> {
        if self.whole.is_none() && self.size <= SMALL {
            let object = self.store.get(&self.path).await.map_err(external)?;
            let whole = object.bytes().await.map_err(external)?;
            self.fetched += whole.len();
            self.whole = Some(whole);
        }
        Ok(self.whole.clone())
    }

    /// A reader of the file, with types by its Parquet schema alone. Engines that rewrite files may add a schema of
    /// their own, which describes their form of a text and not its type.
    pub(crate) async fn reader(self) -> Result<ParquetRecordBatchStreamBuilder<Self>> {
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        ParquetRecordBatchStreamBuilder::new_with_options(self, options).await
    }
}

/// Part of an object that is here.
fn part(whole: &Bytes, range: &Range<u64>) -> Result<Bytes> {
    let bounds = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    let part = bounds.filter(|(start, end)| start <= end && *end <= whole.len()).map(|(start, end)| start..end);
    part.map(|range| whole.slice(range)).ok_or_else(|| ParquetError::EOF("it is shorter than the log says".to_owned()))
}

fn external(error: object_store::Error) -> ParquetError {
    ParquetError::External(Box::new(error))
}

impl AsyncFileReader for ParquetObject {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes>> {
        async move {
            if let Some(whole) = self.whole().await? {
                return part(&whole, &range);
            }
            let bytes = self.store.get_range(&self.path, range).await.map_err(external)?;
            self.fetched += bytes.len();
            Ok(bytes)
        }
        .boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>>> {
        async move {
            if let Some(whole) = self.whole().await? {
                return ranges.iter().map(|range| part(&whole, range)).collect();
            }
            let bytes = self.store.get_ranges(&self.path, &ranges).await.map_err(external)?;
            self.fetched += bytes.iter().map(Bytes::len).sum::<usize>();
            Ok(bytes)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        options: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.size;
            let metadata = ParquetMetaDataReader::new()
                .with_arrow_reader_options(options)
                .load_and_finish(&mut *self, size)
                .await?;
            Ok(Arc::new(metadata))
        }
        .boxed()
    }
}

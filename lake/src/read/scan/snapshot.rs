//! A scan of a table at one version: plain Parquet files with the values of their partitions.
//!
//! The engine gets what it has for files of its own, with nothing of ours in it. So its readers share the files, and the plan
//! can be sent to another machine. It gets counts of rows, and no bounds or orders of columns.

use std::{
    fmt::{self, Debug, Formatter},
    sync::{Arc, OnceLock},
};

use arrow::datatypes::{DataType, FieldRef, SchemaRef};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{ColumnStatistics, DataFusionError, Statistics, ToDFSchema as _, stats::Precision},
    config::TableParquetOptions,
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, FileSource as _, ParquetSource},
        source::DataSourceExec,
    },
    execution::cache::cache_manager::FileMetadataCache,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType, utils::conjunction},
    physical_plan::{ExecutionPlan, empty::EmptyExec},
};
use deltalake::DeltaTable;

use super::{
    columns::Columns,
    files::{SnapshotFiles, external},
    reader::FileReaders,
};

/// The protocol of Delta up to which files have no hidden rows and columns have their own names, unless a property says so.
const READER_VERSION: i32 = 2;
/// The property by which columns have other names in files.
const COLUMN_MAPPING: &str = "delta.columnMapping.mode";

/// The files of one scan whose footers fit into what is kept of footers.
const FILES_WITH_KEPT_FOOTERS: usize = 1_500;

/// A table at one version.
pub(super) struct SnapshotScan {
    table: DeltaTable,
    columns: Columns,
    /// As deltalake scans it: for tables that need more than this scan does.
    general: Arc<dyn TableProvider>,
    footers: Arc<FileMetadataCache>,
    /// Read from the log when the table is first scanned; `None` when it has a file that only the general scan can read.
    files: OnceLock<Option<SnapshotFiles>>,
}

impl SnapshotScan {
    /// Of a table as loaded, which `general` scans as well; `None` when only that can.
    pub(super) fn of(
        table: &DeltaTable,
        general: &Arc<dyn TableProvider>,
        footers: &Arc<FileMetadataCache>,
    ) -> Option<Self> {
        let state = table.snapshot().ok()?;
        let mapping = state.metadata().configuration().get(COLUMN_MAPPING);
        if state.protocol().min_reader_version() > READER_VERSION || mapping.is_some_and(|mode| mode != "none") {
            return None;
        }
        let schema = general.schema();
        if schema.fields().iter().any(|field| has_strict_part(field.data_type())) {
            return None;
        }
        let columns = Columns::of(&schema, state.metadata().partition_columns())?;
        let (general, footers) = (Arc::clone(general), Arc::clone(footers));
        Some(Self { table: table.clone(), columns, general, footers, files: OnceLock::new() })
    }

    fn files(&self) -> Result<Option<&SnapshotFiles>, DataFusionError> {
        if let Some(files) = self.files.get() {
            return Ok(files.as_ref());
        }
        let files = SnapshotFiles::of(&self.table, &self.columns)?;
        Ok(self.files.get_or_init(|| files).as_ref())
    }

    /// What the files are read with. Conditions on columns of files also go into the reader.
    fn source(&self, session: &dyn Session, conditions: &[Expr]) -> Result<ParquetSource, DataFusionError> {
        let options = TableParquetOptions {
            global: session.config_options().execution.parquet.clone(),
            ..TableParquetOptions::default()
        };
        let source = ParquetSource::new(self.columns.scanned().clone()).with_table_parquet_options(options);
        let of_files = conditions.iter().filter(|condition| self.columns.is_of_files(condition)).cloned();
        let Some(condition) = conjunction(of_files) else { return Ok(source) };
        let schema = Arc::clone(self.columns.scanned().table_schema()).to_dfschema()?;
        let condition = session.create_physical_expr(condition, &schema)?;
        Ok(source.with_predicate(condition).with_pushdown_filters(true))
    }

    /// What is known of some files together.
    fn statistics_of(&self, files: &[PartitionedFile]) -> Statistics {
        let known = files.iter().map(|file| file.statistics.as_deref());
        let sum = known.fold((Precision::Exact(0), Precision::Exact(0)), |(rows, bytes), known| match known {
            Some(known) => (rows.add(&known.num_rows), bytes.add(&known.total_byte_size)),
            None => (Precision::Absent, Precision::Absent),
        });
        let columns = self.columns.scanned().table_schema().fields().len();
        Statistics {
            num_rows: sum.0,
            total_byte_size: sum.1,
            column_statistics: vec![ColumnStatistics::new_unknown(); columns],
        }
    }
}

#[async_trait]
impl TableProvider for SnapshotScan {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.columns.table())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let places = self.columns.places(projection)?;
        let files = self.files()?.filter(|_| places.iter().any(|place| self.columns.is_in_files(*place)));
        let Some(files) = files else {
            // Also where the log alone answers: deltalake counts rows from it.
            return self.general.scan(session, projection, filters, limit).await;
        };
        let kept = picked(&files.files, &files.kept(session, &self.columns, filters)?);
        if kept.is_empty() {
            let wanted = self.columns.scanned().table_schema().project(&places)?;
            return Ok(Arc::new(EmptyExec::new(Arc::new(wanted))));
        }
        self.table.update_datafusion_session(session).map_err(external)?;
        let store = session.runtime_env().object_store(&files.store)?;
        let source = self.source(session, filters)?;
        let readers = FileReaders {
            store,
            footers: Arc::clone(&self.footers),
            with_bounds: source.filter().is_some(),
            keeps: kept.len() <= FILES_WITH_KEPT_FOOTERS,
        };
        let source = source.with_parquet_file_reader_factory(Arc::new(readers));
        let statistics = self.statistics_of(&kept);
        let config = FileScanConfigBuilder::new(files.store.clone(), Arc::new(source))
            .with_statistics(statistics)
            .with_file_group(FileGroup::new(kept))
            .with_limit(limit)
            .with_projection_indices(Some(places))?
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>, DataFusionError> {
        if self.files()?.is_none() {
            return self.general.supports_filters_pushdown(filters);
        }
        let general = self.general.supports_filters_pushdown(filters)?;
        let decided = filters.iter().zip(general).map(|(filter, general)| match general {
            _ if filter.is_volatile() => TableProviderFilterPushDown::Unsupported,
            // Where the log alone answers, the general scan does.
            TableProviderFilterPushDown::Exact if self.columns.is_of_partition(filter) => general,
            _ => TableProviderFilterPushDown::Inexact,
        });
        Ok(decided.collect())
    }
}

/// Whether a part of its values must not be NULL. Files of other programs do not say that of a part, and the general scan
/// takes their word that it holds.
fn has_strict_part(data_type: &DataType) -> bool {
    let is_strict = |part: &FieldRef| !part.is_nullable() || has_strict_part(part.data_type());
    match data_type {
        DataType::Struct(parts) => parts.iter().any(is_strict),
        DataType::List(part) | DataType::LargeList(part) => is_strict(part),
        DataType::Map(..) | DataType::FixedSizeList(..) => true,
        _ => false,
    }
}

impl Debug for SnapshotScan {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("SnapshotScan").field("columns", &self.columns).finish_non_exhaustive()
    }
}

fn picked(files: &[PartitionedFile], kept: &[bool]) -> Vec<PartitionedFile> {
    files.iter().zip(kept).filter(|(_, kept)| **kept).map(|(file, _)| file.clone()).collect()
}

//! The data files of a table at one version, as its log tells of them: where they are, the values that name their partitions,
//! counts of rows, and bounds of columns.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, AsArray as _, Int64Array, RecordBatch, StructArray},
    compute::cast,
    datatypes::{DataType, Int64Type},
};
use datafusion::{
    common::{DataFusionError, Statistics, stats::Precision},
    datasource::listing::PartitionedFile,
    execution::object_store::ObjectStoreUrl,
    scalar::ScalarValue,
};
use deltalake::{
    DeltaTable, DeltaTableError, delta_datafusion::engine::AsObjectStoreUrl as _, table::state::DeltaTableState,
};
use object_store::{ObjectMeta, path::Path};
use url::Url;

use super::columns::Columns;

/// The data files of a table, in the order of its log.
#[derive(Debug)]
pub(super) struct SnapshotFiles {
    /// The store that they are in.
    pub(super) store: ObjectStoreUrl,
    /// With the values of their partitions and their counts of rows, and no bounds of columns: of bounds the engine draws
    /// conclusions that hold for exact ones only, and those of the log may be cut short.
    pub(super) files: Vec<PartitionedFile>,
    /// A row a file: the values of the columns that name its partition.
    pub(super) partitions: RecordBatch,
    /// Rows of each, where they are known.
    pub(super) rows: Int64Array,
    /// The least values of columns, the greatest, and how many are NULL.
    pub(super) bounds: Bounds,
}

/// What the log knows of the columns of each file, where it knows it.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    pub(super) least: Option<StructArray>,
    pub(super) greatest: Option<StructArray>,
    pub(super) nulls: Option<StructArray>,
}

impl SnapshotFiles {
    /// Of a table as loaded; `None` when a file is not below the table, or its partition has a value that is no value here.
    ///
    /// # Errors
    /// When the log as loaded cannot be read.
    pub(super) fn of(table: &DeltaTable, columns: &Columns) -> Result<Option<Self>, DataFusionError> {
        let state = table.snapshot().map_err(external)?;
        let log = state.add_actions_table(false).map_err(external)?;
        let root = folder(table.log_store().root_url());
        let Some(partitions) = partitions(state, &log, columns)? else { return Ok(None) };
        let (paths, sizes) = (column(&log, "path")?, column(&log, "size_bytes")?);
        let (paths, sizes) = (cast(paths, &DataType::Utf8)?, cast(sizes, &DataType::UInt64)?);
        let rows = cast(column(&log, "num_records")?, &DataType::Int64)?.as_primitive::<Int64Type>().clone();
        let sizes = sizes.as_primitive::<arrow::datatypes::UInt64Type>();
        let mut files = Vec::with_capacity(log.num_rows());
        for (file, path) in paths.as_string::<i32>().iter().enumerate() {
            let Some(location) = path.and_then(|path| location(&root, path)) else { return Ok(None) };
            let known = rows.is_valid(file).then(|| usize::try_from(rows.value(file)).ok()).flatten();
            let values = partitions.columns().iter().map(|values| ScalarValue::try_from_array(values, file));
            files.push(found(location, sizes.value(file), known, values.collect::<Result<_, _>>()?));
        }
        let part = |name| log.column_by_name(name).and_then(|part| part.as_struct_opt()).cloned();
        let bounds = Bounds { least: part("min"), greatest: part("max"), nulls: part("null_count") };
        Ok(Some(Self { store: root.as_object_store_url(), files, partitions, rows, bounds }))
    }
}

/// The URL of a folder ends in a slash, so that it can be added to.
fn folder(url: &Url) -> Url {
    let mut folder = url.clone();
    if !folder.path().ends_with('/') {
        folder.set_path(&format!("{}/", url.path()));
    }
    folder
}

fn found(location: Path, size: u64, rows: Option<usize>, values: Vec<ScalarValue>) -> PartitionedFile {
    // A name is given once, so the time of writing distinguishes nothing.
    let meta = ObjectMeta { location, size, last_modified: chrono::DateTime::UNIX_EPOCH, e_tag: None, version: None };
    let mut file = PartitionedFile::new_from_meta(meta).with_partition_values(values);
    file.statistics = Some(Arc::new(Statistics {
        num_rows: rows.map_or(Precision::Absent, Precision::Exact),
        total_byte_size: usize::try_from(size).map_or(Precision::Absent, Precision::Exact),
        column_statistics: Vec::new(),
    }));
    file
}

/// Where a file is: the log encodes its path as a part of a URL. `None` when it is not below the table.
fn location(root: &Url, path: &str) -> Option<Path> {
    if Url::parse(path).is_ok() {
        return None;
    }
    let url = root.join(path).ok()?;
    if !url.as_str().starts_with(root.as_str()) {
        return None;
    }
    Path::from_url_path(url.path()).ok()
}

/// The values that name the partitions, with the types that the table shows.
fn partitions(
    state: &DeltaTableState,
    log: &RecordBatch,
    columns: &Columns,
) -> Result<Option<RecordBatch>, DataFusionError> {
    let wanted = columns.partition();
    let values = log.column_by_name("partition").and_then(|values| values.as_struct_opt());
    let mut arrays = Vec::new();
    for field in wanted.fields() {
        let Some(values) = values.and_then(|values| values.column_by_name(field.name())) else { return Ok(None) };
        if values.null_count() > 0 && (!field.is_nullable() || has_empty_text(state, field.name())) {
            return Ok(None);
        }
        arrays.push(cast(values, field.data_type())?);
    }
    Ok(Some(RecordBatch::try_new(Arc::clone(wanted), arrays)?))
}

/// Whether a partition is named by the text of no letters, which readers of Delta take for different values.
fn has_empty_text(state: &DeltaTableState, column: &str) -> bool {
    state
        .log_data()
        .iter()
        .any(|file| file.partition_values_map().get(column).is_some_and(|value| value.as_deref() == Some("")))
}

fn column<'a>(log: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, DataFusionError> {
    log.column_by_name(name).ok_or_else(|| external(DeltaTableError::generic(format!("the log has no {name}"))))
}

pub(super) fn external(error: DeltaTableError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

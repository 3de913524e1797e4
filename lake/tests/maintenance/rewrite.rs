//! Rewrites of data files made by hand: the inputs read whole, one output written.

use std::collections::BTreeMap;

use arrow::{
    array::RecordBatch,
    compute::{concat_batches, filter_record_batch},
    util::display::{ArrayFormatter, FormatOptions},
};
use bluelake_lake::{
    ContentChange, ContentDigest, InputFile, MaintainedTable, NewFile, REJECTED_EVENTS, RowChange, Task, TaskKind,
};
use bluelake_schemas::Stream;
use object_store::{ObjectStoreExt as _, path::Path};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use sha2::{Digest as _, Sha256};

use crate::fixture::STREAM;

/// The files of a table as last loaded.
pub(crate) fn active(table: &MaintainedTable) -> Vec<InputFile> {
    let state = table.delta_table().snapshot().unwrap();
    let file = |file: deltalake::kernel::LogicalFileView| InputFile {
        path: file.object_store_path().to_string(),
        size: u64::try_from(file.size()).unwrap(),
        rows: u64::try_from(file.num_records().unwrap()).unwrap(),
    };
    let mut files: Vec<InputFile> = state.log_data().iter().map(file).collect();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files
}

/// A task that writes the rows of `inputs`, all of one partition, to one file, without the row numbers in `dropped`. A
/// file without rows is not written.
pub(crate) async fn rewrite(
    table: &MaintainedTable,
    kind: TaskKind,
    inputs: Vec<InputFile>,
    dropped: &[usize],
) -> Task {
    let mut task = table.begin(kind).await.unwrap();
    let before = read(table, &inputs).await;
    let kept: arrow::array::BooleanArray = (0..before.num_rows()).map(|row| Some(!dropped.contains(&row))).collect();
    let after = filter_record_batch(&before, &kept).unwrap();
    if after.num_rows() > 0 {
        let folder = inputs[0].path.rsplit_once('/').unwrap().0.to_owned();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, after.schema(), None).unwrap();
        writer.write(&after).unwrap();
        writer.close().unwrap();
        let values = folder.split('/').map(|part| part.split_once('=').unwrap());
        let file = NewFile {
            path: format!("{folder}/{}-00000.parquet", task.id),
            partition_values: values.map(|(column, value)| (column.to_owned(), value.to_owned())).collect(),
            bytes: bytes.into(),
            rows: u64::try_from(after.num_rows()).unwrap(),
            statistics: format!("{{\"numRecords\":{}}}", after.num_rows()),
        };
        task.outputs.push(table.uploader().upload(file).await.unwrap());
    }
    let change = RowChange {
        before: u64::try_from(before.num_rows()).unwrap(),
        after: u64::try_from(after.num_rows()).unwrap(),
    };
    task.rows = BTreeMap::from([(stream_of(table, &inputs), change)]);
    task.content = Some(ContentChange { before: content(&before), after: content(&after) });
    task.inputs = inputs;
    task
}

fn stream_of(table: &MaintainedTable, inputs: &[InputFile]) -> Stream {
    if table.name() != REJECTED_EVENTS {
        return STREAM;
    }
    let folder = |stream: &Stream| format!("stream={}/", stream.name());
    Stream::ALL.into_iter().find(|stream| inputs[0].path.starts_with(&folder(stream))).unwrap()
}

async fn read(table: &MaintainedTable, inputs: &[InputFile]) -> RecordBatch {
    let store = table.delta_table().object_store();
    let mut batches = Vec::new();
    for input in inputs {
        let bytes = store.get(&Path::parse(&input.path).unwrap()).await.unwrap().bytes().await.unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap().build().unwrap();
        batches.extend(reader.map(Result::unwrap));
    }
    concat_batches(&batches[0].schema(), &batches).unwrap()
}

fn content(rows: &RecordBatch) -> ContentDigest {
    let options = FormatOptions::default();
    let columns: Vec<_> =
        rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let hash = |row| {
        let texts: Vec<String> = columns.iter().map(|column| column.value(row).to_string()).collect();
        let hash: [u8; 32] = Sha256::digest(texts.join("\u{1f}")).into();
        u128::from_le_bytes(*hash.first_chunk().unwrap())
    };
    ContentDigest::new((0..rows.num_rows()).map(hash).fold(0, u128::wrapping_add))
}

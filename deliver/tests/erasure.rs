//! Rows that an erasure changed or took away, by position. The records are made by hand, as an erasure makes them.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::{ArrayRef, AsArray as _, BooleanArray, Int32Array, RecordBatch, StringArray},
    compute::{concat_batches, filter_record_batch},
};
use bluelake_lake::{
    ContentChange, ContentDigest, InputFile, MaintainedTable, NewFile, RowChange, TaskKind, TaskOutcome, touched_path,
};
use bluelake_schemas::Stream;
use object_store::{ObjectStoreExt as _, path::Path};
use parquet::arrow::{ArrowWriter, arrow_reader::ParquetRecordBatchReaderBuilder};
use uuid::Uuid;

use crate::{
    server::{Server, value},
    world::{World, deliver, moved},
};

/// Erases a user: the first of each three of its events goes, of the others the e-mail and the name are taken out. Gives the
/// number of rows that went and of those that changed.
pub(crate) async fn erase(world: &World, user: &str, with_list: bool) -> (u64, u64) {
    let stream = Stream::UserEvents;
    let mut table = MaintainedTable::open(&world.lake, stream.table(), "erase").await.unwrap();
    let mut task = table.begin(TaskKind::Erase { request: Uuid::from_u128(1) }).await.unwrap();
    let (files, _) = table.files().unwrap();
    let mut touched: Vec<(String, String, String, i32, &str)> = Vec::new();
    let mut by_folder: BTreeMap<String, Vec<InputFile>> = BTreeMap::new();
    for file in &files {
        by_folder.entry(file.path.rsplit_once('/').unwrap().0.to_owned()).or_default().push(file.into());
    }
    let (mut before, mut after) = (0, 0);
    for (number, (folder, inputs)) in by_folder.into_iter().enumerate() {
        let rows = read(&table, &inputs).await;
        let ids = rows.column_by_name("user_id").unwrap().as_string::<i32>();
        let mut kept = Vec::new();
        for row in 0..rows.num_rows() {
            let is_gone = ids.value(row) == user && touched.len().is_multiple_of(3);
            if ids.value(row) == user {
                let text = |name: &str| rows.column_by_name(name).unwrap().as_string::<i32>().value(row).to_owned();
                let what = if is_gone { "gone" } else { "rewritten" };
                touched.push((text("stream_shard"), text("stream_sequence"), text("event_id"), 0, what));
            }
            kept.push(!is_gone);
        }
        if !ids.iter().any(|id| id == Some(user)) {
            continue;
        }
        let rewritten = filter_record_batch(&without_person(&rows, user), &BooleanArray::from(kept)).unwrap();
        before += u64::try_from(rows.num_rows()).unwrap();
        after += u64::try_from(rewritten.num_rows()).unwrap();
        if rewritten.num_rows() > 0 {
            let values = folder.split('/').map(|part| part.split_once('=').unwrap());
            let count = rewritten.num_rows();
            let file = NewFile {
                path: format!("{folder}/{}-{number:05}.parquet", task.id),
                partition_values: values.map(|(column, value)| (column.to_owned(), value.to_owned())).collect(),
                bytes: parquet(&rewritten).into(),
                rows: u64::try_from(count).unwrap(),
                statistics: format!("{{\"numRecords\":{count}}}"),
            };
            task.outputs.push(table.uploader().upload(file).await.unwrap());
        }
        task.inputs.extend(inputs);
    }
    task.rows = BTreeMap::from([(stream, RowChange { before, after })]);
    task.content = Some(ContentChange { before: ContentDigest::new(1), after: ContentDigest::new(2) });
    if with_list {
        let place = Path::from(touched_path(task.id));
        table.delta_table().object_store().put(&place, list(&touched).into()).await.unwrap();
    }
    let outcome = table.commit(&task).await.unwrap();
    assert!(matches!(outcome, TaskOutcome::Committed { .. }), "{outcome:?}");
    let count = |wanted| u64::try_from(touched.iter().filter(|row| row.4 == wanted).count()).unwrap();
    (count("gone"), count("rewritten"))
}

fn parquet(rows: &RecordBatch) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, rows.schema(), None).unwrap();
    writer.write(rows).unwrap();
    writer.close().unwrap();
    bytes
}

fn list(touched: &[(String, String, String, i32, &str)]) -> Vec<u8> {
    let text = |of: fn(&(String, String, String, i32, &str)) -> String| -> ArrayRef {
        Arc::new(touched.iter().map(|row| Some(of(row))).collect::<StringArray>())
    };
    let columns: [(&str, ArrayRef); 5] = [
        ("stream_shard", text(|row| row.0.clone())),
        ("stream_sequence", text(|row| row.1.clone())),
        ("stream_sub_sequence", Arc::new(touched.iter().map(|row| Some(row.3)).collect::<Int32Array>())),
        ("event_id", text(|row| row.2.clone())),
        ("what", text(|row| row.4.to_owned())),
    ];
    parquet(&RecordBatch::try_from_iter(columns).unwrap())
}

fn without_person(rows: &RecordBatch, user: &str) -> RecordBatch {
    let ids = rows.column_by_name("user_id").unwrap().as_string::<i32>();
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| -> ArrayRef {
        if !["email", "display_name"].contains(&field.name().as_str()) {
            return column.clone();
        }
        let values = column.as_string::<i32>();
        let kept = |row| (!ids.value(row).eq(user)).then(|| values.iter().nth(row).flatten()).flatten();
        Arc::new((0..rows.num_rows()).map(kept).collect::<StringArray>())
    });
    RecordBatch::try_new(rows.schema(), columns.collect()).unwrap()
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

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_changed_or_gone_reach_the_target_by_position() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(400).await;
    deliver(&world, &server).await;
    let (gone, rewritten) = erase(&world, "user-3", true).await;
    assert!(gone > 1 && rewritten > 2, "{gone} {rewritten}");
    let delivered = deliver(&world, &server).await;
    assert_eq!(moved(&delivered, "user_events"), (rewritten, gone + rewritten), "no other row is touched");
    world.expect_equal(&server, "lake").await;
    let client = server.client().await;
    let left = "SELECT count(*) FROM lake.user_events e JOIN lake.users u USING (user_id) WHERE user_id = 'user-3' \
                AND (e.email IS NOT NULL OR u.email IS NOT NULL OR u.display_name IS NOT NULL)";
    assert_eq!(value(&client, left).await, "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_down_gets_batches_and_erasures_in_order() {
    let Some(server) = Server::start().await else { return };
    let mut world = World::new().await;
    world.add_users(100).await;
    deliver(&world, &server).await;
    world.add_users(100).await;
    erase(&world, "user-5", true).await;
    world.add_users(100).await;
    // Without the list its partitions are loaded anew.
    erase(&world, "user-6", false).await;
    world.add_users(50).await;
    deliver(&world, &server).await;
    world.expect_equal(&server, "lake").await;
}

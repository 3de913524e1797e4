//! Files for readers: old ones without numbers and without partition columns, and today's.

use std::sync::Arc;

use arrow::{
    array::RecordBatch,
    datatypes::Schema,
    util::display::{ArrayFormatter, FormatOptions},
};
use bluelake_lake::{AsOf, Batch, Position, StreamTable, VerifyOptions, verify};
use bluelake_schemas::{EVENT_PARTITIONS, REJECTED_PARTITIONS, rejected_events_schema, without_field_ids};
use bluelake_transform::{PartitionRows, Partitions, TableLayout, encode};
use datafusion::prelude::SessionContext;

use crate::fixture::{Fixture, RowShape, STREAM, advance, after, batch, empty, pin, rows_of, upload_file};

const SHARD: &str = "shardId-0";

/// Rows of old files: the partition columns only in the folder's name, and no numbers.
fn as_before(rows: &RecordBatch, partitions: &[&str]) -> RecordBatch {
    let schema = Arc::new(Schema::new(without_field_ids(&rows.schema())));
    let plain = rows.columns().iter().zip(schema.fields());
    let columns = plain.map(|(column, field)| arrow::compute::cast(column, field.data_type()).unwrap()).collect();
    let kept: Vec<usize> = (0..schema.fields().len())
        .filter(|index| !partitions.contains(&schema.field(*index).name().as_str()))
        .collect();
    RecordBatch::try_new(schema, columns).unwrap().project(&kept).unwrap()
}

/// A batch like that of [`batch`], with old files.
async fn batch_of_before(table: &StreamTable, from: Position, sequences: std::ops::RangeInclusive<u32>) -> Batch {
    let rows: Vec<u32> = sequences.collect();
    let stored = u64::try_from(rows.len()).unwrap();
    let step = advance(SHARD, Some(from), after(*rows.last().unwrap()), stored, 1);
    let mut batch = empty(table, vec![step]);
    let events = rows_of(&table_schema(), SHARD, &rows, RowShape::default());
    let rejected = rows_of(&rejected_events_schema(), SHARD, &rows[..1], RowShape::default());
    for (rows, layout, partitions) in
        [(events, TableLayout::EVENTS, EVENT_PARTITIONS), (rejected, TableLayout::REJECTED, REJECTED_PARTITIONS)]
    {
        for (number, part) in Partitions::plan(vec![rows], layout, 1_000).unwrap().enumerate() {
            let PartitionRows { text_value, date_value, rows } = part.unwrap();
            let part = PartitionRows { text_value, date_value, rows: as_before(&rows, &partitions) };
            let file = encode(&part, layout).unwrap();
            if layout == TableLayout::EVENTS {
                batch.files.push(upload_file(&table.event_uploader(), batch.id, number, file).await);
            } else {
                batch.rejected_files.push(upload_file(&table.rejected_uploader(), batch.id, number, file).await);
            }
        }
    }
    batch
}

fn table_schema() -> arrow::datatypes::SchemaRef {
    bluelake_schemas::Contract::embedded().unwrap().stream(STREAM).table_schema()
}

/// The answer to a statement over the newest version, a line for each row.
async fn answer(fixture: &Fixture, sql: &str) -> Vec<String> {
    let context = SessionContext::new();
    for table in fixture.lake.read(&AsOf::Newest).await.unwrap().tables {
        context.register_table(table.name.as_str(), table.provider).unwrap();
    }
    let batches = context.sql(sql).await.unwrap().collect().await.unwrap();
    let mut lines = Vec::new();
    for batch in batches {
        let options = FormatOptions::default().with_null("null");
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            let values: Vec<_> = columns.iter().map(|column| column.value(row).to_string()).collect();
            lines.push(values.join(" "));
        }
    }
    lines
}

#[tokio::test]
async fn partition_values_are_those_of_the_log() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let mut batch = empty(&table, vec![advance(SHARD, Some(Position::TrimHorizon), after(3), 3, 0)]);
    let rows = rows_of(&table_schema(), SHARD, &[1, 2, 3], RowShape::default());
    let part = Partitions::plan(vec![rows], TableLayout::EVENTS, 1_000).unwrap().next().unwrap().unwrap();
    assert_eq!(part.text_value, "donation");
    // The rows themselves have donation, and the previous day.
    let part = PartitionRows { text_value: "transfer".to_owned(), date_value: part.date_value + 1, rows: part.rows };
    let file = encode(&part, TableLayout::EVENTS).unwrap();
    batch.files = vec![upload_file(&table.event_uploader(), batch.id, 0, file).await];
    table.commit(&batch).await.unwrap();
    let all = "SELECT event_type, event_date, count(*) FROM transactions GROUP BY ALL";
    assert_eq!(answer(&fixture, all).await, ["transfer 2026-01-02 3"]);
    for (condition, rows) in [
        ("event_type = 'transfer'", "3"),
        ("event_type = 'donation'", "0"),
        ("event_date = DATE '2026-01-02' AND event_type LIKE 'trans%'", "3"),
        ("event_date = DATE '2026-01-01'", "0"),
        ("event_type = 'donation' OR stream_sequence = '2'", "1"),
        ("event_type <> 'donation' AND stream_sequence > '1'", "2"),
    ] {
        let sql = format!("SELECT count(*) FROM transactions WHERE {condition}");
        assert_eq!(answer(&fixture, &sql).await, [rows], "{condition}");
    }
}

#[tokio::test]
async fn files_of_both_kinds_are_one_table() {
    let fixture = Fixture::new().await;
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let first = batch_of_before(&table, Position::TrimHorizon, 1..=4).await;
    table.commit(&first).await.unwrap();
    let second = batch(&table, SHARD, after(4), 5..=9, 2).await;
    table.commit(&second).await.unwrap();
    let statistics = |batch: &Batch| batch.files[0].statistics.clone();
    assert!(statistics(&first).contains("numRecords") && statistics(&second).contains("numRecords"));

    let sequences: Vec<String> = (1..=9).map(|sequence| sequence.to_string()).collect();
    assert_eq!(fixture.sequences().await, sequences);
    assert_eq!(fixture.rejected_rows().await, 3);
    for (sql, expected) in [
        ("SELECT event_type, event_date, count(*) FROM transactions GROUP BY ALL", "donation 2026-01-01 9"),
        ("SELECT count(*), count(items), count(extras), count(zip_code) FROM transactions", "9 0 0 0"),
        ("SELECT count(*) FROM transactions WHERE extras IS NULL AND items IS NULL", "9"),
        ("SELECT count(*) FROM transactions WHERE extras IS NOT NULL OR points IS NOT NULL", "0"),
        ("SELECT count(*) FROM transactions WHERE event_type = 'donation' AND stream_sequence IN ('2', '7')", "2"),
        ("SELECT count(*) FROM transactions WHERE event_date > DATE '2026-01-01'", "0"),
        ("SELECT stream, arrival_date, count(*) FROM rejected_events GROUP BY ALL", "transaction-events 2026-01-01 3"),
    ] {
        assert_eq!(answer(&fixture, sql).await, [expected], "{sql}");
    }
    let report = verify(&fixture.lake, &VerifyOptions { deep: true, ..VerifyOptions::default() }).await.unwrap();
    assert!(report.holds, "{report:?}");
}

#[tokio::test]
async fn the_log_knows_no_numbers_of_columns() {
    let fixture = Fixture::new().await;
    for name in ["transactions", "user_events", "rejected_events"] {
        let table = fixture.lake.table(name).await.unwrap();
        let schema = serde_json::to_string(&table.snapshot().unwrap().schema()).unwrap();
        assert!(schema.contains("description"), "{schema}");
        for number in ["field_id", "field.id", "columnMapping"] {
            assert!(!schema.contains(number), "{name}: {schema}");
        }
    }
}

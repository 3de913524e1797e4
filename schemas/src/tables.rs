//! The Arrow schemas of the three tables, and the columns that Bluelake adds to the contract's.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field as Column, Fields, Schema, SchemaRef, TimeUnit};

use crate::contract::{Field, FieldKind, StreamContract};

/// Partition columns of the event tables, outermost first.
pub const EVENT_PARTITIONS: [&str; 2] = ["event_type", "event_date"];

/// Partition columns of `rejected_events`, outermost first.
pub const REJECTED_PARTITIONS: [&str; 2] = ["stream", "arrival_date"];

/// Name of the table of rejected events.
pub const REJECTED_TABLE: &str = "rejected_events";

/// Columns that every event table has after the contract's, in this order.
pub const LINEAGE_COLUMNS: [&str; 6] =
    ["extras", "stream_shard", "stream_sequence", "stream_sub_sequence", "arrived_at", "event_date"];

/// Key of a column's metadata that holds its description.
pub const DESCRIPTION_KEY: &str = "description";

/// Name of a list's entries, as Delta and Parquet have it.
const LIST_ENTRY: &str = "element";

const SHARD: (&str, &str) = ("stream_shard", "Shard that the record came from.");
const SEQUENCE: (&str, &str) =
    ("stream_sequence", "Sequence number of the record in its shard, a decimal number wider than 128 bits.");
const SUB_SEQUENCE: (&str, &str) = ("stream_sub_sequence", "Position inside the record, from 0.");
const ARRIVED_AT: (&str, &str) = ("arrived_at", "When the stream received the record.");

/// Whether Bluelake adds a column of this name to the event tables.
pub(crate) fn is_reserved(name: &str) -> bool {
    LINEAGE_COLUMNS.contains(&name)
}

/// Schema of `rejected_events`, partition columns included: the event's bytes, why it was rejected, where it came from.
pub fn rejected_events_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        column("stream", DataType::Utf8, false, "Stream that the record came from."),
        column("reason", DataType::Utf8, false, "Reason code; never holds a value of the event."),
        column("field_path", DataType::Utf8, true, "Field that the reason is about, as in items[2].sku."),
        column("event_bytes", DataType::Binary, false, "The event exactly as it arrived."),
        column("contract_version", DataType::Int32, false, "Version of the contract that judged it."),
        column(SHARD.0, DataType::Utf8, false, SHARD.1),
        column(SEQUENCE.0, DataType::Utf8, false, SEQUENCE.1),
        column(SUB_SEQUENCE.0, DataType::Int32, false, SUB_SEQUENCE.1),
        column(ARRIVED_AT.0, timestamp(), false, ARRIVED_AT.1),
        column("arrival_date", DataType::Date32, false, "UTC date of arrived_at."),
    ]))
}

/// Schema of a stream's table: envelope, the stream's fields that are kept, extras and lineage.
pub(crate) fn event_table_schema(contract: &StreamContract) -> SchemaRef {
    let kept = contract.all_fields().filter(|field| field.is_kept());
    let mut columns: Vec<Column> = kept.map(|field| contract_column(contract, field)).collect();
    columns.extend([
        column("extras", DataType::Utf8, true, "JSON object of the fields that the contract does not know, verbatim."),
        column(SHARD.0, DataType::Utf8, false, SHARD.1),
        column(SEQUENCE.0, DataType::Utf8, false, SEQUENCE.1),
        column(SUB_SEQUENCE.0, DataType::Int32, false, SUB_SEQUENCE.1),
        column(ARRIVED_AT.0, timestamp(), false, ARRIVED_AT.1),
        column("event_date", DataType::Date32, false, "UTC date of occurred_at."),
    ]);
    Arc::new(Schema::new(columns))
}

fn contract_column(contract: &StreamContract, field: &Field) -> Column {
    let in_every_type = contract.event_types().iter().all(|event_type| field.required_in.contains(&event_type.name));
    // An absent schema version is stored as 1.
    let nullable = !in_every_type && field.kind != FieldKind::SchemaVersion;
    column(&field.name, data_type(&field.kind), nullable, &field.description)
}

fn data_type(kind: &FieldKind) -> DataType {
    match kind {
        FieldKind::String { .. } | FieldKind::Enum { .. } | FieldKind::EventType => DataType::Utf8,
        FieldKind::Integer { .. } => DataType::Int64,
        FieldKind::Number { .. } => DataType::Float64,
        FieldKind::Boolean => DataType::Boolean,
        FieldKind::Timestamp => timestamp(),
        FieldKind::SchemaVersion => DataType::Int32,
        FieldKind::List { fields } => {
            // Nullable inside, so that the contract may later ask for less.
            let entry =
                fields.iter().map(|field| column(&field.name, data_type(&field.kind), true, &field.description));
            let entry = DataType::Struct(entry.collect::<Fields>());
            DataType::List(Arc::new(Column::new(LIST_ENTRY, entry, true)))
        }
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn column(name: &str, data_type: DataType, nullable: bool, description: &str) -> Column {
    let metadata = HashMap::from([(DESCRIPTION_KEY.to_owned(), description.to_owned())]);
    Column::new(name, data_type, nullable).with_metadata(metadata)
}

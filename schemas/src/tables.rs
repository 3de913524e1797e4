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

/// Key of a column's metadata that holds its number. Where Arrow's schema has it, a Parquet file has it too.
pub const FIELD_ID_KEY: &str = "PARQUET:field_id";

/// Name of a list's entries, as Delta and Parquet have it.
pub(crate) const LIST_ENTRY: &str = "element";

/// A column that Bluelake adds.
struct OwnColumn {
    name: &'static str,
    /// Its number: below 100, and never used for another column (see `field_ids.rs`).
    field_id: i32,
    description: &'static str,
}

const fn own(name: &'static str, field_id: i32, description: &'static str) -> OwnColumn {
    OwnColumn { name, field_id, description }
}

const EXTRAS: OwnColumn = own("extras", 1, "JSON object of the fields that the contract does not know, verbatim.");
const SHARD: OwnColumn = own("stream_shard", 2, "Shard that the record came from.");
const SEQUENCE: OwnColumn =
    own("stream_sequence", 3, "Sequence number of the record in its shard, a decimal number wider than 128 bits.");
const SUB_SEQUENCE: OwnColumn = own("stream_sub_sequence", 4, "Position inside the record, from 0.");
const ARRIVED_AT: OwnColumn = own("arrived_at", 5, "When the stream received the record.");
const EVENT_DATE: OwnColumn = own("event_date", 6, "UTC date of occurred_at.");
const STREAM: OwnColumn = own("stream", 7, "Stream that the record came from.");
const REASON: OwnColumn = own("reason", 8, "Reason code; never holds a value of the event.");
const FIELD_PATH: OwnColumn = own("field_path", 9, "Field that the reason is about, as in items[2].sku.");
const EVENT_BYTES: OwnColumn = own("event_bytes", 10, "The event exactly as it arrived.");
const CONTRACT_VERSION: OwnColumn = own("contract_version", 11, "Version of the contract that judged it.");
const ARRIVAL_DATE: OwnColumn = own("arrival_date", 12, "UTC date of arrived_at.");

/// Whether Bluelake adds a column of this name to the event tables.
pub(crate) fn is_reserved(name: &str) -> bool {
    LINEAGE_COLUMNS.contains(&name)
}

/// Schema of `rejected_events`, partition columns included: the event's bytes, why it was rejected, where it came from.
/// Each column has its description and its number as metadata.
pub fn rejected_events_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        own_column(&STREAM, DataType::Utf8, false),
        own_column(&REASON, DataType::Utf8, false),
        own_column(&FIELD_PATH, DataType::Utf8, true),
        own_column(&EVENT_BYTES, DataType::Binary, false),
        own_column(&CONTRACT_VERSION, DataType::Int32, false),
        own_column(&SHARD, DataType::Utf8, false),
        own_column(&SEQUENCE, DataType::Utf8, false),
        own_column(&SUB_SEQUENCE, DataType::Int32, false),
        own_column(&ARRIVED_AT, timestamp(), false),
        own_column(&ARRIVAL_DATE, DataType::Date32, false),
    ]))
}

/// Schema of a stream's table: envelope, the stream's fields that are kept, extras and lineage.
pub(crate) fn event_table_schema(contract: &StreamContract) -> SchemaRef {
    let kept = contract.all_fields().filter(|field| field.is_kept());
    let mut columns: Vec<Column> = kept.map(|field| contract_column(contract, field)).collect();
    columns.extend([
        own_column(&EXTRAS, DataType::Utf8, true),
        own_column(&SHARD, DataType::Utf8, false),
        own_column(&SEQUENCE, DataType::Utf8, false),
        own_column(&SUB_SEQUENCE, DataType::Int32, false),
        own_column(&ARRIVED_AT, timestamp(), false),
        own_column(&EVENT_DATE, DataType::Date32, false),
    ]);
    Arc::new(Schema::new(columns))
}

/// The columns of a schema without their numbers, which only files have: the log knows columns by their names.
pub fn without_field_ids(schema: &Schema) -> Vec<Column> {
    schema.fields().iter().map(|column| unnumbered(column)).collect()
}

fn unnumbered(column: &Column) -> Column {
    let data_type = match column.data_type() {
        DataType::List(entry) => DataType::List(Arc::new(unnumbered(entry))),
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| unnumbered(field)).collect()),
        other => other.clone(),
    };
    let mut metadata = column.metadata().clone();
    metadata.remove(FIELD_ID_KEY);
    Column::new(column.name(), data_type, column.is_nullable()).with_metadata(metadata)
}

fn contract_column(contract: &StreamContract, field: &Field) -> Column {
    let in_every_type = contract.event_types().iter().all(|event_type| field.required_in.contains(&event_type.name));
    // An absent schema version is stored as 1.
    let nullable = !in_every_type && field.kind != FieldKind::SchemaVersion;
    field_column(field, nullable)
}

fn field_column(field: &Field, nullable: bool) -> Column {
    let metadata = metadata(field.field_id, Some(&field.description));
    Column::new(&field.name, data_type(&field.kind), nullable).with_metadata(metadata)
}

fn data_type(kind: &FieldKind) -> DataType {
    match kind {
        FieldKind::String { .. } | FieldKind::Enum { .. } | FieldKind::EventType => DataType::Utf8,
        FieldKind::Integer { .. } => DataType::Int64,
        FieldKind::Number { .. } => DataType::Float64,
        FieldKind::Boolean => DataType::Boolean,
        FieldKind::Timestamp => timestamp(),
        FieldKind::SchemaVersion => DataType::Int32,
        FieldKind::List { entry_field_id, fields } => {
            // Nullable inside, so that the contract may later ask for less.
            let entry = fields.iter().map(|field| field_column(field, true));
            let entry = DataType::Struct(entry.collect::<Fields>());
            let entry = Column::new(LIST_ENTRY, entry, true).with_metadata(metadata(*entry_field_id, None));
            DataType::List(Arc::new(entry))
        }
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

fn own_column(own: &OwnColumn, data_type: DataType, nullable: bool) -> Column {
    Column::new(own.name, data_type, nullable).with_metadata(metadata(Some(own.field_id), Some(own.description)))
}

fn metadata(field_id: Option<i32>, description: Option<&str>) -> HashMap<String, String> {
    let field_id = field_id.map(|id| (FIELD_ID_KEY.to_owned(), id.to_string()));
    let description = description.map(|description| (DESCRIPTION_KEY.to_owned(), description.to_owned()));
    field_id.into_iter().chain(description).collect()
}

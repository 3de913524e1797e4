//! The data dictionary: what each column of each table means, for people and for catalogues.

use arrow::datatypes::{DataType, Field as Column, SchemaRef};
use serde::Serialize;

use crate::contract::{Contract, Field, StreamContract};
use crate::stream::Stream;
use crate::tables::{DESCRIPTION_KEY, REJECTED_TABLE, rejected_events_schema};

/// Columns of Bluelake's own that keep the bytes of producers as they are, personal data included.
const MAY_HOLD_ANYTHING: [&str; 2] = ["extras", "event_bytes"];

/// The entry of one column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DictionaryRow {
    /// Table.
    pub table: String,
    /// Column.
    pub column: String,
    /// Type in words of SQL, for example `bigint`.
    #[serde(rename = "type")]
    pub data_type: String,
    /// Event types whose events have it; empty for columns that Bluelake adds to every row.
    pub event_types: Vec<String>,
    /// Event types whose events must have it.
    pub required_in: Vec<String>,
    /// Whether every row has a value.
    pub required: bool,
    /// Whether it holds personal data.
    pub pii: bool,
    /// Unit of a number, in words.
    pub unit: Option<String>,
    /// What it means.
    pub description: String,
}

pub(crate) fn of_contract(contract: &Contract) -> Vec<DictionaryRow> {
    let mut rows = Vec::new();
    for stream in Stream::ALL {
        rows.extend(of_stream(contract.stream(stream)));
    }
    rows.extend(of_table(REJECTED_TABLE, &rejected_events_schema(), |_| None));
    rows
}

fn of_stream(contract: &StreamContract) -> Vec<DictionaryRow> {
    let find = |name: &str| contract.all_fields().find(|field| field.name == name);
    of_table(contract.stream().table(), &contract.table_schema(), find)
}

fn of_table<'a>(table: &str, schema: &SchemaRef, find: impl Fn(&str) -> Option<&'a Field>) -> Vec<DictionaryRow> {
    schema.fields().iter().map(|column| row(table, column, find(column.name()))).collect()
}

fn row(table: &str, column: &Column, field: Option<&Field>) -> DictionaryRow {
    DictionaryRow {
        table: table.to_owned(),
        column: column.name().clone(),
        data_type: type_in_words(column.data_type()),
        event_types: field
            .map(|field| [field.required_in.clone(), field.optional_in.clone()].concat())
            .unwrap_or_default(),
        required_in: field.map(|field| field.required_in.clone()).unwrap_or_default(),
        required: !column.is_nullable(),
        pii: field.map_or(MAY_HOLD_ANYTHING.contains(&column.name().as_str()), |field| field.pii),
        unit: field.and_then(|field| field.unit.clone()),
        description: column.metadata().get(DESCRIPTION_KEY).cloned().unwrap_or_default(),
    }
}

/// A column's type in words of SQL, for example `bigint`.
pub fn type_in_words(data_type: &DataType) -> String {
    match data_type {
        DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => "string".to_owned(),
        DataType::Int32 => "int".to_owned(),
        DataType::Int64 => "bigint".to_owned(),
        DataType::Float64 => "double".to_owned(),
        DataType::Boolean => "boolean".to_owned(),
        DataType::Binary | DataType::BinaryView | DataType::LargeBinary => "binary".to_owned(),
        DataType::Date32 => "date".to_owned(),
        DataType::Timestamp(..) => "timestamp (µs, UTC)".to_owned(),
        DataType::List(entry) => format!("array<{}>", type_in_words(entry.data_type())),
        DataType::Struct(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|field| format!("{}: {}", field.name(), type_in_words(field.data_type()))).collect();
            format!("struct<{}>", fields.join(", "))
        }
        other => other.to_string(),
    }
}

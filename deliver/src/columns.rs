//! Which columns of a table are delivered, and of which kind they are. Pure.

use std::{collections::BTreeSet, fmt, str::FromStr};

use arrow::{
    array::ArrayRef,
    compute::cast,
    datatypes::{DataType, Schema, TimeUnit},
};
use bluelake_lake::{REJECTED_EVENTS, partitions_of};
use bluelake_schemas::{Contract, FieldKind, Stream};

use crate::error::DeliverError;

/// The columns that a target wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Columns {
    /// All of them.
    #[default]
    All,
    /// Those without personal data, and without `extras`, which may hold anything.
    WithoutPersonal,
    /// These, and those that delivery needs: ids, times, kinds and the place in the stream.
    Named(BTreeSet<String>),
}

/// A text that names no columns.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no columns: write \"all\", \"without-personal\" or a list of names")]
pub struct NotColumns(String);

impl FromStr for Columns {
    type Err = NotColumns;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "without-personal" => Ok(Self::WithoutPersonal),
            other => Err(NotColumns(other.to_owned())),
        }
    }
}

impl fmt::Display for Columns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("all"),
            Self::WithoutPersonal => formatter.write_str("without-personal"),
            Self::Named(names) => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                write!(formatter, "[{}]", names.join(", "))
            }
        }
    }
}

/// What the values of a column are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Uuid,
    /// The text of a JSON object.
    Json,
    /// A list of objects.
    List,
    Integer,
    SmallInteger,
    Number,
    Truth,
    Timestamp,
    Date,
    Bytes,
}

/// A column that is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// The type that values have in the lake.
    pub(crate) data_type: DataType,
    pub(crate) nullable: bool,
    /// A number of points: part of what is added up for a proof.
    pub(crate) is_points: bool,
    /// The longest text that the contract has room for, in bytes; `None`: it has no bound.
    pub(crate) max_bytes: Option<usize>,
}

/// A table as it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) columns: Vec<Column>,
    /// The columns by whose values the rows are kept apart; the second is a day.
    pub(crate) partition: [&'static str; 2],
}

/// Columns without which rows could not be told apart, or the state of a user could not be worked out.
const NEEDED: [&str; 12] = [
    "event_id",
    "event_type",
    "event_date",
    "occurred_at",
    "arrived_at",
    "stream_shard",
    "stream_sequence",
    "stream_sub_sequence",
    "user_id",
    "status",
    "stream",
    "arrival_date",
];

impl Table {
    /// A table of the lake with these columns, of which those that the target wants are delivered.
    pub(crate) fn new(
        name: &'static str,
        schema: &Schema,
        contract: &Contract,
        wanted: &Columns,
    ) -> Result<Self, DeliverError> {
        let stream = Stream::ALL.into_iter().find(|stream| stream.table() == name);
        let fields: Vec<_> = stream.map(|stream| contract.stream(stream).all_fields().collect()).unwrap_or_default();
        let mut columns = Vec::new();
        for field in schema.fields() {
            let known = fields.iter().find(|known| known.name == *field.name());
            let is_own = name == REJECTED_EVENTS || bluelake_schemas::LINEAGE_COLUMNS.contains(&field.name().as_str());
            if known.is_none() && !is_own && *wanted == Columns::WithoutPersonal {
                return Err(fault(
                    name,
                    field.name(),
                    "the contract does not know it, so nobody knows whether it is personal data; give the contract with which the lake was written (--contract)",
                ));
            }
            let is_personal =
                known.is_some_and(|known| known.pii) || ["extras", "event_bytes"].contains(&field.name().as_str());
            let is_wanted = match wanted {
                Columns::All => true,
                Columns::WithoutPersonal => !is_personal,
                Columns::Named(names) => names.contains(field.name()),
            };
            if !is_wanted && !NEEDED.contains(&field.name().as_str()) {
                continue;
            }
            let unit = known.and_then(|known| known.unit.as_deref());
            columns.push(Column {
                name: field.name().clone(),
                kind: kind(name, field.name(), field.data_type())?,
                data_type: field.data_type().clone(),
                nullable: field.is_nullable(),
                is_points: unit == Some("points")
                    && known.is_some_and(|it| matches!(it.kind, FieldKind::Integer { .. })),
                max_bytes: known.and_then(|known| longest(&known.kind)),
            });
        }
        Ok(Self { name, columns, partition: partitions_of(name) })
    }

    /// What is told of a value that cannot be delivered.
    pub(crate) fn fault(&self, column: &str) -> impl Fn(String) -> DeliverError + use<> {
        let (table, column) = (self.name, column.to_owned());
        move |reason| fault(table, &column, &reason)
    }

    /// The place of a column.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    pub(crate) fn names(&self) -> Vec<&str> {
        self.columns.iter().map(|column| column.name.as_str()).collect()
    }
}

impl Column {
    /// Values of a file in the type of the lake. Another engine that rewrote the file may have chosen another form of it.
    pub(crate) fn values(&self, found: &ArrayRef) -> Result<ArrayRef, String> {
        if found.data_type() == &self.data_type {
            return Ok(found.clone());
        }
        cast(found, &self.data_type).map_err(|error| error.to_string())
    }
}

/// The longest text of a field.
fn longest(kind: &FieldKind) -> Option<usize> {
    match kind {
        // Room for values that the enum gets later.
        FieldKind::Enum { .. } => kind.text_bytes().max(Some(256)),
        _ => kind.text_bytes(),
    }
}

/// Names that no table of the contract has as a column.
pub(crate) fn unknown_columns(wanted: &Columns, contract: &Contract) -> Vec<String> {
    let Columns::Named(names) = wanted else { return Vec::new() };
    let mut known: BTreeSet<String> = NEEDED.map(str::to_owned).into();
    for stream in Stream::ALL {
        known.extend(contract.stream(stream).table_schema().fields().iter().map(|field| field.name().clone()));
    }
    known.extend(bluelake_schemas::rejected_events_schema().fields().iter().map(|field| field.name().clone()));
    names.difference(&known).cloned().collect()
}

fn kind(table: &str, name: &str, data_type: &DataType) -> Result<Kind, DeliverError> {
    Ok(match (name, data_type) {
        ("event_id", DataType::Utf8) => Kind::Uuid,
        ("extras", DataType::Utf8) => Kind::Json,
        (_, DataType::Utf8) => Kind::Text,
        (_, DataType::Int64) => Kind::Integer,
        (_, DataType::Int32) => Kind::SmallInteger,
        (_, DataType::Float64) => Kind::Number,
        (_, DataType::Boolean) => Kind::Truth,
        (_, DataType::Timestamp(TimeUnit::Microsecond, _)) => Kind::Timestamp,
        (_, DataType::Date32) => Kind::Date,
        (_, DataType::Binary) => Kind::Bytes,
        (_, DataType::List(_)) => Kind::List,
        (_, other) => return Err(fault(table, name, &format!("values of the type {other} cannot be delivered"))),
    })
}

fn fault(table: &str, column: &str, reason: &str) -> DeliverError {
    DeliverError::Value { table: table.to_owned(), column: column.to_owned(), reason: reason.to_owned() }
}

/// Transactions of the embedded contract as they are delivered.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) fn transactions(wanted: &Columns) -> (Table, Contract) {
    let contract = Contract::embedded().unwrap();
    let schema = contract.stream(Stream::TransactionEvents).table_schema();
    (Table::new("transactions", &schema, &contract, wanted).unwrap(), contract)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(stream: Stream, wanted: &Columns) -> Vec<String> {
        let contract = Contract::embedded().unwrap();
        let schema = contract.stream(stream).table_schema();
        let table = Table::new(stream.table(), &schema, &contract, wanted).unwrap();
        table.columns.into_iter().map(|column| column.name).collect()
    }

    #[test]
    fn all_columns_are_those_of_the_table() {
        let contract = Contract::embedded().unwrap();
        for stream in Stream::ALL {
            assert_eq!(names(stream, &Columns::All).len(), contract.stream(stream).table_schema().fields().len());
        }
    }

    #[test]
    fn personal_data_and_extras_stay_away() {
        let found = names(Stream::UserEvents, &Columns::WithoutPersonal);
        for personal in ["display_name", "email", "phone", "badge_number", "extras"] {
            assert!(!found.contains(&personal.to_owned()), "{personal}");
        }
        assert!(found.contains(&"zip_code".to_owned()) && found.contains(&"stream_sequence".to_owned()));
    }

    #[test]
    fn a_list_is_added_to_what_is_needed() {
        let found = names(Stream::TransactionEvents, &Columns::Named(["points".to_owned()].into()));
        let needed = found.iter().filter(|name| NEEDED.contains(&name.as_str())).count();
        assert_eq!((found.len() - needed, found.contains(&"points".to_owned())), (1, true));
        let contract = Contract::embedded().unwrap();
        let wanted = Columns::Named(["points", "pionts"].map(str::to_owned).into());
        assert_eq!(unknown_columns(&wanted, &contract), ["pionts"]);
    }

    #[test]
    fn a_column_that_the_contract_does_not_know_is_not_given_away_as_harmless() {
        let contract = Contract::embedded().unwrap();
        let mut fields = contract.stream(Stream::UserEvents).table_schema().fields().to_vec();
        fields.push(std::sync::Arc::new(arrow::datatypes::Field::new("ssn", DataType::Utf8, true)));
        let schema = Schema::new(fields);
        let table = |wanted| Table::new("user_events", &schema, &contract, &wanted);
        assert!(table(Columns::WithoutPersonal).unwrap_err().to_string().contains("--contract"));
        assert!(table(Columns::All).unwrap().place("ssn").is_some());
    }

    #[test]
    fn points_are_known() {
        let (table, _) = transactions(&Columns::All);
        let points = table.columns.iter().filter(|column| column.is_points).map(|column| column.name.as_str());
        assert_eq!(points.collect::<Vec<_>>(), ["points_civilian", "points_officer", "points"]);
    }
}

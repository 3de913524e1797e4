//! The numbers of columns in Parquet files. Pure.
//!
//! Readers that do not go by names (Iceberg, BigQuery, Snowflake) know a column by its number. A number belongs to one
//! column for ever, because old files keep it. Each contract file has its own range of numbers; those below 100 belong
//! to the columns that Bluelake adds (`tables.rs`).

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::contract::{Field, FieldKind};
use crate::error::Fault;
use crate::source::FieldSource;
use crate::tables::LIST_ENTRY;

/// Numbers of `envelope.toml`.
pub(crate) const ENVELOPE: RangeInclusive<i64> = 100..=999;
/// Numbers of the file of a stream.
pub(crate) const STREAM: RangeInclusive<i64> = 1_000..=999_999;

/// Numbers of removed columns, by name.
pub(crate) type Retired = BTreeMap<String, i64>;

/// The numbers that the columns of one file may have.
pub(crate) struct FieldIds<'a> {
    range: RangeInclusive<i64>,
    retired: &'a Retired,
    /// The lowest number above all present and removed ones of the file.
    next: i64,
}

impl<'a> FieldIds<'a> {
    /// The numbers of a file with these fields and removed columns.
    pub(crate) fn of(range: RangeInclusive<i64>, fields: &[FieldSource], retired: &'a Retired) -> Self {
        let used = fields.iter().flat_map(written).chain(retired.values().copied());
        let highest = used.filter(|id| range.contains(id)).max();
        let next = highest.map_or(*range.start(), |highest| highest + 1);
        Self { range, retired, next }
    }

    /// The number of a column, as written under `key`. A field without a column has no number.
    pub(crate) fn number(
        &self,
        key: &'static str,
        written: Option<i64>,
        has_column: bool,
    ) -> Result<Option<i32>, Fault> {
        match written {
            None if !has_column => Ok(None),
            None => Err(Fault::FieldIdMissing { key, next: self.next }),
            Some(_) if !has_column => Err(Fault::KeyNotAllowed { key }),
            Some(id) => self.in_range(id).map(Some),
        }
    }

    fn in_range(&self, id: i64) -> Result<i32, Fault> {
        let (first, last) = (*self.range.start(), *self.range.end());
        let fault = Fault::FieldIdOutOfRange { id, first, last };
        if !self.range.contains(&id) {
            return Err(fault);
        }
        i32::try_from(id).map_err(|_| fault)
    }

    /// Removed columns have a number each.
    pub(crate) fn retired_are_sound(&self) -> Result<(), Fault> {
        let mut names = BTreeMap::new();
        for (name, id) in self.retired {
            self.in_range(*id)?;
            if let Some(other) = names.insert(*id, name) {
                return Err(Fault::RetiredTwice { id: *id, name: other.clone(), other: name.clone() });
            }
        }
        Ok(())
    }

    /// Checks that every number belongs to one column and to no removed one. A fault comes with its column.
    pub(crate) fn are_sound(&self, fields: &[Field]) -> Result<(), (String, Fault)> {
        let mut names = BTreeMap::new();
        for (name, id) in fields.iter().flat_map(numbered) {
            let id = i64::from(id);
            if let Some(old) = self.retired.get(&name) {
                return Err((name, Fault::NameRetired { id: *old }));
            }
            if let Some((other, _)) = self.retired.iter().find(|(_, retired)| **retired == id) {
                return Err((name, Fault::FieldIdRetired { id, name: other.clone(), next: self.next }));
            }
            if let Some(other) = names.insert(id, name.clone()) {
                return Err((name, Fault::FieldIdTwice { id, name: other, next: self.next }));
            }
        }
        Ok(())
    }
}

/// Every number that a field's source has.
fn written(field: &FieldSource) -> Vec<i64> {
    let inside = field.fields.iter().flatten().flat_map(written);
    field.field_id.into_iter().chain(field.entry_field_id).chain(inside).collect()
}

/// A field's columns: itself, and for a list the entries and their fields.
fn numbered(field: &Field) -> Vec<(String, i32)> {
    let mut columns: Vec<(String, i32)> = field.field_id.map(|id| (field.name.clone(), id)).into_iter().collect();
    if let FieldKind::List { entry_field_id, fields } = &field.kind {
        columns.extend(entry_field_id.map(|id| (format!("{}.{LIST_ENTRY}", field.name), id)));
        let inside = fields.iter().flat_map(numbered);
        columns.extend(inside.map(|(name, id)| (format!("{}.{name}", field.name), id)));
    }
    columns
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::datatypes::{DataType, Field as Column, Fields};

    use crate::contract::Contract;
    use crate::error::ContractError;
    use crate::stream::Stream;
    use crate::tables::{FIELD_ID_KEY, rejected_events_schema, without_field_ids};

    const ENVELOPE: &str = include_str!("../events/envelope.toml");
    const USERS: &str = include_str!("../events/user_events.toml");
    const TRANSACTIONS: &str = include_str!("../events/transaction_events.toml");

    /// Columns with their numbers, those inside of lists among them.
    type Numbers = Vec<(String, Option<i32>)>;
    /// A text of a file, and its replacement.
    type Edit<'a> = (&'a str, &'a str);

    fn tables(contract: &Contract) -> Vec<(&'static str, Numbers)> {
        let mut tables: Vec<_> = Stream::ALL
            .map(|stream| (stream.table(), numbers(contract.stream(stream).table_schema().fields(), "")))
            .into();
        tables.push(("rejected_events", numbers(rejected_events_schema().fields(), "")));
        tables
    }

    fn numbers(columns: &Fields, prefix: &str) -> Numbers {
        columns.iter().flat_map(|column| numbers_of(column, prefix)).collect()
    }

    fn numbers_of(column: &Column, prefix: &str) -> Numbers {
        let name = format!("{prefix}{}", column.name());
        let id = column.metadata().get(FIELD_ID_KEY).map(|id| id.parse().unwrap());
        let inside = match column.data_type() {
            DataType::List(entry) => numbers_of(entry, &format!("{name}.")),
            DataType::Struct(fields) => numbers(fields, &format!("{name}.")),
            _ => Vec::new(),
        };
        [vec![(name, id)], inside].concat()
    }

    #[test]
    fn every_column_has_a_number_of_its_own() {
        for (table, columns) in tables(&Contract::embedded().unwrap()) {
            let mut seen = BTreeSet::new();
            for (column, id) in columns {
                assert!(id.is_some_and(|id| id > 0 && seen.insert(id)), "{table}.{column}: {id:?}");
            }
        }
    }

    #[test]
    fn the_numbers_of_columns_stay() {
        let written = tables(&Contract::embedded().unwrap()).into_iter().map(|(table, columns)| {
            let columns = columns.into_iter().map(|(name, id)| format!("{} {name}", id.unwrap()));
            format!("{table}: {}", columns.collect::<Vec<_>>().join(", "))
        });
        let envelope = "100 event_id, 101 event_type, 102 schema_version, 103 occurred_at, 104 source, 105 channel";
        let lineage = "1 extras, 2 stream_shard, 3 stream_sequence, 4 stream_sub_sequence, 5 arrived_at, 6 event_date";
        let users = "1000 user_id, 1001 user_kind, 1002 zip_code, 1003 display_name, 1004 email, 1005 phone, \
            1006 badge_number, 1007 organization_name, 1008 referred_by, 1009 status";
        let transactions = "1000 civilian_id, 1001 officer_id, 1002 method, 1003 points_civilian, 1004 points_officer, \
            1005 donor_id, 1006 donor_kind, 1007 recipient_id, 1008 recipient_kind, 1009 redeemer_id, \
            1010 redeemer_kind, 1011 provider_id, 1012 provider_kind, 1013 purpose, 1014 from_officer_id, \
            1015 to_officer_id, 1016 points, 1017 amount_cents, 1018 currency, 1019 items, 1020 items.element, \
            1021 items.element.sku, 1022 items.element.name, 1023 items.element.quantity, 1024 items.element.points, \
            1025 zip_code, 1026 distance_ft";
        let rejected = "7 stream, 8 reason, 9 field_path, 10 event_bytes, 11 contract_version, 2 stream_shard, \
            3 stream_sequence, 4 stream_sub_sequence, 5 arrived_at, 12 arrival_date";
        let expected = [
            format!("user_events: {envelope}, {users}, {lineage}"),
            format!("transactions: {envelope}, {transactions}, {lineage}"),
            format!("rejected_events: {rejected}"),
        ];
        assert_eq!(written.collect::<Vec<_>>(), expected, "files that are there have these numbers: add, never change");
    }

    #[test]
    fn a_schema_without_numbers_has_all_else() {
        let schema = Contract::embedded().unwrap().stream(Stream::TransactionEvents).table_schema();
        let plain = Fields::from(without_field_ids(&schema));
        assert!(numbers(&plain, "").iter().all(|(_, id)| id.is_none()));
        for (column, plain) in schema.fields().iter().zip(&plain) {
            let mut metadata = column.metadata().clone();
            metadata.remove(FIELD_ID_KEY);
            assert_eq!(*plain.metadata(), metadata);
            assert!(plain.data_type().equals_datatype(column.data_type()), "{}", column.name());
        }
        assert_eq!(plain.len(), schema.fields().len());
    }

    /// The message that refuses a changed contract: in `file` each text is replaced by the one beside it.
    fn refusal(file: &str, edits: &[Edit<'_>]) -> String {
        let edit = |name: &str, text: &str| {
            let edits = if name == file { edits } else { &[] };
            edits.iter().fold(text.to_owned(), |text, (from, to)| {
                assert!(text.contains(from), "{name} has no {from:?}");
                text.replacen(from, to, 1)
            })
        };
        let (envelope, users) = (edit("envelope.toml", ENVELOPE), edit("user_events.toml", USERS));
        let contract = Contract::from_texts(&envelope, &users, &edit("transaction_events.toml", TRANSACTIONS));
        match contract {
            Err(error @ (ContractError::Field { .. } | ContractError::File { .. })) => error.to_string(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_missing_repeated_or_reused_number_is_refused() {
        let (envelope, users, transactions) = ("envelope.toml", "user_events.toml", "transaction_events.toml");
        let retired = |retired: &str| format!("max_schema_version = 1\nretired_field_ids = {{ {retired} }}\n");
        let retire = |list: &str| ("max_schema_version = 1\n".to_owned(), retired(list));
        let (version, own) = retire("nickname = 1009");
        let (_, name) = retire("status = 1010");
        let (_, twice) = retire("nickname = 1011, alias = 1011");
        let (_, high) = retire("nickname = 17");
        let (_, inside) = retire("\"items.color\" = 1022");
        let cases: [(&str, &[Edit<'_>], &str, &str); 15] = [
            (users, &[("field_id = 1003\n", "")], "\"display_name\"", "add field_id = 1010"),
            (envelope, &[("field_id = 100\n", "")], "\"event_id\"", "add field_id = 106"),
            (transactions, &[("field_id = 1022\n", "")], "\"items.name\"", "add field_id = 1027"),
            (transactions, &[("entry_field_id = 1020\n", "")], "\"items\"", "add entry_field_id = 1027"),
            (users, &[("= 1003", "= 1002")], "\"display_name\"", "that of \"zip_code\" already: take 1010"),
            (transactions, &[("= 1022", "= 1020")], "\"items.name\"", "that of \"items.element\" already"),
            (
                transactions,
                &[("field_id = 1024", "field_id = 1000")],
                "\"items.points\"",
                "that of \"civilian_id\" already",
            ),
            (users, &[("= 1003", "= 0")], "\"display_name\"", "the number 0 cannot be used"),
            (users, &[("= 1003", "= -3")], "\"display_name\"", "numbers from 1000 to 999999"),
            (envelope, &[("= 105", "= 1003")], "\"channel\"", "numbers from 100 to 999"),
            (users, &[(&version, &own)], "\"status\"", "was that of \"nickname\", which was removed"),
            (users, &[(&version, &name)], "\"status\"", "had the number 1010 before it was removed"),
            (users, &[(&version, &twice)], users, "the number 1011 to \"alias\" and to \"nickname\""),
            (users, &[(&version, &high)], users, "the number 17 cannot be used"),
            (transactions, &[(&version, &inside)], "\"items.name\"", "was that of \"items.color\""),
        ];
        for (file, edits, place, fault) in cases {
            let message = refusal(file, edits);
            assert!(message.contains(file) && message.contains(place) && message.contains(fault), "{message}");
        }
        // A field that is dropped on arrival has no column.
        let dropped = refusal(transactions, &[("name = \"latitude\"\n", "name = \"latitude\"\nfield_id = 1027\n")]);
        assert!(dropped.contains("\"latitude\"") && dropped.contains("remove it"), "{dropped}");
        let scalar = refusal(users, &[("field_id = 1003", "field_id = 1003\nentry_field_id = 1010")]);
        assert!(scalar.contains("entry_field_id does not fit"), "{scalar}");
    }

    #[test]
    fn a_removed_column_leaves_its_number_behind() {
        let start = USERS.find("[[fields]]\nname = \"status\"").unwrap();
        let removed = USERS.get(..start).unwrap();
        let retired = "max_schema_version = 1\nretired_field_ids = { status = 1009 }\n";
        let users = removed.replacen("max_schema_version = 1\n", retired, 1);
        let contract = Contract::from_texts(ENVELOPE, &users, TRANSACTIONS).unwrap();
        assert!(contract.stream(Stream::UserEvents).table_schema().column_with_name("status").is_none());
        let field =
            "\n[[fields]]\nname = \"mood\"\ntype = \"string\"\noptional_in = [\"user_created\"]\ndescription = \"m\"\n";
        let unnumbered = Contract::from_texts(ENVELOPE, &format!("{users}{field}"), TRANSACTIONS).unwrap_err();
        assert!(unnumbered.to_string().contains("add field_id = 1010"), "{unnumbered}");
    }
}

//! The columns of a table with their numbers, for new files.

use std::{collections::HashMap, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bluelake_lake::{MaintainedTable, REJECTED_EVENTS};
use bluelake_schemas::{Contract, FIELD_ID_KEY, Stream, rejected_events_schema};

use crate::error::CareError;

/// The columns of the table as last loaded, also those that this contract does not know, from a worker with a newer
/// one. Numbers are those of the contract; a column that it does not know has none.
pub(crate) fn numbered(table: &MaintainedTable, contract: &Contract) -> Result<SchemaRef, CareError> {
    let own = match Stream::ALL.into_iter().find(|stream| stream.table() == table.name()) {
        Some(stream) => contract.stream(stream).table_schema(),
        None if table.name() == REJECTED_EVENTS => rejected_events_schema(),
        None => Arc::new(Schema::empty()),
    };
    let columns = table.schema()?;
    let columns = columns.fields().iter().map(|field| with_number(field, own.field_with_name(field.name()).ok()));
    Ok(Arc::new(Schema::new(columns.collect::<Vec<_>>())))
}

/// The field with the number of the known one; the same for its nested fields. Its type stays the table's.
fn with_number(field: &Field, known: Option<&Field>) -> Field {
    let data_type = match (field.data_type(), known.map(Field::data_type)) {
        (DataType::List(entry), Some(DataType::List(known))) => DataType::List(with_number(entry, Some(known)).into()),
        (DataType::Struct(fields), Some(DataType::Struct(known))) => {
            let known = |name: &str| known.iter().find(|field| field.name() == name).map(AsRef::as_ref);
            DataType::Struct(fields.iter().map(|field| with_number(field, known(field.name()))).collect())
        }
        (other, _) => other.clone(),
    };
    let number = known.and_then(|known| known.metadata().get(FIELD_ID_KEY)).cloned();
    let metadata: HashMap<_, _> = number.map(|number| (FIELD_ID_KEY.to_owned(), number)).into_iter().collect();
    Field::new(field.name(), data_type, field.is_nullable()).with_metadata(metadata)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_from_contract_types_from_table() {
        let number = |id: &str| HashMap::from([(FIELD_ID_KEY.to_owned(), id.to_owned())]);
        let inner = |id: Option<&str>, name: &str| {
            Field::new(name, DataType::Int64, true).with_metadata(id.map(number).unwrap_or_default())
        };
        let list = |entry: Field| Field::new("items", DataType::List(Arc::new(entry)), true);
        let entry = |fields: Vec<Field>| Field::new("element", DataType::Struct(fields.into()), true);
        let known =
            list(entry(vec![inner(Some("12"), "price")]).with_metadata(number("11"))).with_metadata(number("10"));
        let table = list(entry(vec![inner(None, "price"), inner(None, "newer")]));
        let found = with_number(&table, Some(&known));
        assert_eq!(found.metadata(), &number("10"));
        let DataType::List(element) = found.data_type() else { unreachable!() };
        assert_eq!(element.metadata(), &number("11"));
        let DataType::Struct(fields) = element.data_type() else { unreachable!() };
        let ids: Vec<_> = fields.iter().map(|field| field.metadata().get(FIELD_ID_KEY).cloned()).collect();
        assert_eq!(ids, [Some("12".to_owned()), None]);
    }
}

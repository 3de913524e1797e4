//! The meanings of tables, views and their columns: from the contract for tables, from the view files for views.

use std::collections::BTreeMap;

use anyhow::Result;
use arrow::datatypes::Field;
use bluelake_lake::REJECTED_EVENTS;
use bluelake_queries::{Relation, describe_views};
use bluelake_schemas::{Contract, Stream, type_in_words};
use comfy_table::Table;
use serde::Serialize;

use crate::terminal::output;

/// Meanings by name.
pub(crate) struct Dictionary {
    grains: BTreeMap<String, String>,
    /// By table and column.
    columns: BTreeMap<(String, String), Meaning>,
}

/// The facts of a column beside its type.
#[derive(Debug, Clone, Default)]
struct Meaning {
    unit: String,
    is_personal: bool,
    description: String,
}

/// A table or view with its meaning.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Described {
    /// Its name in SQL.
    pub(crate) name: String,
    /// `table` or `view`.
    pub(crate) kind: &'static str,
    /// The meaning of one row.
    pub(crate) grain: String,
    /// The columns, in their order.
    pub(crate) columns: Vec<DescribedColumn>,
}

/// A column with its meaning.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DescribedColumn {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
    /// Whether it may be NULL.
    nullable: bool,
    /// The unit of its values; empty if the meaning says it.
    unit: String,
    /// Whether it holds personal data.
    personal: bool,
    meaning: String,
}

impl Dictionary {
    /// The dictionary of a contract and the views.
    ///
    /// # Errors
    /// When a view's file is at fault; a test keeps that from being released.
    pub(crate) fn of(contract: &Contract) -> Result<Self> {
        let rejected =
            "One row for each event of either stream that could not be taken, with the reason and its bytes.";
        let mut grains = BTreeMap::from([(REJECTED_EVENTS.to_owned(), rejected.to_owned())]);
        for stream in Stream::ALL {
            grains.insert(
                stream.table().to_owned(),
                format!("One row for each event of the stream {stream}, as it was accepted."),
            );
        }
        let mut columns = BTreeMap::new();
        for row in contract.dictionary() {
            let unit = row.unit.unwrap_or_default();
            let meaning = Meaning { unit, is_personal: row.pii, description: row.description };
            columns.insert((row.table, row.column), meaning);
        }
        for view in describe_views()? {
            grains.insert(view.name.to_owned(), view.header.grain);
            for column in view.header.columns {
                // A view's column is personal if the column of that name in a table is.
                let is_same =
                    |((_, name), meaning): (&(String, String), &Meaning)| *name == column.name && meaning.is_personal;
                let is_personal = columns.iter().any(is_same);
                let meaning = Meaning { unit: column.unit.to_string(), is_personal, description: column.description };
                columns.insert((view.name.to_owned(), column.name), meaning);
            }
        }
        Ok(Self { grains, columns })
    }

    /// The meaning of one row; empty if it is not known.
    pub(crate) fn grain(&self, relation: &str) -> &str {
        self.grains.get(relation).map_or("", String::as_str)
    }

    /// A table or view with all known facts.
    pub(crate) fn describe(&self, relation: &Relation) -> Described {
        Described {
            name: relation.name.clone(),
            kind: relation.kind.name(),
            grain: self.grain(&relation.name).to_owned(),
            columns: relation.schema.fields().iter().map(|field| self.column(&relation.name, field)).collect(),
        }
    }

    fn column(&self, relation: &str, field: &Field) -> DescribedColumn {
        let key = (relation.to_owned(), field.name().clone());
        let Meaning { unit, is_personal, description } = self.columns.get(&key).cloned().unwrap_or_default();
        DescribedColumn {
            name: field.name().clone(),
            data_type: type_in_words(field.data_type()),
            nullable: field.is_nullable(),
            unit,
            personal: is_personal,
            meaning: description,
        }
    }
}

impl Described {
    /// The columns as a table for a terminal.
    pub(crate) fn table(&self) -> Table {
        let rows = self.columns.iter().map(|column| {
            let DescribedColumn { name, data_type, nullable, unit, personal, meaning } = column;
            let present = if *nullable { "" } else { "always" };
            let personal = if *personal { "yes" } else { "" };
            [name, data_type, present, unit, personal, meaning].map(ToString::to_string)
        });
        output::table(&["column", "type", "present", "unit", "personal", "meaning"], &[], rows)
    }

    /// `users (view): One row for each user`.
    pub(crate) fn title(&self) -> String {
        format!("{} ({}): {}", self.name, self.kind, self.grain)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn views_mark_the_contracts_personal_columns() {
        let dictionary = Dictionary::of(&Contract::embedded().unwrap()).unwrap();
        let of = |relation: &str, column: &str| {
            dictionary.column(relation, &Field::new(column, arrow::datatypes::DataType::Utf8, true))
        };
        assert!(of("user_events", "email").personal && of("users", "email").personal);
        assert!(!of("users", "user_kind").personal);
        assert_eq!(of("donations", "unheard_of").meaning, "");
    }
}

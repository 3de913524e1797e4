//! The statements that make tables, indexes and views, from the columns that are delivered. Pure. Names come from the
//! contract and the configuration, and are always quoted.

use bluelake_lake::Extent;
use bluelake_schemas::Contract;

use crate::{
    columns::{Column, Kind, Table},
    sql::{DELIVERIES, LOADED, LOADS, Lists, USERS, list, place, quoted, views},
    users::Users,
};

/// A text as a statement has it.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// The type of a column.
pub(super) fn type_of(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text => "text",
        Kind::Uuid => "uuid",
        // Not jsonb: that refuses numbers which are valid JSON.
        Kind::Json => "json",
        Kind::List => "jsonb",
        Kind::Integer => "bigint",
        Kind::SmallInteger => "integer",
        Kind::Number => "double precision",
        Kind::Truth => "boolean",
        Kind::Timestamp => "timestamp with time zone",
        Kind::Date => "date",
        Kind::Bytes => "bytea",
    }
}

fn definition(column: &Column) -> String {
    let kind = type_of(&column.kind);
    // Users are worked out by the order of these texts, which must be that of their bytes as in the lake.
    let collation =
        if ["stream_shard", "stream_sequence"].contains(&column.name.as_str()) { " COLLATE \"C\"" } else { "" };
    format!("{} {kind}{collation}", quoted(&column.name))
}

/// The tables that a target keeps of itself.
pub(super) fn own_tables(schema: &str) -> String {
    let at = |name| place(schema, name);
    format!(
        "CREATE TABLE IF NOT EXISTS {} (table_name text PRIMARY KEY, lake_table_id text NOT NULL, lake text NOT NULL, \
         columns text NOT NULL, version bigint NOT NULL, rows bigint NOT NULL, lake_time timestamp with time zone, \
         delivered_at timestamp with time zone NOT NULL DEFAULT now());
         CREATE TABLE IF NOT EXISTS {} (table_name text PRIMARY KEY, lake_table_id text NOT NULL, lake text NOT NULL, \
         columns text NOT NULL, version bigint NOT NULL, lake_time timestamp with time zone, \
         began_at timestamp with time zone NOT NULL DEFAULT now());
         CREATE TABLE IF NOT EXISTS {} (table_name text NOT NULL, first text NOT NULL, day text NOT NULL, rows bigint NOT NULL, \
         PRIMARY KEY (table_name, first, day));",
        at(DELIVERIES),
        at(LOADS),
        at(LOADED)
    )
}

/// Makes a table, empty.
pub(super) fn create_table(schema: &str, name: &str, columns: &[Column]) -> String {
    let columns: Vec<String> = columns.iter().map(definition).collect();
    format!("CREATE TABLE {} ({});", place(schema, name), columns.join(", "))
}

/// Adds columns.
pub(super) fn add_columns<'a>(schema: &str, name: &str, columns: impl Iterator<Item = &'a Column>) -> String {
    let columns: Vec<String> =
        columns.map(|column| format!("ADD COLUMN IF NOT EXISTS {}", definition(column))).collect();
    format!("ALTER TABLE {} {};", place(schema, name), columns.join(", "))
}

/// The indexes of a table; they get names of their own.
pub(super) fn indexes(schema: &str, name: &str, table: &Table) -> String {
    let mut statements = String::new();
    for (column, way) in
        [("event_id", ""), ("user_id", ""), ("occurred_at", "USING brin"), ("arrived_at", "USING brin")]
    {
        if table.place(column).is_some() {
            statements.push_str(&format!("CREATE INDEX ON {} {way} ({});", place(schema, name), quoted(column)));
        }
    }
    statements
}

/// Copies rows in.
pub(super) fn copy_in(schema: &str, name: &str, table: &Table) -> String {
    format!("COPY {} ({}) FROM STDIN (FORMAT binary)", place(schema, name), list(&table.names()))
}

/// Copies rows out; a column that the table lacks is null.
pub(super) fn copy_out(schema: &str, table: &Table, missing: &[&Column]) -> String {
    let value = |column: &Column| {
        if missing.contains(&column) { format!("NULL::{}", type_of(&column.kind)) } else { quoted(&column.name) }
    };
    let values: Vec<String> = table.columns.iter().map(value).collect();
    format!("COPY (SELECT {} FROM {}) TO STDOUT (FORMAT binary)", values.join(", "), place(schema, table.name))
}

/// The condition that a row is of some partitions.
pub(super) fn condition(table: &Table, extent: &Extent) -> String {
    let [first, day] = table.partition.map(quoted);
    match extent {
        Extent::All => "true".to_owned(),
        Extent::Partitions(partitions) => {
            let partitions: Vec<String> = partitions
                .iter()
                .map(|[value, on]| format!("({first} = {} AND {day} = {}::date)", literal(value), literal(on)))
                .collect();
            if partitions.is_empty() { "false".to_owned() } else { partitions.join(" OR ") }
        }
        Extent::Days { from, before } => {
            let from = from.map_or_else(String::new, |from| format!("{day} >= '{from}' AND "));
            format!("{from}{day} < '{before}'")
        }
    }
}

/// Lets a role read what there is.
pub(super) fn grants(schema: &str, role: &str, relations: &[String]) -> String {
    let role = quoted(role);
    let relations: Vec<String> = relations.iter().map(|name| place(schema, name)).collect();
    format!("GRANT USAGE ON SCHEMA {} TO {role}; GRANT SELECT ON {} TO {role};", quoted(schema), relations.join(", "))
}

/// What belongs to a table: itself, its views, the users of user events.
pub(super) fn relations(schema: &str, table: &Table, contract: &Contract) -> Vec<String> {
    let views = views(schema, table, contract, Lists::AsRows).into_iter().map(|view| view.name);
    let users = Users::of(table, contract).map(|_| USERS.to_owned());
    [table.name.to_owned()].into_iter().chain(users).chain(views).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::columns::{Columns, transactions};

    #[test]
    fn texts_cannot_leave_their_quotes() {
        assert_eq!(literal("it's \\ here"), "E'it''s \\\\ here'");
    }

    #[test]
    fn conditions_name_partitions_and_days() {
        let (table, _) = transactions(&Columns::All);
        let partitions = Extent::Partitions([["x".to_owned(), "2026-01-02".to_owned()]].into());
        assert_eq!(condition(&table, &partitions), "(\"event_type\" = 'x' AND \"event_date\" = '2026-01-02'::date)");
        let days = |from: Option<&str>| Extent::Days {
            from: from.map(|day| day.parse().unwrap()),
            before: "2026-02-01".parse().unwrap(),
        };
        assert_eq!(condition(&table, &days(None)), "\"event_date\" < '2026-02-01'");
        assert_eq!(
            condition(&table, &days(Some("2026-01-01"))),
            "\"event_date\" >= '2026-01-01' AND \"event_date\" < '2026-02-01'"
        );
        assert_eq!(condition(&table, &Extent::Partitions([].into())), "false");
    }
}

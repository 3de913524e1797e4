//! The statements that make tables, indexes and views, from the columns that are delivered. Pure. Names come from the
//! contract and the configuration, and are always quoted.

use bluelake_lake::Extent;
use bluelake_schemas::{Contract, FieldKind, Presence, Stream};

use super::users;
use crate::columns::{Column, Kind, Table};

/// Where the positions stand.
pub(super) const DELIVERIES: &str = "deliveries";
/// Loads that are under way, …
pub(super) const LOADS: &str = "loads";
/// … and what of them is done.
pub(super) const LOADED: &str = "loaded_partitions";
/// The state of the users.
pub(super) const USERS: &str = "users";

/// A name as a statement has it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as a statement has it.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// The name of a table that is loaded beside the one in use.
pub(super) fn beside(name: &str) -> String {
    format!("{name}__new")
}

/// A table of the schema, as a statement has it.
pub(super) fn place(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
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

pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
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

/// A view over the events of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) name: String,
    /// Names with what they are.
    pub(super) columns: Vec<(String, String)>,
    from: String,
}

impl View {
    /// Makes it, or gives one that is there the columns that it lacks, which must come last.
    pub(super) fn statement(&self, schema: &str, there: &[String]) -> String {
        let rank = |name: &str| there.iter().position(|other| other == name).unwrap_or(usize::MAX);
        let mut columns: Vec<&(String, String)> = self.columns.iter().collect();
        columns.sort_by_key(|(name, _)| rank(name));
        let columns: Vec<String> = columns.iter().map(|(name, value)| format!("{value} AS {}", quoted(name))).collect();
        format!("CREATE OR REPLACE VIEW {} AS SELECT {} {};", place(schema, &self.name), columns.join(", "), self.from)
    }
}

/// The views over a table: one for each kind of transaction, and one for each list in it. They have the names and columns
/// that they have in the lake.
pub(super) fn views(schema: &str, table: &Table, contract: &Contract) -> Vec<View> {
    let stream = Stream::TransactionEvents;
    if table.name != stream.table() {
        return Vec::new();
    }
    let contract = contract.stream(stream);
    let mut views = Vec::new();
    for kind in contract.event_types() {
        let own = contract.fields().iter().filter(|field| field.presence(&kind.name) != Presence::Absent);
        let own: Vec<_> = own.filter(|field| table.place(&field.name).is_some()).collect();
        let head =
            ["event_id", "occurred_at", "event_date"].map(|name| (name.to_owned(), format!("t.{}", quoted(name))));
        let local_date = ("local_date".to_owned(), "t.occurred_at::date".to_owned());
        let mut columns: Vec<(String, String)> = head.into_iter().chain([local_date]).collect();
        let common = columns.clone();
        let plain = |name: &str| (name.to_owned(), format!("t.{}", quoted(name)));
        columns.extend(table.place("channel").map(|_| plain("channel")));
        columns.extend(own.iter().map(|field| plain(&field.name)));
        let events = format!("FROM {} t", place(schema, table.name));
        let only = format!("WHERE t.event_type = {}", literal(&kind.name));
        views.push(View { name: format!("{}s", kind.name), columns, from: format!("{events} {only}") });
        for list in &own {
            let FieldKind::List { fields, .. } = &list.kind else { continue };
            let parties = own.iter().filter(|field| field.name.ends_with("_id") || field.name.ends_with("_kind"));
            let mut columns = common.clone();
            columns.extend(parties.map(|field| plain(&field.name)));
            columns.push(("item_number".to_owned(), "i.item_number".to_owned()));
            columns.extend(fields.iter().map(|field| (field.name.clone(), entry(&field.name, &field.kind))));
            let items = format!(
                "CROSS JOIN LATERAL jsonb_array_elements(t.{}) WITH ORDINALITY i(item, item_number)",
                quoted(&list.name)
            );
            views.push(View {
                name: format!("{}_{}", kind.name, list.name),
                columns,
                from: format!("{events} {items} {only}"),
            });
        }
    }
    views
}

fn entry(name: &str, kind: &FieldKind) -> String {
    let text = format!("i.item ->> {}", literal(name));
    match kind {
        FieldKind::Integer { .. } => format!("({text})::bigint"),
        FieldKind::Number { .. } => format!("({text})::double precision"),
        FieldKind::Boolean => format!("({text})::boolean"),
        FieldKind::Timestamp => format!("({text})::timestamp with time zone"),
        _ => format!("({text})"),
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
    let views = views(schema, table, contract).into_iter().map(|view| view.name);
    let users = users::Users::of(table, contract).map(|_| USERS.to_owned());
    [table.name.to_owned()].into_iter().chain(users).chain(views).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::columns::Columns;

    fn table(columns: &Columns) -> (Table, Contract) {
        let contract = Contract::embedded().unwrap();
        let schema = contract.stream(Stream::TransactionEvents).table_schema();
        (Table::new("transactions", &schema, &contract, columns).unwrap(), contract)
    }

    #[test]
    fn names_and_texts_cannot_leave_their_quotes() {
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
        assert_eq!(literal("it's \\ here"), "E'it''s \\\\ here'");
    }

    #[test]
    fn the_views_are_those_of_the_lake() {
        let (table, contract) = table(&Columns::All);
        let found = views("s", &table, &contract);
        let names: Vec<&str> = found.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names, ["interactions", "donations", "redemptions", "redemption_items", "transfers"]);
        for view in &found {
            let text = std::fs::read_to_string(format!("../queries/views/{}.sql", view.name)).unwrap();
            let listed = text.lines().filter_map(|line| line.strip_prefix("-- column: ")?.split(' ').next());
            let own: Vec<&str> = view.columns.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(own, listed.collect::<Vec<_>>(), "{}", view.name);
        }
    }

    #[test]
    fn a_view_keeps_the_columns_that_it_has_in_front() {
        let (table, contract) = table(&Columns::All);
        let view = &views("s", &table, &contract)[3];
        let there = ["event_id", "sku"].map(str::to_owned);
        let statement = view.statement("s", &there);
        assert!(
            statement.contains("SELECT t.\"event_id\" AS \"event_id\", (i.item ->> 'sku') AS \"sku\","),
            "{statement}"
        );
    }

    #[test]
    fn a_view_shows_only_what_is_delivered() {
        let (table, contract) = table(&Columns::Named(["points".to_owned()].into()));
        let donations = &views("s", &table, &contract)[1];
        let names: Vec<&str> = donations.columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["event_id", "occurred_at", "event_date", "local_date", "points"]);
    }

    #[test]
    fn conditions_name_partitions_and_days() {
        let (table, _) = table(&Columns::All);
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

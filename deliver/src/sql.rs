//! The parts of statements that PostgreSQL and Redshift share: names, the target's own tables, and views over the events of
//! one kind. Pure. Names come from the contract and the configuration, and are always quoted.

use bluelake_schemas::{Contract, FieldKind, Presence, Stream};

use crate::columns::Table;

/// Where the positions stand.
pub(crate) const DELIVERIES: &str = "deliveries";
/// Loads that are under way, …
pub(crate) const LOADS: &str = "loads";
/// … and what of them is done.
pub(crate) const LOADED: &str = "loaded_partitions";
/// The state of the users.
pub(crate) const USERS: &str = "users";

/// A name as a statement has it.
pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name of a table that is loaded beside the one in use.
pub(crate) fn beside(name: &str) -> String {
    format!("{name}__new")
}

/// A table of the schema, as a statement has it.
pub(crate) fn place(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}

pub(crate) fn list(names: &[&str]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

/// A name of the contract as a text: letters, digits and `_`, so that it needs no escape.
fn text(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

/// Whether the entries of lists get views of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lists {
    /// A row an entry.
    AsRows,
    /// They have none.
    Without,
}

/// A view over the events of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) name: String,
    /// Names with what they are.
    pub(crate) columns: Vec<(String, String)>,
    from: String,
}

impl View {
    /// Makes it, or gives one that is there the columns that it lacks, which must come last.
    pub(crate) fn statement(&self, schema: &str, there: &[String]) -> String {
        let rank = |name: &str| there.iter().position(|other| other == name).unwrap_or(usize::MAX);
        let mut columns: Vec<&(String, String)> = self.columns.iter().collect();
        columns.sort_by_key(|(name, _)| rank(name));
        format!("CREATE OR REPLACE VIEW {} AS {};", place(schema, &self.name), self.of(&columns))
    }

    /// What it shows.
    pub(crate) fn select(&self) -> String {
        self.of(&self.columns.iter().collect::<Vec<_>>())
    }

    fn of(&self, columns: &[&(String, String)]) -> String {
        let columns: Vec<String> = columns.iter().map(|(name, value)| format!("{value} AS {}", quoted(name))).collect();
        format!("SELECT {} {}", columns.join(", "), self.from)
    }
}

/// The views over a table: one for each kind of transaction, and one for each list in it. They have the names and columns
/// that they have in the lake.
pub(crate) fn views(schema: &str, table: &Table, contract: &Contract, lists: Lists) -> Vec<View> {
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
        let only = format!("WHERE t.event_type = {}", text(&kind.name));
        views.push(View { name: format!("{}s", kind.name), columns, from: format!("{events} {only}") });
        for list in own.iter().filter(|_| lists == Lists::AsRows) {
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
    let text = format!("i.item ->> {}", text(name));
    match kind {
        FieldKind::Integer { .. } => format!("({text})::bigint"),
        FieldKind::Number { .. } => format!("({text})::double precision"),
        FieldKind::Boolean => format!("({text})::boolean"),
        FieldKind::Timestamp => format!("({text})::timestamp with time zone"),
        _ => format!("({text})"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::columns::{Columns, transactions};

    #[test]
    fn the_views_are_those_of_the_lake() {
        let (table, contract) = transactions(&Columns::All);
        let found = views("s", &table, &contract, Lists::AsRows);
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
        let (table, contract) = transactions(&Columns::All);
        let view = &views("s", &table, &contract, Lists::AsRows)[3];
        let there = ["event_id", "sku"].map(str::to_owned);
        let statement = view.statement("s", &there);
        assert!(
            statement.contains("SELECT t.\"event_id\" AS \"event_id\", (i.item ->> 'sku') AS \"sku\","),
            "{statement}"
        );
    }

    #[test]
    fn a_view_shows_only_what_is_delivered() {
        let (table, contract) = transactions(&Columns::Named(["points".to_owned()].into()));
        let donations = &views("s", &table, &contract, Lists::AsRows)[1];
        let names: Vec<&str> = donations.columns.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["event_id", "occurred_at", "event_date", "local_date", "points"]);
    }

    #[test]
    fn lists_may_be_left_out() {
        let (table, contract) = transactions(&Columns::All);
        let found = views("s", &table, &contract, Lists::Without);
        let names: Vec<&str> = found.iter().map(|view| view.name.as_str()).collect();
        assert_eq!(names, ["interactions", "donations", "redemptions", "transfers"]);
        assert_eq!(quoted("a\"; DROP TABLE x; --"), "\"a\"\"; DROP TABLE x; --\"");
    }
}

//! The state of each user, worked out from the user events that the target holds: the last known value of each field, as the
//! view `users` of the lake has it. A late event changes it, so PostgreSQL works the users anew that a step touches, and Redshift
//! has them as a view. Pure.

use bluelake_schemas::{Contract, FieldKind, Stream};

use crate::{
    columns::Table,
    sql::{USERS, list, place, quoted},
};

/// The users of a table of user events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Users {
    /// Fields of which the last known value is kept.
    fields: Vec<String>,
}

/// Columns beside the fields, with their types.
const TIMES: [&str; 3] = ["created_at", "updated_at", "deactivated_at"];

impl Users {
    /// Those of a table; `None` for any other than that of user events.
    pub(crate) fn of(table: &Table, contract: &Contract) -> Option<Self> {
        let stream = Stream::UserEvents;
        if table.name != stream.table() || table.place("user_id").is_none() {
            return None;
        }
        let is_field = |field: &&bluelake_schemas::Field| {
            let is_text = matches!(field.kind, FieldKind::String { .. } | FieldKind::Enum { .. });
            is_text && !["user_id", "status"].contains(&field.name.as_str()) && table.place(&field.name).is_some()
        };
        let fields = contract.stream(stream).fields().iter().filter(is_field);
        Some(Self { fields: fields.map(|field| field.name.clone()).collect() })
    }

    pub(crate) fn columns(&self) -> Vec<&str> {
        let fields = self.fields.iter().map(String::as_str);
        ["user_id"].into_iter().chain(fields).chain(["status"]).chain(TIMES).collect()
    }

    /// Makes the table, empty.
    pub(crate) fn create(&self, schema: &str, name: &str) -> String {
        let texts = self.columns().into_iter().filter(|name| !TIMES.contains(name));
        let texts = texts.map(|name| format!("{} text", quoted(name)));
        let times = TIMES.map(|name| format!("{} timestamp with time zone", quoted(name)));
        let columns: Vec<String> = texts.chain(times).chain(["PRIMARY KEY (user_id)".to_owned()]).collect();
        format!("CREATE TABLE {} ({});", place(schema, name), columns.join(", "))
    }

    /// Adds the columns of new fields.
    pub(crate) fn add_columns(&self, schema: &str) -> String {
        let columns: Vec<String> =
            self.fields.iter().map(|name| format!("ADD COLUMN IF NOT EXISTS {} text", quoted(name))).collect();
        if columns.is_empty() {
            return String::new();
        }
        format!("ALTER TABLE {} {};", place(schema, USERS), columns.join(", "))
    }

    /// Works the users out from the events of a table that meet a condition.
    pub(crate) fn select(&self, events: &str, condition: &str) -> String {
        let marks: String = self
            .fields
            .iter()
            .map(|name| {
                let name = quoted(name);
                format!(
                    ", max(CASE WHEN o.{name} IS NOT NULL THEN o.place END) OVER (PARTITION BY o.user_id) AS {}",
                    mark(&name)
                )
            })
            .collect();
        let fields = self.fields.iter().map(|name| {
            let name = quoted(name);
            format!("max(CASE WHEN m.place = m.{} THEN m.{name} END) AS {name}", mark(&name))
        });
        let fields: Vec<String> = fields.collect();
        let names: Vec<&str> = self.fields.iter().map(String::as_str).collect();
        let comma = if names.is_empty() { "" } else { ", " };
        format!(
            "WITH ordered AS (SELECT e.*, row_number() OVER (PARTITION BY e.user_id ORDER BY e.occurred_at, e.arrived_at, \
             e.stream_shard, length(e.stream_sequence), e.stream_sequence, e.stream_sub_sequence) AS place \
             FROM {events} e WHERE {condition}), \
             marked AS (SELECT o.*{marks} FROM ordered o), \
             latest AS (SELECT m.user_id{comma}{}, \
             min(CASE WHEN m.event_type = 'user_created' THEN m.occurred_at END) AS created_at, \
             max(m.occurred_at) AS updated_at, \
             max(CASE WHEN m.event_type = 'user_deactivated' THEN m.occurred_at END) AS last_deactivated_at, \
             max(CASE WHEN m.event_type = 'user_deactivated' THEN m.place END) AS deactivated_place, \
             max(CASE WHEN m.event_type = 'user_created' OR (m.event_type = 'user_updated' AND m.status = 'active') THEN m.place END) \
             AS activated_place FROM marked m GROUP BY m.user_id) \
             SELECT user_id{comma}{}, \
             CASE WHEN deactivated_place > coalesce(activated_place, 0) THEN 'deactivated' ELSE 'active' END AS status, \
             created_at, updated_at, \
             CASE WHEN deactivated_place > coalesce(activated_place, 0) THEN last_deactivated_at END AS deactivated_at \
             FROM latest",
            fields.join(", "),
            list(&names),
        )
    }

    /// Works out all users of a table that was loaded.
    pub(crate) fn fill(&self, schema: &str, users: &str, events: &str) -> String {
        let select = self.select(&place(schema, events), "true");
        format!("INSERT INTO {} ({}) {select};", place(schema, users), list(&self.columns()))
    }

    /// Works out the users anew that the temporary table `touched` names.
    pub(crate) fn renew(&self, schema: &str) -> String {
        let touched = "e.user_id IN (SELECT user_id FROM pg_temp.touched)";
        let select = self.select(&place(schema, Stream::UserEvents.table()), touched);
        let users = place(schema, USERS);
        format!(
            "ANALYZE pg_temp.touched; DELETE FROM {users} WHERE user_id IN (SELECT user_id FROM pg_temp.touched); \
             INSERT INTO {users} ({}) {select};",
            list(&self.columns())
        )
    }

    /// Counts the rows of users that are not as their events say, of either side.
    pub(crate) fn differences(&self, schema: &str) -> String {
        let columns = list(&self.columns());
        let fresh = self.select(&place(schema, Stream::UserEvents.table()), "true");
        let users = place(schema, USERS);
        format!(
            "WITH fresh AS MATERIALIZED (SELECT {columns} FROM ({fresh}) f), \
             missing AS (SELECT {columns} FROM fresh EXCEPT ALL SELECT {columns} FROM {users}), \
             odd AS (SELECT {columns} FROM {users} EXCEPT ALL SELECT {columns} FROM fresh) \
             SELECT (SELECT count(*) FROM missing), (SELECT count(*) FROM odd)"
        )
    }
}

/// The name of the place of a field's last value.
fn mark(quoted: &str) -> String {
    quoted.trim_end_matches('"').to_owned() + " at\""
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::columns::Columns;

    #[test]
    fn users_have_the_columns_of_the_lake() {
        let contract = Contract::embedded().unwrap();
        let schema = contract.stream(Stream::UserEvents).table_schema();
        let users = |columns| Users::of(&Table::new("user_events", &schema, &contract, &columns).unwrap(), &contract);
        let text = std::fs::read_to_string("../queries/views/users.sql").unwrap();
        let listed = text.lines().filter_map(|line| line.strip_prefix("-- column: ")?.split(' ').next());
        let all = users(Columns::All).unwrap();
        assert_eq!(all.columns(), listed.collect::<Vec<_>>());
        let fewer = users(Columns::WithoutPersonal).unwrap();
        assert!(!fewer.columns().contains(&"email") && fewer.columns().contains(&"zip_code"));
    }
}

//! What the target holds of each table, and what is loaded beside it; the statements by which a transaction makes sure that it
//! alone moves a position.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::{
    RedshiftTarget,
    ddl::{self, LOSSES, There, literal},
    statements::{Outcome, Row},
};
use crate::{
    error::DeliverError,
    sql::{DELIVERIES, LOADED, LOADS, beside, place},
    target::{Load, Source, Standing},
};

/// What stands in the tables of the delivery for a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) held: Option<Position>,
    pub(super) loading: Option<Position>,
    /// Values that did not fit.
    pub(super) losses: u64,
}

/// A version that is held or loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) version: u64,
    pub(super) rows: u64,
    pub(super) table_id: String,
    pub(super) lake: String,
    pub(super) columns: String,
    /// The attempt that moved it, or that began the load: no two have the same.
    pub(super) attempt: String,
}

/// A load that is under way, and the attempt that began it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UnderWay {
    pub(super) load: Load,
    pub(super) attempt: String,
}

impl Position {
    fn of(row: &Row) -> Option<Self> {
        let number = |place| row.number(place).and_then(|number| u64::try_from(number).ok());
        let text = |place| row.text(place).map(str::to_owned);
        Some(Self {
            version: number(1)?,
            rows: number(2)?,
            table_id: text(3)?,
            lake: text(4)?,
            columns: text(5)?,
            attempt: text(6)?,
        })
    }
}

/// Fails the transaction unless a condition holds of some rows.
fn unless_one(from: &str, condition: &str) -> String {
    format!("SELECT 1 / COUNT(*) FROM {from} WHERE {condition}")
}

/// The first statements of a transaction that moves a position: nobody else does until it ends, and it is still the one that
/// was found. The lock comes first, so that what the transaction sees is from after it. The version alone would not do: after a
/// rebuild the same version may be held with other columns.
pub(super) fn fence(schema: &str, table: &str, held: &Position) -> Vec<String> {
    fence_of(&place(schema, DELIVERIES), table, held.version, ("moved_by", &held.attempt))
}

/// The same of a load, which may have been thrown away and begun anew at the same version.
pub(super) fn fence_load(schema: &str, table: &str, load: &Load, attempt: &str) -> Vec<String> {
    fence_of(&place(schema, LOADS), table, load.version, ("began_by", attempt))
}

fn fence_of(at: &str, table: &str, version: u64, (column, attempt): (&str, &str)) -> Vec<String> {
    let condition = format!(
        "\"table_name\" = {} AND \"version\" = {version} AND \"{column}\" = {}",
        literal(table),
        literal(attempt)
    );
    vec![format!("LOCK {at}"), unless_one(at, &condition)]
}

/// A time as a statement has it.
pub(super) fn time(at: DateTime<Utc>) -> String {
    format!("CAST('{}' AS TIMESTAMPTZ)", at.format("%Y-%m-%d %H:%M:%S%.6f+00"))
}

pub(super) fn maybe_time(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "CAST(NULL AS TIMESTAMPTZ)".to_owned(), time)
}

/// A table, for people.
pub(super) fn about(table: &str) -> String {
    format!("table '{table}'")
}

impl RedshiftTarget {
    /// Makes what is missing of the target's own tables.
    pub(super) async fn make_own_tables(&mut self) -> Result<(), DeliverError> {
        if self.has_own_tables().await? {
            return Ok(());
        }
        let (schema, about) = (self.options.schema.clone(), format!("schema '{}'", self.options.schema));
        let there = format!("SELECT COUNT(*) FROM pg_namespace WHERE nspname = {}", literal(&schema));
        let there = self.api.query("cannot look for the schema", &about, &there).await?;
        let mut statements = Vec::new();
        if there.first().and_then(|row| row.number(0)) == Some(0) {
            statements.push(format!("CREATE SCHEMA {}", crate::sql::quoted(&schema)));
        }
        statements.extend(ddl::own_tables(&schema));
        let operation = "cannot make the tables of the delivery";
        match self.api.batch(operation, &about, &statements).await? {
            Outcome::Finished(_) => Ok(()),
            // Another process may have made them.
            Outcome::Failed(_) if self.has_own_tables().await? => Ok(()),
            Outcome::Failed(said) => Err(self.options.of_statement(operation, &about, &said)),
        }
    }

    /// Whether the target's own tables are there: who only looks does not make them.
    pub(super) async fn has_own_tables(&self) -> Result<bool, DeliverError> {
        let names = ddl::own_table_names();
        let about = format!("schema '{}'", self.options.schema);
        let ask = ddl::ask_columns(&self.options.schema, &names);
        let rows = self.api.query("cannot look for the schema", &about, &ask).await?;
        let found: BTreeSet<&str> = rows.iter().filter_map(|row| row.text(0)).collect();
        Ok(found.len() == names.len())
    }

    /// What stands there for a table. It refuses the table of another lake.
    pub(super) async fn find(&self, source: &Source) -> Result<Found, DeliverError> {
        let (name, schema) = (source.name(), &self.options.schema);
        let mine = format!("\"table_name\" = {}", literal(name));
        let what = "\"lake_table_id\", \"lake\", \"columns\"";
        let ask = format!(
            "SELECT 'held' AS what, \"version\", \"rows\", {what}, \"moved_by\" FROM {} WHERE {mine} \
             UNION ALL SELECT 'loading' AS what, \"version\", CAST(0 AS BIGINT), {what}, \"began_by\" FROM {} WHERE {mine} \
             UNION ALL SELECT 'losses' AS what, COUNT(*), CAST(0 AS BIGINT), '', '', '', '' FROM {} WHERE {mine}",
            place(schema, DELIVERIES),
            place(schema, LOADS),
            place(schema, LOSSES)
        );
        let rows = self.api.query("cannot read the position", &about(name), &ask).await?;
        let of = |what: &'static str| rows.iter().filter(move |row| row.text(0) == Some(what));
        let first = |what| of(what).find_map(Position::of);
        let losses = first("losses").map_or(0, |it| it.version);
        let found = Found { held: first("held"), loading: first("loading"), losses };
        if of("held").count() > 1 {
            let problem = "its position stands twice in 'deliveries'";
            return Err(self.options.refused(
                &about(name),
                problem,
                "somebody wrote there: delete the row that is too many",
            ));
        }
        let id = source.feed.table_id()?;
        match found.held.iter().chain(&found.loading).find(|position| position.table_id != id) {
            Some(other) => Err(self.options.refused(
                &about(name),
                &format!(
                    "the schema '{schema}' holds the table of another lake, {}, or of this one before it was made anew",
                    other.lake
                ),
                "give the target another schema, or drop this one if nobody needs it",
            )),
            None => Ok(found),
        }
    }

    /// The position of a table that is held. One that was loaded with other columns must be rebuilt.
    pub(super) async fn held(&self, source: &Source) -> Result<Option<Position>, DeliverError> {
        let held = self.find(source).await?.held;
        self.check_columns(source, held.as_ref())?;
        Ok(held)
    }

    fn check_columns(&self, source: &Source, held: Option<&Position>) -> Result<(), DeliverError> {
        match held {
            Some(held) if held.columns != source.columns.to_string() => {
                let reason =
                    format!("it was loaded with columns = {}, and bluelake.toml says {}", held.columns, source.columns);
                Err(self.options.rebuild(source.name(), &reason))
            }
            _ => Ok(()),
        }
    }

    /// The columns of some tables and views of the schema.
    pub(super) async fn columns_there(
        &self,
        about: &str,
        names: &[String],
    ) -> Result<BTreeMap<String, There>, DeliverError> {
        let ask = ddl::ask_columns(&self.options.schema, names);
        let rows = self.api.query("cannot look at its columns", about, &ask).await?;
        let mut found: BTreeMap<String, There> = BTreeMap::new();
        for row in &rows {
            let (Some(table), Some(column), Some(kind)) = (row.text(0), row.text(1), row.text(2)) else { continue };
            let width = row.number(3).and_then(|width| usize::try_from(width).ok());
            found.entry(table.to_owned()).or_default().insert(column.to_owned(), (kind.to_owned(), width));
        }
        Ok(found)
    }

    /// The columns of one of them; none when it is not there.
    pub(super) async fn columns_of(&self, name: &str) -> Result<There, DeliverError> {
        Ok(self.columns_there(&about(name), &[name.to_owned()]).await?.remove(name).unwrap_or_default())
    }

    /// How the target stands with a table.
    pub(super) async fn stand(&self, source: &Source) -> Result<Standing, DeliverError> {
        let name = source.name();
        // A load that ends meanwhile makes table and position at once: so the table is looked for on both sides of it.
        let before = self.columns_of(name).await?;
        let found = self.find(source).await?;
        self.check_columns(source, found.held.as_ref())?;
        match &found.held {
            Some(_) if before.is_empty() && self.columns_of(name).await?.is_empty() => {
                Err(self.options.rebuild(name, "the table is gone from the target"))
            }
            None if !before.is_empty() && self.find(source).await?.held.is_none() => Err(self.options.refused(
                &about(name),
                &format!("the schema '{}' has a table of this name that Bluelake did not load", self.options.schema),
                "rename or drop it, or give the target another schema",
            )),
            _ => Ok(Standing {
                held: found.held.as_ref().map(|position| position.version),
                loading: found.loading.map(|loading| loading.version),
                rows: found.held.map_or(0, |position| position.rows),
                losses: found.losses,
            }),
        }
    }

    /// The load of a table that is under way, if it has these columns. One query asks for the load and for what it has loaded:
    /// between two, another process may end it, and nothing would seem to be loaded of what was.
    pub(super) async fn under_way(&self, source: &Source) -> Result<Option<UnderWay>, DeliverError> {
        let (name, schema) = (source.name(), &self.options.schema);
        let ask = format!(
            "SELECT o.\"version\", o.\"lake_table_id\", o.\"columns\", o.\"began_by\", p.\"first\", p.\"day\" FROM {} o \
             LEFT JOIN {} p ON p.\"table_name\" = o.\"table_name\" WHERE o.\"table_name\" = {}",
            place(schema, LOADS),
            place(schema, LOADED),
            literal(name)
        );
        let rows = self.api.query("cannot read the load", &about(name), &ask).await?;
        let Some(found) = rows.first() else { return Ok(None) };
        let version = found.number(0).and_then(|number| u64::try_from(number).ok());
        let (Some(version), Some(id), Some(columns), Some(attempt)) =
            (version, found.text(1), found.text(2), found.text(3))
        else {
            return Ok(None);
        };
        if id != source.feed.table_id()? || columns != source.columns.to_string() {
            return Ok(None);
        }
        let partition = |row: &Row| Some([row.text(4)?.to_owned(), row.text(5)?.to_owned()]);
        let load = Load { version, done: rows.iter().filter_map(partition).collect() };
        Ok(Some(UnderWay { load, attempt: attempt.to_owned() }))
    }

    /// Tables of these names that Bluelake did not make, or that another lake delivers, stay as they are.
    pub(super) async fn refuse_other_tables(&self, source: &Source) -> Result<(), DeliverError> {
        if self.find(source).await?.held.is_some() {
            return Ok(());
        }
        let name = source.name();
        let relations = ddl::relations(&self.options.schema, &source.table()?, &source.contract);
        let found = self.columns_there(&about(name), &relations).await?;
        // Another process may have ended its load meanwhile.
        match found.keys().find(|found| **found != beside(name)) {
            Some(relation) if self.find(source).await?.held.is_none() => {
                let problem =
                    format!("the schema '{}' has a '{relation}' that Bluelake did not make", self.options.schema);
                let remedy = "rename or drop it, or give the target another schema";
                Err(self.options.refused(&about(name), &problem, remedy))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_locks_before_it_looks() {
        let held = Position {
            version: 7,
            rows: 1,
            table_id: "i".to_owned(),
            lake: "l".to_owned(),
            columns: "all".to_owned(),
            attempt: "a".to_owned(),
        };
        assert_eq!(
            fence("s", "t", &held),
            [
                "LOCK \"s\".\"deliveries\"",
                "SELECT 1 / COUNT(*) FROM \"s\".\"deliveries\" WHERE \"table_name\" = 't' AND \"version\" = 7 AND \"moved_by\" = 'a'"
            ]
        );
        let load = Load { version: 7, done: BTreeSet::new() };
        let fence = fence_load("s", "t", &load, "a");
        assert_eq!(fence.first().map(String::as_str), Some("LOCK \"s\".\"loads\""));
        assert!(
            fence.last().is_some_and(|check| check.ends_with("\"version\" = 7 AND \"began_by\" = 'a'")),
            "{fence:?}"
        );
    }
}

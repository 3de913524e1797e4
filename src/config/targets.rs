//! The places to which the lake is delivered: `[[target]]` tables of the configuration file.

use std::path::Path;

use anyhow::Result;
use bluelake_deliver::Columns;
use bluelake_lake::{REJECTED_EVENTS, table_names};
use bluelake_schemas::Stream;
use serde::Deserialize;

use crate::terminal::failure::WrongUsage;

/// Words that stand where the name of a target could.
const COMMANDS: [&str; 4] = ["status", "verify", "rebuild", "help"];

/// The schema of a target that names none.
const SCHEMA: &str = "bluelake";

/// A target of delivery.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TargetSettings {
    /// Its name.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: TargetKind,
    /// Where it is. It may hold a password: never to be shown.
    pub(crate) address: Secret,
    /// The tables that it gets.
    pub(crate) tables: Vec<String>,
    /// The columns that it gets.
    pub(crate) columns: Columns,
    /// The schema that is its own.
    pub(crate) schema: String,
    /// A role that may read it.
    pub(crate) read_role: Option<String>,
}

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum TargetKind {
    /// PostgreSQL, or Aurora with its protocol.
    Postgres,
}

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("…")
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    kind: TargetKind,
    address: Secret,
    tables: Option<Vec<String>>,
    columns: Option<WrittenColumns>,
    schema: Option<String>,
    read_role: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenColumns {
    Word(String),
    Names(Vec<String>),
}

/// Reads the value of `target` in a configuration file.
///
/// # Errors
/// [`WrongUsage`] when it is not a list of tables with these keys, or two have one name; it names the file and the place in
/// the list.
pub(super) fn read(value: toml::Value, path: &Path) -> Result<Vec<TargetSettings>> {
    let toml::Value::Array(tables) = value else {
        return Err(fault(path, "target must be a list: write [[target]] above each").into());
    };
    let mut targets: Vec<TargetSettings> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let target = read_one(table, index + 1, path)?;
        if targets.iter().any(|other| other.name == target.name) {
            return Err(fault(path, &format!("two targets have the name {:?}", target.name)).into());
        }
        targets.push(target);
    }
    Ok(targets)
}

fn read_one(table: toml::Value, number: usize, path: &Path) -> Result<TargetSettings> {
    let wrong = |detail: &str| fault(path, &format!("[[target]] number {number}: {detail}"));
    let written: Written = table.try_into().map_err(|error: toml::de::Error| wrong(error.message()))?;
    let name = written.name;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if name.is_empty() || name.len() > 60 || !name.bytes().all(is_plain) || COMMANDS.contains(&name.as_str()) {
        let words = COMMANDS.join(", ");
        return Err(wrong(&format!(
            "name {name:?} must be 1 to 60 letters, digits, - or _, and none of the commands {words}"
        ))
        .into());
    }
    let known: Vec<&str> = table_names().collect();
    let usual = Stream::ALL.map(|stream| stream.table().to_owned());
    let tables = written.tables.unwrap_or_else(|| usual.to_vec());
    if let Some(odd) = tables.iter().find(|table| !known.contains(&table.as_str())) {
        return Err(wrong(&format!("there is no table {odd:?}; tables are {}", known.join(", "))).into());
    }
    if tables.is_empty() {
        return Err(wrong("tables is empty; leave it out for all but rejected_events").into());
    }
    let columns = match written.columns {
        None => Columns::All,
        Some(WrittenColumns::Word(word)) => word.parse().map_err(|error| wrong(&format!("columns: {error}")))?,
        Some(WrittenColumns::Names(names)) => Columns::Named(names.into_iter().collect()),
    };
    if columns == Columns::WithoutPersonal && tables.iter().any(|table| table == REJECTED_EVENTS) {
        return Err(wrong(
            "rejected_events may hold anything, so columns = \"without-personal\" and this table do not go together",
        )
        .into());
    }
    let schema = written.schema.unwrap_or_else(|| SCHEMA.to_owned());
    if schema.is_empty() || schema.len() > 63 || schema.starts_with("pg_") || schema.contains('\0') {
        return Err(wrong(&format!("schema {schema:?} cannot be one: 1 to 63 bytes, not beginning with pg_")).into());
    }
    let (kind, address, read_role) = (written.kind, written.address, written.read_role);
    Ok(TargetSettings { name, kind, address, tables, columns, schema, read_role })
}

fn fault(path: &Path, detail: &str) -> WrongUsage {
    WrongUsage::new(format!("{}: {detail}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<TargetSettings>> {
        let mut table: toml::Table = text.parse().unwrap();
        read(table.remove("target").unwrap(), Path::new("bluelake.toml"))
    }

    const WAREHOUSE: &str =
        "[[target]]\nname = 'warehouse'\nkind = 'postgres'\naddress = 'postgres://me:s3cret@db/points'\n";

    #[test]
    fn a_target_needs_a_name_a_kind_and_an_address() {
        let list = parsed(WAREHOUSE).unwrap();
        let target = &list[0];
        assert_eq!((target.schema.as_str(), &target.columns), ("bluelake", &Columns::All));
        assert_eq!(target.tables, ["user_events", "transactions"], "rejected events only on request");
        assert!(!format!("{target:?}").contains("s3cret"));
        let more =
            format!("{WAREHOUSE}tables = ['transactions']\ncolumns = ['points']\nschema = 's'\nread_role = 'r'\n");
        let target = &parsed(&more).unwrap()[0];
        assert_eq!(target.columns, Columns::Named(["points".to_owned()].into()));
        assert_eq!((target.schema.as_str(), target.read_role.as_deref()), ("s", Some("r")));
    }

    #[test]
    fn each_fault_names_file_and_place() {
        let with = |line: &str| format!("{WAREHOUSE}{line}\n");
        let cases = [
            ("target = 'x'".to_owned(), "target must be a list"),
            (with("adress = 'x'"), "number 1: unknown field `adress`"),
            (WAREHOUSE.replace("postgres'", "mysql'"), "unknown variant `mysql`"),
            (WAREHOUSE.replace("'warehouse'", "'status'"), "none of the commands"),
            (WAREHOUSE.replace("'warehouse'", "'a/b'"), "1 to 60 letters"),
            (format!("{WAREHOUSE}{WAREHOUSE}"), "two targets have the name \"warehouse\""),
            (with("tables = ['users']"), "there is no table \"users\""),
            (with("columns = 'most'"), "write \"all\", \"without-personal\""),
            (with("columns = 'without-personal'\ntables = ['rejected_events']"), "do not go together"),
            (with("schema = 'pg_mine'"), "not beginning with pg_"),
        ];
        for (text, expected) in cases {
            let message = parsed(&text).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("bluelake.toml"), "{text}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}

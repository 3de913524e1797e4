//! The statements of a Redshift target that do not depend on a moment: tables, types, encodings, views, conditions. Pure.
//! Names come from the contract and the configuration, and are always quoted.

use std::collections::BTreeMap;

use bluelake_lake::Extent;
use bluelake_schemas::Contract;

use super::fit::LONGEST;
use crate::{
    columns::{Column, Kind, Table},
    sql::{DELIVERIES, LOADED, LOADS, Lists, USERS, beside, list, place, quoted, views},
    users::Users,
};

/// Values that did not fit.
pub(super) const LOSSES: &str = "losses";
/// What an id or a word of the delivery itself may have.
const WORD: usize = 256;

/// A text as a statement has it. Redshift reads a backslash in a text as the beginning of an escape, and PostgreSQL does not.
pub(super) fn literal(text: &str) -> String {
    let part = |part: &str| format!("'{}'", part.replace('\'', "''"));
    text.split('\\').map(part).collect::<Vec<_>>().join(" || CHR(92) || ")
}

/// The bytes that a column holds, if it is a text.
pub(super) fn width(column: &Column) -> Option<usize> {
    match column.kind {
        Kind::Uuid => Some(36),
        Kind::Text => Some(match column.max_bytes {
            Some(bytes) => bytes.clamp(1, LONGEST),
            None if ["event_type", "stream_shard", "stream_sequence"].contains(&column.name.as_str()) => WORD,
            None => LONGEST,
        }),
        _ => None,
    }
}

/// The type of a column; the names that the catalog has for it.
fn type_of(column: &Column) -> (String, &'static [&'static str]) {
    let plain = |name: &'static str, names: &'static [&'static str]| (name.to_owned(), names);
    match column.kind {
        Kind::Text | Kind::Uuid => {
            (format!("VARCHAR({})", width(column).unwrap_or(LONGEST)), &["character varying", "varchar"])
        }
        Kind::Json | Kind::List => plain("SUPER", &["super"]),
        Kind::Integer => plain("BIGINT", &["bigint", "int8"]),
        Kind::SmallInteger => plain("INTEGER", &["integer", "int4"]),
        Kind::Number => plain("DOUBLE PRECISION", &["double precision", "float8"]),
        Kind::Truth => plain("BOOLEAN", &["boolean", "bool"]),
        Kind::Timestamp => plain("TIMESTAMPTZ", &["timestamp with time zone", "timestamptz"]),
        Kind::Date => plain("DATE", &["date"]),
        Kind::Bytes => (format!("VARBYTE({})", LONGEST / 2), &["binary varying", "varbyte"]),
    }
}

/// The type that a column is staged with, and how the value is made of it.
fn staged(column: &Column) -> (String, String) {
    let name = format!("r.{}", quoted(&column.name));
    match column.kind {
        Kind::Json | Kind::List => {
            (format!("VARCHAR({LONGEST})"), format!("CASE WHEN CAN_JSON_PARSE({name}) THEN JSON_PARSE({name}) END"))
        }
        Kind::Timestamp => (format!("VARCHAR({WORD})"), format!("CAST({name} AS TIMESTAMPTZ)")),
        Kind::Date => (format!("VARCHAR({WORD})"), format!("CAST({name} AS DATE)")),
        Kind::Bytes => (format!("VARCHAR({LONGEST})"), format!("FROM_HEX({name})")),
        _ => (type_of(column).0, name),
    }
}

/// How a column is compressed: by hand, since COPY does not choose for Parquet. What is sorted by is not compressed, so that
/// blocks can be left out.
fn encoding(column: &Column, sorted_by: Option<&str>) -> &'static str {
    match column.kind {
        _ if sorted_by == Some(column.name.as_str()) => "RAW",
        Kind::Integer | Kind::SmallInteger | Kind::Timestamp | Kind::Date => "AZ64",
        Kind::Uuid | Kind::Truth => "RAW",
        _ => "ZSTD",
    }
}

/// The column by which the rows of a table are sorted.
fn sorted_by(columns: &[Column]) -> Option<&'static str> {
    ["occurred_at", "arrived_at"].into_iter().find(|name| columns.iter().any(|column| column.name == *name))
}

fn definition(column: &Column, sorted_by: Option<&str>) -> String {
    format!("{} {} ENCODE {}", quoted(&column.name), type_of(column).0, encoding(column, sorted_by))
}

/// Makes a table, empty.
pub(super) fn create_table(schema: &str, name: &str, columns: &[Column]) -> String {
    let sorted = sorted_by(columns);
    let definitions: Vec<String> = columns.iter().map(|column| definition(column, sorted)).collect();
    let is_there = |name: &str| columns.iter().any(|column| column.name == name);
    let spread = if is_there("event_id") {
        format!("DISTSTYLE KEY DISTKEY({})", quoted("event_id"))
    } else {
        "DISTSTYLE EVEN".to_owned()
    };
    let sorted = sorted.map(|name| format!(" SORTKEY({})", quoted(name))).unwrap_or_default();
    format!("CREATE TABLE {} ({}) {spread}{sorted}", place(schema, name), definitions.join(", "))
}

/// Adds a column: Redshift takes one a statement.
pub(super) fn add_column(schema: &str, name: &str, column: &Column) -> String {
    format!("ALTER TABLE {} ADD COLUMN {}", place(schema, name), definition(column, None))
}

/// Makes a column of a table as wide as the contract says now. That cannot be part of a transaction.
pub(super) fn widen(schema: &str, name: &str, column: &Column) -> String {
    format!("ALTER TABLE {} ALTER COLUMN {} TYPE {}", place(schema, name), quoted(&column.name), type_of(column).0)
}

/// Makes the table for what is staged, which ends with the session.
pub(super) fn create_stage(name: &str, columns: &[Column]) -> String {
    let definitions: Vec<String> =
        columns.iter().map(|column| format!("{} {}", quoted(&column.name), staged(column).0)).collect();
    format!("CREATE TEMP TABLE {} ({})", quoted(name), definitions.join(", "))
}

/// Puts what is staged into a table.
pub(super) fn insert(schema: &str, into: &str, table: &Table, stage: &str) -> String {
    let values: Vec<String> = table.columns.iter().map(|column| staged(column).1).collect();
    format!(
        "INSERT INTO {} ({}) SELECT {} FROM {} r",
        place(schema, into),
        list(&table.names()),
        values.join(", "),
        quoted(stage)
    )
}

/// Tells of the JSON that Redshift does not take although its text promised that.
pub(super) fn insert_unparsed(schema: &str, losses: &str, table: &Table, stage: &str) -> Vec<String> {
    let [first, day] = table.partition.map(quoted);
    let id = table.place("event_id").map_or("CAST(NULL AS VARCHAR(36))", |_| "r.\"event_id\"");
    let of = |column: &Column| {
        let name = format!("r.{}", quoted(&column.name));
        format!(
            "INSERT INTO {} ({}) SELECT {}, r.{first}, r.{day}, r.\"stream_shard\", r.\"stream_sequence\", \
             r.\"stream_sub_sequence\", {id}, {}, OCTET_LENGTH({name}), {} FROM {} r \
             WHERE {name} IS NOT NULL AND NOT CAN_JSON_PARSE({name})",
            place(schema, losses),
            list(&LOSS_COLUMNS),
            literal(table.name),
            literal(&column.name),
            literal("the database does not take it as JSON"),
            quoted(stage)
        )
    };
    table.columns.iter().filter(|column| matches!(column.kind, Kind::Json | Kind::List)).map(of).collect()
}

/// The columns of `losses`.
pub(super) const LOSS_COLUMNS: [&str; 10] = [
    "table_name",
    "partition_value",
    "partition_day",
    "stream_shard",
    "stream_sequence",
    "stream_sub_sequence",
    "event_id",
    "column_name",
    "bytes",
    "reason",
];

/// Their types, except that of the name of the table: so they are staged.
pub(super) fn loss_definitions() -> String {
    format!(
        "\"partition_value\" VARCHAR({WORD}), \"partition_day\" VARCHAR(10), \"stream_shard\" VARCHAR({WORD}), \
         \"stream_sequence\" VARCHAR({WORD}), \"stream_sub_sequence\" INTEGER, \"event_id\" VARCHAR(36), \
         \"column_name\" VARCHAR({WORD}), \"bytes\" BIGINT, \"reason\" VARCHAR({WORD})"
    )
}

/// The tables that a target keeps of itself.
pub(super) fn own_tables(schema: &str) -> Vec<String> {
    let at = |name: &str| place(schema, name);
    let word = format!("VARCHAR({WORD})");
    let what = format!(
        "\"table_name\" {word} NOT NULL, \"lake_table_id\" {word} NOT NULL, \"lake\" VARCHAR({LONGEST}) NOT NULL, \
         \"columns\" VARCHAR({LONGEST}) NOT NULL, \"version\" BIGINT NOT NULL, \"lake_time\" TIMESTAMPTZ"
    );
    let mut made = vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({what}, \"rows\" BIGINT NOT NULL, \"delivered_at\" TIMESTAMPTZ NOT NULL, \
             \"moved_by\" {word} NOT NULL)",
            at(DELIVERIES)
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {} ({what}, \"began_at\" TIMESTAMPTZ NOT NULL, \"began_by\" {word} NOT NULL)",
            at(LOADS)
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {} (\"table_name\" {word} NOT NULL, \"first\" {word} NOT NULL, \
             \"day\" VARCHAR(10) NOT NULL, \"rows\" BIGINT NOT NULL)",
            at(LOADED)
        ),
    ];
    for name in [LOSSES.to_owned(), beside(LOSSES)] {
        made.push(format!(
            "CREATE TABLE IF NOT EXISTS {} (\"table_name\" {word} NOT NULL, {})",
            at(&name),
            loss_definitions()
        ));
    }
    made
}

/// How many of the target's own tables there are.
pub(super) fn own_table_names() -> [String; 5] {
    [DELIVERIES, LOADS, LOADED, LOSSES, &beside(LOSSES)].map(str::to_owned)
}

/// Makes the views over a table anew. They are bound to names only, so that a table can be exchanged and widened under them.
pub(super) fn view_statements(schema: &str, table: &Table, contract: &Contract) -> Vec<String> {
    let made = |name: &str, select: &str| {
        let at = place(schema, name);
        // A view that is replaced must keep its columns.
        [format!("DROP VIEW IF EXISTS {at}"), format!("CREATE VIEW {at} AS {select} WITH NO SCHEMA BINDING")]
    };
    let mut statements = Vec::new();
    for view in views(schema, table, contract, Lists::Without) {
        statements.extend(made(&view.name, &view.select()));
    }
    if let Some(users) = Users::of(table, contract) {
        let select = users.select(&place(schema, table.name), "1 = 1");
        statements.extend(made(USERS, &format!("SELECT {} FROM ({select}) AS u", list(&users.columns()))));
    }
    statements
}

/// What belongs to a table: itself, its views, the users of user events.
pub(super) fn relations(schema: &str, table: &Table, contract: &Contract) -> Vec<String> {
    let views = views(schema, table, contract, Lists::Without).into_iter().map(|view| view.name);
    let users = Users::of(table, contract).map(|_| USERS.to_owned());
    [table.name.to_owned()].into_iter().chain(users).chain(views).collect()
}

/// What of a table, and of its losses, is of some partitions; those that are named are in a stage.
pub(super) fn delete(schema: &str, table: &Table, extent: &Extent, stage: &str) -> [String; 2] {
    let (rows, losses) = (place(schema, table.name), place(schema, LOSSES));
    let [first, day] = table.partition.map(|column| format!("{}.{}", quoted(table.name), quoted(column)));
    let mine = format!("{}.\"table_name\" = {}", quoted(LOSSES), literal(table.name));
    let lost = |column: &str| format!("{}.{}", quoted(LOSSES), quoted(column));
    match extent {
        Extent::All => [format!("DELETE FROM {rows}"), format!("DELETE FROM {losses} WHERE {mine}")],
        Extent::Partitions(_) => {
            let stage = quoted(stage);
            [
                format!(
                    "DELETE FROM {rows} USING {stage} WHERE {first} = {stage}.\"first\" AND {day} = CAST({stage}.\"day\" AS DATE)"
                ),
                format!(
                    "DELETE FROM {losses} USING {stage} WHERE {mine} AND {} = {stage}.\"first\" AND {} = {stage}.\"day\"",
                    lost("partition_value"),
                    lost("partition_day")
                ),
            ]
        }
        Extent::Days { from, before } => {
            let since = |column: &str, cast: fn(String) -> String| {
                let from = from.map(|from| format!("{column} >= {} AND ", cast(format!("'{from}'"))));
                format!("{}{column} < {}", from.unwrap_or_default(), cast(format!("'{before}'")))
            };
            let as_day = |text: String| format!("CAST({text} AS DATE)");
            [
                format!("DELETE FROM {rows} WHERE {}", since(&day, as_day)),
                format!("DELETE FROM {losses} WHERE {mine} AND {}", since(&lost("partition_day"), |text| text)),
            ]
        }
    }
}

/// What of a table, and of its losses, is at some places of the stream, which are in a stage.
pub(super) fn delete_places(schema: &str, table: &Table, stage: &str) -> [String; 2] {
    let from = |name: &str, mine: &str| {
        let at = place(schema, name);
        let (name, stage) = (quoted(name), quoted(stage));
        let same = ["stream_shard", "stream_sequence", "stream_sub_sequence"]
            .map(|column| format!("{name}.{} = {stage}.{}", quoted(column), quoted(column)))
            .join(" AND ");
        format!("DELETE FROM {at} USING {stage} WHERE {mine}{same}")
    };
    let mine = format!("{}.\"table_name\" = {} AND ", quoted(LOSSES), literal(table.name));
    [from(table.name, ""), from(LOSSES, &mine)]
}

/// The columns that a table has in the target: names, types, and the bytes that texts may have.
pub(super) type There = BTreeMap<String, (String, Option<usize>)>;

/// Asks for the columns of some tables.
pub(super) fn ask_columns(schema: &str, names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| literal(name)).collect();
    format!(
        "SELECT table_name, column_name, data_type, character_maximum_length FROM svv_columns \
         WHERE table_schema = {} AND table_name IN ({})",
        literal(schema),
        names.join(", ")
    )
}

/// The columns that a table in the target lacks; or the one that is of another type, with what it is and should be.
pub(super) fn missing_columns<'a>(table: &'a Table, there: &There) -> Result<Vec<&'a Column>, String> {
    let mut missing = Vec::new();
    for column in &table.columns {
        let (wanted, names) = type_of(column);
        match there.get(&column.name) {
            None => missing.push(column),
            Some((found, _)) if names.contains(&found.to_ascii_lowercase().as_str()) => {}
            Some((found, _)) => {
                let name = &column.name;
                return Err(format!("its column '{name}' is of the type {found} and should be {wanted}"));
            }
        }
    }
    Ok(missing)
}

/// Whether the text columns of a table in the target are as wide as they would be made.
pub(super) fn is_wide_enough(table: &Table, there: &There) -> bool {
    let is_narrow = |column: &Column| {
        let held = there.get(&column.name).and_then(|(_, held)| *held);
        width(column).zip(held).is_some_and(|(wanted, held)| held < wanted)
    };
    !table.columns.iter().any(is_narrow)
}

/// The bytes that the text columns hold: those of the target, or those that they will be made with.
pub(super) fn widths(table: &Table, there: &There) -> BTreeMap<String, usize> {
    let of = |column: &Column| {
        let wanted = width(column)?;
        let held = there.get(&column.name).map(|(_, held)| held.unwrap_or(wanted));
        Some((column.name.clone(), held.unwrap_or(wanted)))
    };
    table.columns.iter().filter_map(of).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use bluelake_schemas::Stream;

    use super::*;
    use crate::columns::Columns;

    fn table(stream: Stream) -> (Table, Contract) {
        let contract = Contract::embedded().unwrap();
        let schema = contract.stream(stream).table_schema();
        (Table::new(stream.table(), &schema, &contract, &Columns::All).unwrap(), contract)
    }

    #[test]
    fn texts_cannot_leave_their_quotes_in_either_reading() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("C:\\x'"), "'C:' || CHR(92) || 'x'''");
    }

    #[test]
    fn every_text_has_a_width_and_ids_have_that_of_the_contract() {
        let (table, _) = table(Stream::TransactionEvents);
        let statement = create_table("s", "transactions", &table.columns);
        for part in [
            "\"event_id\" VARCHAR(36) ENCODE RAW",
            "\"donor_id\" VARCHAR(128) ENCODE ZSTD",
            "\"currency\" VARCHAR(64) ENCODE ZSTD",
            "\"zip_code\" VARCHAR(5) ENCODE ZSTD",
            "\"stream_sequence\" VARCHAR(256) ENCODE ZSTD",
            "\"points\" BIGINT ENCODE AZ64",
            "\"items\" SUPER ENCODE ZSTD",
            "\"occurred_at\" TIMESTAMPTZ ENCODE RAW",
            "\"distance_ft\" DOUBLE PRECISION ENCODE ZSTD",
            ") DISTSTYLE KEY DISTKEY(\"event_id\") SORTKEY(\"occurred_at\")",
        ] {
            assert!(statement.contains(part), "{part}: {statement}");
        }
        let enums = table.columns.iter().find(|column| column.name == "donor_kind").unwrap();
        assert_eq!(width(enums), Some(256), "an enum may get longer values");
        let unbounded = Column { max_bytes: None, ..table.columns[table.place("currency").unwrap()].clone() };
        assert_eq!(width(&unbounded), Some(LONGEST), "a text of somebody's own contract may have no bound");
    }

    #[test]
    fn a_table_of_another_shape_is_told_from_one_that_is_older() {
        let (table, _) = table(Stream::UserEvents);
        let mut there: There = table
            .columns
            .iter()
            .map(|column| (column.name.clone(), (type_of(column).1[0].to_owned(), width(column))))
            .collect();
        assert_eq!(missing_columns(&table, &there), Ok(Vec::new()));
        assert!(is_wide_enough(&table, &there));
        there.get_mut("email").unwrap().1 = Some(10);
        assert_eq!(widths(&table, &there)["email"], 10);
        assert!(!is_wide_enough(&table, &there));
        there.remove("email");
        assert_eq!(missing_columns(&table, &there).unwrap()[0].name, "email");
        assert_eq!(widths(&table, &there)["email"], 1_024);
        there.insert("email".to_owned(), ("bigint".to_owned(), None));
        assert!(missing_columns(&table, &there).unwrap_err().contains("'email' is of the type bigint"));
    }

    #[test]
    fn views_are_those_of_the_lake_without_lists_and_bound_to_names() {
        let (transactions, contract) = table(Stream::TransactionEvents);
        let found = view_statements("s", &transactions, &contract);
        assert_eq!(found.len(), 8);
        let (users, contract) = table(Stream::UserEvents);
        let found: Vec<String> = found.into_iter().chain(view_statements("s", &users, &contract)).collect();
        assert_eq!(found.len(), 10);
        for view in found.iter().skip(1).step_by(2) {
            assert!(view.starts_with("CREATE VIEW \"s\".") && view.ends_with(" WITH NO SCHEMA BINDING"), "{view}");
            assert!(!view.contains("FILTER"), "{view}");
        }
    }
}

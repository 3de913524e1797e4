//! Holds statements to what Redshift takes, and puts them into the words of PostgreSQL.

use sqlparser::{dialect::RedshiftSqlDialect, parser::Parser};

/// What Redshift has in the Data API's place of PostgreSQL.
pub(super) const FUNCTIONS: &str = "
    CREATE FUNCTION strtol(text, integer) RETURNS bigint LANGUAGE sql IMMUTABLE
        AS $$ SELECT ('x' || lpad($1, 16, '0'))::bit(64)::bigint $$;
    CREATE FUNCTION from_hex(text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$ SELECT decode($1, 'hex') $$;
    CREATE FUNCTION to_hex(bytea) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT encode($1, 'hex') $$;
    CREATE FUNCTION json_parse(text) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$ SELECT $1::jsonb $$;
    CREATE FUNCTION json_serialize(jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$ SELECT $1::text $$;
    CREATE FUNCTION can_json_parse(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN
            PERFORM $1::jsonb;
            RETURN position('refused by the database' in $1) = 0;
        EXCEPTION WHEN OTHERS THEN RETURN false;
        END $$;
    CREATE VIEW svv_columns AS SELECT table_schema::text, table_name::text, column_name::text,
        CASE data_type WHEN 'jsonb' THEN 'super' WHEN 'bytea' THEN 'binary varying' ELSE data_type::text END AS data_type,
        character_maximum_length::integer FROM information_schema.columns;
    CREATE TABLE late_views (name text PRIMARY KEY, definition text NOT NULL);
    GRANT SELECT ON svv_columns TO PUBLIC; GRANT ALL ON late_views TO PUBLIC;";

/// Words of PostgreSQL that Redshift does not have, at least not with that meaning.
const FOREIGN: [&str; 8] =
    ["FILTER (", "ON CONFLICT", "LATERAL", "JSONB", "RETURNING", "DISTINCT ON", "\\", "IS DISTINCT FROM"];

/// Statements that end the transaction, or cannot be part of one.
const APART: [&str; 5] = ["TRUNCATE", "VACUUM", "ALTER DATABASE", "CREATE EXTERNAL TABLE", "COMMIT"];

/// Whether Redshift would take a statement; what is wrong with it.
pub(super) fn check(statement: &str, in_batch: bool) -> Result<(), String> {
    let upper = statement.to_uppercase();
    if let Some(word) = FOREIGN.iter().find(|word| without_texts(&upper).contains(**word)) {
        return Err(format!("{word} is nothing that Redshift has: {statement}"));
    }
    if let Some(word) = APART.iter().find(|word| upper.trim_start().starts_with(**word)) {
        return Err(format!("{word} cannot run inside a transaction block"));
    }
    if in_batch && is_widening(&upper) {
        return Err("ALTER TABLE ALTER COLUMN cannot run inside a transaction block".to_owned());
    }
    if upper.starts_with("ALTER TABLE") && upper.matches("ADD COLUMN").count() > 1 {
        return Err("Redshift adds one column a statement".to_owned());
    }
    // The parser knows no LOCK of a table.
    if let Some(table) = statement.strip_prefix("LOCK ") {
        return if table.matches('"').count() == 4 { Ok(()) } else { Err(format!("LOCK of {table}")) };
    }
    // Nor encodings.
    let parsed = Parser::parse_sql(&RedshiftSqlDialect {}, &without_encodings(statement));
    match parsed {
        Ok(statements) if statements.len() == 1 => Ok(()),
        Ok(statements) => Err(format!("{} statements in one", statements.len())),
        Err(error) => Err(format!("{error}: {statement}")),
    }
}

pub(super) fn is_widening(upper: &str) -> bool {
    upper.starts_with("ALTER TABLE") && upper.contains(" ALTER COLUMN ")
}

/// What stands outside of texts and names; a backslash counts everywhere.
fn without_texts(statement: &str) -> String {
    let mut out = String::new();
    let mut quote = None;
    for character in statement.chars() {
        match quote {
            Some(open) if character == open => quote = None,
            Some(_) if character == '\\' => out.push(character),
            Some(_) => {}
            None if ['\'', '"'].contains(&character) => quote = Some(character),
            None => out.push(character),
        }
    }
    out
}

fn without_encodings(statement: &str) -> String {
    let mut out = statement.to_owned();
    for encoding in ["RAW", "ZSTD", "AZ64"] {
        out = out.replace(&format!(" ENCODE {encoding}"), "");
    }
    out
}

/// The statement as PostgreSQL has it.
pub(super) fn translated(statement: &str) -> String {
    let is_definition = statement.starts_with("CREATE TABLE") || statement.starts_with("ALTER TABLE");
    let statement = statement.trim_end_matches(" WITH NO SCHEMA BINDING");
    if !is_definition {
        return statement.to_owned();
    }
    let plain = without_encodings(statement);
    let plain = plain.split(" DISTSTYLE ").next().unwrap();
    let plain = plain.replace("\" SUPER", "\" jsonb");
    let (before, rest) = plain.split_once(" VARBYTE(").unwrap_or((&plain, ""));
    let rest = rest.split_once(')').map_or("", |(_, rest)| rest);
    if rest.is_empty() { before.to_owned() } else { format!("{before} bytea{rest}") }
}

#[test]
fn what_redshift_does_not_take_is_refused() {
    for statement in [
        "TRUNCATE t",
        "ALTER TABLE t ALTER COLUMN c TYPE VARCHAR(9)",
        "ALTER TABLE t ADD COLUMN a INTEGER, ADD COLUMN b INTEGER",
        "INSERT INTO t VALUES (1) ON CONFLICT DO NOTHING",
        "SELECT 'a\\b'",
        "SELECT c::jsonb FROM t",
        "SELECT FROM WHERE",
        "SELECT 1; SELECT 2",
        "LOCK t",
    ] {
        assert!(check(statement, true).is_err(), "{statement}");
    }
    for statement in [
        "LOCK \"s\".\"t\"",
        "CREATE TABLE \"s\".\"t\" (\"a\" SUPER ENCODE ZSTD, \"b\" VARCHAR(36) ENCODE RAW) DISTSTYLE KEY DISTKEY(\"b\") SORTKEY(\"b\")",
        "COPY \"t\" FROM 's3://b/k' IAM_ROLE default FORMAT AS PARQUET MANIFEST",
        "SELECT 'jsonb'",
    ] {
        check(statement, true).unwrap();
    }
    check("ALTER TABLE t ALTER COLUMN c TYPE VARCHAR(9)", false).unwrap();
    let table = "CREATE TABLE t (\"a\" SUPER ENCODE ZSTD, \"b\" VARBYTE(9) ENCODE ZSTD, \"c\" DATE) DISTSTYLE EVEN";
    assert_eq!(translated(table), "CREATE TABLE t (\"a\" jsonb, \"b\" bytea, \"c\" DATE)");
}

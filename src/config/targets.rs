//! The places to which the lake is delivered: `[[target]]` tables of the configuration file.

mod redshift;
mod search;

use std::path::{Path, PathBuf};

use anyhow::Result;
use bluelake_deliver::Columns;
use bluelake_lake::{REJECTED_EVENTS, table_names};
use bluelake_schemas::Stream;
use serde::Deserialize;

use crate::terminal::failure::WrongUsage;
pub(crate) use redshift::RedshiftSettings;
use redshift::WrittenRedshift;
use search::WrittenSearch;
pub(crate) use search::{AwsService, SearchSettings};

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
}

/// What a target is, with what only such a target has.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TargetKind {
    /// PostgreSQL, or Aurora with its protocol.
    Postgres {
        /// The schema that is its own.
        schema: String,
        /// A role that may read it.
        read_role: Option<String>,
    },
    /// OpenSearch or Elasticsearch.
    Search(SearchSettings),
    /// Redshift by its Data API.
    Redshift(RedshiftSettings),
}

/// A kind as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum WrittenKind {
    Postgres,
    Search,
    Redshift,
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
    kind: WrittenKind,
    address: Secret,
    tables: Option<Vec<String>>,
    columns: Option<WrittenColumns>,
    schema: Option<String>,
    read_role: Option<String>,
    index_prefix: Option<String>,
    aws_service: Option<AwsService>,
    authorities: Option<PathBuf>,
    shards: Option<u32>,
    replicas: Option<u32>,
    max_rejected: Option<u64>,
    staging: Option<String>,
    iam_role: Option<String>,
    secret_arn: Option<Secret>,
    commit_interval: Option<String>,
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
        // Whoever searches sees whole documents.
        None if written.kind == WrittenKind::Search => Columns::WithoutPersonal,
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
    let search = WrittenSearch {
        index_prefix: written.index_prefix,
        aws_service: written.aws_service,
        authorities: written.authorities,
        shards: written.shards,
        replicas: written.replicas,
        max_rejected: written.max_rejected,
    };
    let redshift = WrittenRedshift {
        staging: written.staging,
        iam_role: written.iam_role,
        secret_arn: written.secret_arn,
        commit_interval: written.commit_interval,
    };
    let kind = kind(written.kind, (written.schema, written.read_role), search, redshift);
    let kind = kind.map_err(|problem| wrong(&problem))?;
    Ok(TargetSettings { name, kind, address: written.address, tables, columns })
}

/// What a target is, if it has no key of another kind.
fn kind(
    kind: WrittenKind,
    (schema, read_role): (Option<String>, Option<String>),
    search: WrittenSearch,
    redshift: WrittenRedshift,
) -> Result<TargetKind, String> {
    if let Some(key) = search.key().filter(|_| kind != WrittenKind::Search) {
        return Err(format!("{key} is a key of kind = \"search\""));
    }
    if let Some(key) = redshift.key().filter(|_| kind != WrittenKind::Redshift) {
        return Err(format!("{key} is a key of kind = \"redshift\""));
    }
    match kind {
        WrittenKind::Postgres => postgres(schema, read_role),
        WrittenKind::Search if schema.is_some() || read_role.is_some() => {
            Err("schema and read_role are keys of kind = \"postgres\"".to_owned())
        }
        WrittenKind::Search => search.read().map(TargetKind::Search),
        WrittenKind::Redshift if read_role.is_some() => {
            Err("read_role is a key of kind = \"postgres\"; docs/delivery.md says how others may read in Redshift"
                .to_owned())
        }
        WrittenKind::Redshift => redshift.read(schema.unwrap_or_else(|| SCHEMA.to_owned())).map(TargetKind::Redshift),
    }
}

fn postgres(schema: Option<String>, read_role: Option<String>) -> Result<TargetKind, String> {
    let schema = schema.unwrap_or_else(|| SCHEMA.to_owned());
    if schema.is_empty() || schema.len() > 63 || schema.starts_with("pg_") || schema.contains('\0') {
        return Err(format!("schema {schema:?} cannot be one: 1 to 63 bytes, not beginning with pg_"));
    }
    Ok(TargetKind::Postgres { schema, read_role })
}

fn fault(path: &Path, detail: &str) -> WrongUsage {
    WrongUsage::new(format!("{}: {detail}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
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
        let kind = |schema: &str, role: Option<&str>| TargetKind::Postgres {
            schema: schema.to_owned(),
            read_role: role.map(str::to_owned),
        };
        assert_eq!((&target.kind, &target.columns), (&kind("bluelake", None), &Columns::All));
        assert_eq!(target.tables, ["user_events", "transactions"], "rejected events only on request");
        assert!(!format!("{target:?}").contains("s3cret"));
        let more =
            format!("{WAREHOUSE}tables = ['transactions']\ncolumns = ['points']\nschema = 's'\nread_role = 'r'\n");
        let target = &parsed(&more).unwrap()[0];
        assert_eq!(target.columns, Columns::Named(["points".to_owned()].into()));
        assert_eq!(target.kind, kind("s", Some("r")));
    }

    const FINDER: &str = "[[target]]\nname = 'finder'\nkind = 'search'\naddress = 'https://me:s3cret@search:9200'\n";

    #[test]
    fn a_search_target_has_keys_of_its_own_and_no_personal_data() {
        let target = &parsed(FINDER).unwrap()[0];
        let TargetKind::Search(settings) = &target.kind else { panic!("{target:?}") };
        assert_eq!((settings.prefix.as_str(), &target.columns), ("bluelake", &Columns::WithoutPersonal));
        assert!(!format!("{target:?}").contains("s3cret"));
        let more = "index_prefix = 'points'\naws_service = 'aoss'\nshards = 2\nreplicas = 0\nmax_rejected = 7\nauthorities = 'ca.pem'\n";
        let target = &parsed(&format!("{FINDER}{more}columns = 'all'\n")).unwrap()[0];
        let TargetKind::Search(settings) = &target.kind else { panic!("{target:?}") };
        let expected = SearchSettings {
            prefix: "points".to_owned(),
            aws_service: Some(AwsService::Aoss),
            authorities: Some("ca.pem".into()),
            shards: Some(2),
            replicas: Some(0),
            max_rejected: bluelake_deliver::RejectedBound { least: 7, share: 0.0 },
        };
        assert_eq!((settings, &target.columns), (&expected, &Columns::All));
    }

    const FINANCE: &str = "[[target]]\nname = 'finance'\nkind = 'redshift'\naddress = 'redshift-serverless://points/dev'\nstaging = 's3://b/p'\niam_role = 'default'\n";

    #[test]
    fn a_redshift_target_commits_once_a_minute() {
        let target = &parsed(FINANCE).unwrap()[0];
        let TargetKind::Redshift(settings) = &target.kind else { panic!("{target:?}") };
        assert_eq!((settings.schema.as_str(), settings.iam_role.as_str()), ("bluelake", "default"));
        assert_eq!((settings.commit_interval.as_secs(), &target.columns), (60, &Columns::All));
        assert_eq!(settings.staging.to_string(), "s3://b/p");
        let more = "schema = 's'\nsecret_arn = 'arn:aws:secretsmanager:eu-west-1:1:secret:x'\ncommit_interval = '5m'\n";
        let target = &parsed(&format!("{FINANCE}{more}")).unwrap()[0];
        let TargetKind::Redshift(settings) = &target.kind else { panic!("{target:?}") };
        assert_eq!((settings.commit_interval.as_secs(), settings.secret_arn.is_some()), (300, true));
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
            (with("index_prefix = 'x'"), "index_prefix is a key of kind = \"search\""),
            (format!("{FINDER}read_role = 'r'"), "keys of kind = \"postgres\""),
            (format!("{FINDER}index_prefix = 'Points'"), "cannot begin the name of an index"),
            (format!("{FINDER}aws_service = 's3'"), "unknown variant `s3`"),
            (format!("{FINDER}shards = 0"), "shards must be 1 or more"),
            (format!("{FINDER}tables = ['rejected_events']"), "do not go together"),
            (with("staging = 's3://b/p'"), "staging is a key of kind = \"redshift\""),
            (FINANCE.replace("staging = ", "#"), "staging is missing"),
            (FINANCE.replace("s3://b/p", "folder"), "write s3://BUCKET/PREFIX"),
            (FINANCE.replace("iam_role = ", "#"), "iam_role is missing"),
            (FINANCE.replace("default", "copy"), "write arn:aws:iam::ACCOUNT:role/NAME"),
            (format!("{FINANCE}schema = 'Points'"), "lower-case letters"),
            (format!("{FINANCE}commit_interval = 'soon'"), "commit_interval \"soon\" is no time"),
            (format!("{FINANCE}secret_arn = 's3cret'"), "secret_arn is no ARN"),
            (format!("{FINANCE}read_role = 'r'"), "read_role is a key of kind = \"postgres\""),
            (format!("{FINANCE}shards = 2"), "shards is a key of kind = \"search\""),
        ];
        for (text, expected) in cases {
            let message = parsed(&text).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("bluelake.toml"), "{text}: {message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }
}

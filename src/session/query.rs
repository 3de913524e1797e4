//! A query session over the lake's tables, within the configured limits.

use anyhow::Result;
use bluelake_lake::{AsOf, Lake, TableReading};
use bluelake_queries::{Origin, QueryOptions, QuerySession};

use crate::config::Config;

/// A query session, with what it was opened on.
pub(crate) struct Opened {
    /// Runs the queries.
    pub(crate) session: QuerySession,
    /// The tables, in the lake's order.
    pub(crate) tables: Vec<TableVersion>,
}

/// The version at which a table was opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableVersion {
    /// Name of the table.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: Option<u64>,
    /// Its rows, when its log tells.
    pub(crate) rows: Option<u64>,
}

/// Opens all tables of the lake, each at the wanted version.
///
/// # Errors
/// When the place holds no lake or cannot be read, or does not have the version (any more).
pub(crate) async fn open(lake: &Lake, config: &Config, as_of: &AsOf) -> Result<QuerySession> {
    Ok(open_pinned(lake, config, as_of).await?.session)
}

/// As [`open`], with the versions.
///
/// # Errors
/// As [`open`].
pub(crate) async fn open_pinned(lake: &Lake, config: &Config, as_of: &AsOf) -> Result<Opened> {
    let reading = lake.read(as_of).await?;
    let origin = Origin::of(&reading);
    let version =
        |table: &TableReading| TableVersion { name: table.name.clone(), version: table.version, rows: table.rows };
    let versions = reading.tables.iter().map(version).collect();
    let tables = reading.tables.into_iter().map(|table| (table.name, table.provider)).collect();
    let options = QueryOptions {
        memory_limit_bytes: usize::try_from(config.sql.memory_limit.as_u64()).unwrap_or(usize::MAX),
        spill_limit_bytes: config.sql.spill_limit.as_u64(),
        spill_directory: config.sql.spill_directory.clone(),
        time_limit: config.sql.time_limit,
        time_zone: config.time_zone,
        ..QueryOptions::default()
    };
    let session = QuerySession::new(tables, options).await?.with_origin(origin);
    Ok(Opened { session, tables: versions })
}

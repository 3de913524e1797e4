//! A query session over the lake's tables, within the configured limits.

use anyhow::Result;
use bluelake_lake::{AsOf, Lake};
use bluelake_queries::{QueryOptions, QuerySession};

use crate::config::Config;

/// Opens all tables of the lake, each at the wanted version.
///
/// # Errors
/// When the place holds no lake or cannot be read, or does not have the version, or no longer.
pub(crate) async fn open(lake: &Lake, config: &Config, as_of: &AsOf) -> Result<QuerySession> {
    let options = QueryOptions {
        memory_limit_bytes: usize::try_from(config.sql.memory_limit.as_u64()).unwrap_or(usize::MAX),
        spill_limit_bytes: config.sql.spill_limit.as_u64(),
        spill_directory: config.sql.spill_directory.clone(),
        time_limit: config.sql.time_limit,
        time_zone: config.time_zone,
        ..QueryOptions::default()
    };
    Ok(QuerySession::over(lake.read(as_of).await?, options).await?)
}

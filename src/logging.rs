//! Log lines to standard error, as text or JSON.

use std::io::IsTerminal;

use anyhow::Result;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{LogFormat, LogSettings};

/// Starts logging for the rest of the process.
///
/// # Errors
/// When logging was started before.
pub(crate) fn start(settings: &LogSettings) -> Result<()> {
    let filter = EnvFilter::try_new(directives(&settings.level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).finish().try_init()?,
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init()?,
    }
    Ok(())
}

/// The rooms, by the names under which they log.
const ROOMS: [&str; 7] = [
    "bluelake",
    "bluelake_generate",
    "bluelake_ingest",
    "bluelake_lake",
    "bluelake_queries",
    "bluelake_schemas",
    "bluelake_transform",
];

/// Where a library tells of a lost race as of a failure, at `error`. Whatever goes wrong there is given back to the room `lake`,
/// which knows whether it can be resolved and says what became of it.
const TOLD_BY_US: [&str; 2] = ["deltalake_core::kernel::transaction", "deltalake_core::logstore"];

/// A plain level is about Bluelake alone: what the libraries say at `info` would bury it, kilobytes a commit. A filter is
/// taken as it is.
fn directives(level: &str) -> String {
    let libraries = match level {
        "info" | "debug" | "trace" => "warn",
        "error" | "warn" => level,
        _ => return level.to_owned(),
    };
    let rooms = ROOMS.map(|room| format!("{room}={level}"));
    let told = TOLD_BY_US.map(|module| format!("{module}=off"));
    format!("{libraries},{},{}", rooms.join(","), told.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_level_leaves_the_libraries_at_warn_and_a_filter_is_taken_as_it_is() {
        assert!(directives("debug").starts_with("warn,bluelake=debug,"));
        assert!(directives("warn").starts_with("warn,bluelake=warn,"));
        for level in ["error", "warn", "info", "debug", "trace"] {
            let told = directives(level);
            assert!(told.ends_with("deltalake_core::kernel::transaction=off,deltalake_core::logstore=off"), "{told}");
            assert!(EnvFilter::try_new(told).is_ok());
        }
        assert_eq!(directives("info,aws_config=debug"), "info,aws_config=debug");
    }
}

//! Limits and time zone of a session.

use std::path::PathBuf;
use std::time::Duration;

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::error::QueryError;
use crate::nearest::nearest;

/// Default of what spilled intermediate results may take on disk.
const SPILL_BYTES: u64 = 4 << 30;

/// What a session may use, and the time zone that its days, weeks and months follow.
#[derive(Clone, Debug)]
pub struct QueryOptions {
    /// Bytes that the queries of the session may hold together; sorts and groupings spill to disk beyond their share.
    /// A query is also stopped when the process grows by much more than this while it runs: see the module `memory`.
    pub memory_limit_bytes: usize,
    /// Bytes that the spilled intermediate results of the session may take together.
    pub spill_limit_bytes: u64,
    /// Where a private directory for spilled results is made, and removed with the session; `None`: the system's place
    /// for temporary files.
    pub spill_directory: Option<PathBuf>,
    /// Time that one query may take: planning, and waiting for its batches. Time that the reader of the result spends
    /// between batches does not count.
    pub time_limit: Duration,
    /// Threads' worth of work that a plan is split into.
    pub target_partitions: usize,
    /// Zone of `local_date` in the views, of `now()` and of `timestamptz` literals without an offset.
    pub time_zone: Tz,
}

impl Default for QueryOptions {
    fn default() -> Self {
        Self {
            memory_limit_bytes: 1 << 30,
            spill_limit_bytes: SPILL_BYTES,
            spill_directory: None,
            time_limit: Duration::from_secs(300),
            target_partitions: std::thread::available_parallelism().map_or(1, usize::from),
            time_zone: Tz::UTC,
        }
    }
}

/// Reads an IANA time zone name such as `America/Chicago`.
///
/// # Errors
/// [`QueryError::UnknownTimeZone`], with the nearest known name.
pub fn parse_time_zone(name: &str) -> Result<Tz, QueryError> {
    name.parse().map_err(|_| QueryError::UnknownTimeZone {
        name: name.to_owned(),
        suggestion: zone_of_city(name).or_else(|| nearest(name, TZ_VARIANTS.iter().map(|zone| zone.name()))),
    })
}

/// The zone that a city gives its name: `America/Chicago` for `chicago`.
fn zone_of_city(name: &str) -> Option<String> {
    let is_meant = |zone: &&str| {
        let (_, city) = zone.rsplit_once('/').unwrap_or(("", zone));
        [*zone, city].iter().any(|written| written.eq_ignore_ascii_case(&name.replace(' ', "_")))
    };
    TZ_VARIANTS.iter().map(|zone| zone.name()).find(is_meant).map(str::to_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_time_zone_is_refused_with_the_nearest_name() {
        assert_eq!(parse_time_zone("America/Chicago").unwrap(), Tz::America__Chicago);
        let message = parse_time_zone("America/Chigaco").unwrap_err().to_string();
        assert!(message.contains("America/Chicago"), "{message}");
        for meant in ["Chicago", "chicago", "america/chicago"] {
            assert!(parse_time_zone(meant).unwrap_err().to_string().contains("America/Chicago"), "{meant}");
        }
        assert!(parse_time_zone("new york").unwrap_err().to_string().contains("America/New_York"));
    }
}

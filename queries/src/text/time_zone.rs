//! Time zones by their names.

use chrono_tz::{TZ_VARIANTS, Tz};

use crate::text::nearest::{did_you_mean, nearest};

/// The time zone is not in the IANA list.
#[derive(Debug, thiserror::Error)]
#[error("there is no time zone {name:?}{}", did_you_mean(suggestion.as_ref()))]
pub struct UnknownTimeZone {
    /// What was written.
    pub name: String,
    /// The nearest known name.
    pub suggestion: Option<String>,
}

/// Reads an IANA time zone name such as `America/Chicago`.
///
/// # Errors
/// [`UnknownTimeZone`], with the nearest known name.
pub fn parse_time_zone(name: &str) -> Result<Tz, UnknownTimeZone> {
    name.parse().map_err(|_| UnknownTimeZone {
        name: name.to_owned(),
        suggestion: zone_of_city(name).or_else(|| nearest(name, TZ_VARIANTS.iter().map(|zone| zone.name()))),
    })
}

/// The zone that is named after a city: `America/Chicago` for `chicago`.
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
    fn an_unknown_time_zone_gets_the_nearest() {
        assert_eq!(parse_time_zone("America/Chicago").unwrap(), Tz::America__Chicago);
        let message = parse_time_zone("America/Chigaco").unwrap_err().to_string();
        assert!(message.contains("America/Chicago"), "{message}");
        for meant in ["Chicago", "chicago", "america/chicago"] {
            assert!(parse_time_zone(meant).unwrap_err().to_string().contains("America/Chicago"), "{meant}");
        }
        assert!(parse_time_zone("new york").unwrap_err().to_string().contains("America/New_York"));
    }
}

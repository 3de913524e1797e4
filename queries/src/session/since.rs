//! The first day that a result counts when older days expired. Pure.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use crate::postgres::times::zone::instant;
use crate::session::origin::TableOrigin;

/// Tables that a result was computed from lack old days: it counts `first_day` and later ones.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Since {
    /// The first whole day that is left, in the time zone of the session.
    pub first_day: NaiveDate,
    /// The tables that lack older days.
    pub expired: Vec<ExpiredDays>,
}

/// A table that lacks days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExpiredDays {
    /// The table.
    pub table: String,
    /// Days before this one, in UTC.
    pub before: NaiveDate,
}

impl Since {
    /// Of a result that was computed from these tables; `None` when they lack nothing.
    pub(crate) fn of(tables: &[TableOrigin], zone: Tz) -> Option<Self> {
        let expired = tables
            .iter()
            .filter_map(|table| Some(ExpiredDays { table: table.name.clone(), before: table.expired_before? }));
        let expired: Vec<ExpiredDays> = expired.collect();
        let first_day = expired.iter().map(|days| first_whole_day(days.before, zone)).max()?;
        Some(Self { first_day, expired })
    }

    /// What is not counted: `transactions of days before 2026-03-01 (UTC) expired`.
    #[must_use]
    pub fn in_words(&self) -> String {
        let tables = self.expired.iter().map(|days| format!("{} of days before {}", days.table, days.before));
        format!("{} (UTC) expired", tables.collect::<Vec<_>>().join(" and "))
    }
}

/// The first day of a zone that lies wholly on this day of UTC and those after it.
pub(crate) fn first_whole_day(day: NaiveDate, zone: Tz) -> NaiveDate {
    let begins = day.and_time(NaiveTime::MIN).and_utc();
    let local = begins.with_timezone(&zone).date_naive();
    if start_of(local, zone).is_some_and(|start| start >= begins) { local } else { local.succ_opt().unwrap_or(local) }
}

/// The first instant of a day, as SQL has it. Where clocks skip midnight, the first that there is.
pub(crate) fn start_of(day: NaiveDate, zone: Tz) -> Option<DateTime<Utc>> {
    instant(zone, day.and_time(NaiveTime::MIN))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_first_day_is_whole_in_every_zone() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        for (zone, expected) in [
            (Tz::UTC, "2026-03-01"),
            // The day begins before it does in UTC: a part of it expired.
            (Tz::Asia__Tokyo, "2026-03-02"),
            (Tz::America__Chicago, "2026-03-01"),
        ] {
            let first = first_whole_day(day("2026-03-01"), zone);
            assert_eq!(first, day(expected), "{zone}");
            assert!(start_of(first, zone).unwrap() >= day("2026-03-01").and_time(NaiveTime::MIN).and_utc());
            let before = start_of(first.pred_opt().unwrap(), zone).unwrap();
            assert!(before < day("2026-03-01").and_time(NaiveTime::MIN).and_utc(), "{zone}: a whole day is left out");
        }
    }

    #[test]
    fn the_table_that_lacks_most_decides() {
        let table = |name: &str, before: Option<&str>| TableOrigin {
            name: name.to_owned(),
            version: None,
            rows: None,
            expired_before: before.map(|day| day.parse().unwrap()),
        };
        assert_eq!(Since::of(&[table("user_events", None)], Tz::UTC), None);
        let tables = [
            table("user_events", None),
            table("transactions", Some("2026-03-01")),
            table("rejected_events", Some("2026-11-01")),
        ];
        let since = Since::of(&tables, Tz::UTC).unwrap();
        assert_eq!(since.first_day.to_string(), "2026-11-01");
        let words =
            "transactions of days before 2026-03-01 and rejected_events of days before 2026-11-01 (UTC) expired";
        assert_eq!(since.in_words(), words);
    }
}

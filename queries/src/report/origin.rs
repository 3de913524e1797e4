//! Where the tables of a session come from, and how far a result can be trusted.
//!
//! It all follows from the lake at the read versions, so the same versions give the same words.

use arrow::array::AsArray as _;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use datafusion::scalar::ScalarValue;
use serde::Serialize;

use crate::error::QueryError;
use crate::report::parameters::{ResolvedParameter, date_value};
use crate::session::origin::{StreamOrigin, rfc3339};
use crate::session::query_session::QuerySession;
use crate::session::since::{first_whole_day, start_of};

/// What is known of the days that a result covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeriodOrigin {
    /// First day that counts; `None`: the first of the lake.
    pub first_day: Option<NaiveDate>,
    /// Last day that counts; `None`: the last of the lake.
    pub last_day: Option<NaiveDate>,
    /// When the requested last day ends; `None` without one.
    #[serde(serialize_with = "rfc3339")]
    pub ends_at: Option<DateTime<Utc>>,
    /// The first day of the lake, with which a period without a first day begins; `None`: the lake has no events.
    pub lake_first_day: Option<NaiveDate>,
    /// The last day of the lake, with which a period without a last day ends.
    pub lake_last_day: Option<NaiveDate>,
    /// Whether every record that arrived before the end of the last day is in the lake. `None` when that is not known:
    /// the lake has no events or begins after that day, or the progress of a stream is not recorded.
    pub complete: Option<bool>,
    /// Events of these days in the tables that were read: if a later run has more, the others came late.
    pub events: u64,
    /// Events of these days that arrived after the end of the last; `None` when the period has no end.
    pub late_events: Option<u64>,
    /// Events that arrived on these days and were rejected; `None` when those of some of the days expired.
    pub rejected_events: Option<u64>,
}

/// Days that a report counts, in the session's time zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Period {
    pub(crate) first_day: Option<NaiveDate>,
    pub(crate) last_day: Option<NaiveDate>,
}

/// The tables whose days are those of the lake.
const EVENT_TABLES: [&str; 2] = ["user_events", "transactions"];

/// The first and the last day of the lake, in the session's time zone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LakeDays {
    pub(crate) first: Option<NaiveDate>,
    pub(crate) last: Option<NaiveDate>,
}

impl LakeDays {
    /// # Errors
    /// When the tables cannot be queried.
    pub(crate) async fn of(session: &QuerySession) -> Result<Self, QueryError> {
        let zone = session.options().time_zone;
        let known = session.tables();
        let mut days = Self::default();
        for table in EVENT_TABLES.into_iter().filter(|table| known.iter().any(|name| name == table)) {
            let sql = format!("SELECT min(occurred_at) AS first_at, max(occurred_at) AS last_at FROM {table}");
            for batch in session.collect(&sql).await? {
                let day = |column: usize| -> Option<NaiveDate> {
                    let times = batch.column(column).as_primitive_opt::<TimestampMicrosecondType>()?;
                    let time = DateTime::from_timestamp_micros(times.iter().next()??)?;
                    Some(time.with_timezone(&zone).date_naive())
                };
                days.first = [days.first, day(0)].into_iter().flatten().min();
                days.last = days.last.max(day(1));
            }
        }
        Ok(days)
    }

    /// Whether a period ends before the lake begins; `false` for a lake without events.
    pub(crate) fn begin_after(self, last_day: Option<NaiveDate>) -> bool {
        self.first.zip(last_day).is_some_and(|(first, last_day)| last_day < first)
    }
}

impl Period {
    /// The days from the parameter `from` to `to`; `None` for a report that has neither.
    pub(crate) fn of(parameters: &[ResolvedParameter]) -> Option<Self> {
        let find = |name: &str| parameters.iter().find(|parameter| parameter.name == name);
        let day = |parameter: Option<&ResolvedParameter>| parameter?.day();
        let (from, to) = (find("from"), find("to"));
        (from.is_some() || to.is_some()).then(|| Self { first_day: day(from), last_day: day(to) })
    }

    /// The instant at which the day after the last begins.
    pub(crate) fn ends_at(&self, zone: Tz) -> Option<DateTime<Utc>> {
        start_of(self.last_day?.checked_add_days(Days::new(1))?, zone)
    }

    /// What is known of it.
    ///
    /// # Errors
    /// When late or rejected events cannot be counted.
    pub(crate) async fn origin(
        self,
        session: &QuerySession,
        tables: &[String],
        streams: &[StreamOrigin],
    ) -> Result<PeriodOrigin, QueryError> {
        let zone = session.options().time_zone;
        let ends_at = self.ends_at(zone);
        let (events, late) = self.events(session, tables, ends_at).await?;
        let lake = LakeDays::of(session).await?;
        let is_known = lake.first.is_some()
            && !lake.begin_after(self.last_day)
            && !streams.is_empty()
            && streams.iter().all(|stream| stream.complete_to.is_some());
        let to_last_day = Self { last_day: self.last_day.or(lake.last), ..self };
        Ok(PeriodOrigin {
            first_day: self.first_day,
            last_day: self.last_day,
            ends_at,
            lake_first_day: lake.first,
            lake_last_day: lake.last,
            complete: to_last_day.ends_at(zone).filter(|_| is_known).map(|ends_at| is_complete(streams, ends_at)),
            events,
            late_events: ends_at.map(|_| late),
            rejected_events: self.rejected_events(session, streams).await?,
        })
    }

    /// Events of these days, and those of them that arrived after the end.
    async fn events(
        self,
        session: &QuerySession,
        tables: &[String],
        ends_at: Option<DateTime<Utc>>,
    ) -> Result<(u64, u64), QueryError> {
        let late =
            if ends_at.is_some() { "count(*) FILTER (WHERE arrived_at >= $ends_at)" } else { "CAST(0 AS BIGINT)" };
        let (condition, mut values) = self.condition("occurred_at", "event_date", session.options().time_zone);
        if let Some(ends_at) = ends_at {
            values.push(("ends_at".to_owned(), instant(ends_at)));
        }
        let (mut events, mut late_events) = (0, 0);
        for table in tables.iter().filter(|table| *table != "rejected_events") {
            let sql = format!("SELECT count(*), {late} FROM {table} WHERE {condition}");
            let [of_table, late_of_table] = counts(session, &sql, values.clone()).await?;
            events += of_table;
            late_events += late_of_table;
        }
        Ok((events, late_events))
    }

    /// `None` when the lake has no such table, or lacks some of these days.
    async fn rejected_events(
        self,
        session: &QuerySession,
        streams: &[StreamOrigin],
    ) -> Result<Option<u64>, QueryError> {
        if !session.tables().iter().any(|table| table == "rejected_events") {
            return Ok(None);
        }
        let known = session.origin().tables.iter().find(|table| table.name == "rejected_events");
        let whole_from = known.and_then(|table| table.expired_before);
        let whole_from = whole_from.map(|before| first_whole_day(before, session.options().time_zone));
        if whole_from.is_some_and(|whole_from| self.first_day.is_none_or(|first| first < whole_from)) {
            return Ok(None);
        }
        let names: Vec<String> = streams.iter().map(|stream| format!("'{}'", stream.stream)).collect();
        if names.is_empty() {
            return Ok(None);
        }
        let (condition, values) = self.condition("arrived_at", "arrival_date", session.options().time_zone);
        let names = names.join(", ");
        let sql = format!("SELECT count(*) FROM rejected_events WHERE stream IN ({names}) AND {condition}");
        let [rejected] = counts(session, &sql, values).await?;
        Ok(Some(rejected))
    }

    /// The condition that a row's time lies in these days, as SQL with its values. `date` is the UTC date of the time,
    /// by which the table is partitioned. Whole days are bounds in time, so that files are skipped by their statistics,
    /// and times of rows need not be converted to days.
    fn condition(self, time: &str, date: &str, zone: Tz) -> (String, Vec<(String, ScalarValue)>) {
        let begins_at = self.first_day.and_then(|day| start_of(day, zone));
        let mut conditions = Vec::new();
        let mut values = Vec::new();
        for (name, bound, is_time, is_date) in
            [("begins", begins_at, ">=", ">="), ("ends", self.ends_at(zone), "<", "<=")]
        {
            let Some(bound) = bound else { continue };
            conditions.push(format!("{time} {is_time} ${name}_time AND {date} {is_date} ${name}_date"));
            values.push((format!("{name}_time"), instant(bound)));
            values.push((format!("{name}_date"), date_value(bound.date_naive())));
        }
        let condition = if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") };
        (condition, values)
    }
}

/// Whether every record that arrived before this moment is in the lake; not known without streams.
pub(crate) fn is_complete(streams: &[StreamOrigin], at: DateTime<Utc>) -> bool {
    !streams.is_empty() && streams.iter().all(|stream| stream.complete_to.is_some_and(|complete_to| complete_to >= at))
}

fn instant(time: DateTime<Utc>) -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), Some("UTC".into()))
}

/// The counts in the one row of a result.
async fn counts<const N: usize>(
    session: &QuerySession,
    sql: &str,
    values: Vec<(String, ScalarValue)>,
) -> Result<[u64; N], QueryError> {
    let mut counts = [0; N];
    for batch in session.query_with(sql, values).await?.collect().await? {
        for (count, column) in counts.iter_mut().zip(batch.columns()) {
            let found = column.as_primitive_opt::<Int64Type>().into_iter().flatten().flatten();
            *count += found.map(|found| u64::try_from(found).unwrap_or(0)).sum::<u64>();
        }
    }
    Ok(counts)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use bluelake_lake::ControlTotals;
    use serde_json::json;

    use super::*;
    use crate::session::options::QueryOptions;
    use crate::session::origin::{Origin, TableOrigin, in_words};
    use crate::testing::{event, options, tables};

    #[test]
    fn a_day_ends_when_the_next_begins() {
        let ends = |day: &str, zone: Tz| {
            let period = Period { first_day: None, last_day: Some(day.parse().unwrap()) };
            in_words(period.ends_at(zone).unwrap())
        };
        assert_eq!(ends("2026-11-24", Tz::UTC), "2026-11-25T00:00:00Z");
        assert_eq!(ends("2026-11-01", Tz::America__Chicago), "2026-11-02T06:00:00Z");
        assert_eq!(ends("2026-03-07", Tz::America__Chicago), "2026-03-08T06:00:00Z");
        assert_eq!(ends("2018-11-03", Tz::America__Sao_Paulo), "2018-11-04T03:00:00Z", "from 0:00 to 1:00");
    }

    #[tokio::test]
    async fn a_period_takes_events_by_local_days() {
        // In Chicago the first of November 2026 has 25 hours: from 5:00 UTC to 6:00 UTC of the next day.
        let times = [
            "2026-11-01T04:59:59.999999Z",
            "2026-11-01T05:00:00Z",
            "2026-11-02T05:59:59.999999Z",
            "2026-11-02T06:00:00Z",
            "2026-11-03T06:00:00Z",
        ];
        let mut events = times.map(|at| event("donation", at, json!({"donor_id": "d", "points": 1})));
        events[2]["arrived_at"] = json!("2026-11-02T06:00:00Z");
        let options = QueryOptions { time_zone: Tz::America__Chicago, ..options() };
        let session = QuerySession::new(tables(&[], &events), options).await.unwrap();
        let count = async |first: Option<&str>, last: Option<&str>| {
            let day = |text: Option<&str>| text.map(|text| text.parse().unwrap());
            let period = Period { first_day: day(first), last_day: day(last) };
            let origin = period.origin(&session, &["transactions".to_owned()], &[]).await.unwrap();
            (origin.events, origin.late_events)
        };
        let day = Some("2026-11-01");
        assert_eq!(count(day, day).await, (2, Some(1)));
        assert_eq!(count(None, day).await, (3, Some(1)));
        assert_eq!(count(day, None).await, (4, None));
        assert_eq!(count(None, None).await, (5, None));
        assert_eq!(count(Some("2026-10-31"), Some("2026-10-31")).await, (1, Some(0)));
    }

    #[test]
    fn a_period_is_complete_in_all_streams() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let stream = |complete_to: Option<&str>| StreamOrigin {
            stream: "s".to_owned(),
            table: "t".to_owned(),
            complete_to: complete_to.map(at),
            gaps: 0,
            totals: ControlTotals::default(),
            expected_rows: None,
            rejected_gone: 0,
        };
        let end = at("2026-11-25T00:00:00Z");
        let (before, after) = (stream(Some("2026-11-24T23:59:59Z")), stream(Some("2026-11-25T00:00:00Z")));
        assert!(is_complete(std::slice::from_ref(&after), end));
        assert!(!is_complete(&[after.clone(), before], end));
        assert!(!is_complete(&[after, stream(None)], end));
        assert!(!is_complete(&[], end));
    }

    #[test]
    fn versions_are_named_as_they_are_asked_for() {
        let table =
            |name: &str, version| TableOrigin { name: name.to_owned(), version, rows: None, expired_before: None };
        let origin =
            Origin { tables: vec![table("user_events", Some(7)), table("transactions", Some(12))], streams: vec![] };
        assert_eq!(origin.as_of().as_deref(), Some("user_events@7,transactions@12"));
        assert!(origin.as_of().unwrap().parse::<bluelake_lake::AsOf>().is_ok());
        assert_eq!(Origin { tables: vec![table("user_events", None)], ..origin }.as_of(), None);
    }
}

//! What a report was computed from: enough to compute it again, and to know how far it can be trusted.

use serde::Serialize;

use crate::header::column::heading;
use crate::report::compare::{ComparedDays, PARAMETER};
use crate::report::origin::PeriodOrigin;
use crate::report::parameters::ResolvedParameter;
use crate::session::origin::in_words;
use crate::session::origin::{StreamOrigin, TableOrigin};
use crate::session::since::Since;
use crate::text::figures::whole;

/// What a result was computed from.
#[derive(Clone, Debug, Serialize)]
pub struct Provenance {
    /// Name of the report.
    pub report: String,
    /// Its parameters, defaults filled in.
    pub parameters: Vec<ResolvedParameter>,
    /// Zone of the days, weeks and months.
    pub time_zone: String,
    /// The versions of all tables in the form of `--as-of`, which computes the report again; `None` outside of a lake.
    pub as_of: Option<String>,
    /// Tables of the lake that were read, with their versions.
    pub tables: Vec<TableOrigin>,
    /// The streams that they hold.
    pub streams: Vec<StreamOrigin>,
    /// The days that count; `None` for a report without such parameters.
    pub period: Option<PeriodOrigin>,
    /// The days that it was compared with; `None` when that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compared: Option<ComparedDays>,
    /// Since when rows count that the report asks for; `None` when none of them expired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// Version of Bluelake.
    pub bluelake_version: String,
}

impl Provenance {
    /// Everything that the result was computed from, with names: documents show these lines.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![("Report".to_owned(), self.report.clone())];
        lines.extend(self.parameters.iter().map(|parameter| (heading(&parameter.name), parameter.in_words())));
        lines.push(("Time zone".to_owned(), self.time_zone.clone()));
        lines.extend(self.foundation());
        lines
    }

    /// The part of [`Provenance::lines`] beyond the question itself: the foundation of the answer.
    pub fn foundation(&self) -> Vec<(String, String)> {
        let line = |name: &str, value: String| (name.to_owned(), value);
        let since = self.since.iter().map(|since| line("Since", format!("{}: {}", since.first_day, since.in_words())));
        let mut lines: Vec<_> = since.collect();
        lines.extend(self.compared.iter().map(|days| line("Compared with", days.in_words())));
        lines.extend(self.period.iter().flat_map(|period| period_lines(period, &self.streams)));
        for stream in &self.streams {
            let complete_to = stream.complete_to.map_or_else(|| "not known".to_owned(), in_words);
            lines.push(line(&format!("Complete to ({})", stream.stream), complete_to));
            if stream.gaps > 0 {
                lines.push(line(
                    &format!("Gaps ({})", stream.stream),
                    format!("{}: records may be missing", stream.gaps),
                ));
            }
        }
        let tables = self.tables.iter().map(|table| match table.version {
            Some(version) => format!("{} version {version}", table.name),
            None => table.name.clone(),
        });
        lines.push(line("Tables read", tables.collect::<Vec<_>>().join(", ")));
        lines.extend(self.as_of.iter().map(|as_of| line("To compute it again", format!("--as-of {as_of}"))));
        lines.push(line("Bluelake version", self.bluelake_version.clone()));
        lines
    }

    /// Period and other parameters as half a sentence: `2026-11-01 to 2026-11-30, by day, days in the time zone UTC`.
    pub fn scope(&self) -> String {
        let find = |name: &str| self.parameters.iter().find(|parameter| parameter.name == name);
        let mut parts = Vec::new();
        if let (Some(from), Some(to)) = (find("from"), find("to")) {
            parts.push(days_in_words(from, to));
        }
        let is_period = |name: &str| (!parts.is_empty() && ["from", "to"].contains(&name)) || name == PARAMETER;
        let others = self.parameters.iter().filter(|parameter| !is_period(&parameter.name));
        let others: Vec<String> =
            others.map(|parameter| format!("{} {}", parameter.name.replace('_', " "), parameter.in_words())).collect();
        parts.extend(others);
        parts.extend(self.compared.iter().map(ComparedDays::in_scope));
        parts.extend(self.since.iter().map(|since| format!("since {}", since.first_day)));
        parts.push(format!("days in the time zone {}", self.time_zone));
        parts.join(", ")
    }
}

/// The days from one to another, and their relation to the lake.
fn days_in_words(from: &ResolvedParameter, to: &ResolvedParameter) -> String {
    let (Some(first), Some(last)) = (from.day(), to.day()) else {
        return format!("{} to {}", from.in_words(), to.in_words());
    };
    match (from.value.is_some(), to.value.is_some()) {
        (true, true) => format!("{first} to {last}"),
        _ if first > last => format!("{} to {}", from.in_words(), to.in_words()),
        (false, false) => format!("{first} to {last} (all of the lake)"),
        (true, false) => format!("{first} to {last} (last day of the lake)"),
        (false, true) => format!("{first} (first day of the lake) to {last}"),
    }
}

fn period_lines(period: &PeriodOrigin, streams: &[StreamOrigin]) -> Vec<(String, String)> {
    let mut lines = vec![("Period complete".to_owned(), completeness(period, streams))];
    let counts = [("Late events", period.late_events), ("Rejected events", period.rejected_events)];
    lines.extend(counts.iter().filter_map(|(name, count)| Some(((*name).to_owned(), whole((*count)?)))));
    lines
}

/// Whether the period is complete, and why.
fn completeness(period: &PeriodOrigin, streams: &[StreamOrigin]) -> String {
    let Some(lake_first_day) = period.lake_first_day else { return "not known: the lake has no events".to_owned() };
    if period.last_day.is_some_and(|last_day| last_day < lake_first_day) {
        return format!("not known: the lake begins on {lake_first_day}");
    }
    let last_day = period.last_day.or(period.lake_last_day).map_or_else(String::new, |day| day.to_string());
    let behind: Vec<String> = streams
        .iter()
        .map(|stream| match stream.complete_to {
            Some(complete_to) => format!("{} is complete to {}", stream.stream, in_words(complete_to)),
            None => format!("no worker has told how far {} is", stream.stream),
        })
        .collect();
    let words = match period.complete {
        Some(true) => format!("yes: all that arrived before the end of {last_day} is counted"),
        Some(false) => format!("not yet: it ends with {last_day}, and {}", behind.join(", ")),
        None if behind.is_empty() => "not known".to_owned(),
        None => format!("not known: {}", behind.join(", ")),
    };
    if period.first_day.is_some_and(|first_day| first_day < lake_first_day) {
        format!("{words}; the lake begins on {lake_first_day}")
    } else {
        words
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use bluelake_lake::ControlTotals;
    use chrono::NaiveDate;

    use super::*;

    fn day(text: &str) -> Option<NaiveDate> {
        Some(text.parse().unwrap())
    }

    fn period(first_day: Option<NaiveDate>, last_day: Option<NaiveDate>, complete: Option<bool>) -> PeriodOrigin {
        PeriodOrigin {
            first_day,
            last_day,
            ends_at: None,
            lake_first_day: day("2026-10-29"),
            lake_last_day: day("2026-11-27"),
            complete,
            events: 1,
            late_events: Some(1_805),
            rejected_events: None,
        }
    }

    fn stream(complete_to: Option<&str>) -> StreamOrigin {
        StreamOrigin {
            stream: "transaction-events".to_owned(),
            table: "transactions".to_owned(),
            complete_to: complete_to.map(|text| text.parse().unwrap()),
            gaps: 0,
            totals: ControlTotals::default(),
            expected_rows: None,
            rejected_gone: 0,
        }
    }

    #[test]
    fn only_provable_periods_are_called_complete() {
        let known = [stream(Some("2026-11-28T06:00:00Z"))];
        let unknown = [stream(None)];
        for (period, streams, expected) in [
            (period(None, None, Some(true)), &known, "yes: all that arrived before the end of 2026-11-27 is counted"),
            (period(day("2019-01-01"), day("2019-12-31"), None), &known, "not known: the lake begins on 2026-10-29"),
            (
                period(day("2019-01-01"), day("2026-11-01"), Some(true)),
                &known,
                "yes: all that arrived before the end of 2026-11-01 is counted; the lake begins on 2026-10-29",
            ),
            (
                period(None, day("2026-11-30"), Some(false)),
                &known,
                "not yet: it ends with 2026-11-30, and transaction-events is complete to 2026-11-28T06:00:00Z",
            ),
            (
                period(None, day("2026-11-12"), None),
                &unknown,
                "not known: no worker has told how far transaction-events is",
            ),
        ] {
            assert_eq!(completeness(&period, streams), expected);
        }
        let empty = PeriodOrigin { lake_first_day: None, lake_last_day: None, ..period(None, None, None) };
        assert_eq!(completeness(&empty, &known), "not known: the lake has no events");
        assert_eq!(period_lines(&empty, &known)[1], ("Late events".to_owned(), "1,805".to_owned()));
    }
}

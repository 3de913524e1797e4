//! What a report was computed from: enough to compute it again, and to know how far it can be trusted.

use serde::Serialize;

use crate::header::heading;
use crate::origin::{PeriodOrigin, StreamOrigin, TableOrigin, in_words};
use crate::parameters::ResolvedParameter;

/// What a result was computed from.
#[derive(Clone, Debug, Serialize)]
pub struct Provenance {
    /// Name of the report.
    pub report: String,
    /// Its parameters, defaults filled in.
    pub parameters: Vec<ResolvedParameter>,
    /// Zone of the days, weeks and months.
    pub time_zone: String,
    /// The versions of all tables in the words of `--as-of`, which computes the report again; `None` outside of a lake.
    pub as_of: Option<String>,
    /// Tables of the lake that were read, with their versions.
    pub tables: Vec<TableOrigin>,
    /// The streams that they hold.
    pub streams: Vec<StreamOrigin>,
    /// The days that count; `None` for a report without such parameters.
    pub period: Option<PeriodOrigin>,
    /// Version of Bluelake.
    pub bluelake_version: String,
}

impl Provenance {
    /// Everything that the result was computed from, each with its name: what documents show.
    pub fn lines(&self) -> Vec<(String, String)> {
        let mut lines = vec![("Report".to_owned(), self.report.clone())];
        lines.extend(self.parameters.iter().map(|parameter| (heading(&parameter.name), parameter.in_words())));
        lines.push(("Time zone".to_owned(), self.time_zone.clone()));
        lines.extend(self.foundation());
        lines
    }

    /// The part of [`Provenance::lines`] that is not the question itself: what the answer rests on.
    pub fn foundation(&self) -> Vec<(String, String)> {
        let line = |name: &str, value: String| (name.to_owned(), value);
        let mut lines: Vec<_> = self.period.iter().flat_map(period_lines).collect();
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
    pub(crate) fn scope(&self) -> String {
        let find = |name: &str| self.parameters.iter().find(|parameter| parameter.name == name);
        let mut parts = Vec::new();
        if let (Some(from), Some(to)) = (find("from"), find("to")) {
            parts.push(format!("{} to {}", from.in_words(), to.in_words()));
        }
        let is_period = |name: &str| !parts.is_empty() && ["from", "to"].contains(&name);
        let others = self.parameters.iter().filter(|parameter| !is_period(&parameter.name));
        let others: Vec<String> =
            others.map(|parameter| format!("{} {}", parameter.name.replace('_', " "), parameter.in_words())).collect();
        parts.extend(others);
        parts.push(format!("days in the time zone {}", self.time_zone));
        parts.join(", ")
    }
}

fn period_lines(period: &PeriodOrigin) -> Vec<(String, String)> {
    let complete = match (period.complete, period.ends_at) {
        (Some(true), _) => "yes: all that arrived before its end is counted".to_owned(),
        (Some(false), Some(ends_at)) => format!("not yet: it ends at {}", in_words(ends_at)),
        _ => "the period has no end".to_owned(),
    };
    let mut lines = vec![("Period complete".to_owned(), complete)];
    let counts = [("Late events", period.late_events), ("Rejected events", period.rejected_events)];
    lines.extend(counts.iter().filter_map(|(name, count)| Some(((*name).to_owned(), (*count)?.to_string()))));
    lines
}

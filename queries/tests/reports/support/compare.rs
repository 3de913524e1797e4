//! Runs reports and compares their rows with expected ones.

use std::collections::BTreeMap;
use std::fmt;

use bluelake_queries::{OutputFormat, QuerySession, ReportCatalog, ReportParameters, write_report, write_results};
use chrono::{DateTime, Datelike, Days, NaiveDate, SecondsFormat, Utc};

/// Rows of cells as a CSV shows them.
pub(crate) type Rows = Vec<Vec<String>>;

/// Parameters of one run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case(BTreeMap<String, String>);

/// Length of a period.
#[derive(Clone, Copy)]
pub(crate) enum By {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Case {
    /// Reads `from=2026-01-01 by=week`.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split_whitespace().map(|pair| pair.split_once('=').unwrap());
        Self(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub(crate) fn number(&self, name: &str, default: i64) -> i64 {
        self.get(name).map_or(default, |text| text.parse().unwrap())
    }

    pub(crate) fn date(&self, name: &str) -> Option<NaiveDate> {
        self.get(name).map(|text| text.parse().unwrap())
    }

    /// Whether a day lies from `from` to `to`.
    pub(crate) fn counts(&self, day: NaiveDate) -> bool {
        self.date("from").is_none_or(|from| day >= from) && self.date("to").is_none_or(|to| day <= to)
    }

    pub(crate) fn by(&self, default: By) -> By {
        match self.get("by") {
            None => default,
            Some("day") => By::Day,
            Some("week") => By::Week,
            Some("month") => By::Month,
            Some("quarter") => By::Quarter,
            Some("year") => By::Year,
            Some(other) => panic!("{other} is no period"),
        }
    }

    fn parameters(&self) -> ReportParameters {
        self.0.iter().fold(ReportParameters::new(), |all, (name, value)| all.with(name, value))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        formatter.write_str(&pairs.join(" "))
    }
}

impl By {
    /// First day of the period that a day lies in.
    pub(crate) fn first(self, day: NaiveDate) -> NaiveDate {
        match self {
            By::Day => day,
            By::Week => day - Days::new(u64::from(day.weekday().num_days_from_monday())),
            By::Month => day.with_day(1).unwrap(),
            By::Quarter => NaiveDate::from_ymd_opt(day.year(), (day.month() - 1) / 3 * 3 + 1, 1).unwrap(),
            By::Year => NaiveDate::from_ymd_opt(day.year(), 1, 1).unwrap(),
        }
    }
}

/// Cells of anything that can be shown.
#[macro_export]
macro_rules! cells {
    ($($cell:expr),* $(,)?) => { vec![$($cell.to_string()),*] };
}

/// Text of a number, or nothing.
pub(crate) fn optional(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

/// An instant as results show it.
pub(crate) fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// One CSV line of cells.
pub(crate) fn line(cells: &[String]) -> String {
    let quoted = |cell: &String| {
        if cell.contains([',', '"', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.clone() }
    };
    cells.iter().map(quoted).collect::<Vec<_>>().join(",")
}

/// The rows of a report as CSV lines, without the header.
pub(crate) async fn run(session: &QuerySession, report: &str, case: &Case) -> Vec<String> {
    let catalog = ReportCatalog::embedded().unwrap();
    let result = match catalog.get(report).unwrap().run(session, &case.parameters()).await {
        Ok(result) => result,
        Err(error) => panic!("{report} with {case}: {error}: {:?}", std::error::Error::source(&error)),
    };
    let mut bytes = Vec::new();
    write_report(&result, OutputFormat::Csv, &mut bytes).unwrap();
    let rows = lines(bytes);
    // How many days of a period count is told behind the columns of the report's own SQL.
    let is_told = result.columns.last().is_some_and(|column| column.name == "counted_days");
    let cut = |row: &String| row.rsplit_once(',').unwrap().0.to_owned();
    if is_told { rows.iter().map(cut).collect() } else { rows }
}

/// The rows of a query as CSV lines, without the header.
pub(crate) async fn query(session: &QuerySession, sql: &str) -> Result<Vec<String>, String> {
    let mut bytes = Vec::new();
    let mut stream = session.query(sql).await.map_err(|error| error.to_string())?;
    write_results(&mut stream, OutputFormat::Csv, &mut bytes).await.map_err(|error| error.to_string())?;
    Ok(lines(bytes))
}

fn lines(bytes: Vec<u8>) -> Vec<String> {
    String::from_utf8(bytes).unwrap().lines().skip(1).map(str::to_owned).collect()
}

/// The difference of found and expected lines: the first few of each side that the other lacks.
pub(crate) fn difference(found: &[String], expected: &[String]) -> Option<String> {
    if found == expected {
        return None;
    }
    let lacking = |lines: &[String], others: &[String]| -> Vec<String> {
        let mut others: Vec<_> = others.iter().collect();
        let mut rest = Vec::new();
        for line in lines {
            match others.iter().position(|other| *other == line) {
                Some(place) => drop(others.remove(place)),
                None => rest.push(line.clone()),
            }
        }
        rest.truncate(4);
        rest
    };
    let (extra, missing) = (lacking(found, expected), lacking(expected, found));
    if extra.is_empty() && missing.is_empty() {
        let place = found.iter().zip(expected).position(|(found, expected)| found != expected).unwrap();
        return Some(format!(
            "same rows, other order from row {place}:\n  found    {}\n  expected {}",
            found[place], expected[place]
        ));
    }
    let counts = format!("{} rows found, {} expected", found.len(), expected.len());
    Some(format!("{counts}\n  found    {}\n  expected {}", extra.join("\n           "), missing.join("\n           ")))
}

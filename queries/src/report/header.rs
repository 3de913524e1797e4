//! The header of a report file: SQL comments that say what the report is, in a form that is checked.
//!
//! ```text
//! -- title: Donations by period
//! -- question: Who gives how many points to whom?
//! -- audience: finance, partner charities
//! -- parameter: from (date, default first) First day, included.
//! -- parameter: by (period, default day) Length of a period.
//! -- column: period (date) First day of the period.
//! -- column: points (points) Points given.
//! -- chart: line x=period y=points
//! ```
//!
//! The header is every line from the first that starts with `--`, up to the first that does not. A line indented by
//! three blanks or more continues the one above. Docs: `docs/reports.md`.

use std::fmt;

use chrono::NaiveDate;
use serde::Serialize;

use crate::error::QueryError;
use crate::nearest::{did_you_mean, nearest};

const KEYS: [&str; 6] = ["title", "question", "audience", "parameter", "column", "chart"];
const VIEW_KEYS: [&str; 2] = ["grain", "column"];

/// What a report says about itself.
#[derive(Clone, Debug, Serialize)]
pub struct ReportHeader {
    /// A few words, above the result.
    pub title: String,
    /// The question that the report answers.
    pub question: String,
    /// Who asks it.
    pub audience: String,
    /// What can be chosen, in the order in which it is shown.
    pub parameters: Vec<ReportParameter>,
    /// The columns of the result, in their order.
    pub columns: Vec<ReportColumn>,
    /// How the result is drawn, if it can be.
    pub chart: Option<Chart>,
}

/// What a view says about itself: the same form as a report's header, with `grain` and `column` only.
#[derive(Clone, Debug, Serialize)]
pub struct ViewHeader {
    /// What one row stands for.
    pub grain: String,
    /// The columns, in their order.
    pub columns: Vec<ReportColumn>,
}

/// Something to choose; `$name` in the SQL.
#[derive(Clone, Debug, Serialize)]
pub struct ReportParameter {
    /// Name, without the `$`.
    pub name: String,
    /// What a value must be.
    pub kind: ParameterKind,
    /// Value when none is given.
    pub default: ParameterDefault,
    /// The smallest whole number that it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<i64>,
    /// The biggest whole number that it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<i64>,
    /// The texts that it may be; none: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// What it does.
    pub description: String,
}

/// Type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// A day, `YYYY-MM-DD`.
    Date,
    /// `day`, `week` (starts on Monday) or `month`.
    Period,
    /// A whole number.
    Integer,
    /// Any text.
    Text,
    /// The id of a user that the lake knows.
    User,
}

/// What stands in for a value that is not given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterDefault {
    /// Nothing: the value must be given.
    Required,
    /// The first day of the lake.
    First,
    /// The last day of the lake.
    Last,
    /// This value.
    Value(String),
}

/// A column of the result.
#[derive(Clone, Debug, Serialize)]
pub struct ReportColumn {
    /// Name.
    pub name: String,
    /// What its values count or measure.
    pub unit: Unit,
    /// What it means.
    pub description: String,
}

/// What values count or measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A day.
    Date,
    /// An instant, UTC.
    Timestamp,
    /// Words or an id.
    Text,
    /// How many events, users or things.
    Count,
    /// Points.
    Points,
    /// Cents of US dollars.
    Cents,
    /// A part of a whole, 0 to 1.
    Share,
    /// A span of days.
    Days,
    /// A span of hours.
    Hours,
    /// A plain number: a rank, an hour of the day, a distance.
    Number,
    /// A list of things.
    List,
}

/// A picture of the result.
#[derive(Clone, Debug, Serialize)]
pub struct Chart {
    /// Form of the picture.
    pub kind: ChartKind,
    /// Column along the horizontal axis.
    pub x: String,
    /// Column that gives the height or, in a heat map, the row.
    pub y: String,
    /// Column that tells lines or bars apart.
    pub series: Option<String>,
    /// Column that gives the shade of a heat map.
    pub value: Option<String>,
    /// Value of `x` that is not drawn: a total would dwarf its parts.
    pub without: Option<String>,
}

/// Form of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChartKind {
    /// Bars, for comparing.
    Bar,
    /// A line, for change over time.
    Line,
    /// A grid of shades.
    Heatmap,
}

/// Names of a closed set of words, for reading and for messages.
macro_rules! words {
    ($type:ident, $($word:literal = $variant:ident),+ $(,)?) => {
        impl $type {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),+];

            fn parse(word: &str) -> Result<Self, String> {
                Self::WORDS.iter().find(|(known, _)| *known == word).map(|(_, value)| *value).ok_or_else(|| {
                    let known: Vec<_> = Self::WORDS.iter().map(|(known, _)| *known).collect();
                    format!("{word:?} is not known here; use one of {}", known.join(", "))
                })
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(Self::WORDS.iter().find(|(_, value)| value == self).map_or("", |(word, _)| word))
            }
        }
    };
}

words!(ParameterKind, "date" = Date, "period" = Period, "integer" = Integer, "text" = Text, "user" = User,);
words!(ChartKind, "bar" = Bar, "line" = Line, "heatmap" = Heatmap);
words!(
    Unit,
    "date" = Date,
    "timestamp" = Timestamp,
    "text" = Text,
    "count" = Count,
    "points" = Points,
    "cents" = Cents,
    "share" = Share,
    "days" = Days,
    "hours" = Hours,
    "number" = Number,
    "list" = List,
);

/// A name as a heading: `min_group` becomes `Min group`.
pub(crate) fn heading(name: &str) -> String {
    let mut words = name.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words
}

/// One `key: value` with the line that it starts on.
struct Entry {
    line: usize,
    key: String,
    value: String,
}

impl ReportHeader {
    /// Reads the header of a report file; `file` is its name in messages.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, QueryError> {
        let fault = |line: usize, fault: String| QueryError::Header { file: file.to_owned(), line, fault };
        let entries = entries(text, &KEYS).map_err(|(line, text)| fault(line, text))?;
        let mut parameters = Vec::<ReportParameter>::new();
        let mut columns = Vec::<ReportColumn>::new();
        for entry in &entries {
            let read = match entry.key.as_str() {
                "parameter" => read_parameter(&entry.value).and_then(|parameter| {
                    unique(parameters.iter().map(|known| &known.name), &parameter.name)?;
                    parameters.push(parameter);
                    Ok(())
                }),
                "column" => read_column(&entry.value).and_then(|column| {
                    unique(columns.iter().map(|known| &known.name), &column.name)?;
                    columns.push(column);
                    Ok(())
                }),
                _ => Ok(()),
            };
            read.map_err(|text| fault(entry.line, text))?;
        }
        if columns.is_empty() {
            return Err(fault(1, "the header has no `-- column:`; name every column of the result".to_owned()));
        }
        let one = |key| only(&entries, key).map_err(|(line, text)| fault(line, text));
        let required = |key| {
            one(key)?.map(|entry| entry.value.clone()).ok_or_else(|| fault(1, format!("the header has no `-- {key}:`")))
        };
        let chart = match one("chart")? {
            None => None,
            Some(entry) => Some(read_chart(&entry.value, &columns).map_err(|text| fault(entry.line, text))?),
        };
        let (title, question, audience) = (required("title")?, required("question")?, required("audience")?);
        Ok(Self { title, question, audience, parameters, columns, chart })
    }
}

impl ViewHeader {
    /// Reads the header of a view file; `file` is its name in messages.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, QueryError> {
        let fault = |line: usize, fault: String| QueryError::Header { file: file.to_owned(), line, fault };
        let entries = entries(text, &VIEW_KEYS).map_err(|(line, text)| fault(line, text))?;
        let grain = only(&entries, "grain").map_err(|(line, text)| fault(line, text))?;
        let grain = grain.ok_or_else(|| fault(1, "the header has no `-- grain:`".to_owned()))?.value.clone();
        let columns = entries.iter().filter(|entry| entry.key == "column");
        let columns = columns.map(|entry| read_column(&entry.value).map_err(|text| fault(entry.line, text)));
        Ok(Self { grain, columns: columns.collect::<Result<_, _>>()? })
    }
}

fn entries(text: &str, keys: &[&str]) -> Result<Vec<Entry>, (usize, String)> {
    let mut entries = Vec::<Entry>::new();
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let header = lines.skip_while(|(_, line)| line.trim().is_empty()).map_while(|(number, line)| {
        let comment = line.trim_end().strip_prefix("--")?;
        Some((number, comment))
    });
    for (line, comment) in header.filter(|(_, comment)| !comment.trim().is_empty()) {
        if comment.starts_with("   ") {
            let entry = entries.last_mut().ok_or((line, "nothing stands above that this could continue".to_owned()))?;
            entry.value.push(' ');
            entry.value.push_str(comment.trim());
            continue;
        }
        let (key, value) = comment
            .split_once(':')
            .ok_or_else(|| (line, "expected `-- key: value`; end the header with an empty line".to_owned()))?;
        let (key, value) = (key.trim().to_owned(), value.trim().to_owned());
        if !keys.contains(&key.as_str()) {
            let suggestion = did_you_mean(nearest(&key, keys).as_ref());
            return Err((line, format!("unknown key {key:?}{suggestion}; there are {}", keys.join(", "))));
        }
        if value.is_empty() {
            return Err((line, format!("{key} is empty")));
        }
        entries.push(Entry { line, key, value });
    }
    Ok(entries)
}

fn only<'a>(entries: &'a [Entry], key: &str) -> Result<Option<&'a Entry>, (usize, String)> {
    let mut found = entries.iter().filter(|entry| entry.key == key);
    let first = found.next();
    match found.next() {
        Some(second) => Err((second.line, format!("{key} stands there twice; keep one"))),
        None => Ok(first),
    }
}

fn unique<'a>(mut known: impl Iterator<Item = &'a String>, name: &String) -> Result<(), String> {
    if known.any(|known| known == name) { Err(format!("{name} is declared twice")) } else { Ok(()) }
}

/// Splits `name (attributes) description`.
fn read_named(value: &str) -> Result<(&str, &str, &str), String> {
    let parts = value.split_once('(').and_then(|(name, rest)| Some((name.trim(), rest.split_once(')')?)));
    let (name, (attributes, description)) = parts.ok_or("expected `name (…) description`")?;
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Err(format!("the name {name:?} may have only lower-case letters, digits and _"));
    }
    let description = description.trim();
    if description.is_empty() {
        return Err(format!("{name} has no description"));
    }
    Ok((name, attributes.trim(), description))
}

/// Reads `name (kind, required) meaning`, with `default …` in the place of `required`, and before or behind it perhaps `least …`,
/// `most …` or `one of …`.
fn read_parameter(value: &str) -> Result<ReportParameter, String> {
    let (name, attributes, description) = read_named(value)?;
    let mut words = attributes.split(',').map(str::trim);
    let kind = ParameterKind::parse(words.next().unwrap_or_default())?;
    let mut parameter = ReportParameter {
        name: name.to_owned(),
        kind,
        default: ParameterDefault::Required,
        least: None,
        most: None,
        one_of: Vec::new(),
        description: description.to_owned(),
    };
    let unknown = || format!("expected `{name} ({kind}, required)` or `{name} ({kind}, default …)`");
    let mut default = None;
    for word in words {
        match word.split_once(' ').map_or((word, ""), |(word, rest)| (word, rest.trim())) {
            ("required", "") if default.is_none() => default = Some(ParameterDefault::Required),
            ("default", "first") if kind == ParameterKind::Date => default = Some(ParameterDefault::First),
            ("default", "last") if kind == ParameterKind::Date => default = Some(ParameterDefault::Last),
            ("default", value) if !value.is_empty() && default.is_none() => {
                default = Some(ParameterDefault::Value(value.to_owned()));
            }
            ("least", number) if kind == ParameterKind::Integer => parameter.least = Some(read_integer(number)?),
            ("most", number) if kind == ParameterKind::Integer => parameter.most = Some(read_integer(number)?),
            ("one", values) if kind == ParameterKind::Text && values.starts_with("of ") => {
                parameter.one_of = values.split_whitespace().skip(1).map(str::to_owned).collect();
            }
            _ => return Err(unknown()),
        }
    }
    parameter.default = default.ok_or_else(unknown)?;
    if let ParameterDefault::Value(value) = &parameter.default {
        parameter.check(value)?;
    }
    Ok(parameter)
}

fn read_integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

fn read_column(value: &str) -> Result<ReportColumn, String> {
    let (name, unit, description) = read_named(value)?;
    Ok(ReportColumn { name: name.to_owned(), unit: Unit::parse(unit)?, description: description.to_owned() })
}

fn read_chart(value: &str, columns: &[ReportColumn]) -> Result<Chart, String> {
    let mut words = value.split_whitespace();
    let kind = ChartKind::parse(words.next().unwrap_or_default())?;
    let (mut x, mut y, mut series, mut shade, mut without) = (None, None, None, None, None);
    for word in words {
        let unknown = || format!("expected x=, y=, series=, value= or without=, not {word:?}");
        let (key, column) = word.split_once('=').ok_or_else(unknown)?;
        if key != "without" && !columns.iter().any(|known| known.name == column) {
            return Err(format!("the chart uses the column {column:?}, which the header does not have"));
        }
        let place = match key {
            "x" => &mut x,
            "y" => &mut y,
            "series" => &mut series,
            "value" => &mut shade,
            "without" => &mut without,
            _ => return Err(unknown()),
        };
        *place = Some(column.to_owned());
    }
    let (Some(x), Some(y)) = (x, y) else {
        return Err("a chart needs x=column and y=column".to_owned());
    };
    match (kind, &series, &shade) {
        (ChartKind::Heatmap, None, Some(_)) | (ChartKind::Bar | ChartKind::Line, _, None) => {}
        (ChartKind::Heatmap, ..) => return Err("a heat map needs x=, y= and value=, and has no series=".to_owned()),
        _ => return Err("only a heat map has value=; a line or bar chart has y= and perhaps series=".to_owned()),
    }
    Ok(Chart { kind, x, y, series, value: shade, without })
}

impl ReportParameter {
    /// Whether a text is a value of this parameter; the error says what may be. Only the lake knows its users.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        match self.kind {
            ParameterKind::Date => parse_date(text).map(|_| ()),
            ParameterKind::Period if !["day", "week", "month"].contains(&text) => {
                Err(format!("{text:?} is not a period; use day, week or month"))
            }
            ParameterKind::Integer => self.check_range(read_integer(text)?),
            ParameterKind::Text if !self.one_of.is_empty() && !self.one_of.iter().any(|known| known == text) => {
                let suggestion = did_you_mean(nearest(text, &self.one_of).as_ref());
                Err(format!("{text:?} is not one of {}{suggestion}", self.one_of.join(", ")))
            }
            ParameterKind::User if text.is_empty() => Err("is empty; give the id of a user".to_owned()),
            ParameterKind::Period | ParameterKind::Text | ParameterKind::User => Ok(()),
        }
    }

    fn check_range(&self, number: i64) -> Result<(), String> {
        let is_within = self.least.is_none_or(|least| number >= least) && self.most.is_none_or(|most| number <= most);
        if is_within { Ok(()) } else { Err(format!("{number} is not {}", self.allowed().unwrap_or_default())) }
    }

    /// What a value may be beyond its kind, in words; `None` when nothing more is said.
    pub fn allowed(&self) -> Option<String> {
        match (self.least, self.most) {
            (Some(least), Some(most)) => Some(format!("from {least} to {most}")),
            (Some(least), None) => Some(format!("{least} or more")),
            (None, Some(most)) => Some(format!("{most} or less")),
            (None, None) if self.one_of.is_empty() => None,
            (None, None) => Some(self.one_of.join(", ")),
        }
    }
}

/// The days that can be asked for: all of them can be reckoned with, and so can the day before and the day after.
const DAYS: [&str; 2] = ["1970-01-01", "9999-12-30"];

/// Reads `YYYY-MM-DD`, in that width only.
pub(crate) fn parse_date(text: &str) -> Result<NaiveDate, String> {
    let digits = text.bytes().enumerate().all(|(at, byte)| byte.is_ascii_digit() || (at > 3 && byte == b'-'));
    let is_written_so = text.len() == 10 && digits;
    let date = if is_written_so { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None };
    let date = date.ok_or_else(|| format!("{text:?} is not a date; write one as 2026-01-31"))?;
    let [first, last] = DAYS;
    // In this width days are ordered as texts are.
    if text < first || text > last {
        return Err(format!("{text} is not from {first} to {last}"));
    }
    Ok(date)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

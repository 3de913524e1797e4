//! A parameter of a report and its allowed values.

use std::fmt;

use chrono::NaiveDate;
use serde::Serialize;

use crate::header::entries::read_named;
use crate::header::period_length::PeriodLength;
use crate::header::words::words;
use crate::text::nearest::{did_you_mean, nearest};

/// A parameter; `$name` in the SQL.
#[derive(Clone, Debug, Serialize)]
pub struct ReportParameter {
    /// Name, without the `$`.
    pub name: String,
    /// What a value must be.
    pub kind: ParameterKind,
    /// Value when none is given.
    pub default: ParameterDefault,
    /// The smallest whole number allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub least: Option<i64>,
    /// The largest whole number allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<i64>,
    /// The allowed texts; none: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub one_of: Vec<String>,
    /// The view and the column whose values `--each` runs the report with, one after another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub each: Option<[String; 2]>,
    /// What it does.
    pub description: String,
}

/// Type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterKind {
    /// A day, `YYYY-MM-DD`.
    Date,
    /// `day`, `week` (starts on Monday), `month`, `quarter` or `year`.
    Period,
    /// A whole number.
    Integer,
    /// Any text.
    Text,
    /// The id of a user that the lake knows.
    User,
}

/// The value of a parameter that is not given.
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

words!(ParameterKind, "date" = Date, "period" = Period, "integer" = Integer, "text" = Text, "user" = User,);

impl ReportParameter {
    /// Checks that a text is a value of this parameter; the error names the allowed ones. Only the lake knows its
    /// users.
    pub(crate) fn check(&self, text: &str) -> Result<(), String> {
        match self.kind {
            ParameterKind::Date => parse_date(text).map(|_| ()),
            ParameterKind::Period => PeriodLength::parse(text)
                .map(|_| ())
                .map_err(|_| format!("{text:?} is not a period; use day, week, month, quarter or year")),
            ParameterKind::Integer => self.check_range(read_integer(text)?),
            ParameterKind::Text if !self.one_of.is_empty() && !self.one_of.iter().any(|known| known == text) => {
                let suggestion = did_you_mean(nearest(text, &self.one_of).as_ref());
                Err(format!("{text:?} is not one of {}{suggestion}", self.one_of.join(", ")))
            }
            ParameterKind::User if text.is_empty() => Err("is empty; give the id of a user".to_owned()),
            ParameterKind::Text | ParameterKind::User => Ok(()),
        }
    }

    fn check_range(&self, number: i64) -> Result<(), String> {
        let is_within = self.least.is_none_or(|least| number >= least) && self.most.is_none_or(|most| number <= most);
        if is_within { Ok(()) } else { Err(format!("{number} is not {}", self.allowed().unwrap_or_default())) }
    }

    /// The allowed values beyond the kind, in words; `None` without further limits.
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

/// The allowed days. Arithmetic works with all of them, and with the day before and after each.
const DAYS: [&str; 2] = ["1970-01-01", "9999-12-30"];

/// Reads `YYYY-MM-DD`, in that width only.
pub(crate) fn parse_date(text: &str) -> Result<NaiveDate, String> {
    let digits = text.bytes().enumerate().all(|(at, byte)| byte.is_ascii_digit() || (at > 3 && byte == b'-'));
    let is_written_so = text.len() == 10 && digits;
    let date = if is_written_so { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None };
    let date = date.ok_or_else(|| format!("{text:?} is not a date; write one as 2026-01-31"))?;
    let [first, last] = DAYS;
    // In this width days sort like texts.
    if text < first || text > last {
        return Err(format!("{text} is not from {first} to {last}"));
    }
    Ok(date)
}

/// Reads `name (kind, required) meaning`. In the place of `required` may be `default …`, and beside it `least …`, `most
/// …`, `one of …` or `each view.column`.
pub(crate) fn read_parameter(value: &str) -> Result<ReportParameter, String> {
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
        each: None,
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
            ("each", place) if kind == ParameterKind::User => parameter.each = Some(read_place(place)?),
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

/// Reads `view.column`.
fn read_place(text: &str) -> Result<[String; 2], String> {
    let is_name = |name: &str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    match text.split_once('.') {
        Some((view, column)) if is_name(view) && is_name(column) => Ok([view.to_owned(), column.to_owned()]),
        _ => Err(format!("each is `view.column`, not {text:?}")),
    }
}

fn read_integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("{text:?} is not a whole number"))
}

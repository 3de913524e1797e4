//! A column of a report or view, and what its values count or measure.

use std::fmt;

use serde::Serialize;

use crate::header::entries::read_named;
use crate::header::words::words;

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
    /// A number of events, users or things.
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

pub(crate) fn read_column(value: &str) -> Result<ReportColumn, String> {
    let (name, unit, description) = read_named(value)?;
    Ok(ReportColumn { name: name.to_owned(), unit: Unit::parse(unit)?, description: description.to_owned() })
}

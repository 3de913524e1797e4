//! A report beside the same report of days before: its figures with what they were then, and the difference.
//!
//! Days that were asked for stand beside as many days before them, or those of a year before; of the whole lake each period
//! stands beside the one before it. The days are moved as they were given, so a month that is cut by its last day is compared
//! with a month that is cut at the same place.

pub(crate) mod beside;
mod joined;
mod shift;

use std::fmt;

use chrono::NaiveDate;
use datafusion::scalar::ScalarValue;
use serde::Serialize;

use crate::header::words::words;
use crate::report::parameters::ResolvedParameter;

/// The name of the choice among the parameters of a run.
pub(crate) const PARAMETER: &str = "compare";

/// What a report is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// The period before.
    Previous,
    /// The same period a year before.
    Year,
}

words!(Compare, "previous" = Previous, "year" = Year);

impl std::str::FromStr for Compare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Compare {
    /// The choice as a parameter, so that it is part of the question wherever that is told.
    pub(crate) fn as_parameter(self) -> ResolvedParameter {
        ResolvedParameter {
            name: PARAMETER.to_owned(),
            value: Some(self.to_string()),
            meant: None,
            is_first: false,
            bound: ScalarValue::Null,
        }
    }
}

/// The days that a result was compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ComparedDays {
    /// The choice.
    pub with: Compare,
    /// The first of them.
    pub first_day: NaiveDate,
    /// The last of them.
    pub last_day: NaiveDate,
    /// Whether the lake has all of them. Where it has not, what was before is not told.
    pub whole: bool,
}

impl ComparedDays {
    /// The days as a part of a line: `compared with 2026-10-01 to 2026-10-31`.
    pub(crate) fn in_scope(&self) -> String {
        let lacking = if self.whole { "" } else { " (not all of it is in the lake)" };
        format!("compared with {} to {}{lacking}", self.first_day, self.last_day)
    }

    /// The days in words.
    pub(crate) fn in_words(&self) -> String {
        let Self { first_day, last_day, whole, .. } = self;
        let lacking = if *whole { "" } else { "; the lake begins later, so not all of it is told" };
        format!("{first_day} to {last_day}{lacking}")
    }
}

#[cfg(test)]
mod tests;

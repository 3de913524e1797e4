//! The header of a report file: SQL comments that describe the report in a checked form.
//!
//! ```text
//! -- title: Donations by period
//! -- question: Who gives how many points to whom?
//! -- audience: finance, partner charities
//! -- parameter: from (date, default first) First day, included.
//! -- parameter: by (period, default day) Length of a period.
//! -- column: period (date) First day of the period.
//! -- column: points (points) Points given.
//! -- figures: points sum
//! -- chart: line x=period y=points
//! ```
//!
//! The header is every line from the first that starts with `--`, up to the first that does not. A line indented by
//! three blanks or more continues the one above. Docs: `docs/reports.md`.

pub(crate) mod chart;
pub(crate) mod column;
pub(crate) mod entries;
pub(crate) mod fault;
pub(crate) mod figure;
pub(crate) mod parameter;
pub(crate) mod period_length;
pub(crate) mod report;
pub(crate) mod view;
pub(crate) mod words;

//! Reports, SQL and exports.

pub(crate) mod exports;
pub(crate) mod report_questions;
pub(crate) mod report_tables;
pub(crate) mod reports;
pub(crate) mod scans;
pub(crate) mod sql_answers;
pub(crate) mod sql_limits;
pub(crate) mod sql_shell;
pub(crate) mod values;

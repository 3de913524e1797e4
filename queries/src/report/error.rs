//! The faults of a report.

use std::path::PathBuf;

use crate::error::QueryError;
use crate::header::fault::HeaderFault;
use crate::text::nearest::nearest_or_all;

/// Why a report cannot be read or answered.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A report file has a faulty header.
    #[error(transparent)]
    Header(#[from] HeaderFault),
    /// A folder or file of reports cannot be read.
    #[error("cannot read reports from {}", path.display())]
    Folder {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// No report has that name.
    #[error("there is no report {name:?}{}", nearest_or_all(suggestion.as_ref(), known, "there are"))]
    UnknownReport {
        /// What was written.
        name: String,
        /// The nearest known name.
        suggestion: Option<String>,
        /// The reports there are.
        known: Vec<String>,
    },
    /// A report does not have that parameter.
    #[error("the report {report} has no parameter {name:?}{}", nearest_or_all(suggestion.as_ref(), known, "it has"))]
    UnknownParameter {
        /// The report.
        report: String,
        /// What was written.
        name: String,
        /// The nearest known name.
        suggestion: Option<String>,
        /// The parameters there are.
        known: Vec<String>,
    },
    /// A parameter of a report is missing or has an invalid value.
    #[error("parameter {name} of the report {report}: {fault}")]
    Parameter {
        /// The report.
        report: String,
        /// The parameter.
        name: String,
        /// What is wrong and what to do.
        fault: String,
    },
    /// The SQL of a report does not give the columns that its header promises.
    #[error("the report {report} returns the columns {} but its header says {}: correct the header or the SQL", found.join(", "), declared.join(", "))]
    Columns {
        /// The report.
        report: String,
        /// The columns of the result.
        found: Vec<String>,
        /// The columns of the header.
        declared: Vec<String>,
    },
    /// A query of the report failed.
    #[error(transparent)]
    Query(#[from] QueryError),
}

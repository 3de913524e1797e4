//! The header of a view.

use serde::Serialize;

use crate::header::column::{ReportColumn, read_column};
use crate::header::entries::{entries, only};
use crate::header::fault::HeaderFault;

const KEYS: [&str; 2] = ["grain", "column"];

/// The description of a view: in the form of a report's header, with `grain` and `column` only.
#[derive(Clone, Debug, Serialize)]
pub struct ViewHeader {
    /// The meaning of one row.
    pub grain: String,
    /// The columns, in their order.
    pub columns: Vec<ReportColumn>,
}

impl ViewHeader {
    /// Reads the header of a view file; `file` is its name in messages.
    pub(crate) fn parse(file: &str, text: &str) -> Result<Self, HeaderFault> {
        let fault = |line: usize, fault: String| HeaderFault { file: file.to_owned(), line, fault };
        let entries = entries(text, &KEYS).map_err(|(line, text)| fault(line, text))?;
        let grain = only(&entries, "grain").map_err(|(line, text)| fault(line, text))?;
        let grain = grain.ok_or_else(|| fault(1, "the header has no `-- grain:`".to_owned()))?.value.clone();
        let columns = entries.iter().filter(|entry| entry.key == "column");
        let columns = columns.map(|entry| read_column(&entry.value).map_err(|text| fault(entry.line, text)));
        Ok(Self { grain, columns: columns.collect::<Result<_, _>>()? })
    }
}

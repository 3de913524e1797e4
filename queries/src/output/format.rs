//! The formats of results: their names, the endings of their files, their media types.
//!
//! A new format is a variant here and in `ALL`; an arm in `writer.rs`, or for a document in `document_writer.rs`; and a
//! line in `docs/reports.md`, "Formats". The compiler asks for the rest.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use arrow::error::ArrowError;

use crate::output::error::OutputError;

/// How a result is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// Aligned columns; control characters are shown escaped.
    #[default]
    Table,
    /// RFC 4180 with a header and line feeds between rows; text that a spreadsheet would calculate begins with `'`.
    Csv,
    /// One JSON array of objects, one object a line.
    Json,
    /// One JSON object a line.
    Ndjson,
    /// Parquet with zstd.
    Parquet,
    /// An Excel workbook.
    Xlsx,
    /// Markdown with a GitHub table.
    Markdown,
    /// One self-contained HTML page.
    Html,
}

/// A format of a whole document, with more than rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::output) enum DocumentFormat {
    Xlsx,
    Markdown,
    Html,
}

impl DocumentFormat {
    /// The format's name.
    pub(in crate::output) fn name(self) -> &'static str {
        match self {
            Self::Xlsx => OutputFormat::Xlsx.name(),
            Self::Markdown => OutputFormat::Markdown.name(),
            Self::Html => OutputFormat::Html.name(),
        }
    }
}

impl OutputFormat {
    /// All formats, in the order in which they are shown.
    pub const ALL: [Self; 8] =
        [Self::Table, Self::Csv, Self::Json, Self::Ndjson, Self::Parquet, Self::Xlsx, Self::Markdown, Self::Html];

    /// The name of the format, also the usual ending of its files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Parquet => "parquet",
            Self::Xlsx => "xlsx",
            Self::Markdown => "md",
            Self::Html => "html",
        }
    }

    /// The format that the ending of a file names; `None` for a file without an ending.
    ///
    /// # Errors
    /// [`OutputError::UnknownEnding`] for an ending that no format has.
    pub fn of_file(path: &Path) -> Result<Option<Self>, OutputError> {
        let Some(ending) = path.extension() else { return Ok(None) };
        let ending = ending.to_string_lossy().to_lowercase();
        let other = OTHER_ENDINGS.iter().find(|(other, _)| *other == ending).map(|(_, format)| *format);
        match Self::ALL.into_iter().find(|format| format.name() == ending).or(other) {
            Some(format) => Ok(Some(format)),
            None => Err(OutputError::UnknownEnding { path: path.to_path_buf() }),
        }
    }

    /// The media type of its files.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Table => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Parquet => "application/vnd.apache.parquet",
            Self::Xlsx => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            Self::Markdown => "text/markdown; charset=utf-8",
            Self::Html => "text/html; charset=utf-8",
        }
    }

    /// Whether the output is bytes that a terminal cannot show.
    pub fn is_binary(self) -> bool {
        match self {
            Self::Parquet | Self::Xlsx => true,
            Self::Table | Self::Csv | Self::Json | Self::Ndjson | Self::Markdown | Self::Html => false,
        }
    }

    /// The kind of document, with title, chart and provenance; `None` for rows alone.
    pub(in crate::output) fn document(self) -> Option<DocumentFormat> {
        match self {
            Self::Xlsx => Some(DocumentFormat::Xlsx),
            Self::Markdown => Some(DocumentFormat::Markdown),
            Self::Html => Some(DocumentFormat::Html),
            Self::Table | Self::Csv | Self::Json | Self::Ndjson | Self::Parquet => None,
        }
    }
}

/// Other endings of files than the names of the formats.
const OTHER_ENDINGS: [(&str, OutputFormat); 5] = [
    ("txt", OutputFormat::Table),
    ("jsonl", OutputFormat::Ndjson),
    ("markdown", OutputFormat::Markdown),
    ("htm", OutputFormat::Html),
    ("pq", OutputFormat::Parquet),
];

impl fmt::Display for OutputFormat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for OutputFormat {
    type Err = OutputError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|format| format.name() == name)
            .ok_or_else(|| OutputError::UnknownFormat { name: name.to_owned() })
    }
}

/// An error of arrow while a format is written.
pub(in crate::output) fn arrow_error(error: ArrowError, format: &'static str) -> OutputError {
    match error {
        ArrowError::IoError(_, source) => OutputError::Write(source),
        other => OutputError::Format { format, source: Box::new(other) },
    }
}

//! A whole report as one JSON value, for programs.

use serde_json::{Value, json};

use crate::output::document::Document;
use crate::output::error::OutputError;
use crate::output::figures::DocumentFigure;
use crate::output::format::OutputFormat;
use crate::output::writer::write_report;
use crate::report::result::ReportResult;

impl ReportResult {
    /// The figures for people, a line each: `Points: 1,380 (was 1,200, +180, +15.0%)`.
    pub fn figure_lines(&self) -> Vec<String> {
        let line = |figure: &DocumentFigure| {
            let before = figure.before.iter().map(|before| format!(" ({before})")).collect::<String>();
            format!("{}: {}{before}", figure.label, figure.value)
        };
        Document::of_report(self).figures.iter().map(line).collect()
    }

    /// Title, columns, what it was computed from, and the rows.
    ///
    /// # Errors
    /// [`OutputError::Format`] when a row cannot be JSON.
    pub fn described(&self) -> Result<Value, OutputError> {
        let mut text = Vec::new();
        write_report(self, OutputFormat::Json, &mut text)?;
        let rows: Value = serde_json::from_slice(&text)
            .map_err(|source| OutputError::Format { format: "json", source: Box::new(source) })?;
        Ok(json!({
            "title": self.title,
            "figures": self.figures,
            "columns": self.columns,
            "provenance": self.provenance,
            "rows": rows,
        }))
    }
}

//! Writes documents: waits for the rows, and passes them to the renderer of the format.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;

use crate::output::document::Document;
use crate::output::error::OutputError;
use crate::output::format::{DocumentFormat, arrow_error};
use crate::output::table::TABLE_ROWS_MAX;
use crate::output::{html, markdown, xlsx};

/// Writes a document; returns the number of rows in it.
pub(super) fn render<W: Write>(
    document: &Document,
    batches: &[RecordBatch],
    format: DocumentFormat,
    mut sink: W,
) -> Result<u64, OutputError> {
    let fail = |error| arrow_error(error, format.name());
    let (rows, bytes) = match format {
        DocumentFormat::Xlsx => xlsx::render(document, batches)?,
        DocumentFormat::Html => html::render(document, batches).map_err(fail)?,
        DocumentFormat::Markdown => markdown::render(document, batches).map_err(fail)?,
    };
    sink.write_all(&bytes).and_then(|()| sink.flush()).map_err(OutputError::Write)?;
    Ok(u64::try_from(rows).unwrap_or(u64::MAX))
}

/// The most rows of a document in this format.
fn rows_max(format: DocumentFormat) -> usize {
    match format {
        DocumentFormat::Xlsx => xlsx::ROWS_MAX,
        DocumentFormat::Html => html::ROWS_MAX,
        DocumentFormat::Markdown => TABLE_ROWS_MAX,
    }
}

/// Waits for the rows of a statement and writes them as a document. Keeps only the rows that the format shows.
pub(super) struct DocumentWriter<W: Write> {
    sink: W,
    format: DocumentFormat,
    document: Document,
    batches: Vec<RecordBatch>,
    kept: usize,
}

impl<W: Write> DocumentWriter<W> {
    pub(super) fn new(format: DocumentFormat, schema: &Schema, sink: W) -> Self {
        Self { sink, format, document: Document::of_query(schema), batches: Vec::new(), kept: 0 }
    }

    /// # Errors
    /// [`OutputError::Format`] for more rows than a sheet has.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), OutputError> {
        let room = rows_max(self.format).saturating_sub(self.kept);
        if self.format == DocumentFormat::Xlsx && batch.num_rows() > room {
            return Err(xlsx::too_many_rows());
        }
        // One row beyond the shown ones proves that there are more.
        let kept = batch.slice(0, batch.num_rows().min(room + 1));
        self.kept += kept.num_rows();
        if kept.num_rows() > 0 {
            self.batches.push(kept);
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<u64, OutputError> {
        render(&self.document, &self.batches, self.format, self.sink)
    }
}

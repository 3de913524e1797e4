//! The answer to a report's question.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;

use crate::header::chart::Chart;
use crate::header::column::ReportColumn;
use crate::report::figures::Figure;
use crate::report::provenance::Provenance;

/// The answer to a report's question.
#[derive(Clone, Debug)]
pub struct ReportResult {
    /// Title of the report.
    pub title: String,
    /// The question that it answers.
    pub question: String,
    /// Who asks it.
    pub audience: String,
    /// How it is drawn, if it can be.
    pub chart: Option<Chart>,
    /// The numbers that stand above the rows.
    pub figures: Vec<Figure>,
    /// The columns, with units, in the order of the batches.
    pub columns: Vec<ReportColumn>,
    /// Whether the rows are the first of more, by a rank or a LIMIT, so that their sum is not the total.
    pub is_cut: bool,
    /// Arrow schema of the batches.
    pub schema: SchemaRef,
    /// The rows, in the report's order, which is the same each time.
    pub batches: Vec<RecordBatch>,
    /// What the result was computed from, as far as the session knows.
    pub provenance: Provenance,
}

impl ReportResult {
    /// Title, days and other parameters on one line.
    pub fn headline(&self) -> String {
        format!("{} ({})", self.title, self.provenance.scope())
    }
}

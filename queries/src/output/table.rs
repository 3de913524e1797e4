//! A table for a terminal. Values come from producers, so control characters and direction marks are shown, not obeyed.

use std::io::{self, Write};

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::json_text;
use super::visible::visible;

/// Rows that a table shows at most: its widths depend on all of its rows, so all are held in memory.
pub const TABLE_ROWS_MAX: usize = 10_000;

pub(super) struct TableWriter<W: Write> {
    sink: W,
    table: Table,
    alignments: Vec<CellAlignment>,
    rows: usize,
}

impl<W: Write> TableWriter<W> {
    pub(super) fn new(schema: &Schema, sink: W) -> Self {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
        let alignments: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| if field.data_type().is_numeric() { CellAlignment::Right } else { CellAlignment::Left })
            .collect();
        let names = schema.fields().iter().zip(&alignments);
        table.set_header(names.map(|(field, alignment)| cell(field.name(), *alignment)));
        Self { sink, table, alignments, rows: 0 }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let shown = batch.num_rows().min(TABLE_ROWS_MAX.saturating_sub(self.rows));
        let batch = json_text::flatten(&batch.slice(0, shown)).map(|flat| (flat, batch.num_rows()));
        let (batch, rows) = batch?;
        self.rows += rows;
        let options = FormatOptions::default().with_display_error(true);
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..shown {
            let values = columns.iter().zip(&self.alignments);
            self.table.add_row(values.map(|(column, alignment)| cell(&column.value(row).to_string(), *alignment)));
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        for line in self.table.lines() {
            writeln!(self.sink, "{line}")?;
        }
        if self.rows > TABLE_ROWS_MAX {
            let rows = self.rows;
            writeln!(self.sink, "{TABLE_ROWS_MAX} of {rows} rows shown; csv, json, ndjson and parquet have them all")?;
        }
        self.sink.flush()
    }
}

fn cell(text: &str, alignment: CellAlignment) -> Cell {
    Cell::new(visible(text)).set_alignment(alignment)
}

//! A table for a terminal. Values come from producers, so control characters and direction marks are shown, not obeyed.

use std::io::{self, Write};

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use super::json_text;
use super::visible::{shortened, visible};

/// Rows that a table shows at most: its widths depend on all of its rows, so all are held in memory.
pub const TABLE_ROWS_MAX: usize = 10_000;
/// Characters of a value that a table shows at most.
const CELL_CHARACTERS_MAX: usize = 1_000;
/// Characters of a whole table: one long value makes every row as wide as itself.
const TABLE_CHARACTERS_MAX: usize = 16 * 1024 * 1024;

pub(super) struct TableWriter<W: Write> {
    sink: W,
    table: Table,
    alignments: Vec<CellAlignment>,
    /// Characters of the widest cell of each column.
    widths: Vec<usize>,
    shown: usize,
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
        table.set_header(names.map(|(field, alignment)| cell(cell_text(field.name()), *alignment)));
        let widths = vec![0; alignments.len()];
        Self { sink, table, alignments, widths, shown: 0, rows: 0 }
    }

    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let is_cut = self.shown < self.rows;
        self.rows += batch.num_rows();
        let fitting = if is_cut { 0 } else { batch.num_rows().min(TABLE_ROWS_MAX.saturating_sub(self.shown)) };
        let batch = json_text::flatten(&batch.slice(0, fitting))?;
        let options = FormatOptions::default().with_display_error(true);
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>()?;
        for row in 0..fitting {
            let texts: Vec<_> = columns.iter().map(|column| cell_text(&column.value(row).to_string())).collect();
            for (width, text) in self.widths.iter_mut().zip(&texts) {
                *width = text.chars().count().max(*width);
            }
            if self.widths.iter().sum::<usize>().saturating_mul(self.shown + 1) > TABLE_CHARACTERS_MAX {
                break;
            }
            let cells = texts.into_iter().zip(&self.alignments);
            self.table.add_row(cells.map(|(text, alignment)| cell(text, *alignment)));
            self.shown += 1;
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<()> {
        for line in self.table.lines() {
            writeln!(self.sink, "{line}")?;
        }
        if self.rows > self.shown {
            let (rows, shown) = (self.rows, self.shown);
            writeln!(self.sink, "{shown} of {rows} rows shown; csv, json, ndjson and parquet have them all")?;
        }
        self.sink.flush()
    }
}

fn cell(text: String, alignment: CellAlignment) -> Cell {
    Cell::new(text).set_alignment(alignment)
}

/// A value as a terminal can show it: escaped, and cut when it is very long.
pub(crate) fn cell_text(value: &str) -> String {
    visible(&shortened(value, CELL_CHARACTERS_MAX)).into_owned()
}

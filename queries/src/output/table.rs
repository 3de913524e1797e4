//! A table for a terminal. Values come from producers, so control characters and direction marks are shown as text.

use std::io::{self, Write};

use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};

use crate::text::json_text;
use crate::text::visible::{shortened, visible};

/// The most rows of a table: its widths depend on all rows, so all are held in memory.
pub const TABLE_ROWS_MAX: usize = 10_000;
/// The most characters of a value in a table.
const CELL_CHARACTERS_MAX: usize = 1_000;
/// Characters of a whole table: one long value makes every row as wide as itself.
const TABLE_CHARACTERS_MAX: usize = 16 * 1024 * 1024;

/// The columns of the result of EXPLAIN.
const PLAN: [&str; 2] = ["plan_type", "plan"];

pub(super) struct TableWriter<W: Write> {
    sink: W,
    /// A plan has lines of its own, so a box around them is of no use.
    is_plan: bool,
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
        Self { sink, is_plan: is_plan(schema), table, alignments, widths, shown: 0, rows: 0 }
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
            if let (true, [kind, plan]) = (self.is_plan, columns.as_slice()) {
                let text = plan_text(&kind.value(row).to_string(), &plan.value(row).to_string());
                self.sink.write_all(text.as_bytes()).map_err(|error| ArrowError::IoError(error.to_string(), error))?;
                self.shown += 1;
                continue;
            }
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
        for line in self.table.lines().filter(|_| !self.is_plan) {
            writeln!(self.sink, "{line}")?;
        }
        if self.rows > self.shown {
            let (rows, shown) = (self.rows, self.shown);
            writeln!(self.sink, "{shown} of {rows} rows shown; csv, json, ndjson and parquet have them all")?;
        }
        self.sink.flush()
    }
}

/// Whether the result is that of EXPLAIN.
pub(crate) fn is_plan(schema: &Schema) -> bool {
    schema.fields().iter().map(|field| field.name().as_str()).eq(PLAN)
        && schema.fields().iter().all(|field| field.data_type().is_string())
}

/// A plan under its name, line by line. Control characters are escaped, as in every cell.
pub(crate) fn plan_text(kind: &str, plan: &str) -> String {
    let lines = plan.lines().map(|line| format!("  {}\n", cell_text(line)));
    format!("{}\n{}", cell_text(kind), lines.collect::<String>())
}

fn cell(text: String, alignment: CellAlignment) -> Cell {
    Cell::new(text).set_alignment(alignment)
}

/// A value for a terminal: escaped, and cut if it is very long.
pub(crate) fn cell_text(value: &str) -> String {
    visible(&shortened(value, CELL_CHARACTERS_MAX)).into_owned()
}

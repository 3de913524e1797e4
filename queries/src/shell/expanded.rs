//! One line for each column, for wide rows.

use std::io::Write;

use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::chart::{padded, width_of};
use crate::output::error::OutputError;
use crate::output::table::{cell_text, is_plan, plan_text};
use crate::text::json_text::flatten;

const FORMAT: &str = "expanded display";

/// Writes every row as a block of `column │ value` lines. Control characters are shown escaped.
///
/// # Errors
/// [`OutputError::Write`] when the sink fails; [`OutputError::Format`] when a value cannot be shown.
pub fn write_expanded<W: Write>(schema: &Schema, batches: &[RecordBatch], mut sink: W) -> Result<u64, OutputError> {
    let names: Vec<_> = schema.fields().iter().map(|field| cell_text(field.name())).collect();
    let widest = names.iter().map(|name| width_of(name)).max().unwrap_or(0);
    let labels: Vec<_> = names.iter().map(|name| padded(name, widest) + " │ ").collect();
    let unfit = |source| OutputError::Format { format: FORMAT, source: Box::new(source) };
    let mut rows = 0_u64;
    for batch in batches {
        let batch = flatten(batch).map_err(unfit)?;
        let options = FormatOptions::default().with_display_error(true);
        let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options));
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(unfit)?;
        for row in 0..batch.num_rows() {
            rows += 1;
            if let (true, [kind, plan]) = (is_plan(schema), columns.as_slice()) {
                let text = plan_text(&kind.value(row).to_string(), &plan.value(row).to_string());
                sink.write_all(text.as_bytes()).map_err(OutputError::Write)?;
                continue;
            }
            writeln!(sink, "──[ row {rows} ]──").map_err(OutputError::Write)?;
            for (label, column) in labels.iter().zip(&columns) {
                let line = label.clone() + &cell_text(&column.value(row).to_string());
                writeln!(sink, "{}", line.trim_end()).map_err(OutputError::Write)?;
            }
        }
    }
    sink.flush().map_err(OutputError::Write)?;
    Ok(rows)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};

    use super::*;

    #[test]
    fn every_column_is_a_line_of_visible_characters() {
        let names: ArrayRef = Arc::new(StringArray::from(vec![Some("a\u{1b}[31m\n\u{202e}b"), None]));
        let points: ArrayRef = Arc::new(Int64Array::from(vec![1, -20]));
        let batch =
            RecordBatch::try_from_iter_with_nullable([("name", names, true), ("points", points, true)]).unwrap();
        let mut text = Vec::new();
        assert_eq!(write_expanded(&batch.schema(), &[batch], &mut text).unwrap(), 2);
        assert_eq!(
            String::from_utf8(text).unwrap(),
            "──[ row 1 ]──\nname   │ a\\u{1b}[31m\\n\\u{202e}b\npoints │ 1\n\
             ──[ row 2 ]──\nname   │\npoints │ -20\n"
        );
    }
}

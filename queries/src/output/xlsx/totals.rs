//! The row of totals below the others: formulas, so that a reader sees what they add up.

use rust_xlsxwriter::{Format, FormatBorder, Formula, Worksheet, XlsxError, utility::column_number_to_name};

use super::{EXACT_MAX, number_format, shown_number};
use crate::output::document::Document;
use crate::text::cells::Cell;

/// Writes the totals below the last of `rows` rows. Returns the width of each, in characters.
///
/// A total of more than 15 digits is written as text. Where parts are written as text a formula would leave them out, so
/// the totals are plain numbers then.
pub(super) fn row(
    sheet: &mut Worksheet,
    document: &Document,
    totals: &[Cell],
    (rows, are_numbers): (u32, bool),
) -> Result<Vec<usize>, XlsxError> {
    let below = rows + 1;
    let mut widths = Vec::new();
    for ((column, cell), at) in document.columns.iter().zip(totals).zip(0_u16..) {
        let format = Format::new().set_bold().set_border_top(FormatBorder::Thin);
        let shown = column.style.text(cell);
        match (cell, shown_number(column.style, cell)) {
            (Cell::Number { unscaled, .. }, Some(result)) if unscaled.unsigned_abs() <= EXACT_MAX => {
                let format = format.set_num_format(number_format(column.style));
                if are_numbers {
                    let name = column_number_to_name(at);
                    let formula = Formula::new(format!("SUM({name}2:{name}{below})")).set_result(result.to_string());
                    sheet.write_formula_with_format(below, at, formula, &format)?;
                } else {
                    sheet.write_number_with_format(below, at, result, &format)?;
                }
            }
            (Cell::Empty, _) if at == 0 => {
                sheet.write_string_with_format(below, at, "Total", &format)?;
            }
            _ => {
                sheet.write_string_with_format(below, at, &shown, &format)?;
            }
        }
        widths.push(shown.chars().count() + 1);
    }
    Ok(widths)
}

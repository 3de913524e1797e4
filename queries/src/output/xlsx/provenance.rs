//! The description sheet: question, period, the columns' meanings, and what the workbook was computed from.

use rust_xlsxwriter::{Format, FormatAlign, Worksheet, XlsxError};

use super::{Departures, EXACT_MAX, cell_text};
use crate::output::document::Document;

/// Fills the sheet.
pub(super) fn sheet(
    sheet: &mut Worksheet,
    document: &Document,
    rows: usize,
    departures: &mut Departures,
) -> Result<(), XlsxError> {
    let title = Format::new().set_bold().set_font_size(16);
    sheet.set_column_width(0, 36)?.set_column_width(1, 96)?;
    sheet.write_string_with_format(0, 0, cell_text(&document.title, departures), &title)?;
    let mut lines = Lines { sheet, row: 2, departures };
    let about = [("Question", &document.question), ("Period", &document.scope), ("Made for", &document.audience)];
    for (name, value) in about {
        if let Some(value) = value {
            lines.entry(name, value)?;
        }
    }
    lines.count("Rows", u64::try_from(rows).unwrap_or(u64::MAX))?;
    if rows == 0 {
        lines.entry("", document.nothing())?;
    }
    if document.columns.iter().any(|column| column.meaning.is_some()) {
        lines.section("What the columns mean")?;
        for column in &document.columns {
            lines.entry(&column.label, column.meaning.as_deref().unwrap_or_default())?;
        }
    }
    lines.section("Provenance")?;
    for (name, value) in &document.provenance {
        match value.replace(',', "").parse() {
            Ok(count) if COUNTS.contains(&name.as_str()) => lines.count(name, count)?,
            _ => lines.entry(name, value)?,
        }
    }
    lines.departures()?;
    sheet.set_landscape().set_print_fit_to_pages(1, 0);
    Ok(())
}

/// Lines of the provenance that are numbers.
const COUNTS: [&str; 2] = ["Late events", "Rejected events"];

struct Lines<'a> {
    sheet: &'a mut Worksheet,
    row: u32,
    departures: &'a mut Departures,
}

impl Lines<'_> {
    fn section(&mut self, name: &str) -> Result<(), XlsxError> {
        self.row += 1;
        self.sheet.write_string_with_format(self.row, 0, name, &Format::new().set_bold().set_font_size(13))?;
        self.row += 1;
        Ok(())
    }

    fn entry(&mut self, name: &str, value: &str) -> Result<(), XlsxError> {
        let top = Format::new().set_align(FormatAlign::Top);
        let (name, value) = (cell_text(name, self.departures), cell_text(value, self.departures));
        self.sheet.write_string_with_format(self.row, 0, name, &top.clone().set_bold())?;
        self.sheet.write_string_with_format(self.row, 1, value, &top.set_text_wrap())?;
        self.row += 1;
        Ok(())
    }

    /// A number is written as a number, so that formulas can use it.
    #[expect(clippy::cast_precision_loss, reason = "of 15 digits at most")]
    fn count(&mut self, name: &str, count: u64) -> Result<(), XlsxError> {
        if u128::from(count) > EXACT_MAX {
            return self.entry(name, &count.to_string());
        }
        let format = Format::new().set_num_format("#,##0").set_align(FormatAlign::Left);
        let bold = Format::new().set_bold();
        self.sheet.write_string_with_format(self.row, 0, name, &bold)?;
        self.sheet.write_number_with_format(self.row, 1, count as f64, &format)?;
        self.row += 1;
        Ok(())
    }

    /// Values that were changed for Excel.
    fn departures(&mut self) -> Result<(), XlsxError> {
        if self.departures.long_numbers > 0 {
            let text = "Numbers of more than 15 digits are written as text: a spreadsheet would round them.";
            self.entry("Long numbers", text)?;
        }
        if self.departures.long_texts > 0 {
            let text = "Texts of more than 32,000 UTF-16 units, in which Excel counts characters, are cut; CSV, JSON and \
                        Parquet have them all.";
            self.entry("Long texts", text)?;
        }
        Ok(())
    }
}

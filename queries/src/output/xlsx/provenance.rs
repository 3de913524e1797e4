//! The sheet that says what the workbook is: question, period, the columns' meanings, and what it was computed from.

use rust_xlsxwriter::{Format, FormatAlign, Worksheet, XlsxError};

use super::Departures;
use crate::output::document::Document;
use crate::output::figures;
use crate::output::visible::visible;

/// Fills the sheet.
pub(super) fn sheet(
    sheet: &mut Worksheet,
    document: &Document,
    rows: usize,
    departures: &Departures,
) -> Result<(), XlsxError> {
    let title = Format::new().set_bold().set_font_size(16);
    sheet.set_column_width(0, 26)?.set_column_width(1, 96)?;
    sheet.write_string_with_format(0, 0, visible(&document.title), &title)?;
    let mut lines = Lines { sheet, row: 2 };
    let about = [("Question", &document.question), ("Period", &document.scope), ("Made for", &document.audience)];
    for (name, value) in about {
        if let Some(value) = value {
            lines.entry(name, value)?;
        }
    }
    lines.entry("Rows", &figures::whole(rows))?;
    if rows == 0 {
        lines.entry("", document.nothing())?;
    }
    if departures.long_numbers > 0 {
        lines.entry(
            "Long numbers",
            "Numbers of more than 15 digits are written as text: a spreadsheet would round them.",
        )?;
    }
    if departures.long_texts > 0 {
        lines.entry(
            "Long texts",
            "Texts of more than 32,000 characters are cut; CSV, JSON and Parquet have them all.",
        )?;
    }
    if document.columns.iter().any(|column| column.meaning.is_some()) {
        lines.section("What the columns mean")?;
        for column in &document.columns {
            lines.entry(&column.label, column.meaning.as_deref().unwrap_or_default())?;
        }
    }
    lines.section("Provenance")?;
    for (name, value) in &document.provenance {
        lines.entry(name, value)?;
    }
    sheet.set_landscape().set_print_fit_to_pages(1, 0);
    Ok(())
}

struct Lines<'a> {
    sheet: &'a mut Worksheet,
    row: u32,
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
        self.sheet.write_string_with_format(self.row, 0, visible(name), &top.clone().set_bold())?;
        self.sheet.write_string_with_format(self.row, 1, visible(value), &top.set_text_wrap())?;
        self.row += 1;
        Ok(())
    }
}

//! A document as an Excel workbook: typed cells under a frozen header, a sheet with the chart, and a sheet with the
//! description.
//!
//! Text is always written as text, never as a formula. Numbers of more than 15 digits, which a spreadsheet would round,
//! are written as text too. The workbook has no time of writing, so that the same result gives the same bytes.

mod chart;
mod provenance;
mod totals;

use std::borrow::Cow;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::{Datelike as _, NaiveDate};
use rust_xlsxwriter::{
    DocProperties, ExcelDateTime, Format, FormatAlign, FormatBorder, Workbook, Worksheet, XlsxError,
};

use crate::output::chart::data::chart_data;
use crate::output::document::{Document, DocumentColumn, Style};
use crate::output::error::OutputError;
use crate::output::format::arrow_error;
use crate::text::cells::{Cell, Cells};
use crate::text::visible::{shortened_utf16, visible};

/// Rows below the header that a sheet holds.
pub(super) const ROWS_MAX: usize = 1_048_575;
/// The digits that a spreadsheet keeps.
const EXACT_MAX: u128 = 999_999_999_999_999;
/// UTF-16 units of a cell; Excel takes at most 32,767.
const TEXT_MAX: usize = 32_000;
/// UTF-16 units of a property of the workbook, such as its title.
const PROPERTY_MAX: usize = 255;
/// UTF-16 units of the name of a sheet.
const SHEET_NAME_MAX: usize = 31;
const TEXT_WIDTH_MAX: usize = 48;
/// UTF-16 units of a line above a printed page; Excel takes 255 for both lines with their signs.
const PRINTED_MAX: usize = 120;
/// A fixed time of writing.
const MADE: (u16, u8, u8) = (2000, 1, 1);

/// Values that were changed for Excel; the description sheet reports them.
#[derive(Default)]
struct Departures {
    long_numbers: u64,
    long_texts: u64,
}

/// The workbook, and its number of rows.
pub(super) fn render(document: &Document, batches: &[RecordBatch]) -> Result<(usize, Vec<u8>), OutputError> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    if rows > ROWS_MAX {
        return Err(too_many_rows());
    }
    let chart = chart_data(document, batches).map_err(|error| arrow_error(error, "xlsx"))?;
    let workbook = || -> Result<Vec<u8>, Fault> {
        let mut workbook = Workbook::new();
        let (year, month, day) = MADE;
        let mut properties = DocProperties::new()
            .set_title(shortened_utf16(&visible(&document.title), PROPERTY_MAX))
            .set_company("Bluelake")
            .set_creation_datetime(&ExcelDateTime::from_ymd(year, month, day)?);
        if let Some(question) = &document.question {
            properties = properties.set_subject(shortened_utf16(&visible(question), PROPERTY_MAX));
        }
        workbook.set_properties(&properties);
        let data = sheet_name(&document.title);
        let mut departures = rows_sheet(workbook.add_worksheet().set_name(&data)?, document, batches)?;
        if let Some(chart) = &chart {
            chart::sheet(workbook.add_worksheet().set_name("Chart")?, chart)?;
        }
        provenance::sheet(workbook.add_worksheet().set_name("Provenance")?, document, rows, &mut departures)?;
        Ok(workbook.save_to_buffer()?)
    };
    let bytes = workbook().map_err(|fault| match fault {
        Fault::Workbook(error) => OutputError::Format { format: "xlsx", source: Box::new(error) },
        Fault::Values(error) => arrow_error(error, "xlsx"),
    })?;
    Ok((rows, bytes))
}

/// The refusal of a result that no sheet can hold.
pub(super) fn too_many_rows() -> OutputError {
    let source = "a sheet holds 1,048,575 rows below its header, and the result has more: narrow its period, or use csv or parquet";
    OutputError::Format { format: "xlsx", source: source.into() }
}

enum Fault {
    Workbook(XlsxError),
    Values(ArrowError),
}

impl From<XlsxError> for Fault {
    fn from(error: XlsxError) -> Self {
        Self::Workbook(error)
    }
}

impl From<ArrowError> for Fault {
    fn from(error: ArrowError) -> Self {
        Self::Values(error)
    }
}

/// A text for a cell; a cut one is counted.
fn cell_text(text: &str, departures: &mut Departures) -> String {
    let text = visible(text);
    let cut = shortened_utf16(&text, TEXT_MAX);
    if matches!(cut, Cow::Owned(_)) {
        departures.long_texts += 1;
    }
    cut.into_owned()
}

/// At most 31 UTF-16 units, without forbidden characters, and different from the names of other sheets.
fn sheet_name(title: &str) -> String {
    let allowed = |character: &char| !matches!(character, '[' | ']' | ':' | '*' | '?' | '/' | '\\' | '\'');
    let mut units = 0;
    let fits = |character: &char| {
        units += character.len_utf16();
        units <= SHEET_NAME_MAX
    };
    let name: String = visible(title).chars().filter(allowed).take_while(fits).collect();
    let name = name.trim();
    let is_taken = name.is_empty() || ["chart", "provenance", "history"].contains(&name.to_lowercase().as_str());
    if is_taken { "Rows".to_owned() } else { name.to_owned() }
}

/// The header of a table.
fn heading_format(column_is_figure: bool) -> Format {
    let align = if column_is_figure { FormatAlign::Right } else { FormatAlign::Left };
    Format::new()
        .set_bold()
        .set_text_wrap()
        .set_align(align)
        .set_align(FormatAlign::Bottom)
        .set_background_color("#EAF3FB")
        .set_border_bottom(FormatBorder::Thin)
}

/// The format of a column's values. Days are aligned to the left, like names.
fn value_format(style: Style) -> Format {
    let format = Format::new().set_num_format(number_format(style));
    if style.is_figure() { format } else { format.set_align(FormatAlign::Left) }
}

/// The number format of a column's values.
fn number_format(style: Style) -> String {
    match style {
        Style::Text | Style::Words => "@".to_owned(),
        Style::Date => "yyyy-mm-dd".to_owned(),
        Style::Instant => "yyyy-mm-dd hh:mm:ss".to_owned(),
        Style::Number(Some(0)) => "#,##0".to_owned(),
        Style::Number(Some(decimals)) => format!("#,##0.{}", "0".repeat(usize::from(decimals.min(15)))),
        Style::Number(None) => "General".to_owned(),
        Style::Dollars => "\"$\"#,##0.00".to_owned(),
        Style::Percent => "0.0%".to_owned(),
    }
}

fn rows_sheet(sheet: &mut Worksheet, document: &Document, batches: &[RecordBatch]) -> Result<Departures, Fault> {
    let mut widths: Vec<usize> = Vec::new();
    let mut departures = Departures::default();
    for (column, at) in document.columns.iter().zip(0_u16..) {
        let label = cell_text(&column.label, &mut departures);
        sheet.write_string_with_format(0, at, label, &heading_format(column.style.is_figure()))?;
        widths.push(heading_width(&column.label));
    }
    let formats: Vec<Format> = document.columns.iter().map(|column| value_format(column.style)).collect();
    let mut row = 0_u32;
    for batch in batches {
        let cells = Cells::new(batch)?;
        for index in 0..cells.rows() {
            row += 1;
            let values = document.columns.iter().zip(&formats).zip(cells.row(index));
            for (((column, format), cell), (width, at)) in values.zip(widths.iter_mut().zip(0_u16..)) {
                let written = Target { sheet: &mut *sheet, row, at, format };
                *width = (*width).max(written.write(column, &cell, &mut departures)?);
            }
        }
    }
    let has_room = row > 0 && usize::try_from(row).is_ok_and(|row| row < ROWS_MAX);
    if let Some(totals) = document.totals.as_ref().filter(|_| has_room) {
        let shown = totals::row(sheet, document, totals, (row, departures.long_numbers == 0))?;
        widths.iter_mut().zip(shown).for_each(|(width, shown)| *width = (*width).max(shown));
    }
    for (width, at) in widths.iter().zip(0_u16..) {
        sheet.set_column_width(at, column_width(*width))?;
    }
    if let Some(last) = u16::try_from(document.columns.len()).ok().and_then(|columns| columns.checked_sub(1)) {
        sheet.autofilter(0, 0, row, last)?;
    }
    sheet.set_freeze_panes(1, 0)?.set_repeat_rows(0, 0)?;
    sheet.set_landscape().set_print_fit_to_pages(1, 0);
    on_paper(sheet, document);
    Ok(departures)
}

/// Title and days above each page that is printed, and its number below.
fn on_paper(sheet: &mut Worksheet, document: &Document) {
    // An ampersand is written twice, and takes room twice.
    let text = |text: &str, units: usize| {
        let text = visible(text);
        let units = units.saturating_sub(text.matches('&').count());
        shortened_utf16(&text, units).replace('&', "&&")
    };
    let scope = document.scope.as_deref().map(|scope| format!("\n{}", text(scope, PRINTED_MAX))).unwrap_or_default();
    sheet.set_header(format!("&L&\"-,Bold\"{}&\"-,Regular\"{scope}", text(&document.title, PRINTED_MAX / 2)));
    sheet.set_footer("&RPage &P of &N");
}

/// Headings wrap between words.
fn heading_width(label: &str) -> usize {
    let longest = label.split(' ').map(|word| word.chars().count()).max().unwrap_or_default();
    // The sign of the filter takes room.
    longest.max(label.chars().count().min(14)) + 3
}

#[expect(clippy::cast_precision_loss, reason = "some tens of characters")]
fn column_width(characters: usize) -> f64 {
    characters.clamp(8, TEXT_WIDTH_MAX) as f64 + 1.0
}

/// A cell to be written.
struct Target<'a> {
    sheet: &'a mut Worksheet,
    row: u32,
    at: u16,
    format: &'a Format,
}

impl Target<'_> {
    /// Returns the width of the shown value, in characters.
    fn write(self, column: &DocumentColumn, cell: &Cell, departures: &mut Departures) -> Result<usize, XlsxError> {
        let shown = column.style.text(cell);
        let Self { sheet, row, at, format } = self;
        match cell {
            Cell::Empty => {}
            Cell::Date(day) if is_in_calendar(*day) => {
                sheet.write_datetime_with_format(row, at, day, format)?;
            }
            Cell::Instant(moment) if is_in_calendar(moment.date()) => {
                sheet.write_datetime_with_format(row, at, moment, format)?;
            }
            Cell::Number { unscaled, .. } if unscaled.unsigned_abs() > EXACT_MAX => {
                departures.long_numbers += 1;
                let right = format.clone().set_num_format("@").set_align(FormatAlign::Right);
                sheet.write_string_with_format(row, at, &shown, &right)?;
            }
            _ => {
                match shown_number(column.style, cell) {
                    Some(number) => sheet.write_number_with_format(row, at, number, format)?,
                    None => sheet.write_string_with_format(row, at, cell_text(&shown, departures), format)?,
                };
            }
        }
        Ok(shown.chars().take(TEXT_WIDTH_MAX).count())
    }
}

/// The number that a cell shows, cents as dollars; `None` for what is no number.
fn shown_number(style: Style, cell: &Cell) -> Option<f64> {
    let factor = if style == Style::Dollars { style.factor() } else { 1.0 };
    Some(cell.as_f64()? * factor)
}

/// Excel's calendar begins in 1900; its first weeks are off by a day.
fn is_in_calendar(day: NaiveDate) -> bool {
    (1901..=9999).contains(&day.year())
}

#[cfg(test)]
mod tests;

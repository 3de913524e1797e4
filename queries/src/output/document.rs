//! A result as a document for readers: its question, its columns with units, its rows in the notation of people, and
//! what it was computed from. Markdown, HTML and XLSX are written from it.
//!
//! The header and provenance of a report fill all of it; the result of plain SQL has only columns and rows.

use arrow::datatypes::{DataType, Schema};

use crate::header::chart::Chart;
use crate::header::column::{ReportColumn, Unit, heading};
use crate::header::period_length::PeriodLength;
use crate::output::figures::{DocumentFigure, above, totals};
use crate::report::counted_days;
use crate::report::result::ReportResult;
use crate::text::cells::{Cell, Cells};
use crate::text::figures::{grouped, grouped_float, rescaled};

/// What a document says.
#[derive(Clone, Debug)]
pub(crate) struct Document {
    /// A few words.
    pub(crate) title: String,
    /// The question that it answers.
    pub(crate) question: Option<String>,
    /// Who asks it.
    pub(crate) audience: Option<String>,
    /// Period and other parameters, in words.
    pub(crate) scope: Option<String>,
    /// The columns, in the order of the batches.
    pub(crate) columns: Vec<DocumentColumn>,
    /// The numbers above the rows.
    pub(crate) figures: Vec<DocumentFigure>,
    /// The total of each column, or nothing below one that does not add up; `None` where no column does.
    pub(crate) totals: Option<Vec<Cell>>,
    /// What it was computed from: names and values.
    pub(crate) provenance: Vec<(String, String)>,
    /// How it is drawn, if it can be.
    pub(crate) chart: Option<Chart>,
    /// The length of a period, when the result has one row or more for each.
    pub(crate) period: Option<PeriodLength>,
    /// Whether the rows are the first of more, so that their sum is not the total.
    pub(crate) is_cut: bool,
}

/// A column as readers see it.
#[derive(Clone, Debug)]
pub(crate) struct DocumentColumn {
    /// Name in the result.
    pub(crate) name: String,
    /// Heading, with the unit where it is not plain.
    pub(crate) label: String,
    /// What it means.
    pub(crate) meaning: Option<String>,
    /// How its values are written.
    pub(crate) style: Style,
    /// Whether values of several rows may be added up.
    pub(crate) is_additive: bool,
}

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is.
    Text,
    /// A word of a closed set, with blanks for its underscores: `family in need`.
    Words,
    /// `2026-01-31`.
    Date,
    /// `2026-01-31 12:00:00`, UTC.
    Instant,
    /// With thousands separators; N decimals, or all of them.
    Number(Option<u8>),
    /// Cents, written as dollars.
    Dollars,
    /// A part of a whole, written in percent.
    Percent,
}

impl Style {
    /// Whether values are figures, which are aligned to the right.
    pub(crate) fn is_figure(self) -> bool {
        matches!(self, Self::Number(_) | Self::Dollars | Self::Percent)
    }

    /// The factor between a value and its shown form.
    pub(crate) fn factor(self) -> f64 {
        match self {
            Self::Dollars => 0.01,
            Self::Percent => 100.0,
            _ => 1.0,
        }
    }

    /// The value in words; empty for NULL.
    pub(crate) fn text(self, cell: &Cell) -> String {
        match cell {
            Cell::Empty => String::new(),
            Cell::Text(text) if self == Self::Words && is_word(text) => text.replace('_', " "),
            Cell::Text(text) => text.clone(),
            Cell::Date(day) => day.to_string(),
            Cell::Instant(moment) => moment.format("%Y-%m-%d %H:%M:%S%.f").to_string(),
            Cell::Number { unscaled, scale } => self.exact(*unscaled, *scale),
            Cell::Float(value) => match self {
                Self::Dollars => dollars(grouped_float(value * self.factor(), Some(2))),
                Self::Percent => format!("{}%", grouped_float(value * self.factor(), Some(1))),
                Self::Number(decimals) => grouped_float(*value, decimals.map(usize::from)),
                _ => grouped_float(*value, None),
            },
        }
    }

    fn exact(self, unscaled: i128, scale: u32) -> String {
        let rounded = |shift: u32, decimals: u32| {
            let places = rescaled(unscaled, scale + shift, decimals)?;
            Some(grouped(places, decimals))
        };
        match self {
            Self::Dollars => rounded(2, 2).map(dollars),
            Self::Percent => {
                unscaled.checked_mul(100).and_then(|hundredfold| rescaled(hundredfold, scale, 1)).map(|tenths| {
                    let text = grouped(tenths, 1);
                    format!("{text}%")
                })
            }
            _ => Some(grouped(unscaled, scale)),
        }
        .unwrap_or_else(|| grouped(unscaled, scale))
    }
}

fn dollars(amount: String) -> String {
    match amount.strip_prefix('-') {
        Some(amount) => format!("-${amount}"),
        None => format!("${amount}"),
    }
}

impl Document {
    /// A report with its header and provenance.
    pub(crate) fn of_report(result: &ReportResult) -> Self {
        let types = result.schema.fields().iter().map(|field| field.data_type());
        let parameter = |name: &str| result.provenance.parameters.iter().find(|parameter| parameter.name == name);
        let columns: Vec<DocumentColumn> =
            result.columns.iter().zip(types).map(|(column, kind)| DocumentColumn::new(column, kind)).collect();
        Self {
            title: result.title.clone(),
            figures: above(&result.figures, &columns),
            totals: totals(&result.figures, &columns),
            question: Some(result.question.clone()),
            audience: Some(result.audience.clone()),
            scope: Some(result.provenance.scope()),
            columns,
            provenance: result.provenance.lines(),
            chart: result.chart.clone(),
            period: parameter("by").and_then(|parameter| PeriodLength::parse(parameter.value.as_deref()?).ok()),
            is_cut: result.is_cut,
        }
    }

    /// The result of a statement: only its columns are known.
    pub(crate) fn of_query(schema: &Schema) -> Self {
        let columns = schema.fields().iter().map(|field| DocumentColumn {
            name: field.name().clone(),
            label: field.name().clone(),
            meaning: None,
            style: style_of(field.data_type()),
            is_additive: false,
        });
        Self {
            title: "Result".to_owned(),
            question: None,
            audience: None,
            scope: None,
            columns: columns.collect(),
            figures: Vec::new(),
            totals: None,
            provenance: vec![("Bluelake version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())],
            chart: None,
            period: None,
            is_cut: false,
        }
    }

    /// Where a row says how much of its period it stands for.
    pub(crate) fn cuts(&self) -> Cuts {
        let place = |name: &str| self.columns.iter().position(|column| column.name == name);
        Cuts(self.period.zip(place("period").zip(place(counted_days::NAME))))
    }

    /// The text in the place of rows when there are none.
    pub(crate) fn nothing(&self) -> &'static str {
        if self.scope.is_some() { "There is nothing in this period." } else { "There are no rows." }
    }
}

/// The length of a period, the column with its first day, and the one with the days that count; nothing without periods.
pub(crate) struct Cuts(Option<(PeriodLength, (usize, usize))>);

impl Cuts {
    /// How much of its period a row stands for, when that is less than all: `3 of 31 days`.
    pub(crate) fn of(&self, cells: &Cells, row: usize) -> Option<String> {
        let (length, (period, counted)) = self.0?;
        let (Cell::Date(first), Cell::Number { unscaled, .. }) = (cells.cell(row, period), cells.cell(row, counted))
        else {
            return None;
        };
        let all = counted_days::cut_from(first, length, i64::try_from(unscaled).ok()?)?;
        Some(format!("{unscaled} of {all} days"))
    }
}

impl DocumentColumn {
    fn new(column: &ReportColumn, kind: &DataType) -> Self {
        let style = match column.unit {
            Unit::Date => Style::Date,
            Unit::Timestamp => Style::Instant,
            Unit::Text if is_of_words(&column.name) => Style::Words,
            Unit::Text | Unit::List => Style::Text,
            Unit::Cents => Style::Dollars,
            Unit::Share => Style::Percent,
            Unit::Days | Unit::Hours if kind.is_floating() => Style::Number(Some(2)),
            Unit::Count | Unit::Points | Unit::Days | Unit::Hours | Unit::Number => style_of(kind),
        };
        Self {
            name: column.name.clone(),
            label: label(&column.name, column.unit),
            meaning: Some(column.description.clone()),
            style,
            is_additive: matches!(column.unit, Unit::Count | Unit::Points | Unit::Cents),
        }
    }
}

/// Whether the values of a column are words of a closed set: kinds, purposes and their like, as the contract and the reports
/// name them.
fn is_of_words(column: &str) -> bool {
    const NAMES: [&str; 7] = ["purpose", "entry", "stage", "activity", "event_type", "reason", "method"];
    column == "kind" || column.ends_with("_kind") || NAMES.contains(&column)
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn style_of(kind: &DataType) -> Style {
    match kind {
        DataType::Date32 | DataType::Date64 => Style::Date,
        DataType::Timestamp(..) => Style::Instant,
        kind if kind.is_integer() => Style::Number(Some(0)),
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            Style::Number(Some((*scale).max(0).unsigned_abs()))
        }
        kind if kind.is_floating() => Style::Number(None),
        _ => Style::Text,
    }
}

/// `average_points` becomes `Average points`, `amount_cents` becomes `Amount (US dollars)`.
fn label(name: &str, unit: Unit) -> String {
    let (stem, unit) = match unit {
        Unit::Cents => (name.strip_suffix("_cents").unwrap_or(name), "US dollars"),
        Unit::Points => (name, "points"),
        Unit::Days => (name.strip_suffix("_days").unwrap_or(name), "days"),
        Unit::Hours => (name.strip_suffix("_hours").unwrap_or(name), "hours"),
        Unit::Timestamp => (name, "UTC"),
        Unit::Date | Unit::Text | Unit::Count | Unit::Share | Unit::Number | Unit::List => (name, ""),
    };
    let words = heading(stem);
    let says_it = words.split(' ').any(|word| word.eq_ignore_ascii_case(unit));
    if unit.is_empty() || says_it { words } else { format!("{words} ({unit})") }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn a_heading_has_the_unit_unless_named() {
        for (name, unit, expected) in [
            ("points", Unit::Points, "Points"),
            ("average_points", Unit::Points, "Average points"),
            ("liability", Unit::Points, "Liability (points)"),
            ("amount_cents", Unit::Cents, "Amount (US dollars)"),
            ("donor_kind", Unit::Text, "Donor kind"),
            ("share", Unit::Share, "Share"),
            ("wait_hours", Unit::Hours, "Wait (hours)"),
            ("last_seen", Unit::Timestamp, "Last seen (UTC)"),
        ] {
            assert_eq!(label(name, unit), expected);
        }
    }

    #[test]
    fn values_are_written_by_their_unit() {
        let number = |unscaled, scale| Cell::Number { unscaled, scale };
        let day = NaiveDate::from_ymd_opt(2026, 11, 1).unwrap();
        for (style, cell, expected) in [
            (Style::Number(Some(0)), number(1_234_567, 0), "1,234,567"),
            (Style::Number(Some(2)), number(123_450, 2), "1,234.50"),
            (Style::Dollars, number(123_456, 0), "$1,234.56"),
            (Style::Dollars, number(-5, 0), "-$0.05"),
            (Style::Dollars, number(123_450, 2), "$12.35"),
            (Style::Dollars, Cell::Float(1999.9), "$20.00"),
            (Style::Percent, number(12_345, 5), "12.3%"),
            (Style::Percent, Cell::Float(0.5), "50.0%"),
            (Style::Date, Cell::Date(day), "2026-11-01"),
            (Style::Instant, Cell::Instant(day.and_hms_opt(1, 2, 3).unwrap()), "2026-11-01 01:02:03"),
            (Style::Text, Cell::Text("=1".to_owned()), "=1"),
            (Style::Text, Cell::Text("family_in_need".to_owned()), "family_in_need"),
            (Style::Words, Cell::Text("family_in_need".to_owned()), "family in need"),
            (Style::Words, Cell::Text("__PROTO__ a_b".to_owned()), "__PROTO__ a_b"),
            (Style::Dollars, Cell::Empty, ""),
        ] {
            assert_eq!(style.text(&cell), expected, "{style:?} {cell:?}");
        }
    }
}

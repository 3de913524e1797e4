//! A result of two columns as a picture in the terminal.
//!
//! Bars compare labels; a line shows change along dates or numbers. Both start from zero, so that lengths and heights
//! can be compared. NULL, NaN and infinity have no bar and leave a gap in a line.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use unicode_width::UnicodeWidthChar as _;

use super::{bars, line};
use crate::text::visible::visible;

/// The most bars of a chart: each takes a line of the terminal.
const BARS_MAX: usize = 200;
/// Narrower charts are not readable.
const WIDTH_MIN: usize = 30;

/// The form of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChartForm {
    /// A line for dates, times and numbers; bars for other labels.
    Fitting,
    /// Horizontal bars, one for each row.
    Bar,
    /// A line over the rows, in their order.
    Line,
}

/// Why a result cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// Not two columns.
    #[error("a chart needs a result of two columns, a label and a number; this one has {found}")]
    Columns {
        /// How many there are.
        found: usize,
    },
    /// Neither column is a number.
    #[error("a chart needs a number in one of its two columns; {first} and {second} have none")]
    NoNumber {
        /// Name of the first column.
        first: String,
        /// Name of the second column.
        second: String,
    },
    /// No row has a number.
    #[error("there is nothing to draw: the result has no row with a number")]
    Empty,
    /// More rows than a bar chart can have.
    #[error("a bar chart shows at most {limit} rows and the result has {rows}: group or LIMIT it, or use \\chart line")]
    TooManyBars {
        /// Rows of the result.
        rows: usize,
        /// Most bars.
        limit: usize,
    },
    /// A value cannot be read as a number.
    #[error("the values cannot be drawn")]
    Values(#[source] ArrowError),
}

/// Labels with their numbers, read from a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    label: String,
    value: String,
    is_continuous: bool,
    pub(super) points: Vec<Point>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    pub(super) label: String,
    /// The number as the result shows it, exact.
    pub(super) text: String,
    /// The number as it is drawn.
    pub(super) value: Option<f64>,
}

impl Points {
    /// Reads a result: the number is the second column, or the first if only that one is a number.
    ///
    /// # Errors
    /// [`ChartError`] when the result is not a label with a number.
    pub fn read(schema: &Schema, batches: &[RecordBatch]) -> Result<Self, ChartError> {
        let [first, second] = schema.fields().iter().as_slice() else {
            return Err(ChartError::Columns { found: schema.fields().len() });
        };
        let (label, value) = match (first.data_type().is_numeric(), second.data_type().is_numeric()) {
            (_, true) => (0, 1),
            (true, false) => (1, 0),
            (false, false) => {
                return Err(ChartError::NoNumber {
                    first: visible(first.name()).into_owned(),
                    second: visible(second.name()).into_owned(),
                });
            }
        };
        let mut points = Vec::new();
        for batch in batches {
            read_batch(batch, label, value, &mut points).map_err(ChartError::Values)?;
        }
        if points.iter().all(|point| point.value.is_none()) {
            return Err(ChartError::Empty);
        }
        let label = schema.field(label);
        Ok(Self {
            label: visible(label.name()).into_owned(),
            value: visible(schema.field(value).name()).into_owned(),
            is_continuous: is_continuous(label.data_type()),
            points,
        })
    }

    /// Draws the points in at most `width` columns; the text ends with a newline.
    ///
    /// # Errors
    /// [`ChartError::TooManyBars`].
    pub fn draw(&self, form: ChartForm, width: usize) -> Result<String, ChartError> {
        let width = width.max(WIDTH_MIN);
        let as_line = match form {
            ChartForm::Fitting => self.is_continuous && self.points.len() > 2,
            ChartForm::Bar => false,
            ChartForm::Line => true,
        };
        if !as_line && self.points.len() > BARS_MAX {
            return Err(ChartError::TooManyBars { rows: self.points.len(), limit: BARS_MAX });
        }
        let title = shortened(&format!("{} by {}", self.value, self.label), width);
        let picture = if as_line { line::draw(self, width) } else { bars::draw(self, width) };
        Ok(format!("{title}\n{picture}"))
    }

    /// The smallest and largest number, and zero.
    pub(super) fn range(&self) -> (f64, f64) {
        self.points
            .iter()
            .filter_map(|point| point.value)
            .fold((0.0, 0.0), |(low, high), value| (f64::min(low, value), f64::max(high, value)))
    }
}

fn is_continuous(data_type: &DataType) -> bool {
    data_type.is_numeric() || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..))
}

fn read_batch(batch: &RecordBatch, label: usize, value: usize, points: &mut Vec<Point>) -> Result<(), ArrowError> {
    let options = FormatOptions::default().with_display_error(true).with_null("NULL");
    let (labels, values) = (batch.column(label), batch.column(value));
    let numbers = cast(values, &DataType::Float64)?;
    let numbers = numbers.as_primitive::<Float64Type>();
    let labels = ArrayFormatter::try_new(labels.as_ref(), &options)?;
    let values = ArrayFormatter::try_new(values.as_ref(), &options)?;
    for row in 0..batch.num_rows() {
        let number = (!numbers.is_null(row)).then(|| numbers.value(row)).filter(|number| number.is_finite());
        points.push(Point {
            label: visible(&labels.value(row).to_string()).into_owned(),
            text: values.value(row).to_string(),
            value: number,
        });
    }
    Ok(())
}

/// Columns that a text takes in a terminal.
pub(super) fn width_of(text: &str) -> usize {
    text.chars().map(|character| character.width().unwrap_or(0)).sum()
}

/// The text, cut to `width` columns with `…` at its end.
pub(super) fn shortened(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut short = String::new();
    let mut taken = 1;
    for character in text.chars() {
        taken += character.width().unwrap_or(0);
        if taken > width {
            break;
        }
        short.push(character);
    }
    short.push('…');
    short
}

/// The text with spaces behind it, `width` columns wide.
pub(super) fn padded(text: &str, width: usize) -> String {
    format!("{text}{}", " ".repeat(width.saturating_sub(width_of(text))))
}

/// The text with spaces before it, `width` columns wide.
pub(super) fn right_aligned(text: &str, width: usize) -> String {
    format!("{}{text}", " ".repeat(width.saturating_sub(width_of(text))))
}

/// A share (0 to 1) of a number of steps, rounded.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "for the eye")]
pub(super) fn steps(share: f64, of: usize) -> usize {
    let rounded = (share.clamp(0.0, 1.0) * of as f64).round();
    (rounded as usize).min(of)
}

#[cfg(test)]
pub(super) mod tests;

//! The size of a function's result: an upper bound in bytes for each row, computed before the call.

use datafusion::arrow::array::{Array, ArrayRef, AsArray as _, Float64Array, OffsetSizeTrait};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type, IntervalMonthDayNanoType, TimeUnit};
use datafusion::error::DataFusionError;

/// An entry of a list of numbers, dates or times.
const ENTRY_BYTES: f64 = 8.0;
/// A character of UTF-8 at its longest.
const CHARACTER_BYTES: f64 = 4.0;
/// The characters of a number as text, per byte of the number.
const NUMBER_CHARACTERS: f64 = 4.0;
/// The most bytes from one byte of a pattern for dates and times; `%c` is a whole date.
const DIRECTIVE_BYTES: f64 = 16.0;
const DAY_NANOSECONDS: f64 = 86_400e9;
/// The shortest month, because a short step makes a long series.
const MONTH_DAYS: f64 = 28.0;
/// The most steps of a comparison of all characters with all others: about a second.
const COMPARISONS_MAX: f64 = 1e9;

/// The ways in which functions grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// The first argument, N times.
    Times,
    /// A list of the first argument, N times.
    Entries,
    /// N characters.
    Padded,
    /// N entries.
    Resized,
    /// From, to, by.
    Series,
    /// Text, the part to replace, and its replacement.
    Replaced,
    /// As [`Growth::Replaced`], but the replaced part can be empty.
    Rewritten,
    /// List, separator.
    Joined,
    /// All arguments, one behind the other.
    Together,
    /// A value by a pattern, the second argument.
    Formatted,
    /// No growth, but work: every character with every other.
    Compared,
}

impl Growth {
    /// The bytes of each row's result. An argument of one row is the same for all rows.
    pub(super) fn bytes(
        self,
        arguments: &[ArrayRef],
        rows: usize,
    ) -> Result<impl Iterator<Item = f64> + use<>, DataFusionError> {
        let size = |at: usize| arguments.get(at).map_or_else(|| vec![0.0; rows], |array| spread(sizes(array), rows));
        let number = |at: usize| match arguments.get(at) {
            Some(array) => Ok::<_, DataFusionError>(spread(numbers(array)?, rows)),
            None => Ok(vec![0.0; rows]),
        };
        let pairs = |left: Vec<f64>, right: Vec<f64>, both: fn(f64, f64) -> f64| -> Vec<f64> {
            left.into_iter().zip(right).map(|(left, right)| both(left, right)).collect()
        };
        let bytes = match self {
            Self::Times => pairs(size(0), number(1)?, |size, times| size * times.max(0.0)),
            // An empty entry takes room too.
            Self::Entries => pairs(size(0), number(1)?, |size, times| (size + 1.0) * times.max(0.0)),
            Self::Padded => pairs(size(0), number(1)?, |size, characters| size + characters.max(0.0) * CHARACTER_BYTES),
            Self::Resized => {
                let filled = pairs(number(1)?, size(2), |entries, entry| entries.max(0.0) * entry.max(ENTRY_BYTES));
                pairs(size(0), filled, |before, after| before + after)
            }
            Self::Series => series(arguments, rows)?,
            Self::Replaced => replaced(arguments, rows).unwrap_or_else(|| vec![0.0; rows]),
            Self::Rewritten => pairs(size(0), size(2), |text, by| (text + 1.0) * (by + 1.0)),
            Self::Joined => {
                // A list has at most as many entries as bytes, and an entry at most NUMBER_CHARACTERS digits.
                let between = pairs(size(1), size(2), |separator, null| separator + null + NUMBER_CHARACTERS);
                pairs(size(0), between, |list, between| list * between)
            }
            // The first argument may go between all the others.
            Self::Together => (0..arguments.len()).fold(vec![0.0; rows], |sum, at| {
                let more = pairs(sum, size(at), |sum, more| sum + more);
                pairs(more, size(0), |sum, between| sum + between)
            }),
            Self::Formatted => pairs(size(1), vec![DIRECTIVE_BYTES; rows], |pattern, most| pattern * most),
            Self::Compared => pairs(size(0), size(1), |left, right| left * right),
        };
        Ok(bytes.into_iter())
    }

    /// The limits of a value and of a batch.
    pub(super) fn limits(self, value: f64, batch: f64) -> (f64, f64) {
        match self {
            // Texts of tables may be long, and so may results from them.
            Self::Replaced | Self::Rewritten | Self::Joined | Self::Together => (batch, batch),
            Self::Series => (value * ENTRY_BYTES, batch.max(value * ENTRY_BYTES)),
            Self::Compared => (COMPARISONS_MAX, COMPARISONS_MAX),
            _ => (value, batch),
        }
    }

    /// What to write instead.
    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Series => "; as a table, FROM generate_series(…), it can be as long as you like",
            Self::Compared => " (bytes of the one times bytes of the other)",
            _ => "",
        }
    }
}

/// Repeats a single value for all rows.
fn spread(values: Vec<f64>, rows: usize) -> Vec<f64> {
    match values.as_slice() {
        [value] => vec![*value; rows],
        _ => values,
    }
}

/// Bytes of each value.
fn sizes(array: &ArrayRef) -> Vec<f64> {
    match array.data_type() {
        DataType::Utf8 => offsets(array.as_string::<i32>().value_offsets()),
        DataType::LargeUtf8 => offsets(array.as_string::<i64>().value_offsets()),
        DataType::Utf8View => {
            array.as_string_view().iter().map(|text| text.map_or(0.0, |text| float(text.len()))).collect()
        }
        _ => (0..array.len()).map(|row| size_of_slice(&array.slice(row, 1))).collect(),
    }
}

fn offsets<O: OffsetSizeTrait>(offsets: &[O]) -> Vec<f64> {
    offsets
        .windows(2)
        .map(|pair| match pair {
            [begin, end] => float((*end - *begin).as_usize()),
            _ => 0.0,
        })
        .collect()
}

fn size_of_slice(array: &ArrayRef) -> f64 {
    float(array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()))
}

#[expect(clippy::cast_precision_loss, reason = "bounds need no more precision")]
fn float(bytes: usize) -> f64 {
    bytes as f64
}

/// The values as numbers; NULL and anything else is zero.
fn numbers(array: &ArrayRef) -> Result<Vec<f64>, DataFusionError> {
    let numbers = match array.data_type() {
        DataType::Date32 => cast(&cast(array, &DataType::Int32)?, &DataType::Float64)?,
        DataType::Timestamp(..) => cast(&cast(array, &DataType::Int64)?, &DataType::Float64)?,
        _ => cast(array, &DataType::Float64)?,
    };
    let numbers: &Float64Array = numbers.as_primitive::<Float64Type>();
    Ok(numbers.iter().map(|number| number.unwrap_or(0.0)).collect())
}

/// Entries of each series. Numbers begin at 0 and go by 1 by default.
fn series(arguments: &[ArrayRef], rows: usize) -> Result<Vec<f64>, DataFusionError> {
    let (from, to) = match arguments {
        [to] => (vec![0.0], numbers(to)?),
        [from, to, ..] => (numbers(from)?, numbers(to)?),
        [] => return Ok(Vec::new()),
    };
    let unit = arguments.first().map_or(1.0, |from| unit_nanoseconds(from.data_type()));
    let by = match arguments.get(2) {
        None => vec![1.0],
        Some(by) => match by.data_type() {
            DataType::Interval(_) => nanoseconds(by).into_iter().map(|step| step / unit).collect(),
            _ => numbers(by)?,
        },
    };
    let entries = |((from, to), by): ((f64, f64), f64)| {
        let by = if by == 0.0 { 1.0 } else { by.abs() };
        ENTRY_BYTES * ((to - from).abs() / by + 1.0)
    };
    Ok(spread(from, rows).into_iter().zip(spread(to, rows)).zip(spread(by, rows)).map(entries).collect())
}

fn unit_nanoseconds(data_type: &DataType) -> f64 {
    match data_type {
        DataType::Date32 => DAY_NANOSECONDS,
        DataType::Timestamp(TimeUnit::Second, _) => 1e9,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1e6,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1e3,
        _ => 1.0,
    }
}

#[expect(clippy::cast_precision_loss, reason = "bounds need no more precision")]
fn nanoseconds(steps: &ArrayRef) -> Vec<f64> {
    let Some(steps) = steps.as_primitive_opt::<IntervalMonthDayNanoType>() else { return vec![1.0; steps.len()] };
    let step = |step: Option<datafusion::arrow::datatypes::IntervalMonthDayNano>| {
        step.map_or(0.0, |step| {
            let days = f64::from(step.months) * MONTH_DAYS + f64::from(step.days);
            days * DAY_NANOSECONDS + step.nanoseconds as f64
        })
    };
    steps.iter().map(step).collect()
}

/// The count is exact, because long texts with few matches are usual.
fn replaced(arguments: &[ArrayRef], rows: usize) -> Option<Vec<f64>> {
    let [text, from, by] = arguments else { return None };
    let texts = [text, from, by].map(|array| cast(array, &DataType::LargeUtf8).ok());
    let [Some(text), Some(from), Some(by)] = texts else { return None };
    let value = |array: &ArrayRef, row: usize| {
        let (array, row) = (array.as_string::<i64>(), if array.len() == 1 { 0 } else { row });
        (!array.is_null(row)).then(|| array.value(row).to_owned())
    };
    let bytes = |row: usize| {
        let (Some(text), Some(from), Some(by)) = (value(&text, row), value(&from, row), value(&by, row)) else {
            return 0.0;
        };
        float(text.len()) + float(text.matches(&from).count()) * float(by.len())
    };
    Some((0..rows).map(bytes).collect())
}

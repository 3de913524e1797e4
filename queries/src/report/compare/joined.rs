//! The rows of a report side by side with those of the days before.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, Date32Array, Decimal128Array, Float64Array, Int64Array, new_null_array,
};
use arrow::compute::{cast, concat_batches, interleave};
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use chrono::NaiveDate;

use crate::header::column::{ReportColumn, Unit};
use crate::header::figure::{FigureKind, ReportFigure};
use crate::header::period_length::Shift;
use crate::text::cells::{Cell, Cells};
use crate::text::figures::rescaled;

/// Decimals of a share.
const SHARE_SCALE: i8 = 4;

/// The rows of a report, and how they are compared.
pub(crate) struct Sides<'a> {
    pub(crate) columns: &'a [ReportColumn],
    pub(crate) compared: &'a [ReportFigure],
    pub(crate) schema: &'a SchemaRef,
    pub(crate) now: &'a [RecordBatch],
    pub(crate) before: &'a [RecordBatch],
    /// The column with the first day of a row's period, if each row has one.
    pub(crate) period: Option<usize>,
    pub(crate) shift: Shift,
    /// The first day of the days before.
    pub(crate) first_day: NaiveDate,
    /// The first day of the lake: what was before it is not known.
    pub(crate) lake_first_day: NaiveDate,
    /// The last day of the lake: what comes after it is not known either.
    pub(crate) lake_last_day: NaiveDate,
}

/// The rows with the columns that comparing adds behind the others.
pub(crate) struct Joined {
    pub(crate) schema: SchemaRef,
    pub(crate) columns: Vec<ReportColumn>,
    pub(crate) batch: RecordBatch,
}

/// Why rows cannot be compared.
#[derive(Debug)]
pub(crate) enum Fault {
    /// Two rows differ in no column by which rows are told apart.
    Alike,
    Arrow(ArrowError),
}

impl From<ArrowError> for Fault {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

/// Where a row of the result comes from.
#[derive(Clone, Copy, Debug)]
struct Source {
    now: Option<usize>,
    before: Option<usize>,
    /// The lake has the days before of this row.
    is_known: bool,
}

/// Puts each row beside the row of the days before that has the same names. A row that has no counterpart counts as none
/// there: its sums are 0.
///
/// # Errors
/// [`Fault::Alike`] when rows cannot be told apart.
pub(crate) fn join(sides: &Sides<'_>) -> Result<Joined, Fault> {
    let now = concat_batches(sides.schema, sides.now)?;
    let before = concat_batches(sides.schema, sides.before)?;
    let later = sides.period.map(|at| moved(before.column(at), |day| sides.shift.later(day))).transpose()?;
    let sources = sources(sides, &now, &before)?;
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for (at, (column, field)) in sides.columns.iter().zip(sides.schema.fields()).enumerate() {
        let of_before = later.as_ref().filter(|_| sides.period == Some(at)).unwrap_or_else(|| before.column(at));
        let is_name = is_name(sides, column);
        let figure = sides.compared.iter().find(|figure| figure.column == column.name);
        let adds_up = figure.is_some_and(|figure| figure.kind == FigureKind::Sum);
        arrays.push(pick(&sources, now.column(at), of_before, |source| match source {
            Source { now: Some(row), .. } => Pick::First(row),
            Source { before: Some(row), .. } if is_name => Pick::Second(row),
            _ if adds_up => Pick::Zero,
            _ => Pick::Null,
        })?);
        fields.push(field.as_ref().clone().with_nullable(true));
    }
    let mut columns = sides.columns.to_vec();
    for figure in sides.compared {
        let Some(at) = sides.columns.iter().position(|column| column.name == figure.column) else { continue };
        let (Some(column), Some(value)) = (sides.columns.get(at), arrays.get(at).cloned()) else { continue };
        let was = pick(&sources, before.column(at), before.column(at), |source| match source {
            Source { is_known: false, .. } => Pick::Null,
            Source { before: Some(row), .. } => Pick::First(row),
            _ if figure.kind == FigureKind::Sum => Pick::Zero,
            _ => Pick::Null,
        })?;
        let (change, share) = change(&value, &was)?;
        let adds = [
            ("before", column.unit, was, "What it was in the days before; empty where the lake has not all of them."),
            ("change", column.unit, change, "The difference to the days before."),
            ("change_share", Unit::Share, share, "The difference as a part of what it was."),
        ];
        let is_part = matches!(column.unit, Unit::Count | Unit::Points | Unit::Cents);
        for (word, unit, array, meaning) in adds.into_iter().filter(|(word, ..)| *word != "change_share" || is_part) {
            let name = added_name(column, word);
            fields.push(Field::new(&name, array.data_type().clone(), true));
            columns.push(ReportColumn { name, unit, description: format!("{}: {meaning}", column.name) });
            arrays.push(array);
        }
    }
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(schema.clone(), arrays)?;
    Ok(Joined { schema, columns, batch })
}

/// `amount_cents` becomes `amount_before_cents`, whose unit its name still ends with.
fn added_name(column: &ReportColumn, word: &str) -> String {
    match column.name.strip_suffix("_cents") {
        Some(stem) if column.unit == Unit::Cents && word != "change_share" => format!("{stem}_{word}_cents"),
        _ => format!("{}_{word}", column.name),
    }
}

/// Whether a column says what a row is about, rather than how much it is.
fn is_name(sides: &Sides<'_>, column: &ReportColumn) -> bool {
    matches!(column.unit, Unit::Date | Unit::Timestamp | Unit::Text | Unit::Number)
        && !sides.compared.iter().any(|figure| figure.column == column.name)
}

fn sources(sides: &Sides<'_>, now: &RecordBatch, before: &RecordBatch) -> Result<Vec<Source>, Fault> {
    let names: Vec<usize> =
        sides.columns.iter().enumerate().filter(|(_, column)| is_name(sides, column)).map(|(at, _)| at).collect();
    let types = names.iter().map(|at| SortField::new(now.column(*at).data_type().clone())).collect();
    let converter = RowConverter::new(types)?;
    let keys = |batch: &RecordBatch, period: Option<ArrayRef>| -> Result<Vec<OwnedRow>, ArrowError> {
        let column = |at: &usize| match &period {
            Some(period) if sides.period == Some(*at) => period.clone(),
            _ => batch.column(*at).clone(),
        };
        let rows = converter.convert_columns(&names.iter().map(column).collect::<Vec<_>>())?;
        Ok(rows.iter().map(|row| row.owned()).collect())
    };
    let mut known: HashMap<OwnedRow, usize> = HashMap::new();
    for (row, key) in keys(before, None)?.into_iter().enumerate() {
        if known.insert(key, row).is_some() {
            return Err(Fault::Alike);
        }
    }
    let mut own = HashSet::new();
    if !keys(now, None)?.into_iter().all(|key| own.insert(key)) {
        return Err(Fault::Alike);
    }
    let earlier = sides.period.map(|at| moved(now.column(at), |day| sides.shift.earlier(day))).transpose()?;
    let mut used = vec![false; before.num_rows()];
    let mut sources = Vec::new();
    for (row, key) in keys(now, earlier.clone())?.into_iter().enumerate() {
        let found = known.get(&key).copied();
        if let Some(used) = found.and_then(|found| used.get_mut(found)) {
            *used = true;
        }
        let day = earlier.as_ref().and_then(|days| day_of(days, row));
        sources.push(Source { now: Some(row), before: found, is_known: is_known(sides, day) });
    }
    let others = used.iter().enumerate().filter(|(_, used)| !**used).map(|(row, _)| row);
    for row in others {
        let day = sides.period.and_then(|at| day_of(before.column(at), row));
        let is_over = day.and_then(|day| sides.shift.later(day)).is_some_and(|period| period > sides.lake_last_day);
        if is_known(sides, day) && !is_over {
            sources.push(Source { now: None, before: Some(row), is_known: true });
        }
    }
    Ok(in_order(sides, now, before, sources))
}

/// Whether the lake has the days before that begin with this one, or with the first of all.
fn is_known(sides: &Sides<'_>, period: Option<NaiveDate>) -> bool {
    period.map_or(sides.first_day, |period| period.max(sides.first_day)) >= sides.lake_first_day
}

/// Rows that only the days before have come behind the others of their period.
fn in_order(sides: &Sides<'_>, now: &RecordBatch, before: &RecordBatch, mut sources: Vec<Source>) -> Vec<Source> {
    let Some(at) = sides.period else { return sources };
    let period = |source: &Source| match (source.now, source.before) {
        (Some(row), _) => day_of(now.column(at), row),
        (None, Some(row)) => day_of(before.column(at), row).and_then(|day| sides.shift.later(day)),
        (None, None) => None,
    };
    let is_ordered = sources.iter().filter(|source| source.now.is_some()).is_sorted_by_key(period);
    if is_ordered {
        sources.sort_by_key(period);
    }
    sources
}

fn day_of(days: &ArrayRef, row: usize) -> Option<NaiveDate> {
    let days = days.as_primitive_opt::<Date32Type>()?;
    let days = (row < days.len() && !days.is_null(row)).then(|| days.value(row))?;
    Date32Type::to_naive_date_opt(days)
}

fn moved(days: &ArrayRef, to: impl Fn(NaiveDate) -> Option<NaiveDate>) -> Result<ArrayRef, ArrowError> {
    let moved = (0..days.len()).map(|row| Some(Date32Type::from_naive_date(to(day_of(days, row)?)?)));
    let moved: Date32Array = moved.collect();
    cast(&(Arc::new(moved) as ArrayRef), days.data_type())
}

enum Pick {
    First(usize),
    Second(usize),
    Zero,
    Null,
}

fn pick(
    sources: &[Source],
    first: &ArrayRef,
    second: &ArrayRef,
    choose: impl Fn(Source) -> Pick,
) -> Result<ArrayRef, ArrowError> {
    let kind = first.data_type();
    let zero = match kind {
        kind if kind.is_numeric() => cast(&(Arc::new(Int64Array::from(vec![0])) as ArrayRef), kind)?,
        kind => new_null_array(kind, 1),
    };
    let null = new_null_array(kind, 1);
    let places: Vec<(usize, usize)> = sources
        .iter()
        .map(|source| match choose(*source) {
            Pick::First(row) => (0, row),
            Pick::Second(row) => (1, row),
            Pick::Zero => (2, 0),
            Pick::Null => (3, 0),
        })
        .collect();
    if places.is_empty() {
        return Ok(first.slice(0, 0));
    }
    interleave(&[first.as_ref(), second.as_ref(), zero.as_ref(), null.as_ref()], &places)
}

/// The differences, and each as a part of what was. A difference that has too many digits is left out.
fn change(now: &ArrayRef, was: &ArrayRef) -> Result<(ArrayRef, ArrayRef), ArrowError> {
    let batch = RecordBatch::try_from_iter_with_nullable([("now", now.clone(), true), ("was", was.clone(), true)])?;
    let cells = Cells::new(&batch)?;
    let (mut exact, mut floats, mut shares) = (Vec::new(), Vec::new(), Vec::new());
    let mut scale = 0;
    for row in 0..cells.rows() {
        let (mut difference, mut float, mut share) = (None, None, None);
        match (cells.cell(row, 0), cells.cell(row, 1)) {
            (Cell::Number { unscaled: now, scale: of }, Cell::Number { unscaled: was, .. }) => {
                scale = of;
                difference = now.checked_sub(was).filter(|change| change.unsigned_abs() < 10_u128.pow(38));
                share = difference.and_then(|change| part(change, was));
            }
            (Cell::Float(now), Cell::Float(was)) => float = Some(now - was),
            _ => {}
        }
        exact.push(difference);
        floats.push(float);
        shares.push(share);
    }
    let shares = Decimal128Array::from(shares).with_precision_and_scale(38, SHARE_SCALE)?;
    let change: ArrayRef = match now.data_type() {
        kind if kind.is_floating() => Arc::new(Float64Array::from(floats)),
        kind if kind.is_integer() => {
            let narrow = exact.into_iter().map(|change| change.and_then(|change| i64::try_from(change).ok()));
            Arc::new(narrow.collect::<Int64Array>())
        }
        DataType::Decimal32(_, of) | DataType::Decimal64(_, of) | DataType::Decimal128(_, of) => {
            Arc::new(Decimal128Array::from(exact).with_precision_and_scale(38, (*of).max(0))?)
        }
        _ => Arc::new(Decimal128Array::from(exact).with_precision_and_scale(38, i8::try_from(scale).unwrap_or(0))?),
    };
    Ok((change, Arc::new(shares)))
}

/// A difference as a part of what was, with four decimals; `None` where nothing was.
fn part(change: i128, was: i128) -> Option<i128> {
    if was == 0 {
        return None;
    }
    let scale = u32::from(SHARE_SCALE.unsigned_abs());
    // One digit more, which is rounded away.
    let tenfold = change.checked_mul(10_i128.pow(scale + 1))?.checked_div(was.checked_abs()?)?;
    rescaled(tenfold, scale + 1, scale)
}

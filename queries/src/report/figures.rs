//! The figures of a result: sums over all of its rows, and the state in its last row. Exact, or left out.

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use serde::Serialize;

use crate::header::column::{ReportColumn, Unit};
use crate::header::figure::{FigureKind, ReportFigure};
use crate::text::cells::{Cell, Cells};

/// A number of a result.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// The column that it is of.
    pub column: String,
    /// What it counts or measures.
    pub unit: Unit,
    /// How it comes from the rows.
    pub kind: FigureKind,
    /// The number as text, without separators; `None` where no row has one, or the sum has more than 38 digits.
    pub value: Option<String>,
    /// The same of the days before, when they are compared and known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    #[serde(skip)]
    pub(crate) exact: Cell,
    #[serde(skip)]
    pub(crate) exact_before: Cell,
}

impl Figure {
    /// The figure with what it was in the days before.
    pub(crate) fn with_before(mut self, before: Cell) -> Self {
        self.before = plain(&before);
        self.exact_before = before;
        self
    }
}

/// The figures of the rows, in the order of the header.
///
/// # Errors
/// When a value cannot be read.
pub(crate) fn figures(
    declared: &[ReportFigure],
    columns: &[ReportColumn],
    batches: &[RecordBatch],
) -> Result<Vec<Figure>, ArrowError> {
    let places: Vec<Option<usize>> =
        declared.iter().map(|figure| columns.iter().position(|column| column.name == figure.column)).collect();
    let mut held: Vec<Held> = declared.iter().map(|_| Held::Nothing).collect();
    for batch in batches {
        let cells = Cells::new(batch)?;
        for row in 0..cells.rows() {
            for ((figure, place), held) in declared.iter().zip(&places).zip(&mut held) {
                let cell = place.map_or(Cell::Empty, |place| cells.cell(row, place));
                held.take(figure.kind, cell);
            }
        }
    }
    let figures = declared.iter().zip(places).zip(held).filter_map(|((figure, place), held)| {
        let unit = columns.get(place?)?.unit;
        let exact = held.into_cell();
        Some(Figure {
            column: figure.column.clone(),
            unit,
            kind: figure.kind,
            value: plain(&exact),
            before: None,
            exact,
            exact_before: Cell::Empty,
        })
    });
    Ok(figures.collect())
}

/// What is known of a figure so far.
enum Held {
    Nothing,
    Value(Cell),
    /// It cannot be told exactly.
    Lost,
}

impl Held {
    fn take(&mut self, kind: FigureKind, cell: Cell) {
        *self = match (std::mem::replace(self, Self::Lost), kind, cell) {
            (_, FigureKind::Last, cell) => Self::Value(cell),
            (held, FigureKind::Sum, Cell::Empty) => held,
            (Self::Nothing, FigureKind::Sum, cell @ Cell::Number { .. }) => Self::Value(cell),
            (
                Self::Value(Cell::Number { unscaled, scale }),
                FigureKind::Sum,
                Cell::Number { unscaled: more, scale: same },
            ) if scale == same => unscaled
                .checked_add(more)
                .filter(|sum| sum.unsigned_abs() < 10_u128.pow(38))
                .map_or(Self::Lost, |unscaled| Self::Value(Cell::Number { unscaled, scale })),
            _ => Self::Lost,
        };
    }

    fn into_cell(self) -> Cell {
        match self {
            Self::Value(cell) => cell,
            Self::Nothing | Self::Lost => Cell::Empty,
        }
    }
}

/// A number for programs: its digits, with a point where it has decimals.
pub(crate) fn plain(cell: &Cell) -> Option<String> {
    match cell {
        Cell::Number { unscaled, scale: 0 } => Some(unscaled.to_string()),
        Cell::Number { unscaled, scale } => {
            let digits = usize::try_from(*scale).unwrap_or_default();
            let text = format!("{:0>width$}", unscaled.unsigned_abs(), width = digits + 1);
            let (whole, decimals) = text.split_at(text.len() - digits);
            Some(format!("{}{whole}.{decimals}", if *unscaled < 0 { "-" } else { "" }))
        }
        Cell::Float(value) if value.is_finite() => Some(value.to_string()),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Decimal128Array, Int64Array};

    use super::*;

    fn column(name: &str, unit: Unit) -> ReportColumn {
        ReportColumn { name: name.to_owned(), unit, description: String::new() }
    }

    fn figure(column: &str, kind: FigureKind) -> ReportFigure {
        ReportFigure { column: column.to_owned(), kind }
    }

    fn batch(points: &[Option<i128>], shares: &[Option<i64>]) -> RecordBatch {
        let points = Decimal128Array::from(points.to_vec()).with_precision_and_scale(38, 2).unwrap();
        let shares = Int64Array::from(shares.to_vec());
        RecordBatch::try_from_iter_with_nullable([
            ("points", Arc::new(points) as ArrayRef, true),
            ("share", Arc::new(shares) as ArrayRef, true),
        ])
        .unwrap()
    }

    #[test]
    fn sums_are_exact_and_the_last_row_is_the_state() {
        let columns = [column("points", Unit::Points), column("share", Unit::Share)];
        let declared = [figure("points", FigureKind::Sum), figure("share", FigureKind::Last)];
        let values = |batches: &[RecordBatch]| -> Vec<Option<String>> {
            figures(&declared, &columns, batches).unwrap().into_iter().map(|one| one.value).collect()
        };
        let text = |text: &str| Some(text.to_owned());
        let batches =
            [batch(&[Some(150), None], &[Some(1), Some(2)]), batch(&[], &[]), batch(&[Some(-275)], &[Some(3)])];
        assert_eq!(values(&batches), [text("-1.25"), text("3")]);
        assert_eq!(values(&batches[..2]), [text("1.50"), text("2")]);
        assert_eq!(values(&[batch(&[None], &[None])]), [None, None]);
        assert_eq!(values(&[]), [None, None]);
        let most = 10_i128.pow(38) - 1;
        assert_eq!(values(&[batch(&[Some(most), Some(1)], &[None, None])])[0], None, "more digits than are kept");
        assert_eq!(values(&[batch(&[Some(most), Some(-1)], &[None, None])])[0], text(&format!("{}.98", most / 100)));
    }
}

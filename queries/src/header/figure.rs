//! The figures of a report: the few numbers that stand above its rows.

use std::fmt;

use serde::Serialize;

use crate::header::column::{ReportColumn, Unit};
use crate::header::words::words;

/// A number above the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReportFigure {
    /// The column.
    pub column: String,
    /// How one number comes from its rows.
    pub kind: FigureKind,
}

/// How one number comes from the rows of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FigureKind {
    /// All rows added up: they stand for parts of a whole.
    Sum,
    /// The last row: the state at the end.
    Last,
}

words!(FigureKind, "sum" = Sum, "last" = Last);

/// Reads `points sum, liability last`.
pub(crate) fn read_figures(value: &str, columns: &[ReportColumn]) -> Result<Vec<ReportFigure>, String> {
    let mut figures = Vec::<ReportFigure>::new();
    for part in value.split(',').map(str::trim) {
        let (name, kind) =
            part.split_once(' ').ok_or_else(|| format!("expected `column sum` or `column last`, not {part:?}"))?;
        let column = columns.iter().find(|column| column.name == name);
        let column =
            column.ok_or_else(|| format!("the figure is of the column {name:?}, which the header does not have"))?;
        let kind = FigureKind::parse(kind.trim())?;
        let (adds_up, is_number) = match column.unit {
            Unit::Count | Unit::Points | Unit::Cents => (true, true),
            Unit::Share | Unit::Days | Unit::Hours | Unit::Number => (false, true),
            Unit::Date | Unit::Timestamp | Unit::Text | Unit::List => (false, false),
        };
        if !is_number || (kind == FigureKind::Sum && !adds_up) {
            return Err(format!("{name} is of the unit {}, which has no {kind}", column.unit));
        }
        if figures.iter().any(|known| known.column == name) {
            return Err(format!("{name} stands there twice"));
        }
        figures.push(ReportFigure { column: name.to_owned(), kind });
    }
    Ok(figures)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_of_a_column_that_has_it() {
        let column = |name: &str, unit| ReportColumn { name: name.to_owned(), unit, description: String::new() };
        let columns = [column("period", Unit::Date), column("points", Unit::Points), column("share", Unit::Share)];
        let figures = read_figures("points sum, share last", &columns).unwrap();
        assert_eq!(figures.iter().map(|one| one.kind).collect::<Vec<_>>(), [FigureKind::Sum, FigureKind::Last]);
        for (text, expected) in [
            ("points", "expected `column sum`"),
            ("gifts sum", "which the header does not have"),
            ("share sum", "share is of the unit share, which has no sum"),
            ("period last", "period is of the unit date, which has no last"),
            ("points most", "\"most\" is not known here; use one of sum, last"),
            ("points sum, points last", "points stands there twice"),
        ] {
            let fault = read_figures(text, &columns).unwrap_err();
            assert!(fault.contains(expected), "{text}: {fault}");
        }
    }
}

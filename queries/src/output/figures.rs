//! The figures of a report for readers: the numbers above its rows, and the totals below them.

use crate::header::figure::FigureKind;
use crate::output::document::{DocumentColumn, Style};
use crate::report::figures::Figure;
use crate::text::cells::Cell;

/// A number above the rows.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct DocumentFigure {
    /// What it is.
    pub(crate) label: String,
    /// The number, with its unit.
    pub(crate) value: String,
    /// What it was in the days before, and the difference: `was 1,200, +180, +15.0%`.
    pub(crate) before: Option<String>,
}

/// The numbers above the rows. A number that is not known is left out.
pub(crate) fn above(figures: &[Figure], columns: &[DocumentColumn]) -> Vec<DocumentFigure> {
    let shown = figures.iter().filter_map(|figure| {
        let column = columns.iter().find(|column| column.name == figure.column)?;
        if figure.exact == Cell::Empty {
            return None;
        }
        let label = match figure.kind {
            FigureKind::Sum => column.label.clone(),
            FigureKind::Last => format!("{}, at the end", column.label),
        };
        Some(DocumentFigure { label, value: column.style.text(&figure.exact), before: before(figure, column) })
    });
    shown.collect()
}

fn before(figure: &Figure, column: &DocumentColumn) -> Option<String> {
    if figure.exact_before == Cell::Empty {
        return None;
    }
    let was = format!("was {}", column.style.text(&figure.exact_before));
    let difference = difference(figure).map(|difference| signed(column.style.text(&difference), &difference));
    let share = figure.exact.as_f64().zip(figure.exact_before.as_f64()).and_then(|(now, was)| {
        let is_part = column.style == Style::Percent;
        (was != 0.0 && !is_part).then(|| format!("{:+.1}%", (now - was) / was.abs() * 100.0))
    });
    let parts = [Some(was), difference, share];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn signed(text: String, value: &Cell) -> String {
    if value.as_f64().is_some_and(|value| value > 0.0) { format!("+{text}") } else { text }
}

fn difference(figure: &Figure) -> Option<Cell> {
    match (&figure.exact, &figure.exact_before) {
        (Cell::Number { unscaled, scale }, Cell::Number { unscaled: was, scale: same }) if scale == same => {
            Some(Cell::Number { unscaled: unscaled.checked_sub(*was)?, scale: *scale })
        }
        (Cell::Float(now), Cell::Float(was)) => Some(Cell::Float(now - was)),
        _ => None,
    }
}

/// The total of each column that adds up; none where no column has one.
pub(crate) fn totals(figures: &[Figure], columns: &[DocumentColumn]) -> Option<Vec<Cell>> {
    let total = |column: &DocumentColumn| {
        let mut sums = figures.iter().filter(|figure| figure.kind == FigureKind::Sum);
        sums.find(|figure| figure.column == column.name).map_or(Cell::Empty, |figure| figure.exact.clone())
    };
    let totals: Vec<Cell> = columns.iter().map(total).collect();
    totals.iter().any(|cell| *cell != Cell::Empty).then_some(totals)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::header::column::Unit;

    fn column(name: &str, style: Style) -> DocumentColumn {
        DocumentColumn { name: name.to_owned(), label: name.to_owned(), meaning: None, style, is_additive: true }
    }

    fn figure(column: &str, kind: FigureKind, now: Cell, before: Cell) -> Figure {
        let figure = Figure {
            column: column.to_owned(),
            unit: Unit::Points,
            kind,
            value: None,
            before: None,
            exact: now,
            exact_before: Cell::Empty,
        };
        figure.with_before(before)
    }

    fn number(unscaled: i128) -> Cell {
        Cell::Number { unscaled, scale: 0 }
    }

    #[test]
    fn a_figure_says_what_it_was_and_how_it_changed() {
        let columns = [
            column("period", Style::Date),
            column("points", Style::Number(Some(0))),
            column("amount", Style::Dollars),
            column("share", Style::Percent),
        ];
        let cases = [
            (figure("points", FigureKind::Sum, number(1_380), number(1_200)), "points 1,380 was 1,200, +180, +15.0%"),
            (figure("points", FigureKind::Sum, number(0), number(1_200)), "points 0 was 1,200, -1,200, -100.0%"),
            (figure("points", FigureKind::Sum, number(5), number(0)), "points 5 was 0, +5"),
            (figure("points", FigureKind::Sum, number(5), Cell::Empty), "points 5"),
            (figure("amount", FigureKind::Sum, number(150), number(-50)), "amount $1.50 was -$0.50, +$2.00, +400.0%"),
            (
                figure(
                    "share",
                    FigureKind::Last,
                    Cell::Number { unscaled: 5, scale: 1 },
                    Cell::Number { unscaled: 4, scale: 1 },
                ),
                "share, at the end 50.0% was 40.0%, +10.0%",
            ),
        ];
        for (figure, expected) in cases {
            let shown = &above(std::slice::from_ref(&figure), &columns)[0];
            let before = shown.before.iter().map(|before| format!(" {before}")).collect::<String>();
            assert_eq!(format!("{} {}{before}", shown.label, shown.value), expected);
        }
        assert!(above(&[figure("points", FigureKind::Sum, Cell::Empty, number(1))], &columns).is_empty());
    }

    #[test]
    fn totals_stand_below_the_columns_that_add_up() {
        let columns = [column("period", Style::Date), column("points", Style::Number(Some(0)))];
        let sum = figure("points", FigureKind::Sum, number(7), Cell::Empty);
        assert_eq!(totals(&[sum], &columns).unwrap(), [Cell::Empty, number(7)]);
        assert_eq!(totals(&[figure("points", FigureKind::Last, number(7), Cell::Empty)], &columns), None);
        assert_eq!(totals(&[figure("points", FigureKind::Sum, Cell::Empty, Cell::Empty)], &columns), None);
    }
}

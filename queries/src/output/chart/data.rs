//! The data of a chart, computed from the rows of a report: positions along one axis, and a series of values for each
//! line, bar colour or row of a heat map.
//!
//! Rows that share a position and a series are added up if the unit allows it. Of rows that share a moment the last
//! counts, as the state after it. A place without a row stays empty: a gap is shown as a gap, not as zero.
//!
//! A cut result (the first ranks, a LIMIT) lacks rows, so its sums would be wrong: each row is then a bar of its own,
//! or there is no chart.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};

use crate::header::chart::ChartKind;
use crate::header::period_length::PeriodLength;
use crate::output::document::{Document, DocumentColumn, Style};
use crate::text::cells::{Cell, Cells};
use crate::text::visible::{shortened, visible};

/// The most series with a colour: the number of colours that everybody can tell apart.
const SERIES_MAX: usize = 7;
/// Rows of a heat map.
const HEATMAP_ROWS_MAX: usize = 60;
/// The most positions, so that a chart stays readable and small.
const POSITIONS_MAX: usize = 2_000;
/// The most bars with names.
const NAMED_BARS_MAX: usize = 30;
/// Characters of a name in a chart.
const NAME_LENGTH: usize = 40;
/// Characters of the title of an axis.
const LABEL_LENGTH: usize = 80;
/// The name of the sum of all series without a colour.
const OTHERS: &str = "all others";
/// Room in a name for a number that distinguishes it from another.
const NUMBER_LENGTH: usize = 7;

/// A chart's data.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChartData {
    /// Form of the picture.
    pub(crate) kind: ChartKind,
    /// Title of the horizontal axis.
    pub(crate) x_label: String,
    /// The label of the values, and their style.
    pub(crate) value_label: String,
    /// How values are written.
    pub(crate) value_style: Style,
    /// The label of the series.
    pub(crate) series_label: Option<String>,
    /// Positions along the horizontal axis.
    pub(crate) positions: Vec<Position>,
    /// The series, each with a value or a gap for every position.
    pub(crate) series: Vec<ChartSeries>,
    /// How many series are shown.
    pub(crate) shown: usize,
    /// The number of series that are not shown.
    pub(crate) left_out: usize,
    /// The number of positions after the last shown one.
    pub(crate) positions_left_out: usize,
    /// Periods that are cut, and how much of each counts.
    pub(crate) cut: Vec<(Position, String)>,
    /// A position that the report shows only in its table.
    pub(crate) without: Option<String>,
}

/// A place on the horizontal axis.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Position {
    /// A day, placed by time.
    Day(NaiveDate),
    /// A moment, placed by time.
    Moment(NaiveDateTime),
    /// A number, placed by size.
    Number(i128),
    /// A whole name: two names with the same beginning are different.
    Name(String),
}

/// One line, one colour of bars, or one row of a heat map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ChartSeries {
    /// Its name; empty when there is only one.
    pub(crate) name: String,
    /// A value for each position, in the unit that is shown.
    pub(crate) values: Vec<Option<f64>>,
}

impl Position {
    fn of(cell: &Cell, style: Style) -> Self {
        match cell {
            Cell::Date(day) => Self::Day(*day),
            Cell::Instant(moment) => Self::Moment(*moment),
            Cell::Number { unscaled, scale: 0 } => Self::Number(*unscaled),
            Cell::Empty => Self::Name("(none)".to_owned()),
            other => Self::Name(style.text(other)),
        }
    }

    /// The position in words.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Day(day) => day.to_string(),
            Self::Moment(moment) => Style::Instant.text(&Cell::Instant(*moment)),
            Self::Number(number) => number.to_string(),
            Self::Name(name) => shortened(&visible(name), NAME_LENGTH).into_owned(),
        }
    }
}

impl ChartData {
    /// Keeps the largest bars with names, in the order of the rows, because such bars are read one by one.
    fn with_largest_names(mut self) -> Self {
        let is_named = self.kind == ChartKind::Bar && matches!(self.positions.first(), Some(Position::Name(_)));
        if !is_named || self.positions.len() <= NAMED_BARS_MAX {
            return self;
        }
        let height = |at: usize| -> f64 {
            self.series.iter().filter_map(|series| series.values.get(at).copied().flatten()).map(f64::abs).sum()
        };
        let weights = (0..self.positions.len()).map(height).collect::<Vec<_>>();
        let kept = largest(&weights, NAMED_BARS_MAX);
        self.positions_left_out = self.positions.len() - kept.len();
        self.positions = picked(&self.positions, &kept);
        self.series.iter_mut().for_each(|series| series.values = picked(&series.values, &kept));
        self
    }

    /// Keeps the last moment of each day if there are very many.
    fn by_day(mut self) -> Self {
        if self.kind != ChartKind::Line || self.positions.len() <= POSITIONS_MAX {
            return self;
        }
        let Some(moments) = self.moments() else { return self };
        let days: Vec<NaiveDate> = moments.iter().map(NaiveDateTime::date).collect();
        let last_of_day = (0..days.len()).filter(|at| days.get(*at) != days.get(at + 1)).collect::<BTreeSet<_>>();
        for series in &mut self.series {
            // At a moment of another series this one keeps its previous value.
            let mut held = None;
            let mut day = None;
            for (value, this) in series.values.iter_mut().zip(&days) {
                if day != Some(*this) {
                    (held, day) = (None, Some(*this));
                }
                held = value.or(held);
                *value = held;
            }
            series.values = picked(&series.values, &last_of_day);
        }
        self.positions = picked(&days, &last_of_day).into_iter().map(Position::Day).collect();
        self
    }

    /// Its title: `Points by period and recipient kind`.
    pub(crate) fn title(&self) -> String {
        let series = self.series_label.as_deref().filter(|_| self.shown > 1 || self.kind == ChartKind::Heatmap);
        let and = series.map(|label| format!(" and {}", lower(label))).unwrap_or_default();
        format!("{} by {}{and}", self.value_label, lower(&self.x_label))
    }

    /// Its positions, when all of them are days.
    pub(crate) fn days(&self) -> Option<Vec<NaiveDate>> {
        let day = |position: &Position| match position {
            Position::Day(day) => Some(*day),
            _ => None,
        };
        self.positions.iter().map(day).collect()
    }

    /// With a single position the axis shows no change, so bars compare the series.
    fn compared(self) -> Self {
        let [position] = self.positions.as_slice() else { return self };
        if self.kind == ChartKind::Heatmap {
            return self;
        }
        let label = self.series_label.as_ref().unwrap_or(&self.x_label);
        let value = |series: &ChartSeries| series.values.first().copied().flatten();
        Self {
            kind: ChartKind::Bar,
            x_label: format!("{label} ({})", position.text()),
            series_label: None,
            positions: self.series.iter().map(|series| Position::Name(series.name.clone())).collect(),
            series: vec![ChartSeries { name: String::new(), values: self.series.iter().map(value).collect() }],
            ..self
        }
    }

    /// Its positions in time, when all of them are days or moments.
    pub(crate) fn moments(&self) -> Option<Vec<NaiveDateTime>> {
        let moment = |position: &Position| match position {
            Position::Day(day) => Some(day.and_time(NaiveTime::MIN)),
            Position::Moment(moment) => Some(*moment),
            _ => None,
        };
        self.positions.iter().map(moment).collect()
    }

    /// Whether a series lacks a value at some position.
    pub(crate) fn has_gaps(&self) -> bool {
        self.series.iter().any(|series| series.values.iter().any(Option::is_none))
    }

    /// Every value, with the name of its series and its position.
    pub(crate) fn points(&self) -> impl Iterator<Item = (&str, &Position, f64)> {
        self.series.iter().flat_map(|series| {
            let values = series.values.iter().zip(&self.positions);
            values.filter_map(|(value, position)| Some((series.name.as_str(), position, (*value)?)))
        })
    }
}

/// A heading with its first letter small, as inside a sentence.
pub(crate) fn lower(label: &str) -> String {
    let mut text = label.to_owned();
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

/// The chart of a document; `None` when it declares none or has no data for it.
pub(crate) fn chart_data(document: &Document, batches: &[RecordBatch]) -> Result<Option<ChartData>, ArrowError> {
    let Some(chart) = &document.chart else { return Ok(None) };
    let find = |name: &str| document.columns.iter().position(|column| column.name == name);
    let is_heatmap = chart.kind == ChartKind::Heatmap;
    let (value_name, series_name) =
        if is_heatmap { (chart.value.as_ref(), Some(&chart.y)) } else { (Some(&chart.y), chart.series.as_ref()) };
    let (Some(x), Some(value)) = (find(&chart.x), value_name.and_then(|name| find(name))) else { return Ok(None) };
    let series = series_name.and_then(|name| find(name));
    let (Some(x_column), Some(value_column)) = (document.columns.get(x), document.columns.get(value)) else {
        return Ok(None);
    };
    let series_column = series.and_then(|series| document.columns.get(series));
    let is_each_row_a_bar = document.is_cut && chart.kind == ChartKind::Bar && series.is_none();

    let (mut cut, cuts) = (Vec::new(), document.cuts());
    let mut grid = Grid::new(value_column, document.is_cut);
    for batch in batches {
        let cells = Cells::new(batch)?;
        for row in 0..cells.rows() {
            let position = Position::of(&cells.cell(row, x), x_column.style);
            if chart.without.is_some() && chart.without == Some(position.text()) {
                continue;
            }
            if let Some(words) = cuts.of(&cells, row)
                && !cut.iter().any(|(known, _)| *known == position)
            {
                cut.push((position.clone(), words));
            }
            let name = match (series, series_column) {
                (Some(series), Some(column)) => Position::of(&cells.cell(row, series), column.style),
                _ => Position::Name(String::new()),
            };
            let position = if is_each_row_a_bar { grid.apart(position) } else { position };
            if !grid.add(position, name, cells.cell(row, value).as_f64()) {
                return Ok(None);
            }
        }
    }
    let has_others = chart.kind == ChartKind::Bar && !document.is_cut && value_column.is_additive;
    let (positions, series, left_out) = grid.into_series(document.period, is_heatmap, has_others);
    let drawn = ChartData {
        kind: chart.kind,
        x_label: short_label(x_column),
        value_label: short_label(value_column),
        value_style: value_column.style,
        series_label: series_column.map(short_label),
        shown: series.len() - usize::from(has_others && left_out > 0),
        positions,
        series,
        left_out,
        positions_left_out: 0,
        cut,
        without: chart.without.clone(),
    };
    // A single value is better read than drawn.
    let drawn = drawn.by_day().compared().with_largest_names();
    let is_drawable = drawn.points().nth(1).is_some() && drawn.positions.len() <= POSITIONS_MAX;
    Ok(is_drawable.then_some(drawn))
}

fn short_label(column: &DocumentColumn) -> String {
    shortened(&column.label, LABEL_LENGTH).into_owned()
}

/// Values by position and series, in the order of the rows.
struct Grid {
    is_additive: bool,
    factor: f64,
    positions: Places,
    names: Places,
    /// By index of the position and of the name.
    values: HashMap<(usize, usize), Option<f64>>,
    /// The weight of each name.
    weights: Vec<f64>,
}

/// Positions by number.
#[derive(Default)]
struct Places {
    all: Vec<Position>,
    known: HashMap<Position, usize>,
}

impl Places {
    fn place(&mut self, position: Position) -> usize {
        let next = self.all.len();
        *self.known.entry(position).or_insert_with_key(|position| {
            self.all.push(position.clone());
            next
        })
    }
}

impl Grid {
    fn new(value: &DocumentColumn, is_cut: bool) -> Self {
        Self {
            is_additive: value.is_additive && !is_cut,
            factor: value.style.factor(),
            positions: Places::default(),
            names: Places::default(),
            values: HashMap::new(),
            weights: Vec::new(),
        }
    }

    /// A new position: a name that exists already gets a number.
    fn apart(&self, position: Position) -> Position {
        if !self.positions.known.contains_key(&position) {
            return position;
        }
        let name = shortened(&position.text(), NAME_LENGTH - NUMBER_LENGTH).into_owned();
        let numbered = |number: u32| Position::Name(format!("{name} ({number})"));
        (2..).map(numbered).find(|position| !self.positions.known.contains_key(position)).unwrap_or(position)
    }

    /// Gives `false` when two rows share a place and cannot be added up.
    fn add(&mut self, position: Position, name: Position, value: Option<f64>) -> bool {
        let is_moment = matches!(position, Position::Moment(_));
        let (position, name) = (self.positions.place(position), self.names.place(name));
        let value = value.map(|value| value * self.factor);
        self.weights.resize(self.names.all.len(), 0.0);
        if let (Some(weight), Some(value)) = (self.weights.get_mut(name), value) {
            *weight += value.abs();
        }
        let entry = self.values.entry((position, name));
        let is_new = matches!(entry, Entry::Vacant(_));
        let held = entry.or_insert(None);
        *held = match (*held, value) {
            (Some(_), Some(last)) if is_moment => Some(last),
            (Some(held), Some(more)) => Some(held + more),
            (held, more) => held.or(more),
        };
        is_new || self.is_additive || is_moment
    }

    /// The positions, the shown series, and the number of the others. If the others can be added up, they are one
    /// series at the end.
    fn into_series(
        self,
        period: Option<PeriodLength>,
        is_heatmap: bool,
        has_others: bool,
    ) -> (Vec<Position>, Vec<ChartSeries>, usize) {
        let mut positions = ordered(self.positions.all.clone());
        if !is_heatmap && let Some(filled) = period.and_then(|period| with_every_period(&positions, period)) {
            positions = filled;
        }
        let places: Vec<Option<usize>> =
            positions.iter().map(|position| self.positions.known.get(position).copied()).collect();
        let most = if is_heatmap { HEATMAP_ROWS_MAX } else { SERIES_MAX };
        let is_too_much = self.names.all.len() > most;
        let kept = largest(&self.weights, most - usize::from(has_others && is_too_much));
        let left_out = self.names.all.len() - kept.len();
        let names = ordered(self.names.all.clone());
        let places_of_names = names.iter().filter_map(|name| Some((name, *self.names.known.get(name)?)));
        let series = places_of_names.filter(|(_, name)| kept.contains(name)).map(|(text, name)| {
            let value = |position: &Option<usize>| self.values.get(&((*position)?, name)).copied().flatten();
            ChartSeries { name: text.text(), values: places.iter().map(value).collect() }
        });
        let mut series: Vec<ChartSeries> = series.collect();
        if has_others && is_too_much {
            series.push(self.others(&places, &kept));
        }
        (positions, series, left_out)
    }

    /// The sum of the series that are not kept, so that a stack of bars has its full height.
    fn others(&self, places: &[Option<usize>], kept: &BTreeSet<usize>) -> ChartSeries {
        let mut sums: HashMap<usize, f64> = HashMap::new();
        // The order is fixed, because sums of fractions depend on it.
        let mut values: Vec<_> = self.values.iter().collect();
        values.sort_unstable_by_key(|(place, _)| **place);
        for ((position, name), value) in values {
            if let (false, Some(value)) = (kept.contains(name), value) {
                *sums.entry(*position).or_default() += value;
            }
        }
        let values = places.iter().map(|place| sums.get(&(*place)?).copied()).collect();
        ChartSeries { name: OTHERS.to_owned(), values }
    }
}

/// The indices of the largest; of equal ones the first.
fn largest(weights: &[f64], most: usize) -> BTreeSet<usize> {
    let mut by_weight: Vec<(f64, usize)> = weights.iter().copied().zip(0..).collect();
    by_weight.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
    by_weight.into_iter().take(most).map(|(_, at)| at).collect()
}

fn picked<T: Clone>(all: &[T], places: &BTreeSet<usize>) -> Vec<T> {
    places.iter().filter_map(|at| all.get(*at).cloned()).collect()
}

/// Days and numbers by size; names stay in the order of the rows.
fn ordered(mut positions: Vec<Position>) -> Vec<Position> {
    if !positions.iter().any(|position| matches!(position, Position::Name(_))) {
        positions.sort();
    }
    positions
}

/// Every period from the first to the last, so that a gap has its width; `None` for other positions.
fn with_every_period(positions: &[Position], period: PeriodLength) -> Option<Vec<Position>> {
    let days: Option<BTreeSet<NaiveDate>> = positions
        .iter()
        .map(|position| match position {
            Position::Day(day) => Some(*day),
            _ => None,
        })
        .collect();
    let days = days?;
    let (mut next, last) = (*days.first()?, *days.last()?);
    let mut all = days;
    while next < last && all.len() <= POSITIONS_MAX {
        next = period.shift().later(next)?;
        if next < last {
            all.insert(next);
        }
    }
    Some(all.into_iter().map(Position::Day).collect())
}

#[cfg(test)]
mod tests;

//! A chart as an SVG picture, by charts-rs: without scripts, system fonts or network requests.
//!
//! Colours are those of Okabe and Ito, which people with any colour vision can tell apart; lines differ in their dashes
//! too. The page's own colours replace those of text and grid, so that it can be light or dark.

use charts_rs::{
    AxisType, BarChart, ChartBase, Color, HeatmapChart, HorizontalBarChart, LineChart, Series, Symbol, YAxisConfig,
};
use chrono::{Datelike as _, NaiveDate, NaiveDateTime, NaiveTime};

use crate::header::chart::ChartKind;
use crate::output::chart::data::{ChartData, ChartSeries, Position};
use crate::output::document::Style;

/// The palette of Okabe and Ito without black, and with a grey in place of the yellow, which is too light for lines.
pub(crate) const PALETTE: [&str; 7] = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#767676"];
/// From few to many: one hue, growing darker.
pub(crate) const SHADES: [&str; 3] = ["#EAF3FB", "#6BAED6", "#08306B"];
/// Colours that are replaced by the page's own: text, grid, background.
pub(crate) const INK: &str = "#333333";
/// Colour of the grid.
pub(crate) const GRID: &str = "#DDDDDD";
const BACKGROUND: &str = "#FFFFFF";

/// Room between a title and the labels beside it.
const APART: &str = "\u{a0}\u{a0}";
const WIDTH: f32 = 960.0;
const HEIGHT: f32 = 420.0;
const DASHES: [&str; 7] = ["", "7,3", "2,3", "9,3,2,3", "4,4", "12,4", "1,2"];
/// Lines through more points are too steep for dashes.
const DASHED_POINTS_MAX: usize = 150;
/// The most points that are marked.
const MARKED_POINTS_MAX: usize = 45;
/// The most points with a label each.
const NAMED_POINTS_MAX: usize = 12;
/// The most columns of a heat map with a value in each cell.
const LABELLED_COLUMNS_MAX: usize = 16;
const LABELLED_VALUE_MAX: f64 = 9_999.0;
/// The most days that are labelled by day; more are labelled by month.
const DAYS_LABELLED_MAX: i64 = 200;

/// The picture, as the content of an `svg` element with its view box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Picture {
    /// Width and height.
    pub(crate) view_box: String,
    /// What is in it.
    pub(crate) content: String,
}

/// Dashes of a line, as SVG writes them; empty for a whole line.
pub(crate) fn dashes(data: &ChartData, series: usize) -> &'static str {
    let is_dashed = data.positions.len() <= DASHED_POINTS_MAX;
    DASHES.get(series).copied().filter(|_| is_dashed).unwrap_or_default()
}

/// Draws a chart; `None` when the library cannot.
pub(crate) fn draw(data: &ChartData) -> Option<Picture> {
    let svg = match data.kind {
        ChartKind::Heatmap => heatmap(data).svg(),
        ChartKind::Line => line(data).svg(),
        ChartKind::Bar if has_long_names(data) => lying_bars(data).svg(),
        ChartKind::Bar => bars(data).svg(),
    };
    let svg = svg.ok()?;
    let (head, rest) = svg.split_once('>')?;
    let view_box = head.split_once("viewBox=\"")?.1.split_once('"')?.0.to_owned();
    let content = rest.strip_suffix("</svg>").unwrap_or(rest).trim();
    // The page is the background.
    let background = format!("fill=\"{BACKGROUND}\"/>");
    let content = match content.split_once('\n') {
        Some((first, others)) if first.ends_with(&background) => others,
        _ => content,
    };
    Some(Picture { view_box, content: content.to_owned() })
}

fn line(data: &ChartData) -> LineChart {
    let mut chart = LineChart::new(Vec::new(), Vec::new());
    style(&mut chart.base, data);
    for (index, series) in data.series.iter().enumerate() {
        let mut drawn = drawn_series(series);
        drawn.stroke_dash_array = Some(dashes(data, index)).filter(|dashes| !dashes.is_empty()).map(str::to_owned);
        let color = PALETTE.get(index % PALETTE.len()).map(|color| Color::from(*color));
        let marked = data.positions.len() <= MARKED_POINTS_MAX || data.has_gaps();
        let radius = if data.positions.len() <= MARKED_POINTS_MAX { 3.0 } else { 1.5 };
        drawn.symbol = Some(if marked { Symbol::Circle(radius, color) } else { Symbol::None });
        chart.series_list.push(drawn);
    }
    chart.series.stroke_width = if data.positions.len() <= DASHED_POINTS_MAX { 2.0 } else { 1.5 };
    match data.moments() {
        // A few days and whole months are side by side, each with its name; many are placed by time.
        Some(moments) if moments.len() > NAMED_POINTS_MAX && !is_monthly(data) => {
            chart.x_axis.kind = AxisType::Time;
            chart.x_axis.formatter = time_format(&moments).map(str::to_owned);
            chart.x_axis.values = moments.into_iter().map(seconds).collect();
        }
        _ => chart.x_axis.data = labels(data),
    }
    if let Some(axis) = chart.y_axis_configs.first_mut() {
        value_axis(axis, data, data.points().map(|(_, _, value)| value));
    }
    chart
}

fn bars(data: &ChartData) -> BarChart {
    let mut chart = BarChart::new(Vec::new(), labels(data));
    style(&mut chart.base, data);
    chart.series_list = bar_series(data);
    if let Some(axis) = chart.y_axis_configs.first_mut() {
        value_axis(axis, data, bar_ends(data).into_iter());
    }
    chart
}

/// Bars from left to right, with room for names.
fn lying_bars(data: &ChartData) -> HorizontalBarChart {
    // The library counts rows from the bottom.
    let mut names: Vec<String> = labels(data).iter().map(|name| padded(name)).collect();
    names.reverse();
    let mut chart = HorizontalBarChart::new(Vec::new(), names);
    style(&mut chart.base, data);
    chart.height = 90.0 + 26.0 * f32::from(u16::try_from(data.positions.len()).unwrap_or(u16::MAX));
    chart.series_list = bar_series(data);
    chart.series_list.iter_mut().for_each(|series| series.data.reverse());
    if let Some(axis) = chart.y_axis_configs.first_mut() {
        value_axis(axis, data, bar_ends(data).into_iter());
        axis.title = Some(data.x_label.clone());
    }
    chart.x_axis.title = data.value_label.clone();
    chart
}

/// The name with room around it: the reader's font may be wider than the library's.
fn padded(name: &str) -> String {
    format!("{APART}{name}{}", "\u{a0}".repeat(name.chars().count() / 10 + 1))
}

/// Whether names would not fit side by side under standing bars.
pub(crate) fn has_long_names(data: &ChartData) -> bool {
    let names = || data.positions.iter().filter(|position| matches!(position, Position::Name(_)));
    let letters: usize = names().map(|name| name.text().chars().count()).sum();
    names().count() > 12 || letters > 90
}

/// Parts of a whole are stacked; averages, shares and times do not add up and are side by side.
pub(crate) fn is_stacked(data: &ChartData) -> bool {
    matches!(data.value_style, Style::Number(Some(0)) | Style::Dollars)
}

fn bar_series(data: &ChartData) -> Vec<Series> {
    let stack = is_stacked(data).then(|| "all".to_owned());
    data.series.iter().map(|series| Series { stack: stack.clone(), ..drawn_series(series) }).collect()
}

fn bar_ends(data: &ChartData) -> Vec<f64> {
    if is_stacked(data) { stacks(data) } else { data.points().map(|(_, _, value)| value).collect() }
}

/// Both ends of each stack: above zero and below.
fn stacks(data: &ChartData) -> Vec<f64> {
    let column = |at: usize| data.series.iter().filter_map(move |series| series.values.get(at).copied().flatten());
    let ends = (0..data.positions.len()).flat_map(|at| {
        let above: f64 = column(at).filter(|value| *value > 0.0).sum();
        let below: f64 = column(at).filter(|value| *value < 0.0).sum();
        [above, below]
    });
    ends.collect()
}

fn heatmap(data: &ChartData) -> HeatmapChart {
    // The library counts rows from the bottom.
    let rows: Vec<&ChartSeries> = data.series.iter().rev().collect();
    let names = rows.iter().map(|series| padded(&series.name)).collect();
    let mut chart = HeatmapChart::new(Vec::new(), labels(data), names);
    style(&mut chart.base, data);
    let columns = data.positions.len();
    let cells = rows.iter().enumerate().flat_map(|(row, series)| {
        let values = series.values.iter().enumerate();
        values.filter_map(move |(column, value)| Some((row * columns + column, single((*value)?))))
    });
    chart.heatmap_series.data = cells.map(Into::into).collect();
    let (least, most) = extent(data.points().map(|(_, _, value)| value));
    chart.heatmap_series.min = single(least.min(0.0));
    chart.heatmap_series.max = single(if most > least.min(0.0) { most } else { least.min(0.0) + 1.0 });
    chart.heatmap_series.colors = SHADES.iter().map(|color| Color::from(*color)).collect();
    chart.heatmap_series.min_font_color = "#111111".into();
    chart.heatmap_series.max_font_color = "#FEFEFE".into();
    let labelled = columns <= LABELLED_COLUMNS_MAX && most <= LABELLED_VALUE_MAX;
    let written = if data.value_style == Style::Percent { "{t}%" } else { "{t}" };
    chart.series.label.formatter = if labelled { written.to_owned() } else { " ".to_owned() };
    chart.height = 110.0 + 34.0 * f32::from(u16::try_from(rows.len()).unwrap_or(u16::MAX));
    chart
}

fn style(chart: &mut ChartBase, data: &ChartData) {
    chart.width = WIDTH;
    chart.height = HEIGHT;
    chart.background_color = BACKGROUND.into();
    chart.font_family = "sans-serif".to_owned();
    chart.margin.right = 30.0;
    chart.margin.top = 12.0;
    chart.title.height = 0.0;
    chart.sub_title.height = 0.0;
    chart.x_axis.title = data.x_label.clone();
    chart.x_axis.stroke_color = INK.into();
    chart.x_axis.font.color = INK.into();
    chart.grid.stroke_color = GRID.into();
    // The page has the key, in its own font and with room for every name.
    chart.legend.show = Some(false);
    chart.series.colors = PALETTE.iter().map(|color| Color::from(*color)).collect();
}

/// From zero, with round steps.
fn value_axis(axis: &mut YAxisConfig, data: &ChartData, values: impl Iterator<Item = f64>) {
    let (least, most) = extent(values);
    let (low, high, steps) = round_axis(least.min(0.0), most.max(0.0));
    axis.min = Some(single(low));
    axis.max = Some(single(high));
    axis.split_number = steps;
    axis.title = Some(data.value_label.clone());
    axis.font.color = INK.into();
    let written = match data.value_style {
        Style::Percent => "{t}%",
        Style::Dollars => "${t}",
        _ => "{t}",
    };
    // Keeps the labels off the title beside them.
    axis.formatter = Some(format!("{APART}{written}"));
}

/// Ends of an axis and the number of its steps, each 1, 2 or 5 times a power of ten.
fn round_axis(least: f64, most: f64) -> (f64, f64, usize) {
    let span = if most > least { most - least } else { 1.0 };
    let rough = span / 6.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0].into_iter().map(|times| times * power).find(|step| *step >= rough * 0.999);
    let step = step.unwrap_or(10.0 * power);
    let (least, most) = if most > least { (least, most) } else { (0.0, 1.0) };
    let low = (least / step).floor() * step;
    let mut steps = 1;
    while low + f64::from(steps) * step < most - step * 1e-9 && steps < 12 {
        steps += 1;
    }
    (low, low + f64::from(steps) * step, usize::try_from(steps).unwrap_or(1))
}

fn extent(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (least, most) =
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), value| (least.min(value), most.max(value)));
    if least <= most { (least, most) } else { (0.0, 0.0) }
}

fn drawn_series(series: &ChartSeries) -> Series {
    Series::new_nullable(series.name.clone(), series.values.iter().map(|value| value.map(single)).collect())
}

fn labels(data: &ChartData) -> Vec<String> {
    let Some(days) = data.days() else { return data.positions.iter().map(Position::text).collect() };
    let is_short =
        matches!((days.first(), days.last()), (Some(first), Some(last)) if span(*first, *last) <= DAYS_LABELLED_MAX);
    let format = match (is_monthly(data), is_short) {
        (true, _) => "%b %Y",
        (false, true) => "%b %-d",
        (false, false) => "%b %-d, %Y",
    };
    days.iter().map(|day| day.format(format).to_string()).collect()
}

fn is_monthly(data: &ChartData) -> bool {
    data.days().is_some_and(|days| days.len() > 1 && days.iter().all(|day| day.day() == 1))
}

fn span(first: NaiveDate, last: NaiveDate) -> i64 {
    last.signed_duration_since(first).num_days()
}

/// The format of a time axis for the library: days, or months for many days; its own format for a few days.
fn time_format(moments: &[NaiveDateTime]) -> Option<&'static str> {
    let days = span(moments.first()?.date(), moments.last()?.date());
    let are_days = moments.iter().all(|moment| moment.time() == NaiveTime::MIN);
    match days {
        0..=7 if !are_days => None,
        0..=DAYS_LABELLED_MAX => Some("%b %d"),
        _ => Some("%b %Y"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "seconds since 1970 are far below 2^53")]
fn seconds(moment: NaiveDateTime) -> f64 {
    moment.and_utc().timestamp() as f64
}

/// The library draws in single precision, which is finer than a screen.
#[expect(clippy::cast_possible_truncation, reason = "a picture is not more exact")]
fn single(value: f64) -> f32 {
    value as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_begins_at_zero_with_round_steps() {
        for (least, most, expected) in [
            (0.0, 0.0, (0.0, 1.0, 5)),
            (0.0, 11_400.0, (0.0, 12_000.0, 6)),
            (0.0, 97.0, (0.0, 100.0, 5)),
            (0.0, 1.0, (0.0, 1.0, 5)),
            (-30.0, 70.0, (-40.0, 80.0, 6)),
        ] {
            let (low, high, steps) = round_axis(least, most);
            let is_near = (low - expected.0).abs() < 1e-9 && (high - expected.1).abs() < 1e-9;
            assert!(is_near && steps == expected.2, "{least} {most}: {low} {high} {steps}");
        }
    }
}

//! The sheet with the chart: its values as a table, and Excel's own chart beside it; a heat map is the table itself, shaded.

use rust_xlsxwriter::{
    Chart, ChartEmptyCells, ChartFormat, ChartLegendPosition, ChartLine, ChartLineDashType, ChartMarker,
    ChartSolidFill, ChartType, ConditionalFormat3ColorScale, Worksheet, XlsxError,
};

use super::{column_width, heading_format, is_in_calendar, number_format, value_format};
use crate::header::chart::ChartKind;
use crate::output::chart::data::{ChartData, ChartSeries, Position};
use crate::output::chart::svg::{PALETTE, has_long_names, is_stacked};
use crate::output::document::Style;
use crate::text::visible::visible;

const NAME: &str = "Chart";
/// From few to many; black figures stay legible on the darkest.
const SHADES: [&str; 3] = ["#F7FBFF", "#C6DBEF", "#6BAED6"];
/// Lines differ in more than colour.
const DASHES: [ChartLineDashType; 4] =
    [ChartLineDashType::Solid, ChartLineDashType::Dash, ChartLineDashType::RoundDot, ChartLineDashType::LongDashDot];

/// Fills the sheet.
pub(super) fn sheet(sheet: &mut Worksheet, data: &ChartData) -> Result<(), XlsxError> {
    let last_row = u32::try_from(data.positions.len()).unwrap_or(u32::MAX);
    let last_column = u16::try_from(data.series.len()).unwrap_or(u16::MAX);
    table(sheet, data)?;
    sheet.set_landscape().set_print_fit_to_pages(1, 0);
    match data.kind {
        ChartKind::Heatmap => {
            let [few, some, many] = SHADES;
            let shades = ConditionalFormat3ColorScale::new()
                .set_minimum_color(few)
                .set_midpoint_color(some)
                .set_maximum_color(many);
            sheet.add_conditional_format(1, 1, last_row, last_column, &shades)?;
        }
        ChartKind::Line | ChartKind::Bar => {
            let chart = picture(data, last_row);
            sheet.insert_chart(1, last_column + 2, &chart)?;
        }
    }
    Ok(())
}

/// A column for each series, a row for each position.
fn table(sheet: &mut Worksheet, data: &ChartData) -> Result<(), XlsxError> {
    sheet.write_string_with_format(0, 0, visible(&data.x_label), &heading_format(false))?;
    let longest = data.positions.iter().map(|position| position.text().chars().count()).max().unwrap_or_default();
    sheet.set_column_width(0, column_width(longest.max(16)))?;
    for (series, at) in data.series.iter().zip(1_u16..) {
        sheet.write_string_with_format(0, at, series_name(data, series), &heading_format(true))?;
        sheet.set_column_width(at, 16)?;
    }
    let (day_format, number_format) = (value_format(Style::Date), value_format(data.value_style));
    // A percentage is multiplied by a hundred already.
    let factor = if data.value_style == Style::Percent { 1.0 / data.value_style.factor() } else { 1.0 };
    for ((index, position), row) in data.positions.iter().enumerate().zip(1_u32..) {
        match position {
            Position::Day(day) if is_in_calendar(*day) => {
                sheet.write_datetime_with_format(row, 0, day, &day_format)?;
            }
            Position::Moment(moment) if is_in_calendar(moment.date()) => {
                sheet.write_datetime_with_format(row, 0, moment, &value_format(Style::Instant))?;
            }
            other => {
                sheet.write_string(row, 0, other.text())?;
            }
        }
        for (series, at) in data.series.iter().zip(1_u16..) {
            if let Some(value) = series.values.get(index).copied().flatten() {
                sheet.write_number_with_format(row, at, value * factor, &number_format)?;
            }
        }
    }
    sheet.set_freeze_panes(1, 1)?;
    Ok(())
}

fn series_name<'a>(data: &'a ChartData, series: &'a ChartSeries) -> &'a str {
    if series.name.is_empty() { &data.value_label } else { &series.name }
}

/// A text that Excel does not take for a reference to cells.
fn axis_text(text: &str) -> String {
    visible(text).trim_start_matches('=').to_owned()
}

fn picture(data: &ChartData, last_row: u32) -> Chart {
    let is_line = data.kind == ChartKind::Line;
    let is_lying = !is_line && has_long_names(data);
    let kind = match (is_line, is_lying, is_stacked(data)) {
        (true, ..) => ChartType::Line,
        (false, false, true) => ChartType::ColumnStacked,
        (false, false, false) => ChartType::Column,
        (false, true, true) => ChartType::BarStacked,
        (false, true, false) => ChartType::Bar,
    };
    let mut chart = Chart::new(kind);
    for (index, at) in (0..data.series.len()).zip(1_u16..) {
        let color = PALETTE.get(index % PALETTE.len()).copied().unwrap_or_default();
        let dash = DASHES.get(index % DASHES.len()).copied().unwrap_or(ChartLineDashType::Solid);
        let mut format = ChartFormat::new();
        if is_line {
            format.set_line(ChartLine::new().set_color(color).set_width(2.0).set_dash_type(dash));
        } else {
            format.set_solid_fill(ChartSolidFill::new().set_color(color));
        }
        let series = chart.add_series();
        series
            .set_name((NAME, 0, at))
            .set_categories((NAME, 1, 0, last_row, 0))
            .set_values((NAME, 1, at, last_row, at))
            .set_format(&mut format);
        if is_line {
            series.set_marker(ChartMarker::new().set_none());
        }
    }
    chart.title().set_name(&axis_text(&data.title()));
    let (places, values) = (axis_text(&data.x_label), axis_text(&data.value_label));
    let format = number_format(data.value_style);
    if is_lying {
        // The library names the axes of such a chart by their place. The first bar is at the top, as in the table.
        chart.y_axis().set_name(&places).set_reverse();
        chart.x_axis().set_name(&values).set_num_format(format);
    } else {
        chart.x_axis().set_name(&places);
        chart.y_axis().set_name(&values).set_num_format(format);
    }
    if data.days().is_some() {
        chart.x_axis().set_date_axis(true).set_num_format("mmm d, yyyy");
    }
    chart.show_empty_cells_as(ChartEmptyCells::Gaps);
    if data.series.len() > 1 {
        chart.legend().set_position(ChartLegendPosition::Bottom);
    } else {
        chart.legend().set_hidden();
    }
    let rows = u32::try_from(data.positions.len()).unwrap_or(u32::MAX);
    chart.set_width(960).set_height(if is_lying { 140 + 24 * rows } else { 440 });
    chart
}

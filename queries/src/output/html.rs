//! A document as one self-contained HTML page: it includes styles and chart, and has no script and no network requests.
//! Everything that comes from data is escaped.

mod page;

use std::fmt::Write as _;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::header::chart::ChartKind;
use crate::output::chart::data::{ChartData, Position, chart_data, lower};
use crate::output::chart::svg;
use crate::output::document::{Document, Style};
use crate::text::cells::{Cell, Cells};
use crate::text::figures::whole;
use crate::text::visible::visible;

/// The most rows of a page: more would make browsers slow.
pub(super) const ROWS_MAX: usize = 2_000;

/// Periods of a chart that are told to be cut: the first and the last, as a rule.
const CUT_MAX: usize = 4;
/// Ids and words up to this length stay on one line.
const WHOLE_MAX: usize = 40;
/// And up to this length on paper.
const PRINTED_WHOLE_MAX: usize = 20;

/// The page, and how many of the rows it shows.
pub(super) fn render(document: &Document, batches: &[RecordBatch]) -> Result<(usize, Vec<u8>), ArrowError> {
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let chart = chart_data(document, batches)?;
    let mut text = String::new();
    page::head(&mut text, document);
    if total == 0 {
        let _ = writeln!(text, "<p class=\"nothing\">{}</p>", document.nothing());
    }
    figures(&mut text, document);
    if let Some(chart) = &chart {
        // Writing to a String cannot fail.
        let _ = figure(&mut text, document, chart);
    }
    let shown = if total == 0 { 0 } else { table(&mut text, document, batches, total)? };
    page::foot(&mut text, document);
    Ok((shown, text.into_bytes()))
}

/// The numbers above chart and table.
fn figures(text: &mut String, document: &Document) {
    if document.figures.is_empty() {
        return;
    }
    text.push_str("<dl class=\"figures\">\n");
    for figure in &document.figures {
        let (label, value) = (escaped(&figure.label), escaped(&figure.value));
        // Writing to a String cannot fail.
        let _ = write!(text, "<div><dt>{label}</dt><dd>{value}</dd>");
        if let Some(before) = &figure.before {
            let _ = write!(text, "<dd class=\"before\">{}</dd>", escaped(before));
        }
        text.push_str("</div>\n");
    }
    text.push_str("</dl>\n");
}

fn figure(text: &mut String, document: &Document, chart: &ChartData) -> std::fmt::Result {
    let Some(picture) = svg::draw(chart) else { return Ok(()) };
    let class = if chart.kind == ChartKind::Heatmap { " class=\"shaded\"" } else { "" };
    writeln!(text, "<figure{class}>\n<figcaption>{}</figcaption>", escaped(&caption(chart)))?;
    match chart.kind {
        ChartKind::Heatmap => scale(text, chart)?,
        ChartKind::Line | ChartKind::Bar => key(text, chart)?,
    }
    writeln!(
        text,
        "<svg viewBox=\"{}\" role=\"img\" aria-labelledby=\"chart-title chart-description\">",
        picture.view_box
    )?;
    writeln!(text, "<title id=\"chart-title\">{}</title>", escaped(&heading(document, chart)))?;
    writeln!(text, "<desc id=\"chart-description\">{}</desc>", escaped(&description(chart)))?;
    writeln!(text, "{}\n</svg>\n</figure>", picture.content)
}

fn heading(document: &Document, chart: &ChartData) -> String {
    format!("{}: {} by {}", document.title, lower(&chart.value_label), lower(&chart.x_label))
}

fn caption(chart: &ChartData) -> String {
    let mut text = format!("{}.", chart.title());
    let has_others = chart.series.len() > chart.shown;
    let cuts = [
        (chart.shown, chart.left_out, if has_others { ", and all others together" } else { "" }),
        (chart.positions.len(), chart.positions_left_out, ""),
    ];
    for (shown, left_out, others) in cuts.into_iter().filter(|(_, left_out, _)| *left_out > 0) {
        let all = shown + left_out;
        let _ = write!(text, " The {shown} largest of {all} are drawn{others}; the table has all.");
    }
    if let Some(without) = &chart.without {
        let _ = write!(text, " The rows of {without:?} are in the table only.");
    }
    for (position, cut) in chart.cut.iter().take(CUT_MAX) {
        let _ = write!(text, " {} stands for {cut}.", position.text());
    }
    if chart.kind == ChartKind::Line && chart.has_gaps() {
        text.push_str(" Where a line is broken the table has no row.");
    }
    text
}

/// The description of the chart for people who cannot see it.
fn description(chart: &ChartData) -> String {
    let form = match chart.kind {
        ChartKind::Line => "Line chart",
        ChartKind::Bar => "Bar chart",
        ChartKind::Heatmap => "Heat map",
    };
    let mut text = format!("{form}. {}", caption(chart));
    let ends = (chart.positions.first().map(Position::text), chart.positions.last().map(Position::text));
    if let (Some(first), Some(last)) = ends {
        let _ = write!(text, " From {first} to {last}.");
    }
    let names: Vec<&str> =
        chart.series.iter().map(|series| series.name.as_str()).filter(|name| !name.is_empty()).collect();
    if !names.is_empty() {
        let _ = write!(text, " Drawn: {}.", names.join(", "));
    }
    let highest = chart.points().max_by(|left, right| left.2.total_cmp(&right.2));
    if let Some((name, position, value)) = highest {
        let of = if name.is_empty() { String::new() } else { format!(" ({name})") };
        let _ = write!(text, " The highest value is {} at {}{of}.", drawn_value(chart, value), position.text());
    }
    text.push_str(" All values are in the table below.");
    text
}

/// A value of the chart, in the shown unit.
fn drawn_value(chart: &ChartData, value: f64) -> String {
    match chart.value_style {
        Style::Dollars | Style::Percent => chart.value_style.text(&Cell::Float(value / chart.value_style.factor())),
        other => other.text(&Cell::Float(value)),
    }
}

/// The key: the colour and dash of each series.
fn key(text: &mut String, chart: &ChartData) -> std::fmt::Result {
    if chart.series.len() < 2 {
        return Ok(());
    }
    writeln!(text, "<ul class=\"key\">")?;
    for ((at, series), color) in chart.series.iter().enumerate().zip(svg::PALETTE) {
        let dashes = svg::dashes(chart, at);
        let sign = if chart.kind == ChartKind::Line {
            format!(
                "<line x1=\"1\" y1=\"6\" x2=\"35\" y2=\"6\" stroke=\"{color}\" stroke-width=\"3\" stroke-dasharray=\"{dashes}\"/>"
            )
        } else {
            format!("<rect width=\"36\" height=\"12\" fill=\"{color}\"/>")
        };
        writeln!(
            text,
            "<li><svg viewBox=\"0 0 36 12\" aria-hidden=\"true\">{sign}</svg> {}</li>",
            escaped(&series.name)
        )?;
    }
    writeln!(text, "</ul>")
}

/// Which shade is how much.
fn scale(text: &mut String, chart: &ChartData) -> std::fmt::Result {
    let values = || chart.points().map(|(_, _, value)| value);
    let least = values().fold(0.0, f64::min);
    let most = values().fold(f64::NEG_INFINITY, f64::max);
    writeln!(
        text,
        "<p class=\"scale\"><span>{}</span> <span class=\"shades\"></span> <span>{} {}</span> <span class=\"none\"></span> <span>no row</span></p>",
        escaped(&drawn_value(chart, least)),
        escaped(&drawn_value(chart, most)),
        escaped(&lower(&chart.value_label)),
    )
}

fn table(text: &mut String, document: &Document, batches: &[RecordBatch], total: usize) -> Result<usize, ArrowError> {
    let shown = total.min(ROWS_MAX);
    let caption = if shown < total {
        format!("The first {} rows; the CSV, JSON and Parquet files have them all.", whole(shown))
    } else {
        format!("{} {}", whole(shown), if shown == 1 { "row" } else { "rows" })
    };
    text.push_str("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Table\">\n<table>\n");
    let _ = writeln!(text, "<caption>{caption}</caption>\n<thead><tr>");
    for column in &document.columns {
        let class = if column.style.is_figure() { " class=\"figure\"" } else { "" };
        let _ = write!(text, "<th scope=\"col\"{class}>{}</th>", escaped(&column.label));
    }
    text.push_str("\n</tr></thead>\n<tbody>\n");
    let (mut left, cuts) = (shown, document.cuts());
    for batch in batches {
        let cells = Cells::new(&batch.slice(0, batch.num_rows().min(left)))?;
        left -= cells.rows();
        for row in 0..cells.rows() {
            let cut = cuts.of(&cells, row).map(|cut| format!(" <span class=\"cut\">{cut}</span>")).unwrap_or_default();
            text.push_str("<tr>");
            for (index, (column, cell)) in document.columns.iter().zip(cells.row(row)).enumerate() {
                let value = column.style.text(&cell);
                let length = value.chars().count();
                let is_whole = length <= WHOLE_MAX && (column.style == Style::Words || !value.contains(' '));
                // On paper an id may go over two lines; a day or a number may not.
                let long = if length > PRINTED_WHOLE_MAX && column.style == Style::Text { " long" } else { "" };
                let value = escaped(&value);
                let _ = match (index, column.style) {
                    (0, style) if !style.is_figure() && long.is_empty() => {
                        write!(text, "<th scope=\"row\">{value}{cut}</th>")
                    }
                    (0, style) if !style.is_figure() => write!(text, "<th scope=\"row\" class=\"long\">{value}</th>"),
                    (_, style) if style.is_figure() => write!(text, "<td class=\"figure\">{value}</td>"),
                    (_, Style::Text | Style::Words) if !is_whole => write!(text, "<td>{value}</td>"),
                    _ => write!(text, "<td class=\"whole{long}\">{value}</td>"),
                };
            }
            text.push_str("</tr>\n");
        }
    }
    text.push_str("</tbody>\n");
    if let Some(totals) = &document.totals {
        table_foot(text, document, totals, total);
    }
    text.push_str("</table>\n</div>\n");
    Ok(shown)
}

/// The totals, below all rows: also below those that are not shown.
fn table_foot(text: &mut String, document: &Document, totals: &[Cell], rows: usize) {
    text.push_str("<tfoot><tr>");
    for (index, (column, cell)) in document.columns.iter().zip(totals).enumerate() {
        let value = escaped(&column.style.text(cell));
        let _ = match index {
            0 if *cell == Cell::Empty => {
                let of = if rows > ROWS_MAX { format!(" of {} rows", whole(rows)) } else { String::new() };
                write!(text, "<th scope=\"row\">Total{of}</th>")
            }
            _ if column.style.is_figure() => write!(text, "<td class=\"figure\">{value}</td>"),
            _ => write!(text, "<td>{value}</td>"),
        };
    }
    text.push_str("</tr></tfoot>\n");
}

/// The text so that HTML shows it as it is, in an element or between quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in visible(text).chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_would_obey_is_escaped() {
        for (text, expected) in [
            ("<script>alert('x')</script>", "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;"),
            ("\" onclick=\"x", "&quot; onclick=&quot;x"),
            ("&lt;", "&amp;lt;"),
            ("\u{202e}a\u{1b}[0m\n", "\\u{202e}a\\u{1b}[0m\\n"),
            ("=1+1 🚓", "=1+1 🚓"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Int64Array, StringArray, TimestampMicrosecondArray};

use super::*;
use crate::header::chart::Chart;
use crate::output::document::DocumentColumn;

fn column(name: &str, style: Style, is_additive: bool) -> DocumentColumn {
    DocumentColumn { name: name.to_owned(), label: name.to_owned(), meaning: None, style, is_additive }
}

fn document(kind: ChartKind, is_additive: bool) -> Document {
    let named = |name: &str| Some(name.to_owned());
    let (y, series, value) = match kind {
        ChartKind::Heatmap => ("kind", None, named("points")),
        _ => ("points", named("kind"), None),
    };
    Document {
        title: String::new(),
        question: None,
        audience: None,
        scope: None,
        figures: Vec::new(),
        totals: None,
        columns: vec![
            column("day", Style::Date, false),
            column("kind", Style::Text, false),
            column("points", Style::Number(Some(0)), is_additive),
        ],
        provenance: Vec::new(),
        chart: Some(Chart { kind, x: "day".to_owned(), y: y.to_owned(), series, value, without: None }),
        period: Some(PeriodLength::Day),
        is_cut: false,
    }
}

fn rows(rows: &[(i32, &str, Option<i64>)]) -> RecordBatch {
    let days: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.0)).collect::<Date32Array>());
    let kinds: ArrayRef = Arc::new(rows.iter().map(|row| Some(row.1)).collect::<StringArray>());
    let points: ArrayRef = Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>());
    RecordBatch::try_from_iter_with_nullable([("day", days, true), ("kind", kinds, true), ("points", points, true)])
        .unwrap()
}

fn drawn(kind: ChartKind, is_additive: bool, data: &[(i32, &str, Option<i64>)]) -> Option<ChartData> {
    chart_data(&document(kind, is_additive), &[rows(data)]).unwrap()
}

#[test]
fn rows_of_one_place_are_summed_with_gaps() {
    let data = [(0, "a", Some(1)), (0, "a", Some(2)), (0, "b", Some(5)), (3, "a", Some(4)), (3, "b", None)];
    let chart = drawn(ChartKind::Line, true, &data).unwrap();
    assert_eq!(chart.positions.len(), 4, "days without rows have their width");
    assert_eq!(chart.series[0].values, [Some(3.0), None, None, Some(4.0)]);
    assert_eq!(chart.series[1].values, [Some(5.0), None, None, None]);
    assert!(chart.has_gaps());
}

#[test]
fn what_cannot_be_added_up_is_not_drawn() {
    assert!(drawn(ChartKind::Line, false, &[(0, "a", Some(1)), (0, "a", Some(2)), (1, "a", Some(3))]).is_none());
    assert!(drawn(ChartKind::Line, false, &[(0, "a", Some(1)), (1, "a", Some(2))]).is_some());
}

/// A ranking by name.
fn ranking(is_cut: bool, rows: &[(&str, i64)]) -> Option<ChartData> {
    let chart = Chart {
        kind: ChartKind::Bar,
        x: "kind".to_owned(),
        y: "points".to_owned(),
        series: None,
        value: None,
        without: None,
    };
    let document = Document { chart: Some(chart), is_cut, ..document(ChartKind::Bar, true) };
    let rows: Vec<_> = rows.iter().map(|(name, points)| (0, *name, Some(*points))).collect();
    chart_data(&document, &[self::rows(&rows)]).unwrap()
}

#[test]
fn rows_of_a_cut_result_are_never_summed() {
    let rows = [("kit", 9), ("bicycle", 8), ("bicycle", 7), ("bicycle", 6)];
    let names = |chart: &ChartData| chart.positions.iter().map(Position::text).collect::<Vec<_>>();
    let cut = ranking(true, &rows).unwrap();
    assert_eq!(names(&cut), ["kit", "bicycle", "bicycle (2)", "bicycle (3)"]);
    assert_eq!(cut.series[0].values, [Some(9.0), Some(8.0), Some(7.0), Some(6.0)], "in the order of the rows");
    let whole = ranking(false, &rows).unwrap();
    assert_eq!(
        (names(&whole), &whole.series[0].values[..]),
        (vec!["kit".to_owned(), "bicycle".to_owned()], &[Some(9.0), Some(21.0)][..])
    );
    let document = Document { is_cut: true, ..document(ChartKind::Line, true) };
    let twice = self::rows(&[(0, "a", Some(1)), (0, "a", Some(2)), (1, "a", Some(3))]);
    assert!(chart_data(&document, &[twice]).unwrap().is_none());
}

#[test]
fn names_that_begin_alike_are_not_one() {
    let long = "a name that is longer than a chart shows of it".repeat(2);
    let chart = ranking(false, &[(&format!("{long}1"), 1), (&format!("{long}2"), 2)]).unwrap();
    assert_eq!(chart.series[0].values, [Some(1.0), Some(2.0)]);
    assert_eq!(chart.positions[0].text(), chart.positions[1].text());
}

#[test]
fn a_stack_is_as_high_as_its_series() {
    let kinds: Vec<String> = (1..=20).map(|kind| format!("kind {kind}")).collect();
    let data: Vec<_> = (0..2)
        .flat_map(|day| kinds.iter().zip(1_i64..).map(move |(kind, points)| (day, kind.as_str(), Some(points))))
        .collect();
    let chart = drawn(ChartKind::Bar, true, &data).unwrap();
    assert_eq!((chart.series.len(), chart.shown, chart.left_out), (7, 6, 14));
    assert_eq!(chart.series[6].name, "all others");
    let height = |day: usize| chart.series.iter().filter_map(|series| series.values[day]).sum::<f64>();
    assert_eq!((height(0), height(1)), (210.0, 210.0));
    let lines = drawn(ChartKind::Line, true, &data).unwrap();
    assert_eq!((lines.series.len(), lines.left_out), (7, 13), "lines are not stacked");
}

#[test]
fn nothing_to_draw_is_no_chart() {
    assert!(drawn(ChartKind::Bar, true, &[]).is_none());
    assert!(drawn(ChartKind::Bar, true, &[(0, "a", None)]).is_none());
    assert!(drawn(ChartKind::Bar, true, &[(0, "a", Some(1))]).is_none());
}

#[test]
fn in_a_single_period_the_series_are_compared() {
    let chart = drawn(ChartKind::Line, true, &[(0, "a", Some(1)), (0, "b", Some(2))]).unwrap();
    assert_eq!((chart.kind, chart.x_label.as_str()), (ChartKind::Bar, "kind (1970-01-01)"));
    assert_eq!(chart.positions, [Position::Name("a".to_owned()), Position::Name("b".to_owned())]);
    assert_eq!(chart.series[0].values, [Some(1.0), Some(2.0)]);
}

#[test]
fn the_largest_series_are_shown_others_counted() {
    let names: Vec<String> = (0..10).map(|number| format!("kind {number}")).collect();
    let data: Vec<_> = names.iter().zip(0_i64..).map(|(name, at)| (0, name.as_str(), Some(at))).collect();
    let more: Vec<_> = data.iter().map(|(_, name, points)| (1, *name, *points)).collect();
    let chart = drawn(ChartKind::Line, true, &[data, more].concat()).unwrap();
    assert_eq!((chart.series.len(), chart.left_out), (7, 3));
    assert_eq!(chart.series[0].name, "kind 3");
}

#[test]
fn a_heat_map_has_one_row_per_name() {
    let data = [(1, "b", Some(1)), (0, "a", Some(2))];
    let chart = drawn(ChartKind::Heatmap, true, &data).unwrap();
    assert_eq!(chart.positions.len(), 2);
    assert_eq!(chart.series.iter().map(|series| series.name.as_str()).collect::<Vec<_>>(), ["b", "a"]);
    assert_eq!(chart.series[0].values, [None, Some(1.0)]);
}

#[test]
fn names_show_what_a_page_would_obey() {
    let chart = drawn(ChartKind::Line, true, &[(0, "\u{202e}x\n", Some(1)), (1, "\u{202e}x\n", Some(1))]).unwrap();
    assert_eq!(chart.series[0].name, "\\u{202e}x\\n");
}

#[test]
fn of_many_names_the_largest_are_drawn() {
    let document = Document {
        chart: Some(Chart {
            kind: ChartKind::Bar,
            x: "kind".to_owned(),
            y: "points".to_owned(),
            series: None,
            value: None,
            without: None,
        }),
        ..document(ChartKind::Bar, true)
    };
    let names: Vec<String> = (0..40).map(|rank| format!("user {rank}")).collect();
    let data: Vec<_> = names.iter().zip(0_i64..).map(|(name, points)| (0, name.as_str(), Some(points))).collect();
    let chart = chart_data(&document, &[rows(&data)]).unwrap().unwrap();
    assert_eq!((chart.positions.len(), chart.positions_left_out), (30, 10));
    assert_eq!((chart.positions[0].text().as_str(), chart.series[0].values[0]), ("user 10", Some(10.0)));
}

#[test]
fn a_total_that_the_report_hides_is_undrawn() {
    let chart = Chart {
        kind: ChartKind::Bar,
        x: "kind".to_owned(),
        y: "points".to_owned(),
        series: None,
        value: None,
        without: Some("all".to_owned()),
    };
    let document = Document { chart: Some(chart), ..document(ChartKind::Bar, true) };
    let data = [(0, "a", Some(1)), (0, "b", Some(2)), (0, "all", Some(3))];
    let chart = chart_data(&document, &[rows(&data)]).unwrap().unwrap();
    assert_eq!(chart.positions.iter().map(Position::text).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(chart.without.as_deref(), Some("all"));
}

fn balances(moments: Vec<i64>, balances: Vec<i64>) -> ChartData {
    let moments: ArrayRef = Arc::new(TimestampMicrosecondArray::from(moments));
    let balances: ArrayRef = Arc::new(Int64Array::from(balances));
    let batch = RecordBatch::try_from_iter([("at", moments), ("balance", balances)]).unwrap();
    let document = Document {
        columns: vec![column("at", Style::Instant, false), column("balance", Style::Number(Some(0)), true)],
        chart: Some(Chart {
            kind: ChartKind::Line,
            x: "at".to_owned(),
            y: "balance".to_owned(),
            series: None,
            value: None,
            without: None,
        }),
        ..document(ChartKind::Line, true)
    };
    chart_data(&document, &[batch]).unwrap().unwrap()
}

#[test]
fn at_a_moment_the_last_row_counts() {
    let chart = balances(vec![1, 1, 2], vec![5, 7, 9]);
    assert_eq!(chart.series[0].values, [Some(7.0), Some(9.0)]);
}

#[test]
fn many_moments_are_drawn_by_day() {
    let minutes = || 0..5_000_i64;
    let chart = balances(minutes().map(|minute| minute * 60_000_000).collect(), minutes().collect());
    assert_eq!(chart.series[0].values, [Some(1_439.0), Some(2_879.0), Some(4_319.0), Some(4_999.0)]);
    assert_eq!(chart.positions[0].text(), "1970-01-01");
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray};

use super::*;

fn batch(label: ArrayRef, value: ArrayRef) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([("kind", label, true), ("points", value, true)]).unwrap()
}

fn points(label: ArrayRef, value: ArrayRef) -> Points {
    let batch = batch(label, value);
    Points::read(&batch.schema(), &[batch]).unwrap()
}

fn texts(texts: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(texts.to_vec()))
}

fn numbers(numbers: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(numbers.to_vec()))
}

#[test]
fn bars_are_labelled_and_scaled() {
    let points = points(texts(&["mobile", "web", "none"]), numbers(&[Some(40), Some(10), Some(0)]));
    let drawn = points.draw(ChartForm::Fitting, 31).unwrap();
    assert_eq!(
        drawn,
        "points by kind\n\
         mobile │████████████████████ 40\n\
         web    │█████                10\n\
         none   │                      0\n"
    );
}

#[test]
fn negative_bars_go_left_and_null_has_none() {
    let points = points(texts(&["up", "down", "little", "unknown"]), numbers(&[Some(30), Some(-10), Some(1), None]));
    let drawn = points.draw(ChartForm::Bar, 40).unwrap();
    assert_eq!(
        drawn,
        "points by kind\n\
         up             │███████████████████   30\n\
         down    ███████│                     -10\n\
         little         │▋                      1\n\
         unknown        │                    NULL\n"
    );
}

#[test]
fn a_line_follows_dates_with_gaps_for_null() {
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(20_000..20_010));
    let values = numbers(&[Some(0), Some(100), Some(200), None, None, Some(900), Some(1_000), None, Some(10), Some(0)]);
    let drawn = points(days, values).draw(ChartForm::Fitting, 60).unwrap();
    let lines: Vec<_> = drawn.lines().collect();
    assert_eq!(lines.len(), 1 + 12 + 1, "{drawn}");
    assert!(lines[1].starts_with("1,000 ┤"), "{drawn}");
    assert!(lines[12].starts_with("    0 ┤"), "{drawn}");
    assert!(lines[13].starts_with("       2024-10-04") && lines[13].ends_with("2024-10-13"), "{drawn}");
    assert!(lines.iter().all(|line| width_of(line) <= 60), "{drawn}");
    assert!(drawn.chars().filter(|dot| ('\u{2801}'..='\u{28ff}').contains(dot)).count() > 10, "{drawn}");
}

#[test]
fn a_line_below_zero_names_its_lowest() {
    let index = numbers(&[Some(1), Some(2), Some(3)]);
    let values: ArrayRef = Arc::new(Float64Array::from(vec![1.5, -3.0, f64::NAN]));
    let drawn = points(index, values).draw(ChartForm::Line, 40).unwrap();
    let labels: Vec<_> = drawn.lines().filter_map(|line| line.split_once('┤')).map(|(label, _)| label.trim()).collect();
    assert_eq!((labels[0], labels[11]), ("1.5", "-3"), "{drawn}");
    assert_eq!(labels.iter().filter(|label| **label == "0").count(), 1, "{drawn}");
}

#[test]
fn labels_are_harmless_and_cut() {
    let points = points(texts(&["a\u{1b}[31m\n\u{202e}b", &"long ".repeat(40), "日本語"]), numbers(&[Some(1); 3]));
    let drawn = points.draw(ChartForm::Bar, 60).unwrap();
    assert!(!drawn.contains(['\u{1b}', '\u{202e}']) && drawn.contains("a\\u{1b}[31m\\n"), "{drawn}");
    assert!(drawn.lines().all(|line| width_of(line) <= 60), "{drawn}");
}

#[test]
fn decimals_and_leading_numbers_are_drawn() {
    let amounts: ArrayRef =
        Arc::new(Decimal128Array::from(vec![150_i128, 50]).with_precision_and_scale(10, 2).unwrap());
    let drawn = points(amounts, texts(&["a", "b"])).draw(ChartForm::Fitting, 40).unwrap();
    assert!(drawn.starts_with("kind by points\na │") && drawn.contains("1.50\n"), "{drawn}");
}

#[test]
fn a_result_that_does_not_fit_says_why() {
    let three = RecordBatch::try_from_iter([("a", texts(&["x"])), ("b", texts(&["x"])), ("c", texts(&["x"]))]).unwrap();
    let message = Points::read(&three.schema(), &[three]).unwrap_err().to_string();
    assert_eq!(message, "a chart needs a result of two columns, a label and a number; this one has 3");
    let words = batch(texts(&["x"]), texts(&["y"]));
    let message = Points::read(&words.schema(), &[words]).unwrap_err().to_string();
    assert_eq!(message, "a chart needs a number in one of its two columns; kind and points have none");
    let empty = batch(texts(&["x"]), numbers(&[None]));
    assert!(matches!(Points::read(&empty.schema(), &[empty]).unwrap_err(), ChartError::Empty));
    let names: Vec<String> = (0..300).map(|name| name.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let many = points(texts(&names), numbers(&[Some(1); 300]));
    let message = many.draw(ChartForm::Fitting, 80).unwrap_err().to_string();
    assert!(message.contains("at most 200 rows and the result has 300"), "{message}");
    assert!(many.draw(ChartForm::Line, 80).is_ok());
}

#[test]
fn every_width_is_survived() {
    let points = points(texts(&["a", "b"]), numbers(&[Some(i64::MAX), Some(i64::MIN)]));
    for width in 0..200 {
        for form in [ChartForm::Bar, ChartForm::Line] {
            let drawn = points.draw(form, width).unwrap();
            assert!(drawn.lines().all(|line| width_of(line) <= width.max(WIDTH_MIN)), "{width}:\n{drawn}");
        }
    }
}

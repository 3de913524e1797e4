//! Tests of report.rs.

use super::*;
use crate::header::chart::ChartKind;
use crate::header::parameter::{ParameterDefault, ParameterKind};

const GOOD: &str = "\
-- title: Gifts
-- question: Who gives
--     how much?
-- audience: finance
--
-- parameter: from (date, default first) First day.
-- parameter: by (period, default day) Length of a period.
-- parameter: least (integer, required, least 1, most 9) Smallest group.
-- parameter: kind (text, one of big small, default big) Kind.
-- column: period (date) First day of the period.
-- column: points (points) Points given.
-- chart: line x=period y=points

-- Not header any more: anything goes.
SELECT 1
";

#[test]
fn a_header_says_everything_about_its_report() {
    let header = ReportHeader::parse("gifts.sql", GOOD).unwrap();
    assert_eq!(header.question, "Who gives how much?");
    let kinds: Vec<_> = header.parameters.iter().map(|parameter| parameter.kind).collect();
    assert_eq!(kinds, [ParameterKind::Date, ParameterKind::Period, ParameterKind::Integer, ParameterKind::Text]);
    let allowed: Vec<_> = header.parameters.iter().filter_map(ReportParameter::allowed).collect();
    assert_eq!(allowed, ["from 1 to 9", "big, small"]);
    let defaults: Vec<_> = header.parameters.iter().map(|parameter| parameter.default.clone()).collect();
    let day = ParameterDefault::Value("day".to_owned());
    let big = ParameterDefault::Value("big".to_owned());
    assert_eq!(defaults, [ParameterDefault::First, day, ParameterDefault::Required, big]);
    assert_eq!((header.columns.len(), header.covers_period), (2, false));
    let covers = GOOD.replace("-- chart:", "-- covers: period\n-- chart:");
    assert!(ReportHeader::parse("gifts.sql", &covers).unwrap().covers_period);
    assert_eq!(header.chart.unwrap().kind, ChartKind::Line);
}

#[test]
fn each_fault_names_file_and_line() {
    let cases = [
        ("-- title: Gifts", "-- titel: Gifts", "gifts.sql:1: unknown key \"titel\"; did you mean title?"),
        ("-- title: Gifts", "--     Gifts", "gifts.sql:1: nothing stands above"),
        ("-- title: Gifts", "-- Gifts", "gifts.sql:1: expected `-- key: value`"),
        ("-- title: Gifts\n", "", "gifts.sql:1: the header has no `-- title:`"),
        ("-- audience: finance", "-- audience:", "gifts.sql:4: audience is empty"),
        ("-- audience: finance", "-- audience: a\n-- audience: b", "gifts.sql:5: audience stands there twice"),
        ("-- audience: finance", "-- audience: finance\n-- covers: days", "gifts.sql:5: covers is period, or left out"),
        ("-- parameter: from", "-- covers: period\n-- parameter: since", "gifts.sql:6: a report that covers a period"),
        ("(date, default first)", "(date)", "gifts.sql:6: expected `from (date, required)`"),
        ("(date, default first)", "(dat, required)", "gifts.sql:6: \"dat\" is not known here"),
        ("(date, default first)", "(date, default 2026-02-30)", "gifts.sql:6: \"2026-02-30\" is not a date"),
        ("default day", "default hour", "gifts.sql:7: \"hour\" is not a period"),
        ("-- chart:", "-- figures: period sum\n-- chart:", "gifts.sql:12: period is of the unit date"),
        ("default big", "default huge", "gifts.sql:9: \"huge\" is not one of big, small"),
        ("least 1, most 9", "least 1, most many", "gifts.sql:8: \"many\" is not a whole number"),
        ("(integer, required, least 1, most 9)", "(integer, default 10, most 9)", "gifts.sql:8: 10 is not 9 or less"),
        ("(period, default day)", "(period, default day, least 1)", "gifts.sql:7: expected `by (period, required)`"),
        ("parameter: by", "parameter: from", "gifts.sql:7: from is declared twice"),
        ("parameter: by", "parameter: By", "gifts.sql:7: the name \"By\""),
        ("First day of the period.", "", "gifts.sql:10: period has no description"),
        ("points (points)", "points (miles)", "gifts.sql:11: \"miles\" is not known here"),
        ("y=points", "y=pints", "gifts.sql:12: the chart uses the column \"pints\""),
        ("line x=period", "line", "gifts.sql:12: a chart needs x=column and y=column"),
        ("line x=period", "pie x=period", "gifts.sql:12: \"pie\" is not known here"),
        ("line x=period", "heatmap x=period", "gifts.sql:12: a heat map needs x=, y= and value="),
        ("y=points", "y=points value=points", "gifts.sql:12: only a heat map has value="),
    ];
    for (good, bad, expected) in cases {
        let message = ReportHeader::parse("gifts.sql", &GOOD.replace(good, bad)).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{bad:?} gave {message:?}, expected {expected:?}");
    }
    assert!(ReportHeader::parse("gifts.sql", "SELECT 1").unwrap_err().to_string().contains("no `-- column:`"));
}

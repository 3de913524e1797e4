//! Reports as XLSX, Markdown and HTML, read back.

use std::io::Cursor;

use arrow::array::ArrayRef;
use calamine::{Data, DataType as _, Reader as _, Xlsx};
use chrono::NaiveDate;

use super::*;
use crate::header::chart::{Chart, ChartKind};
use crate::header::column::{ReportColumn, Unit};
use crate::header::figure::{FigureKind, ReportFigure};
use crate::output::writer::write_report;
use crate::report::figures::figures;
use crate::testing::provenance;

/// Texts that do harm where they are interpreted.
pub(super) const HOSTILE: [&str; 9] = [
    "=1+1",
    "+cmd|' /C calc'!A0",
    "@SUM(A1:A9)",
    "-2+3",
    "<script>alert(1)</script>",
    "\" onmouseover=\"x\u{1b}[31m\u{202e}",
    "| a | b |\r\n\tc",
    "../../x %00 a=b/c 🚓",
    "]]></text></svg>&lt;",
];

fn column(name: &str, unit: Unit) -> ReportColumn {
    ReportColumn { name: name.to_owned(), unit, description: format!("Meaning of {name}.") }
}

/// A report with one row per day and kind.
pub(super) fn report(days: i32, kinds: &[&str], chart: Option<Chart>) -> ReportResult {
    let rows: Vec<(i32, usize)> = (0..days).flat_map(|day| (0..kinds.len()).map(move |kind| (day, kind))).collect();
    let number = |(day, kind): &(i32, usize)| i64::from(*day) * 1_000 + i64::try_from(*kind).unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("period", Arc::new(rows.iter().map(|row| Some(20_758 + row.0)).collect::<Date32Array>())),
        ("kind", Arc::new(rows.iter().map(|row| Some(kinds[row.1])).collect::<StringArray>())),
        ("points", Arc::new(rows.iter().map(number).collect::<Int64Array>())),
        (
            "amount_cents",
            Arc::new(rows.iter().map(|row| (row.1 == 0).then(|| number(row) * 25)).collect::<Int64Array>()),
        ),
        ("share", Arc::new(rows.iter().map(|row| Some(f64::from(row.0) / 8.0)).collect::<Float64Array>())),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
    let batch = batch.unwrap();
    ReportResult {
        title: "Gifts <b>".to_owned(),
        question: "Who gives | how much?".to_owned(),
        audience: "finance".to_owned(),
        chart,
        figures: Vec::new(),
        columns: vec![
            column("period", Unit::Date),
            column("kind", Unit::Text),
            column("points", Unit::Points),
            column("amount_cents", Unit::Cents),
            column("share", Unit::Share),
        ],
        is_cut: false,
        schema: batch.schema(),
        batches: vec![batch],
        provenance: provenance(),
    }
}

pub(super) fn chart(kind: ChartKind) -> Option<Chart> {
    let named = |name: &str| Some(name.to_owned());
    let (y, series, value) = match kind {
        ChartKind::Heatmap => ("kind", None, named("points")),
        ChartKind::Bar | ChartKind::Line => ("points", named("kind"), None),
    };
    Some(Chart { kind, x: "period".to_owned(), y: y.to_owned(), series, value, without: None })
}

fn bytes(result: &ReportResult, format: OutputFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_report(result, format, &mut bytes).unwrap();
    bytes
}

fn page(result: &ReportResult) -> String {
    String::from_utf8(bytes(result, OutputFormat::Html)).unwrap()
}

#[test]
fn a_workbook_has_typed_cells_in_units() {
    let result = report(2, &["charity", "=1+1"], chart(ChartKind::Line));
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes(&result, OutputFormat::Xlsx))).unwrap();
    assert_eq!(workbook.sheet_names(), ["Gifts <b>", "Chart", "Provenance"]);
    let sheet = workbook.worksheet_range("Gifts <b>").unwrap();
    let row = |row: u32| -> Vec<Data> { (0..5).map(|at| sheet.get_value((row, at)).unwrap().clone()).collect() };
    let text = |text: &str| Data::String(text.to_owned());
    let heading = ["Period", "Kind", "Points", "Amount (US dollars)", "Share"].map(text);
    assert_eq!(row(0), heading);
    let third = row(3);
    assert_eq!(third[0].as_date(), NaiveDate::from_ymd_opt(2026, 11, 2));
    assert_eq!(&third[1..], [text("charity"), Data::Float(1_000.0), Data::Float(250.0), Data::Float(0.125)]);
    assert_eq!(row(2)[1], text("=1+1"));
    assert_eq!(row(2)[3], Data::Empty);
    assert!(workbook.worksheet_formula("Gifts <b>").unwrap().is_empty(), "text is never a formula");
    let about = workbook.worksheet_range("Provenance").unwrap();
    let lines: Vec<String> = about.rows().map(|row| format!("{}|{}", row[0], row[1])).collect();
    for line in
        ["Question|Who gives | how much?", "Points|Meaning of points.", "Tables read|transactions version 12", "Rows|4"]
    {
        assert!(lines.iter().any(|known| known == line), "{line} is not in {lines:?}");
    }
}

#[test]
fn a_number_too_long_for_spreadsheets_is_text() {
    let mut result = report(1, &["a", "b"], None);
    let exact: ArrayRef = Arc::new(Int64Array::from(vec![9_007_199_254_740_993, 999_999_999_999_999]));
    let mut columns = result.batches[0].columns().to_vec();
    columns[2] = exact;
    result.batches = vec![RecordBatch::try_new(Arc::clone(&result.schema), columns).unwrap()];
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes(&result, OutputFormat::Xlsx))).unwrap();
    let sheet = workbook.worksheet_range_at(0).unwrap().unwrap();
    assert_eq!(sheet.get_value((1, 2)).unwrap(), &Data::String("9,007,199,254,740,993".to_owned()));
    assert_eq!(sheet.get_value((2, 2)).unwrap(), &Data::Float(999_999_999_999_999.0));
    let about = workbook.worksheet_range("Provenance").unwrap();
    assert!(about.rows().any(|row| row[0].get_string() == Some("Long numbers")));
}

#[test]
fn totals_stand_below_the_rows_and_figures_above() {
    let mut result = report(2, &["charity", "family"], None);
    let sum = |column: &str| ReportFigure { column: column.to_owned(), kind: FigureKind::Sum };
    result.figures = figures(&[sum("points"), sum("amount_cents")], &result.columns, &result.batches).unwrap();
    let text = |format| String::from_utf8(bytes(&result, format)).unwrap();
    let page = text(OutputFormat::Html);
    assert!(page.contains("<div><dt>Points</dt><dd>2,002</dd></div>"), "{page}");
    let foot = "<tfoot><tr><th scope=\"row\">Total</th><td></td><td class=\"figure\">2,002</td><td class=\"figure\">$250.00</td>";
    assert!(page.contains(foot), "{page}");
    let markdown = text(OutputFormat::Markdown);
    assert!(markdown.contains("- Points: **2,002**\n"), "{markdown}");
    assert!(markdown.contains("| **Total** |  | **2,002** | **\\$250.00** |"), "{markdown}");
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes(&result, OutputFormat::Xlsx))).unwrap();
    let formulas = workbook.worksheet_formula("Gifts <b>").unwrap();
    assert_eq!(formulas.get_value((5, 2)).unwrap(), "SUM(C2:C5)");
    assert_eq!(formulas.get_value((5, 3)).unwrap(), "SUM(D2:D5)");
    let sheet = workbook.worksheet_range("Gifts <b>").unwrap();
    assert_eq!(sheet.get_value((5, 0)).unwrap(), &Data::String("Total".to_owned()));
    assert_eq!(sheet.get_value((5, 2)).unwrap().as_f64(), Some(2_002.0));
    // Without rows there is nothing to add up.
    let mut empty = report(0, &[], None);
    empty.figures = figures(&[sum("points")], &empty.columns, &empty.batches).unwrap();
    assert!(!String::from_utf8(bytes(&empty, OutputFormat::Html)).unwrap().contains("<tfoot>"));
}

#[test]
fn workbook_texts_are_cut_by_utf_16() {
    let long = "😀".repeat(20_000);
    let mut result = report(1, &["a", &long], chart(ChartKind::Bar));
    result.title.clone_from(&long);
    result.question.clone_from(&long);
    result.columns[1].description.clone_from(&long);
    result.columns[2].name.clone_from(&long);
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes(&result, OutputFormat::Xlsx))).unwrap();
    for (name, sheet) in workbook.worksheets() {
        assert!(name.encode_utf16().count() <= 31, "{name}");
        let texts = sheet.cells().filter_map(|(_, _, cell)| cell.get_string());
        assert!(texts.map(|text| text.encode_utf16().count()).max().unwrap() <= 32_000, "{name}");
    }
    let about = workbook.worksheet_range("Provenance").unwrap();
    assert!(about.rows().any(|row| row[0].get_string() == Some("Long texts")));
}

#[test]
fn hostile_text_stays_text_in_every_document() {
    let mut result = report(1, &HOSTILE, chart(ChartKind::Bar));
    result.title = HOSTILE.concat();
    let html = page(&result);
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains(['\u{1b}', '\u{202e}']));
    assert!(!html.contains("</svg>&"), "a name does not end the picture");
    // Outside of quotes it would be an attribute of its own.
    let unquoted = |tag: &str| tag.split('>').next().unwrap().split('"').step_by(2).collect::<String>();
    assert!(!html.split('<').skip(1).any(|tag| unquoted(tag).contains("onmouseover")));
    let markdown = String::from_utf8(bytes(&result, OutputFormat::Markdown)).unwrap();
    assert_eq!(markdown.matches('<').count(), markdown.matches("\\<").count(), "{markdown}");
    assert!(!markdown.contains("\\_") && !markdown.contains(['\u{1b}', '\u{202e}']), "{markdown}");
    let rows = markdown.lines().filter(|line| line.starts_with("| 2026")).count();
    assert_eq!(rows, HOSTILE.len(), "no text begins a row of its own:\n{markdown}");
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes(&result, OutputFormat::Xlsx))).unwrap();
    for name in workbook.sheet_names() {
        assert!(workbook.worksheet_formula(&name).unwrap().is_empty(), "{name}");
    }
    let csv = String::from_utf8(bytes(&result, OutputFormat::Csv)).unwrap();
    for marked in ["'=1+1", "'+cmd|' /C calc'!A0", "'@SUM(A1:A9)", "'-2+3"] {
        assert!(csv.contains(&format!(",{marked},")), "{marked} is not in {csv}");
    }
}

#[test]
fn a_page_is_complete_and_self_contained() {
    for kind in [ChartKind::Line, ChartKind::Bar, ChartKind::Heatmap] {
        let html = page(&report(30, &["charity", "family_in_need"], chart(kind)));
        for forbidden in ["http:", "https:", " src=", "<script", "url(", "@import", "<link", "javascript:"] {
            assert!(!html.contains(forbidden), "{forbidden}: {html}");
        }
        for part in [
            "<h1>Gifts &lt;b&gt;</h1>",
            "Who gives | how much?",
            "role=\"img\"",
            "<title id=\"chart-title\">",
            "<desc id=\"chart-description\">",
            "<caption>60 rows</caption>",
            "<th scope=\"col\">Period</th>",
            "<th scope=\"row\">2026-11-01</th>",
            "<td class=\"figure\">29,001</td>",
            "<td class=\"figure\">$7,250.00</td>",
            "<td class=\"figure\">12.5%</td>",
            "<dt>Amount (US dollars)</dt><dd>Meaning of amount_cents.</dd>",
            "<dt>Tables read</dt><dd>transactions version 12</dd>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(html.find("<figure").unwrap() < html.find("<table>").unwrap(), "the table is beneath the chart");
    }
}

#[test]
fn an_empty_report_says_so_without_a_chart() {
    let html = page(&report(0, &["a"], chart(ChartKind::Line)));
    assert!(html.contains("There is nothing in this period.") && !html.contains("<svg") && !html.contains("<table"));
    let markdown = String::from_utf8(bytes(&report(0, &["a"], None), OutputFormat::Markdown)).unwrap();
    assert!(markdown.contains("There is nothing in this period."));
    let mut workbook: Xlsx<_> =
        Xlsx::new(Cursor::new(bytes(&report(0, &["a"], chart(ChartKind::Bar)), OutputFormat::Xlsx))).unwrap();
    assert_eq!(workbook.worksheet_range_at(0).unwrap().unwrap().height(), 1);
}

#[test]
fn a_long_page_says_it_is_cut() {
    let result = report(1_500, &["a", "b"], None);
    let mut page = Vec::new();
    assert_eq!(write_report(&result, OutputFormat::Html, &mut page).unwrap(), 2_000);
    let html = String::from_utf8(page).unwrap();
    assert!(html.contains("The first 2,000 rows; the CSV, JSON and Parquet files have them all."));
    assert_eq!(html.matches("<tr>").count(), 2_001);
}

#[test]
fn every_format_repeats_the_same_bytes() {
    let result = report(40, &HOSTILE, chart(ChartKind::Line));
    for format in OutputFormat::ALL {
        assert_eq!(bytes(&result, format), bytes(&result, format), "{format}");
    }
}

#[test]
fn more_rows_than_a_sheet_has_are_refused() {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..1_048_576));
    let batch = RecordBatch::try_from_iter([("n", numbers)]).unwrap();
    let mut writer = ResultWriter::new(OutputFormat::Xlsx, &batch.schema(), Vec::new()).unwrap();
    let message = crate::testing::chain(&writer.write(&batch).unwrap_err());
    assert!(message.contains("1,048,575 rows"), "{message}");
}

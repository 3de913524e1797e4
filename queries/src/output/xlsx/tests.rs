#![allow(clippy::unwrap_used)]

use super::*;

#[test]
fn a_sheet_has_a_name_that_it_may_have() {
    for (title, expected) in [
        ("Donations", "Donations"),
        ("A/B [2026]: '*?\\", "AB 2026"),
        ("chart", "Rows"),
        ("", "Rows"),
        ("A title that is longer than a sheet's name may be", "A title that is longer than a s"),
    ] {
        assert_eq!(sheet_name(title), expected);
    }
}

#[test]
fn a_text_longer_than_a_cell_is_cut() {
    let mut workbook = Workbook::new();
    let sheet = workbook.add_worksheet();
    let column = DocumentColumn {
        name: String::new(),
        label: String::new(),
        meaning: None,
        style: Style::Text,
        is_additive: false,
    };
    let mut departures = Departures::default();
    let target = Target { sheet, row: 0, at: 0, format: &Format::new() };
    target.write(&column, &Cell::Text("é".repeat(40_000)), &mut departures).unwrap();
    assert_eq!(departures.long_texts, 1);
}

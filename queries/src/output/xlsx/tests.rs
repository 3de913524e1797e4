#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use super::*;

#[test]
fn a_sheet_name_is_a_valid_one() {
    for (title, expected) in [
        ("Donations", "Donations"),
        ("A/B [2026]: '*?\\", "AB 2026"),
        ("chart", "Rows"),
        ("", "Rows"),
        ("😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀", "😀😀😀😀😀😀😀😀😀😀😀😀😀😀😀"),
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
    // 32,760 UTF-16 units, two for each character: they are cut like 32,760 letters.
    for (row, text) in ["é".repeat(40_000), "😀".repeat(16_380), "😀".repeat(16_000)].into_iter().enumerate() {
        let target = Target { sheet: &mut *sheet, row: row as u32, at: 0, format: &Format::new() };
        target.write(&column, &Cell::Text(text), &mut departures).unwrap();
    }
    assert_eq!(departures.long_texts, 2);
}

//! CSV for spreadsheets: a `'` goes before a text that a spreadsheet would take for a formula.
//!
//! The rule is OWASP's (CSV injection), for texts that begin with `=`, `+`, `-`, `@`, a tab, a carriage return or a line
//! feed, and goes two steps further: the full-width forms of those signs count, and so does a sign behind characters that
//! a program may skip (quotes, blanks, control characters, byte-order and direction marks).
//!
//! If the separator of lists is `;` or a tab, a spreadsheet splits a text at those too, and at its line breaks, because
//! the quotes around a field are then in the middle of a cell. So the rule is applied to each such part of a text. A
//! text is not split at `,`: that is the written separator, and a text with a `,` is in quotes.
//!
//! The rule can be undone: every marked text or part begins with the added `'`, and removing it gives back the value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// Whether a spreadsheet may calculate a text with this beginning, or it is an escaped text of that kind.
fn is_formula(text: &str) -> bool {
    text.trim_start_matches('\'').starts_with(['\t', '\r', '\n']) || is_signed(text)
}

/// Whether the first character that a spreadsheet sees can begin a formula.
fn is_signed(text: &str) -> bool {
    let skipped = |character: char| {
        matches!(character, '\'' | '"')
            || character.is_whitespace()
            || character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.trim_start_matches(skipped).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

/// The parts of a text, each with its separator at the end, and whether it has to be marked.
fn marked_parts(text: &str) -> impl Iterator<Item = (bool, &str)> {
    let parts = text.split_inclusive([';', '\t', '\r', '\n']);
    parts.enumerate().map(|(at, part)| (if at == 0 { is_formula(part) } else { is_signed(part) }, part))
}

/// Whether the text or a part of it has to be marked.
fn is_unsafe(text: &str) -> bool {
    marked_parts(text).any(|(is_marked, _)| is_marked)
}

/// The text in a form that spreadsheets do not calculate.
fn escaped(text: &str) -> String {
    marked_parts(text).flat_map(|(is_marked, part)| [if is_marked { "'" } else { "" }, part]).collect()
}

/// The schema with its column names escaped.
pub(crate) fn escape_names(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_name(escaped(field.name())));
    Schema::new(fields.collect::<Vec<_>>())
}

/// Escapes every column of text; all other columns stay as they are.
pub(crate) fn escape(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in escape_names(&batch.schema()).fields().iter().zip(batch.columns()) {
        match escaped_texts(column)? {
            Some(texts) => {
                fields.push(Arc::new(Field::new(field.name(), DataType::Utf8, true)));
                columns.push(texts);
            }
            None => {
                fields.push(Arc::clone(field));
                columns.push(Arc::clone(column));
            }
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// `None` for a column that is not text, or has nothing to escape.
fn escaped_texts(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    let is_text = match column.data_type() {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string(),
    };
    if !is_text {
        return Ok(None);
    }
    let texts = cast(column, &DataType::Utf8)?;
    let Some(texts) = texts.as_string_opt::<i32>() else { return Ok(None) };
    if !texts.iter().flatten().any(is_unsafe) {
        return Ok(None);
    }
    Ok(Some(Arc::new(texts.iter().map(|text| text.map(escaped)).collect::<StringArray>())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_spreadsheets_would_calculate_is_marked() {
        for text in [
            "=1+1",
            "+1",
            "-2+3",
            "@SUM(A1)",
            "\t1",
            "\r1",
            "\n1",
            " =1",
            "\u{feff}=1",
            "\u{0}=1",
            "\u{202e}=1",
            "＝1",
            "'=1",
            "=cmd|' /C calc'!A0",
            "=HYPERLINK(\"http://x\",\"y\")",
        ] {
            assert_eq!(escaped(text), format!("'{text}"), "{text:?}");
        }
        for text in [
            "",
            "a=1",
            "'t Hooft",
            "5",
            "a\tb",
            "../../x",
            "<b>",
            "%00",
            "a=b/c",
            "🚓",
            "{\"a\":1}",
            "[1,-2]",
            "a; b",
            "Hello, -5 degrees",
            "a\nb",
            "a;\t\r\n;",
        ] {
            assert_eq!(escaped(text), text, "{text:?}");
            assert!(!is_unsafe(text), "{text:?}");
        }
    }

    #[test]
    fn a_part_behind_a_separator_is_marked() {
        for (text, expected) in [
            ("x;=1+1", "x;'=1+1"),
            ("x\t=1+1", "x\t'=1+1"),
            ("x\n=1+1", "x\n'=1+1"),
            ("x\r\n@a;y", "x\r\n'@a;y"),
            ("x; \"=1", "x;' \"=1"),
            (";=1", ";'=1"),
            ("\t=1", "'\t'=1"),
            (" \n=1", " \n'=1"),
            ("=1;+2;3;-4", "'=1;'+2;3;'-4"),
            ("x;;=1", "x;;'=1"),
        ] {
            assert_eq!(escaped(text), expected, "{text:?}");
            assert!(is_unsafe(text), "{text:?}");
        }
    }

    #[test]
    fn the_rule_can_be_undone() {
        let undone = |text: &str| -> String {
            marked_parts(text).map(|(is_marked, part)| &part[usize::from(is_marked)..]).collect()
        };
        for text in [
            "=1",
            "'=1",
            "''=1",
            "'t Hooft",
            "a",
            "",
            "-",
            "\u{feff}@",
            "a;=1",
            "a;'=1",
            ";",
            "\t=1",
            "\n\n=1;'+2",
            "'\t=",
            "\ta",
            "'\ta",
            " \n=1",
        ] {
            assert_eq!(undone(&escaped(text)), text, "{text:?}");
        }
    }
}

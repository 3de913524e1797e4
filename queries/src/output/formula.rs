//! CSV for spreadsheets: a text that a spreadsheet would take for a formula gets a `'` before it.
//!
//! The rule is OWASP's (CSV injection), for texts that begin with `=`, `+`, `-`, `@`, a tab, a carriage return or a line
//! feed, and goes two steps further: the full-width forms of those signs count, and so does a sign behind characters that
//! a program may skip (blanks, control characters, byte-order and direction marks). It can be undone: a text to which the
//! rule applies begins with the added `'`, so that taking away the first character gives back the value.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// Whether a spreadsheet may calculate the text, or an escaped text is such a one.
fn is_formula(text: &str) -> bool {
    if text.starts_with(['\t', '\r', '\n']) {
        return true;
    }
    let skipped = |character: char| {
        character == '\''
            || character.is_whitespace()
            || character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    text.trim_start_matches(skipped).starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠'])
}

/// The text as a cell that no spreadsheet calculates.
fn escaped(text: &str) -> String {
    if is_formula(text) { format!("'{text}") } else { text.to_owned() }
}

/// The schema with its column names escaped.
pub(super) fn escape_names(schema: &Schema) -> Schema {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_name(escaped(field.name())));
    Schema::new(fields.collect::<Vec<_>>())
}

/// Escapes every column of text; numbers, dates and whatever else stay as they are.
pub(super) fn escape(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
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
    if !texts.iter().flatten().any(is_formula) {
        return Ok(None);
    }
    Ok(Some(Arc::new(texts.iter().map(|text| text.map(escaped)).collect::<StringArray>())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_calculate_is_marked_and_nothing_else() {
        for text in [
            "=1+1",
            "+1",
            "-2+3",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
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
        for text in ["", "a=1", "'t Hooft", "5", "a\tb", "../../x", "<b>", "%00", "a=b/c", "🚓", "{\"a\":1}"] {
            assert_eq!(escaped(text), text, "{text:?}");
        }
    }

    #[test]
    fn the_rule_can_be_undone() {
        let undone = |text: &str| if is_formula(text) { text.chars().skip(1).collect() } else { text.to_owned() };
        for text in ["=1", "'=1", "''=1", "'t Hooft", "a", "", "-", "\u{feff}@"] {
            assert_eq!(undone(&escaped(text)), text, "{text:?}");
        }
    }
}

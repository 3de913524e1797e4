//! A document as Markdown with a GitHub table. Text that Markdown or HTML would interpret is escaped.

use std::fmt::Write as _;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

use crate::output::document::{Document, DocumentColumn};
use crate::output::table::TABLE_ROWS_MAX;
use crate::text::cells::Cells;
use crate::text::visible::visible;

/// The document's text, and how many rows it has.
pub(super) fn render(document: &Document, batches: &[RecordBatch]) -> Result<(usize, Vec<u8>), ArrowError> {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = head(&mut text, document);
    let total: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let shown = total.min(TABLE_ROWS_MAX);
    let (mut left, cuts) = (shown, document.cuts());
    for batch in batches {
        let cells = Cells::new(&batch.slice(0, batch.num_rows().min(left)))?;
        left -= cells.rows();
        for row in 0..cells.rows() {
            let cut = cuts.of(&cells, row).map(|cut| format!(" ({cut})")).unwrap_or_default();
            let values = document.columns.iter().zip(cells.row(row)).enumerate();
            let words = values.map(|(at, (column, cell))| {
                let mark = if at == 0 { cut.as_str() } else { "" };
                format!("{}{mark}", escaped(&column.style.text(&cell)))
            });
            table_row(&mut text, words);
        }
    }
    if let Some(totals) = document.totals.as_ref().filter(|_| shown > 0) {
        let values = document.columns.iter().zip(totals).map(|(column, cell)| bold(&column.style.text(cell)));
        let words =
            values.enumerate().map(|(at, value)| if at == 0 && value.is_empty() { bold("Total") } else { value });
        table_row(&mut text, words);
    }
    let _ = foot(&mut text, document, shown, total);
    Ok((shown, text.into_bytes()))
}

fn head(text: &mut String, document: &Document) -> std::fmt::Result {
    writeln!(text, "# {}\n", escaped(&document.title))?;
    if let Some(question) = &document.question {
        writeln!(text, "{}\n", escaped(question))?;
    }
    if let Some(scope) = &document.scope {
        writeln!(text, "{}\n", escaped(scope))?;
    }
    for figure in &document.figures {
        let before = figure.before.iter().map(|before| format!(" ({})", escaped(before))).collect::<String>();
        writeln!(text, "- {}: {}{before}", escaped(&figure.label), bold(&figure.value))?;
    }
    if !document.figures.is_empty() {
        writeln!(text)?;
    }
    table_row(text, document.columns.iter().map(|column| escaped(&column.label)));
    table_row(text, document.columns.iter().map(|column| alignment(column).to_owned()));
    Ok(())
}

fn bold(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("**{}**", escaped(text)) }
}

fn alignment(column: &DocumentColumn) -> &'static str {
    if column.style.is_figure() { "---:" } else { "---" }
}

fn table_row(text: &mut String, cells: impl Iterator<Item = String>) {
    text.push('|');
    for cell in cells {
        text.push(' ');
        text.push_str(&cell);
        text.push_str(" |");
    }
    text.push('\n');
}

fn foot(text: &mut String, document: &Document, shown: usize, total: usize) -> std::fmt::Result {
    if total == 0 {
        writeln!(text, "\n{}", document.nothing())?;
    } else if shown < total {
        writeln!(text, "\nThe first {shown} rows; CSV, JSON and Parquet have them all.")?;
    }
    if document.columns.iter().any(|column| column.meaning.is_some()) {
        writeln!(text, "\n## Columns\n")?;
        for column in &document.columns {
            let meaning = column.meaning.as_deref().unwrap_or_default();
            writeln!(text, "- **{}**: {}", escaped(&column.label), escaped(meaning))?;
        }
    }
    writeln!(text, "\n## Provenance\n")?;
    if let Some(audience) = &document.audience {
        writeln!(text, "- Made for: {}", escaped(audience))?;
    }
    for (name, value) in &document.provenance {
        writeln!(text, "- {}: {}", escaped(name), escaped(value))?;
    }
    Ok(())
}

/// The text so that Markdown shows it as it is.
fn escaped(text: &str) -> String {
    let text = visible(text);
    let mut escaped = String::with_capacity(text.len());
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        let after = characters.peek().copied().unwrap_or(' ');
        let is_syntax = match character {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '#' | '!' | '@' | '$' => true,
            // Inside a word it has no meaning, as in family_in_need.
            '_' => !(before.is_alphanumeric() && after.is_alphanumeric()),
            // Addresses become links by themselves.
            ':' => after == '/',
            '.' => before.eq_ignore_ascii_case(&'w'),
            _ => false,
        };
        if is_syntax {
            escaped.push('\\');
        }
        escaped.push(character);
        before = character;
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_markdown_would_obey_is_escaped() {
        for (text, expected) in [
            ("family_in_need", "family_in_need"),
            ("_x_ *y*", "\\_x\\_ \\*y\\*"),
            ("a|b\nc", "a\\|b\\\\nc"),
            ("<script>alert(1)</script>", "\\<script\\>alert(1)\\</script\\>"),
            ("[x](javascript:1) ![i](u)", "\\[x\\](javascript:1) \\!\\[i\\](u)"),
            ("https://x www.x.org a@b", "https\\://x www\\.x.org a\\@b"),
            ("&lt; `code` 2026-11-01 1,234.50", "\\&lt; \\`code\\` 2026-11-01 1,234.50"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}

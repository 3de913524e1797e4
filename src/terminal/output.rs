//! Results to standard output (or a file): tables for people, JSON for programs.

use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use bluelake_lake::WholeFile;
use bluelake_queries::{Since, is_obeyed};
use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::terminal::failure::ReaderGone;

/// Writes text as it is, with a newline behind it.
///
/// # Errors
/// [`ReaderGone`] when standard output was closed by its reader.
pub(crate) fn line(text: impl AsRef<str>) -> Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{}", text.as_ref()).and_then(|()| output.flush()).map_err(closed)
}

/// Writes a value as indented JSON.
///
/// # Errors
/// As [`line`], and when the value cannot be written as JSON.
pub(crate) fn json(value: &impl Serialize) -> Result<()> {
    line(serde_json::to_string_pretty(value).context("cannot write the result as JSON")?)
}

/// Turns a failed write to standard output into an error that `main` knows.
fn closed(error: io::Error) -> anyhow::Error {
    if error.kind() == ErrorKind::BrokenPipe {
        anyhow::Error::new(ReaderGone)
    } else {
        anyhow::Error::new(error).context("cannot write to standard output")
    }
}

/// As [`closed`], for an error that has the failed write somewhere among its causes. Only for work whose one pipe is
/// standard output.
pub(crate) fn or_closed(error: anyhow::Error) -> anyhow::Error {
    let is_closed = |cause: &(dyn std::error::Error + 'static)| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
    };
    if error.chain().any(is_closed) { anyhow::Error::new(ReaderGone) } else { error }
}

/// Since when a result counts, in words.
pub(crate) fn since(since: &Since) -> String {
    format!("since {}: {}", since.first_day, since.in_words())
}

/// Says on standard error since when a result counts that cannot say it itself.
///
/// # Errors
/// When that cannot be written.
pub(crate) fn note_since(found: Option<&Since>) -> Result<()> {
    match found {
        Some(found) => Ok(writeln!(io::stderr(), "{}", since(found))?),
        None => Ok(()),
    }
}

/// Starts to write a file that gets this name when it is complete.
///
/// # Errors
/// When the file cannot be made; the error names it.
pub(crate) fn create(path: &Path) -> Result<WholeFile> {
    WholeFile::create(path).with_context(|| format!("cannot write {}", path.display()))
}

/// Completes the file and gives it its name.
///
/// # Errors
/// When that fails; the error names the file.
pub(crate) fn publish(file: WholeFile) -> Result<()> {
    let path = file.target().to_owned();
    file.publish().with_context(|| format!("cannot write {}", path.display()))
}

/// A table for people. Columns named in `numbers` (by index) are aligned to the right.
pub(crate) fn table<R, C>(header: &[&str], numbers: &[usize], rows: R) -> Table
where
    R: IntoIterator<Item = C>,
    C: IntoIterator<Item = String>,
{
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(header.iter().map(Cell::new));
    for row in rows {
        table.add_row(row.into_iter().map(|text| Cell::new(printable(&text))));
    }
    for index in numbers {
        if let Some(column) = table.column_mut(*index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The text in one line, with every control character replaced: data must not control the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\t' => ' ',
            obeyed if is_obeyed(obeyed) => '\u{fffd}',
            other => other,
        })
        .collect()
}

/// The speed: `2.1 MB in 0.4 s: 10,000 events/s, 4.5 MB/s`.
#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "for people")]
pub(crate) fn rates(events: u64, bytes: u64, elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64().max(0.001);
    let megabytes = bytes as f64 / 1e6;
    let per_second = (events as f64 / seconds).round() as u64;
    format!("{megabytes:.1} MB in {seconds:.1} s: {} events/s, {:.1} MB/s", grouped(per_second), megabytes / seconds)
}

/// A moment for people, in UTC to the second.
pub(crate) fn instant(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// A size in bytes for people, such as `1.2 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// A whole number with separators: 1,234,567.
pub(crate) fn grouped(number: u64) -> String {
    bluelake_queries::whole(number)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(number), text);
        }
    }

    #[test]
    fn escape_sequences_do_not_reach_the_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\u{7}"), "a\u{fffd}[31mb\u{fffd}");
    }
}

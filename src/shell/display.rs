//! The terminal: how wide it is, and whether a text goes through the pager.

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::Result;
use bluelake_queries::OutputFormat;
use comfy_table::Table;

use super::{Shell, pager};
use crate::output;

/// For what is not a terminal, and for terminals that do not say.
const WIDTH: usize = 80;
const HEIGHT: usize = 24;

pub(super) fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Columns and lines of the terminal.
fn size() -> (usize, usize) {
    let known = terminal_size::terminal_size().map(|(width, height)| (usize::from(width.0), usize::from(height.0)));
    known.filter(|(width, height)| *width > 0 && *height > 0).unwrap_or((WIDTH, HEIGHT))
}

pub(super) fn width() -> usize {
    size().0
}

/// A table as wide as the terminal at most, with a newline at its end.
pub(super) fn fitted(mut table: Table) -> String {
    table.set_width(u16::try_from(width()).unwrap_or(u16::MAX)).to_string() + "\n"
}

/// The format that the ending of a file names.
pub(super) fn format_of(path: &Path) -> Option<OutputFormat> {
    path.extension()?.to_str()?.parse().ok()
}

impl Shell<'_> {
    /// Shows a text that ends with a newline, through the pager when it does not fit.
    pub(super) fn show(&self, text: &str) -> Result<()> {
        let (width, height) = size();
        let fits = || text.lines().count() < height && text.lines().all(|line| line.chars().count() <= width);
        if !is_terminal() || !self.display.uses_pager || fits() {
            let mut stdout = std::io::stdout().lock();
            let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
            return written.map_err(|error| output::or_closed(error.into()));
        }
        pager::page(text, height, self.session.config.sql.pager.as_deref())
    }
}

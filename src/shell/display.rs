//! The terminal: its size, and whether a text goes through the pager.

use std::io::{IsTerminal as _, Write as _};

use anyhow::Result;
use comfy_table::Table;

use super::{Shell, pager};
use crate::terminal::output;

/// The width without a terminal, or for a terminal that does not report it.
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

/// A table at most as wide as the terminal, with a newline at its end.
pub(super) fn fitted(mut table: Table) -> String {
    table.set_width(u16::try_from(width()).unwrap_or(u16::MAX)).to_string() + "\n"
}

/// Writes a text to standard output. On a terminal that is too narrow and would break its lines, the text goes through
/// the pager.
///
/// # Errors
/// When standard output cannot be written.
pub(crate) fn show_wide(text: &[u8], configured: Option<&str>) -> Result<()> {
    let (width, height) = size();
    let text = String::from_utf8_lossy(text);
    if is_terminal() && text.lines().any(|line| line.chars().count() > width) {
        return pager::page(&text, height, configured);
    }
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    written.map_err(|error| output::or_closed(error.into()))
}

impl Shell<'_> {
    /// Shows a text that ends with a newline, through the pager when it does not fit.
    pub(super) fn show(&self, text: &str) -> Result<()> {
        let (width, height) = size();
        let configured = self.session.config.sql.pager.as_deref();
        let fits = || text.lines().count() < height && text.lines().all(|line| line.chars().count() <= width);
        if is_terminal() && self.display.uses_pager && !fits() {
            return pager::page(text, height, configured);
        }
        let mut stdout = std::io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        written.map_err(|error| output::or_closed(error.into()))
    }
}

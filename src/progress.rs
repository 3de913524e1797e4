//! Progress bars on standard error; nothing is drawn when that is not a terminal.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that counts events up to a known number.
pub(crate) fn events(message: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(message);
    // The template is a constant; if it could not be parsed, the plain style would do.
    match ProgressStyle::with_template("{msg:24} {bar:30} {human_pos}/{human_len} events, {per_sec}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A counter of events read, whose end nobody knows.
pub(crate) fn reading() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    match ProgressStyle::with_template("{spinner} reading {human_pos} events, {per_sec}, {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

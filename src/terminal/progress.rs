//! Progress bars on standard error; they are drawn only on a terminal.

use std::fmt::Write;

use bluelake_lake::Step;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use crate::terminal::output;

/// A bar that counts events up to a known number.
pub(crate) fn events(message: &'static str, total: u64) -> ProgressBar {
    let bar = ProgressBar::new(total).with_message(message);
    // The template is a constant; if parsing failed, the plain style would do.
    match ProgressStyle::with_template("{msg:24} {bar:30} {human_pos}/{human_len} events, {rate}") {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        Err(_) => bar,
    }
}

/// A bar that counts files up to a number that becomes known later.
pub(crate) fn files(message: &'static str) -> ProgressBar {
    let bar = ProgressBar::new(0).with_message(message);
    match ProgressStyle::with_template("{msg:24} {bar:30} {human_pos}/{human_len} files, {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Draws how far the files are.
pub(crate) fn show(bar: &ProgressBar, step: Step) {
    bar.set_length(u64::try_from(step.of).unwrap_or_default());
    bar.set_position(u64::try_from(step.files).unwrap_or_default());
}

/// A counter of events read, without a known end.
pub(crate) fn reading() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    match ProgressStyle::with_template("{spinner} reading {human_pos} events, {rate}, {elapsed}") {
        Ok(style) => bar.with_style(style.with_key("rate", rate)),
        Err(_) => bar,
    }
}

/// Whole events a second: fractions are of no use.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and this is a picture"
)]
fn rate(state: &ProgressState, text: &mut dyn Write) {
    // Text that cannot be written is missing from the picture.
    let _ = write!(text, "{}/s", output::grouped(state.per_sec() as u64));
}

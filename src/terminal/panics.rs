//! What is printed of a panic: one line that quotes no data.

use std::io::Write as _;
use std::panic::{self, PanicHookInfo};

/// Has every panic of the process told in one line. Text that was put together when it happened is left out: it can quote
/// the value that it came from, and values are personal data.
pub(crate) fn tell_in_one_line() {
    panic::set_hook(Box::new(|panicked| {
        // Nobody is left to tell when standard error is closed.
        let _ = writeln!(std::io::stderr(), "{}", line(panicked));
    }));
}

fn line(panicked: &PanicHookInfo<'_>) -> String {
    let place = panicked.location().map(|location| format!(" at {}:{}", location.file(), location.line()));
    let fixed = panicked.payload().downcast_ref::<&'static str>().map(|text| format!(": {}", text.escape_debug()));
    format!(
        "error: this is a fault of Bluelake, please report it: panicked{}{}",
        place.unwrap_or_default(),
        fixed.unwrap_or_default()
    )
}

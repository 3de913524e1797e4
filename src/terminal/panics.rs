//! The report of a panic: one line that quotes no data.

use std::io::Write as _;
use std::panic::{self, PanicHookInfo};

/// Reports every panic of the process in one line. Formatted text is left out: it can quote the value that caused it,
/// and values are personal data.
pub(crate) fn report_in_one_line() {
    panic::set_hook(Box::new(|panicked| {
        // There is no other place to report to if standard error is closed.
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

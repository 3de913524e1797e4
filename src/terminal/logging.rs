//! Log lines to standard error, as text or JSON: one line a record, whatever its fields hold.

mod filter;

use std::fmt::{self, Debug, Write as _};
use std::io::{self, IsTerminal};
use std::sync::OnceLock;

use anyhow::Result;
use bluelake_queries::is_obeyed;
use tracing::subscriber::set_global_default;
use tracing_subscriber::Layer as _;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt as _;

pub(crate) use filter::LogFilter;

/// The settings of the log.
#[derive(Debug, Clone)]
pub(crate) struct LogSettings {
    /// Which records are written.
    pub(crate) filter: LogFilter,
    /// Lines for people or for machines.
    pub(crate) format: LogFormat,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// One readable line an event.
    Text,
    /// One JSON object an event.
    Json,
}

/// The form of log lines at the start.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// Starts logging for the rest of the process. Records of the `log` crate are dropped: the libraries that write them
/// are not harmless.
///
/// # Errors
/// When logging was started before.
pub(crate) fn start(settings: &LogSettings) -> Result<()> {
    let (filter, highest) = (settings.filter.clone(), settings.filter.highest());
    let enabled = FilterFn::new(move |metadata| filter.enables(metadata.target(), *metadata.level()));
    let enabled = enabled.with_max_level_hint(highest);
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr);
    let registry = tracing_subscriber::registry();
    match settings.format {
        LogFormat::Text => {
            let lines = lines.with_ansi(io::stderr().is_terminal()).fmt_fields(debug_fn(write_field).delimited(" "));
            set_global_default(registry.with(lines.with_filter(enabled)))?;
        }
        LogFormat::Json => set_global_default(registry.with(lines.json().flatten_event(true).with_filter(enabled)))?,
    }
    // Only the first start of a process gets here.
    let _ = FORMAT.set(settings.format);
    if let Some(libraries) = settings.filter.kept_back() {
        tracing::warn!(libraries, "what these libraries log at this level can hold personal data and is never written");
    }
    Ok(())
}

/// The form of log lines, once logging has started.
pub(crate) fn format() -> Option<LogFormat> {
    FORMAT.get().copied()
}

/// Writes a field of a text line: the message as it is, others as `name=value`, control characters escaped.
fn write_field(writer: &mut Writer<'_>, field: &tracing::field::Field, value: &dyn Debug) -> fmt::Result {
    let name = field.name();
    if name != "message" {
        write!(writer, "{name}=")?;
    }
    write!(Escaped(writer), "{value:?}")
}

/// Passes text on and escapes every character that could end the line or control a terminal.
struct Escaped<'a, 'writer>(&'a mut Writer<'writer>);

impl fmt::Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|character| {
            if is_obeyed(character) {
                write!(self.0, "{}", character.escape_default())
            } else {
                self.0.write_char(character)
            }
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_record_is_one_clean_line() {
        let captured = Captured::default();
        let writer = captured.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .fmt_fields(debug_fn(write_field).delimited(" "));
        let nasty = "a\nb\u{1b}[31m\u{202e}\u{9b}";
        tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
            tracing::warn!(shown = %nasty, text = nasty, debugged = ?nasty, "said {nasty}");
        });
        let text = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text.matches('\n').count(), 1, "{text:?}");
        assert!(!text.trim_end().chars().any(is_obeyed), "{text:?}");
        assert!(text.contains("said a\\nb\\u{1b}[31m") && text.contains("shown=a\\nb"), "{text}");
    }
}

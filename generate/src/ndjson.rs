//! Events as lines of a file or pipe.

use std::io::{self, Write};

use bluelake_schemas::Stream;

use crate::GeneratedEvent;

/// Writes the bytes of each event and a line feed, of all streams or of one, and flushes. Returns the lines written.
///
/// Bad events are written as they are: a line need not be JSON, nor UTF-8, but every event is exactly one line.
///
/// # Errors
/// Whatever `out` reports.
pub fn write_ndjson<E, W>(events: E, only: Option<Stream>, out: &mut W) -> io::Result<u64>
where
    E: IntoIterator<Item = GeneratedEvent>,
    W: Write + ?Sized,
{
    let mut lines = 0;
    for event in events {
        if only.is_some_and(|stream| stream != event.stream) {
            continue;
        }
        out.write_all(&event.bytes)?;
        out.write_all(b"\n")?;
        lines += 1;
    }
    out.flush()?;
    Ok(lines)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{EventKind, Generator, GeneratorOptions};

    fn generator() -> Generator {
        Generator::new(GeneratorOptions {
            events: 3_000,
            seed: 5,
            days: 7,
            end: "2026-11-01T00:00:00Z".parse().unwrap(),
            bad_rate: 0.3,
            duplicate_rate: 0.1,
        })
        .unwrap()
    }

    #[test]
    fn every_event_is_one_line() {
        let mut out = Vec::new();
        assert_eq!(write_ndjson(generator(), None, &mut out).unwrap(), 3_000);
        let lines: Vec<Vec<u8>> = generator().map(|event| event.bytes).collect();
        assert_eq!(out.split_inclusive(|byte| *byte == b'\n').count(), 3_000);
        assert!(out.split(|byte| *byte == b'\n').zip(&lines).all(|(line, bytes)| line == bytes));
    }

    #[test]
    fn one_stream_can_be_chosen() {
        let mut out = Vec::new();
        let written = write_ndjson(generator(), Some(Stream::UserEvents), &mut out).unwrap();
        let expected = generator().filter(|event| event.stream == Stream::UserEvents).count();
        assert_eq!(written, u64::try_from(expected).unwrap());
        assert!(generator().any(|event| event.kind == EventKind::Duplicate));
    }
}

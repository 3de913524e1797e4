//! The journal: one NDJSON line for every answer of a put, the oracle of fault tests.
//!
//! An event with an answer has its shard and sequence number. An event whose answer was lost has none: it may be in the
//! stream or not. Such an event is put again, so one event can have several entries.

use std::io::{self, BufRead, Write};

use bluelake_schemas::Stream;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{Error, EventKind, GeneratedEvent, PutOutcome};

/// The intended outcome of the event of a [`JournalEntry`]; see [`EventKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalKind {
    /// Must become one row of its table.
    Good,
    /// Must be rejected.
    Bad,
    /// Must be counted as a duplicate and dropped.
    Duplicate,
}

/// One answer of a put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Identity of the event.
    pub event_id: String,
    /// Stream it was put into.
    pub stream: Stream,
    /// Its intended outcome.
    pub kind: JournalKind,
    /// Expected reason code, for a bad event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// SHA-256 of the record's data, in lower-case hexadecimal.
    pub payload_sha256: String,
    /// Shard that took the record; `None`: the outcome is unknown.
    pub shard: Option<String>,
    /// Sequence number that the record got, a decimal number; `None`: the outcome is unknown.
    pub sequence: Option<String>,
}

impl JournalEntry {
    /// Entry for an answered event.
    pub fn new(event: &GeneratedEvent, outcome: &PutOutcome) -> Self {
        let (kind, reason) = match event.kind {
            EventKind::Good => (JournalKind::Good, None),
            EventKind::Bad(reason) => (JournalKind::Bad, Some(reason.to_owned())),
            EventKind::Duplicate => (JournalKind::Duplicate, None),
        };
        let (shard, sequence) = match outcome {
            PutOutcome::Stored { shard, sequence } => (Some(shard.clone()), Some(sequence.clone())),
            PutOutcome::Unknown => (None, None),
        };
        JournalEntry {
            event_id: event.event_id.clone(),
            stream: event.stream,
            kind,
            reason,
            payload_sha256: payload_sha256(&event.bytes),
            shard,
            sequence,
        }
    }
}

/// SHA-256 of a record's data in lower-case hexadecimal, as a journal has it.
pub fn payload_sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Writes a journal. Buffer the writer only if losing the last entries in a crash does not matter.
#[derive(Debug)]
pub struct JournalWriter<W: Write> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> JournalWriter<W> {
    /// A journal at the present end of `out`.
    pub fn new(out: W) -> Self {
        JournalWriter { out, line: Vec::new() }
    }

    /// Appends one answer, as one write.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn record(&mut self, event: &GeneratedEvent, outcome: &PutOutcome) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, &JournalEntry::new(event, outcome))?;
        self.line.push(b'\n');
        self.out.write_all(&self.line)
    }

    /// Flushes and gives the writer back.
    ///
    /// # Errors
    /// Whatever the writer reports.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads the entries of a journal, in order.
///
/// # Errors
/// Each item that cannot be read or is no entry is an [`Error::Journal`] with its line number.
pub fn read_journal<R: BufRead>(journal: R) -> impl Iterator<Item = Result<JournalEntry, Error>> {
    journal.lines().zip(1_u64..).map(|(text, line)| {
        text.map_err(serde_json::Error::io)
            .and_then(|text| serde_json::from_str(&text))
            .map_err(|source| Error::Journal { line, source })
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn event(kind: EventKind) -> GeneratedEvent {
        GeneratedEvent {
            stream: Stream::TransactionEvents,
            partition_key: "member".to_owned(),
            event_id: "3f3c1b7e-0000-4000-8000-000000000001".to_owned(),
            bytes: b"{}".to_vec(),
            kind,
        }
    }

    #[test]
    fn entries_are_read_as_they_were_written() {
        let stored = PutOutcome::Stored { shard: "shardId-000000000001".to_owned(), sequence: "4".repeat(56) };
        let answers = [
            (event(EventKind::Good), PutOutcome::Unknown),
            (event(EventKind::Good), stored.clone()),
            (event(EventKind::Bad("missing_field")), stored.clone()),
            (event(EventKind::Duplicate), stored),
        ];
        let mut journal = JournalWriter::new(Vec::new());
        for (event, outcome) in &answers {
            journal.record(event, outcome).unwrap();
        }
        let bytes = journal.finish().unwrap();
        let read: Vec<JournalEntry> = read_journal(bytes.as_slice()).map(Result::unwrap).collect();
        let expected: Vec<JournalEntry> =
            answers.iter().map(|(event, outcome)| JournalEntry::new(event, outcome)).collect();
        assert_eq!(read, expected);
        assert_eq!(expected.iter().filter(|entry| entry.sequence.is_none()).count(), 1);
    }

    #[test]
    fn a_torn_line_is_named_by_its_number() {
        let mut journal = JournalWriter::new(Vec::new());
        journal.record(&event(EventKind::Good), &PutOutcome::Unknown).unwrap();
        let mut bytes = journal.finish().unwrap();
        bytes.extend_from_slice(b"{\"event_id\":");
        let error = read_journal(bytes.as_slice()).find_map(Result::err).unwrap();
        assert!(matches!(error, Error::Journal { line: 2, .. }), "{error}");
    }

    #[test]
    fn the_payload_hash_is_plain_sha_256() {
        assert_eq!(payload_sha256(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}

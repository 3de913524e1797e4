//! One generated event: bytes for a stream, and their intended outcome.

use bluelake_schemas::Stream;

/// The intended outcome of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// Must become one row of its table.
    Good,
    /// Must be rejected, with this reason code.
    Bad(&'static str),
    /// Repeats the bytes of an earlier good event, and must be counted and dropped.
    Duplicate,
}

/// Bytes for one Kinesis record, with the generator's knowledge of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GeneratedEvent {
    /// Stream that the event is for.
    pub stream: Stream,
    /// Partition key: id of the member who acts, or of the user that the event is about.
    pub partition_key: String,
    /// Identity of the event. The bytes of a bad event may not contain it.
    pub event_id: String,
    /// The record's data: one line of JSON without a line feed. Bad events are often not JSON, sometimes not UTF-8.
    pub bytes: Vec<u8>,
    /// The intended outcome of the event.
    pub kind: EventKind,
}

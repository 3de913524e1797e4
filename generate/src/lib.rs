//! Deterministic, realistic events of the community points platform, and the truth about them.
//!
//! A [`Generator`] plays a small world from a seed: users join, meet officers, give and spend points, and leave. It
//! yields the bytes that producers would put, some of them bad and some repeated on purpose, and keeps the [`Truth`]:
//! what the lake must say when everything has landed. A [`Producer`] puts the events into Kinesis and reports every
//! answer, so that a [`JournalWriter`] can record where each event went. The same options give the same bytes
//! everywhere.

mod error;
mod event;
mod journal;
mod kinds;
mod ndjson;
mod options;
mod producer;
mod truth;
mod world;

pub use error::Error;
pub use event::{EventKind, GeneratedEvent};
pub use journal::{JournalEntry, JournalKind, JournalWriter, payload_sha256, read_journal};
pub use kinds::{EventType, UserKind, UserStatus};
pub use ndjson::write_ndjson;
pub use options::GeneratorOptions;
pub use producer::{Producer, PutCounts, PutOutcome, RetryPolicy, StreamNames, feed};
pub use truth::{DayTotals, DistinctMembers, Fact, Observed, Party, PointTotals, StreamTotals, Truth, UserTruth};
pub use world::Generator;

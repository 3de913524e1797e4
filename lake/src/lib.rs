//! The tables of the lake: opening, creating and evolving them, and the commit that lands a batch exactly once.
//!
//! Guarantees: a batch happens at one Delta commit or not at all; its positions and its files travel together; a
//! writer whose view of a shard is stale is fenced; nothing is written to a table that fails its self-check.
//! Leaves to others: what an event is (`schemas`), how bytes become rows (`transform`), when to commit (`ingest`).

mod archive;
mod batch;
mod bucket;
mod causes;
mod chain;
mod data_file;
mod document;
mod durable;
mod error;
pub mod failpoint;
mod files;
mod heartbeats;
mod housekeeping;
mod inspect;
mod lake;
mod location;
mod parquet_object;
mod read;
mod recent;
mod rejected;
mod scan;
mod self_check;
mod sequence;
mod settlement;
mod shell_word;
mod stream_identity;
mod stream_table;
mod totals;
mod verify;
mod watermark;

pub use archive::{Archive, ArchiveListing, ArchivedObject, UnreadableObject};
pub use batch::{Batch, Refusal, ShardAdvance, Supplement, Writer, advance};
pub use causes::{causes, one_line};
pub use data_file::DataFile;
pub use document::{
    ArchiveRange, CheckpointDocument, Gap, GapCause, Position, Predecessor, ShardRange, ShardState, archive_shard,
};
pub use error::LakeError;
pub use files::{FileStore, LINK_VALID_MAX, StagedFile};
pub use heartbeats::{FoundHeartbeat, Heartbeat, Heartbeats};
pub use housekeeping::Housekeeping;
pub use inspect::StreamInspection;
pub use lake::{InitOutcome, Lake, REJECTED_EVENTS};
pub use location::LakeLocation;
pub use read::{AsOf, AsOfFault, LakeReading, StreamReading, TableReading};
pub use recent::{RecentEvent, RecentRanges, RejectedPosition, event_ids, recent_events, rejected_positions};
pub use sequence::{NotASequenceNumber, SequenceNumber};
pub use settlement::{NextAct, Trace, next_act, trace};
pub use shell_word::shell_word;
pub use stream_identity::other_stream;
pub use stream_table::{CommitOutcome, NewFile, StreamTable, Uploader};
pub use totals::ControlTotals;
pub use verify::{Check, CheckOutcome, Found, StreamReport, VerifyOptions, VerifyReport, verify};
pub use watermark::SeenInKinesis;

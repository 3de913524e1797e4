//! The tables of the lake: opening, creating and evolving them, and the commit that lands a batch exactly once.
//!
//! Guarantees: a batch happens at one Delta commit or not at all; its positions and its files travel together; a writer
//! with a stale view of a shard is fenced; a table that fails its self-check is not written to. Leaves to others: the
//! definition of events (`schemas`), how bytes become rows (`transform`), when to commit (`ingest`).

mod backoff;
mod causes;
mod checkpoint;
mod commit;
mod error;
pub mod failpoint;
mod layout;
mod maintenance;
mod place;
mod read;
mod verify;

pub use backoff::{Backoff, Chance};
pub use causes::{causes, one_line};
pub use checkpoint::advance::{Batch, Fence, MovedShard, Refusal, ShardAdvance, Supplement, Writer, advance};
pub use checkpoint::data_file::DataFile;
pub use checkpoint::document::{
    ArchiveRange, CheckpointDocument, Commit, Gap, GapCause, Head, Links, Position, RawObject, RawRange, RepairSidecar,
    ShardRange, ShardState, Tally, archive_shard,
};
pub use checkpoint::numbered::{DocumentFault, Predecessor};
pub use checkpoint::sequence::{NotASequenceNumber, SequenceNumber};
pub use checkpoint::settlement::{Trace, trace};
pub use checkpoint::shard_id::ShardId;
pub use checkpoint::stream_identity::other_stream;
pub use checkpoint::totals::{ControlTotals, Repaired};
pub use checkpoint::watermark::SeenInKinesis;
pub use commit::attempt::Attempt;
pub use commit::file_upload::{FileEnd, FileUpload};
pub use commit::housekeeping::{Housekeeper, Housekeeping};
pub use commit::log::version::{LogVersion, LoggedFile, LoggedRemoval};
pub use commit::rejected::follow_rejected;
pub use commit::stream_table::{CommitOutcome, StreamTable};
pub use commit::uploader::{NewFile, Uploader};
pub use error::{LakeError, shell_word};
pub use layout::{REJECTED_EVENTS, day_of, folder_of, partitions_of, stream_of, table_names};
pub use maintenance::attempt::{FoundFile, Proposal, TableView, TaskAttempt};
pub use maintenance::files::{OddFile, TableFile};
pub use maintenance::holdings::{DataObject, Objects, TableHoldings};
pub use maintenance::record::{
    Claim, ContentChange, ContentDigest, MaintenanceRecord, NotAContentDigest, RemovedFile, RowChange, RowsLeft,
    Standing, TaskCounts, TaskKind,
};
pub use maintenance::table::undo::PastTable;
pub use maintenance::table::{MaintainedTable, TaskOutcome};
pub use maintenance::task::{InputFile, Lost, Step, Task, UndoTerms};
pub use maintenance::time::diff::{Change, PartitionDiff, VersionDiff, diff};
pub use maintenance::time::history::{HistoryEntry, HistoryOptions, TableHistory, history};
pub use maintenance::time::what::What;
pub use maintenance::undo::{UndoView, Undone, UndoneSearch};
pub use maintenance::vacuum::deliveries::{DeliveryHint, DeliveryHints};
pub use maintenance::vacuum::{OrphanSearch, VacuumOptions, Vacuumed, plan::GoneFile, vacuum};
pub use place::archive::{Archive, ArchiveListing, ArchivedObject, UnreadableObject};
pub use place::bucket::credentials::KeptCredentials;
pub use place::bucket::lifecycle::Tiers;
pub use place::bucket::tiers::{NoTierClass, TierChange, TierClass, Tiering};
pub use place::files::{FileStore, LINK_VALID_MAX, StagedFile};
pub use place::heartbeats::{FoundHeartbeat, Heartbeat, Heartbeats};
pub use place::lake::{InitOutcome, Lake};
pub use place::location::LakeLocation;
pub use place::stored_file::StoredFile;
pub use place::whole_file::WholeFile;
pub use read::expired::expired_before;
pub use read::feed::{
    Extent, Feed, FeedError, FeedFile, FeedRows, FeedStep, StepBounds, TableChange, Touch, TouchedRow, touched_path,
};
pub use read::inspect::StreamInspection;
pub use read::row_origins::{
    RecentEvent, RecentRanges, RejectedPosition, event_ids, recent_events, rejected_positions,
};
pub use read::versions::{AsOf, AsOfFault, LakeReading, StreamReading, TableReading};
pub use verify::{
    Advice, Check, CheckOutcome, Found, Mend, PartitionCounts, RepairReport, StreamReport, VerifyOptions, VerifyReport,
    repair, replay_records, verify,
};

//! Cares for the lake: small files become large ones, and files that are no longer needed are removed.
//!
//! Guarantees: a compaction leaves the rows of the lake the same, proven by their content before each commit; an expiry
//! takes whole days and counts their rows; a task that was overtaken changes nothing. Leaves to others: how a task is
//! committed and what stands against it, vacuum and repair (`lake`); how rows become a file (`transform`).

mod compaction;
mod error;
mod expiry;
mod keeper;
mod pace;
mod policy;
mod rewrite;
mod status;
mod undo;

pub use compaction::{Compaction, CompactionOptions, Extent, MergedPartition, compact};
pub use error::CareError;
pub use expiry::{Expiry, ExpiryOptions, FILES_A_COMMIT, expire};
pub use keeper::{Surroundings, keep_compact};
pub use policy::{Cause, Merge, Policy, Role};
pub use rewrite::digest::Content;
pub use status::{
    Estimate, FILES_MAX, FileCounts, OpenClaim, PartitionDebt, Prices, SMALL_FILES_MAX, TableStatus, greatest_debt,
};
pub use undo::{UndoPlan, UndoSummary, plan_undo};

//! Archived records: many of them written end to end in one object, by Firehose or by hand. Where each begins and ends,
//! what Firehose wrapped around those that it could not deliver, and what the object is compressed with. Pure.

mod failed;
mod splitter;

pub use failed::FailedRecord;
pub use splitter::{Piece, Splitter, WindowEnd};

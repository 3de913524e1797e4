//! Event bytes to Arrow batches and Parquet bytes, without I/O.
//!
//! Decoding takes records apart and judges each event by the contract, straight from the bytes into Arrow builders;
//! partitioning sorts the rows into the files of a commit, and encoding writes those as Parquet. Nothing here reads a
//! clock, a disk or a network, and no event can make it fail: a bad one is a row of the rejected.

mod archive;
mod batch;
mod cell;
mod column;
mod compression;
mod error;
mod extras;
mod json;
mod judge;
mod kpl;
mod object;
mod opened;
mod parquet_file;
mod partition;
mod plan;
mod reason;
mod record;
mod row_weight;
mod statistics;
mod text;
mod timestamp;

pub use archive::{FailedRecord, LineIndent, Piece, Splitter, WindowEnd, is_binary};
pub use batch::{BatchBuilder, Counts, DecodedBatch, Decoder, RecordPosition};
pub use compression::{UnreadFormat, decompressing};
pub use error::TransformError;
pub use kpl::{AggregatedRecordWriter, hash_key};
pub use opened::OpenedRecord;
pub use parquet_file::{EncodedFile, encode};
pub use partition::{PartitionRows, Partitions, TableLayout};
pub use reason::{ReasonCode, Rejected};

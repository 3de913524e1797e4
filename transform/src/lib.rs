//! Event bytes to Arrow batches and Parquet bytes, without I/O.
//!
//! Decoding takes records apart and judges each event by the contract, straight from the bytes into Arrow builders.
//! Partitioning sorts the rows into the files of a commit, and encoding writes those as Parquet. No code here reads a
//! clock, a disk or a network, and no event can make it fail: a bad event is a rejected row.

mod decode;
mod encode;
mod error;
mod parse;
mod unpack;

pub use decode::decoder::{BatchBuilder, Counts, DecodedBatch, Decoder, RecordPosition};
pub use decode::reason::{ReasonCode, Rejected};
pub use encode::file_writer::{FileOptions, FileWriter, FinishedFile, PART_BYTES};
pub use encode::parquet_file::{EncodedFile, encode, encode_planned};
pub use encode::partition::{PartitionRows, Partitions, PlannedFile, TableLayout};
pub use error::TransformError;
pub use unpack::archive::{FailedRecord, LineIndent, Piece, Splitter, WindowEnd, is_binary};
pub use unpack::compression::{UnreadFormat, decompressing};
pub use unpack::kpl::{AggregatedRecordWriter, hash_key};
pub use unpack::opened::OpenedRecord;

//! Kinesis shards to batches to commits.

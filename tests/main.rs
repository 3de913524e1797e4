//! The whole program from outside: the real binary, the real AWS SDKs, and servers on 127.0.0.1 inside this process.
//!
//! Every test has a working folder, a Kinesis and (where it needs one) an S3 of its own, so tests run side by side.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::print_stderr
)]

mod command;
mod lake_files;
mod oracle;
mod servers;
mod stage;
mod worker;

mod aggregated;
mod archives;
mod backfill;
mod bad_events;
mod cli_errors;
mod contract_grows;
mod demo;
mod describe;
mod exports;
mod failpoints;
mod fan_out;
mod faults_kinesis;
mod faults_process;
mod faults_s3;
mod fleet;
mod gaps;
mod help;
mod ingest_local;
mod ingest_s3;
mod kill_and_restart;
mod known_bugs;
mod lake_verify;
mod many_makes;
mod many_partitions;
mod messages;
mod names;
mod observability;
mod other_stream;
mod privacy;
mod protocol_page;
mod replay;
mod reports;
mod settings;
mod sql_answers;
mod sql_limits;
mod sql_shell;
mod start;
mod unpacked;
mod values;

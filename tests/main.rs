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

mod answers;
mod care;
mod commands;
mod faults;
mod house;
mod landing;
mod shards;
mod supplements;
mod support;

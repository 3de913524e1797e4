//! Delivery to real servers. A test says so when its server is not there.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod erasure;
mod faults;
mod follow;
mod hostile;
mod proof;
mod proxy;
mod redshift;
mod refusals;
mod search;
mod server;
mod world;

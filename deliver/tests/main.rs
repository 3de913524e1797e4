//! Delivery to a real PostgreSQL server: it starts one of the machine's packages, and says so when there is none.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod erasure;
mod faults;
mod follow;
mod hostile;
mod proof;
mod proxy;
mod refusals;
mod search;
mod server;
mod world;

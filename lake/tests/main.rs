//! The exactly-once commit from outside, on a local folder, with lost answers, crashes and foreign hands.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod commit;
mod files;
mod fixture;
mod inspect;
mod maintenance;
mod recent;
mod refusals;
mod stores;
mod upkeep;
mod uploads;
mod verify;

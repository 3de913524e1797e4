//! Every report compared with numbers that were computed another way: in plain Rust from the bytes of generated events,
//! and with the generator's own truth. The views are compared with the results in `tests/slt/*.slt`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::large_futures,
    clippy::type_complexity,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap
)]

mod attack;
mod cases;
mod edges;
mod expected;
mod odd;
mod slt;
mod support;
mod truth;

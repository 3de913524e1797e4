//! The loop of a worker: its options, its memory, its rounds.

pub(crate) mod agenda;
pub(crate) mod options;
pub(crate) mod round;
pub(crate) mod stream_worker;

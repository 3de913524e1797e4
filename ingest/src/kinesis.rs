//! The service: what it answers, which faults it has, and how fast it may be asked.

pub(crate) mod consumer;
pub(crate) mod fault;
pub(crate) mod listed;
pub(crate) mod pace;
pub(crate) mod skew;
pub(crate) mod stream;

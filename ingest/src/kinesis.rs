//! The service: its answers, its faults, and its limits of rate.

pub(crate) mod consumer;
pub(crate) mod fault;
pub(crate) mod listed;
pub(crate) mod pace;
pub(crate) mod skew;
pub(crate) mod stream;

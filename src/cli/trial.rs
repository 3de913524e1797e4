//! Commands to try Bluelake with, on this machine alone.

pub(super) mod demo;
pub(super) mod dev_kinesis;

//! Kills, failing stores and streams, known bugs.

pub(crate) mod failpoints;
pub(crate) mod faults_kinesis;
pub(crate) mod faults_process;
pub(crate) mod faults_s3;
pub(crate) mod kill_and_restart;
pub(crate) mod known_bugs;

//! The base of the tests: servers, processes, the oracle.

pub(crate) mod command;
pub(crate) mod lake_files;
pub(crate) mod oracle;
pub(crate) mod postgres;
pub(crate) mod redshift;
pub(crate) mod s3;
pub(crate) mod search;
pub(crate) mod servers;
pub(crate) mod stage;
pub(crate) mod worker;

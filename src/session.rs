//! The resources of a command: the lake and its settings for AWS, the streams, a query.

pub(crate) mod aws;
pub(crate) mod environment;
pub(crate) mod former_lake;
pub(crate) mod query;
pub(crate) mod secrets;
pub(crate) mod streams;

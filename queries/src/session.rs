//! One DataFusion session over the tables: its views, its plans, and how they run.

pub(crate) mod bytes;
pub(crate) mod constants;
pub(crate) mod dependencies;
pub(crate) mod execute;
pub(crate) mod options;
pub(crate) mod origin;
pub(crate) mod prepared;
pub(crate) mod query_session;
pub(crate) mod relations;
pub(crate) mod shared;
pub(crate) mod since;
pub(crate) mod views;

//! Delivers the tables of the lake to stores of others, and proves that they hold the same.
//!
//! Guarantees: a target holds each row of the lake once, as of one version of each table; its position moves in the same
//! transaction as the rows, or, in a search server, when all of them are settled; what the lake no longer tells in full is
//! loaded anew and never skipped. Leaves to others: what happened to the rows (`lake`), when it runs and how it is watched
//! (`src`).

mod columns;
mod delivery;
mod digest;
mod error;
mod postgres;
mod progress;
mod redshift;
mod search;
mod sql;
mod target;
mod users;

pub use columns::{Columns, NotColumns};
pub use delivery::{Delivered, Delivery, DeliveryOptions, TableDelivered};
pub use digest::{Counts, PartitionDifference, TableVerdict};
pub use error::DeliverError;
pub use postgres::{
    PostgresOptions, PostgresTarget,
    address::{Address, Surroundings},
    reports::{ReportRows, put_report},
};
pub use progress::{DELIVERY_METRICS, DeliveryProgress, TableProgress, describe_delivery_metrics};
pub use redshift::{
    RedshiftOptions, RedshiftTarget,
    address::{RedshiftAddress, checked_role, checked_schema},
};
pub use search::{
    RejectedBound, SearchOptions, SearchTarget,
    address::{SearchAddress, SearchAuth, checked_prefix},
};
pub use target::{Applied, Load, Source, Standing, Target};

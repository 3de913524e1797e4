//! Delivery to Redshift: a Data API of the tests over a real PostgreSQL and an S3 in the process (`data_api.rs`). No Redshift
//! was used. Faults come from the fault proxy before the Data API, and from the database.

pub(crate) mod copy;
mod data_api;
mod execute;
mod faults;
mod follow;
mod hostile;
mod proof;
mod refusals;
#[path = "../../tests/support/s3.rs"]
mod s3;
mod second_parser;
mod translate;
mod warehouse;
mod zombies;

//! Delivery to a search server: `osmem-server`, which `.ci/run` installs, says that it is OpenSearch and keeps everything in
//! memory. Faults come from the fault proxy before it.

mod faults;
mod follow;
mod hostile;
mod opensearch;
mod proof;
mod refusals;
mod server;

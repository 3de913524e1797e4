//! A search server: that of the tests of delivery.

#[path = "../../deliver/tests/search/server.rs"]
#[allow(dead_code)]
mod server;

pub(crate) use server::Server;

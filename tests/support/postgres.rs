//! A PostgreSQL server: that of the tests of delivery.

#[path = "../../deliver/tests/server.rs"]
#[allow(dead_code)]
mod server;

pub(crate) use server::{PASSWORD, Server, value};

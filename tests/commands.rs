//! Every command from outside: help, errors, settings, logs.

pub(crate) mod cli_errors;
pub(crate) mod deliver;
pub(crate) mod deliver_live;
pub(crate) mod deliver_rate;
pub(crate) mod demo;
pub(crate) mod describe;
pub(crate) mod help;
pub(crate) mod messages;
pub(crate) mod observability;
pub(crate) mod privacy;
pub(crate) mod settings;

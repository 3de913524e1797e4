//! Output for people: results, progress, failures, logs.

pub(crate) mod dictionary;
pub(crate) mod failure;
pub(crate) mod form;
pub(crate) mod logging;
pub(crate) mod output;
pub(crate) mod panics;
pub(crate) mod progress;
pub(crate) mod question;

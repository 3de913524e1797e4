//! Bytes of JSON, texts and times, without copies where possible.

pub(crate) mod json;
pub(crate) mod text;
pub(crate) mod timestamp;

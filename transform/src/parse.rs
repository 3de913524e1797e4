//! Bytes of JSON, texts and times, without copies where that can be.

pub(crate) mod json;
pub(crate) mod text;
pub(crate) mod timestamp;

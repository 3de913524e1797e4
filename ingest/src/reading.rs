//! A page of records becomes a chunk of rows: pages by polling or fan-out, what of them is new, decoding.

pub(crate) mod chunk;
pub(crate) mod cursor;
pub(crate) mod decoder;
pub(crate) mod dedup;
pub(crate) mod fan_out;
pub(crate) mod page;
pub(crate) mod pages;
pub(crate) mod polling;
pub(crate) mod reader;

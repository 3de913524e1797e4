//! A result as bytes: one document, and a writer for each format.
//!
//! The model ([`document`]) is the lowest layer; the renderers know only the model; the writer is on top.

pub(crate) mod chart;
pub(crate) mod described;
pub(crate) mod document;
pub(crate) mod document_writer;
pub(crate) mod error;
pub(crate) mod figures;
pub(crate) mod format;
pub(crate) mod html;
pub(crate) mod markdown;
pub(crate) mod table;
pub(crate) mod writer;
pub(crate) mod xlsx;

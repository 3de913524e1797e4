//! Chunks become a commit: the buffer, the files of a flush, and their uploads.

pub(crate) mod buffer;
pub(crate) mod draft;
pub(crate) mod encode;
pub(crate) mod flush;
pub(crate) mod limits;
pub(crate) mod retry;
pub(crate) mod upload;

//! What is wrong with a header.

/// A faulty header of a report or view.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {fault}")]
pub struct HeaderFault {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub fault: String,
}

//! What the documents and the code promise each other.

pub(crate) mod architecture;
pub(crate) mod known_bugs;
pub(crate) mod protocol_page;

//! Documents and code agree.

pub(crate) mod architecture;
pub(crate) mod known_bugs;
pub(crate) mod protocol_page;

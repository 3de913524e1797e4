//! The limits of a query: statements, functions, memory, time.

pub(crate) mod attempt;
pub(crate) mod bounds;
pub(crate) mod cooperation;
pub(crate) mod guard;
pub(crate) mod memory;
pub(crate) mod pass_on;
pub(crate) mod pool;
pub(crate) mod spill;
pub(crate) mod workers;

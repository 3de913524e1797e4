//! Records become rows: each event is judged by the contract, straight into Arrow builders.

pub(crate) mod builders;
pub(crate) mod cell;
pub(crate) mod column;
pub(crate) mod decoder;
pub(crate) mod extras;
pub(crate) mod judge;
pub(crate) mod object;
pub(crate) mod plan;
pub(crate) mod reason;
pub(crate) mod record;
pub(crate) mod row_weight;

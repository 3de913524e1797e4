//! Text: numbers with their units, invisible characters, formulas of spreadsheets, and names that are nearly right.

pub(crate) mod cells;
pub(crate) mod figures;
pub(crate) mod formula;
pub(crate) mod json_text;
pub(crate) mod nearest;
pub(crate) mod time_zone;
pub(crate) mod visible;

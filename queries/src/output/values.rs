//! Values as text: numbers with their units, what cannot be seen, formulas of spreadsheets.

pub(crate) mod cells;
pub(crate) mod figures;
pub(crate) mod formula;
pub(crate) mod json_text;
pub(crate) mod visible;

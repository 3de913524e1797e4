//! How a name is spelt.

use datafusion::sql::sqlparser::ast::Ident;

/// A name in the form that the planner compares.
pub(super) fn normal(name: &Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

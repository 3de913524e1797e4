//! The views of `views/*.sql`: business words over the event tables.
//!
//! A view names its columns one by one, so a column that the contract gains changes nothing. A view whose table is
//! missing is left out, and a question to it says why; the others work.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::view::ViewTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use crate::QueryError;

struct View {
    name: &'static str,
    table: &'static str,
    sql: &'static str,
}

const VIEWS: [View; 5] = [
    View { name: "users", table: "user_events", sql: include_str!("../views/users.sql") },
    View { name: "interactions", table: "transactions", sql: include_str!("../views/interactions.sql") },
    View { name: "donations", table: "transactions", sql: include_str!("../views/donations.sql") },
    View { name: "redemptions", table: "transactions", sql: include_str!("../views/redemptions.sql") },
    View { name: "transfers", table: "transactions", sql: include_str!("../views/transfers.sql") },
];

/// Registers every view that the registered tables allow; returns the others with what they lack.
pub(crate) async fn register(context: &SessionContext) -> Result<BTreeMap<String, String>, QueryError> {
    let mut unavailable = BTreeMap::new();
    for view in &VIEWS {
        if !context.table_exist(view.table).map_err(QueryError::session)? {
            unavailable.insert(view.name.to_owned(), format!("the lake has no table {}", view.table));
        } else if let Err(error) = register_view(context, view).await {
            unavailable.insert(view.name.to_owned(), format!("the table {} does not fit: {error}", view.table));
        }
    }
    Ok(unavailable)
}

async fn register_view(context: &SessionContext, view: &View) -> Result<(), DataFusionError> {
    let plan = context.state().create_logical_plan(view.sql).await?;
    context.register_table(view.name, Arc::new(ViewTable::new(plan, Some(view.sql.to_owned()))))?;
    Ok(())
}

#[cfg(test)]
mod tests;

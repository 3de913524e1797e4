//! The views of `views/*.sql`: business words over the event tables.
//!
//! A view names its columns one by one, so a new column of the contract does not change it. A view without its table is
//! left out, and a query of it says why; the others work.

use std::collections::BTreeMap;
use std::sync::Arc;

use datafusion::catalog::view::ViewTable;
use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use serde::Serialize;

use crate::error::QueryError;
use crate::header::fault::HeaderFault;
use crate::header::view::ViewHeader;
use crate::session::dependencies::{ForgetDependencies, planning_state};

struct View {
    name: &'static str,
    tables: &'static [&'static str],
    sql: &'static str,
}

/// A view, for a dictionary.
#[derive(Clone, Debug, Serialize)]
pub struct ViewDescription {
    /// Its name.
    pub name: &'static str,
    /// What it says about itself.
    #[serde(flatten)]
    pub header: ViewHeader,
}

/// The descriptions of the views, by name.
///
/// # Errors
/// [`HeaderFault`] for a faulty header; a test keeps that from being released.
pub fn describe_views() -> Result<Vec<ViewDescription>, HeaderFault> {
    let describe = |view: &View| {
        let header = ViewHeader::parse(&format!("queries/views/{}.sql", view.name), view.sql)?;
        Ok(ViewDescription { name: view.name, header })
    };
    VIEWS.iter().map(describe).collect()
}

const VIEWS: [View; 8] = [
    View { name: "calendar", tables: &["transactions", "user_events"], sql: include_str!("../../views/calendar.sql") },
    View { name: "donations", tables: &["transactions"], sql: include_str!("../../views/donations.sql") },
    View { name: "interactions", tables: &["transactions"], sql: include_str!("../../views/interactions.sql") },
    View { name: "points_ledger", tables: &["transactions"], sql: include_str!("../../views/points_ledger.sql") },
    View { name: "redemption_items", tables: &["transactions"], sql: include_str!("../../views/redemption_items.sql") },
    View { name: "redemptions", tables: &["transactions"], sql: include_str!("../../views/redemptions.sql") },
    View { name: "transfers", tables: &["transactions"], sql: include_str!("../../views/transfers.sql") },
    View { name: "users", tables: &["user_events"], sql: include_str!("../../views/users.sql") },
];

/// Registers every view whose tables are registered; returns the others with what they lack.
pub(crate) async fn register(context: &SessionContext) -> Result<BTreeMap<String, String>, QueryError> {
    let mut unavailable = BTreeMap::new();
    for view in &VIEWS {
        let mut missing = Vec::new();
        for table in view.tables {
            if !context.table_exist(*table).map_err(QueryError::session)? {
                missing.push(*table);
            }
        }
        if !missing.is_empty() {
            unavailable.insert(view.name.to_owned(), format!("the lake has no table {}", missing.join(", ")));
        } else if let Err(error) = register_view(context, view).await {
            let tables = view.tables.join(", ");
            unavailable.insert(view.name.to_owned(), format!("the table {tables} does not fit: {error}"));
        }
    }
    Ok(unavailable)
}

async fn register_view(context: &SessionContext, view: &View) -> Result<(), DataFusionError> {
    let plan = planning_state(context)?.create_logical_plan(view.sql).await?;
    let plan = ForgetDependencies::over(plan)?;
    context.register_table(view.name, Arc::new(ViewTable::new(plan, Some(view.sql.to_owned()))))?;
    Ok(())
}

#[cfg(test)]
mod tests;

//! The relations of a session: tables and views with their columns.

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::logical_expr::TableType;

use crate::error::NoSuchRelation;
use crate::session::query_session::QuerySession;

/// Whether rows are stored or computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// A table of the lake.
    Table,
    /// A view over the tables.
    View,
}

impl RelationKind {
    /// `table` or `view`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::View => "view",
        }
    }
}

/// A table or view.
#[derive(Clone, Debug)]
pub struct Relation {
    /// Its name in SQL.
    pub name: String,
    /// Stored or computed.
    pub kind: RelationKind,
    /// Its columns.
    pub schema: SchemaRef,
}

impl QuerySession {
    /// The tables and views that can be queried, by name.
    pub async fn relations(&self) -> Vec<Relation> {
        let mut relations = Vec::new();
        for name in self.tables() {
            if let Ok(provider) = self.context.table_provider(name.as_str()).await {
                let is_view = provider.table_type() == TableType::View;
                let kind = if is_view { RelationKind::View } else { RelationKind::Table };
                relations.push(Relation { name, kind, schema: provider.schema() });
            }
        }
        relations
    }

    /// A table or view by name.
    ///
    /// # Errors
    /// [`NoSuchRelation::Unknown`], with the nearest name; [`NoSuchRelation::Unavailable`].
    pub async fn relation(&self, name: &str) -> Result<Relation, NoSuchRelation> {
        let mut relations = self.relations().await;
        let known = |relation: &Relation| relation.name.eq_ignore_ascii_case(name);
        match relations.iter().position(known) {
            Some(at) => Ok(relations.swap_remove(at)),
            None => Err(self.missing(name)),
        }
    }

    /// Names of the functions that can be called, sorted.
    pub fn functions(&self) -> Vec<String> {
        let state = self.context.state();
        let scalar = state.scalar_functions().keys();
        let mut names: Vec<_> =
            scalar.chain(state.aggregate_functions().keys()).chain(state.window_functions().keys()).cloned().collect();
        names.sort();
        names.dedup();
        names
    }
}

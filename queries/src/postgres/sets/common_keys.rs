//! The common column of `JOIN … USING` in a `WHERE`: only there the engine calls it ambiguous.
//!
//! If the column is clear, that of the first table of the join is named in the text. Such names are recognised by their
//! quotes.

use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Expr, Ident, Join, JoinConstraint, JoinOperator, ObjectName, Query, Select, TableFactor, TableWithJoins, VisitMut,
    VisitorMut,
};

/// No quote of any text.
pub(in crate::postgres) const MADE: char = '\u{1}';

/// Names the common columns in the condition of a query.
pub(in crate::postgres) fn name_in_condition(select: &mut Select, normal: fn(&Ident) -> String) {
    let keys: Vec<(Ident, String)> = select.from.iter().flat_map(|from| keys(from, normal)).collect();
    let Some(condition) = &mut select.selection else { return };
    if !keys.is_empty() {
        let ControlFlow::Continue(()) = condition.visit(&mut Namer { keys, normal, depth: 0 }) else { return };
    }
}

/// The common columns of a join of two tables, each with the name of the first.
fn keys(from: &TableWithJoins, normal: fn(&Ident) -> String) -> Vec<(Ident, String)> {
    let ([join], Some(table)) = (from.joins.as_slice(), name(&from.relation)) else { return Vec::new() };
    let Some(columns) = common(join) else { return Vec::new() };
    let column = |column: &ObjectName| column.0.last().and_then(|part| part.as_ident()).map(normal);
    columns.iter().filter_map(|name| Some((table.clone(), column(name)?))).collect()
}

fn common(join: &Join) -> Option<&[ObjectName]> {
    match &join.join_operator {
        JoinOperator::Join(JoinConstraint::Using(columns))
        | JoinOperator::Inner(JoinConstraint::Using(columns))
        | JoinOperator::Left(JoinConstraint::Using(columns))
        | JoinOperator::LeftOuter(JoinConstraint::Using(columns))
        | JoinOperator::Right(JoinConstraint::Using(columns))
        | JoinOperator::RightOuter(JoinConstraint::Using(columns))
        | JoinOperator::FullOuter(JoinConstraint::Using(columns)) => Some(columns),
        _ => None,
    }
}

fn name(table: &TableFactor) -> Option<Ident> {
    match table {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(alias.name.clone())
        }
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).cloned(),
        _ => None,
    }
}

struct Namer {
    keys: Vec<(Ident, String)>,
    normal: fn(&Ident) -> String,
    /// The depth of queries in the condition: names in them may be their own.
    depth: usize,
}

impl VisitorMut for Namer {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.depth = self.depth.saturating_sub(1);
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        if let Expr::Identifier(column) = expr
            && self.depth == 0
            && let Some((table, key)) = self.keys.iter().find(|(_, key)| *key == (self.normal)(column))
        {
            let made = |name: String| Ident { quote_style: Some(MADE), ..Ident::new(name) };
            *expr = Expr::CompoundIdentifier(vec![made((self.normal)(table)), made(key.clone())]);
        }
        ControlFlow::Continue(())
    }
}

//! A name in ORDER BY that is both a column and a result.
//!
//! PostgreSQL takes such a name for the result if it is alone, and for the column within an expression. The engine
//! looks for the column of a grouped query first and ignores casts: `SELECT CAST(x AS VARCHAR) AS a, count(*) AS x …
//! GROUP BY 1 ORDER BY 2` came in the order of `a`. Within an expression it takes the result. So a query whose results
//! have such names is ordered from outside, where only the results are visible, and an expression over such a name is
//! refused.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::sql::sqlparser::ast::{
    Distinct, Expr, OrderByExpr, OrderByKind, Query, Select, SelectItem, SetExpr, Statement, TableFactor, Value, Visit,
    visit_expressions,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::postgres::spelling::normal;

/// The query around the one to be ordered.
const AROUND: &str = "SELECT * FROM (SELECT 1) AS results";

/// Orders a query from outside if its own ORDER BY would mean something else.
///
/// # Errors
/// The reason and another way to write it, if a name cannot be made clear.
pub(in crate::postgres) fn order_by_results(query: &mut Query) -> Result<(), String> {
    let SetExpr::Select(select) = query.body.as_ref() else { return Ok(()) };
    let Some(order) = &query.order_by else { return Ok(()) };
    let OrderByKind::Expressions(keys) = &order.kind else { return Ok(()) };
    let results = Results::of(select);
    for key in keys {
        results.refuse_within(key)?;
    }
    let places: Option<Vec<usize>> = keys.iter().map(|key| results.place(&key.expr)).collect();
    let is_doubted = |key: &OrderByExpr| results.place(&key.expr).is_some_and(|place| results.is_used_elsewhere(place));
    let Some(doubted) = keys.iter().find(|key| is_doubted(key)) else { return Ok(()) };
    if places.is_none() || !results.are_distinct() || matches!(select.distinct, Some(Distinct::On(_))) {
        return Err(format!(
            "ORDER BY {} means a result that has the name of a column: give the result another name",
            doubted.expr
        ));
    }
    order_outside(query).ok_or_else(|| "ORDER BY: the query cannot be ordered from outside".to_owned())
}

fn order_outside(query: &mut Query) -> Option<()> {
    let statement = Parser::parse_sql(&GenericDialect {}, AROUND).ok()?.pop()?;
    let Statement::Query(mut around) = statement else { return None };
    let SetExpr::Select(outer) = around.body.as_mut() else { return None };
    let TableFactor::Derived { subquery, .. } = &mut outer.from.first_mut()?.relation else { return None };
    std::mem::swap(&mut subquery.body, &mut query.body);
    query.body = around.body;
    Some(())
}

/// The results of a query: the name of each, if any, and the names of the columns that it uses.
struct Results {
    names: Vec<Option<String>>,
    /// Whether AS gave the name to something other than a column of that name.
    is_new: Vec<bool>,
    uses: Vec<HashSet<String>>,
    /// The columns of GROUP BY and HAVING.
    grouped_by: HashSet<String>,
}

impl Results {
    fn of(select: &Select) -> Self {
        let mut results = Self { names: Vec::new(), is_new: Vec::new(), uses: Vec::new(), grouped_by: HashSet::new() };
        for item in &select.projection {
            let (name, is_new, uses) = match item {
                SelectItem::ExprWithAlias { expr, alias } => {
                    let name = normal(alias);
                    let is_new = column(expr).is_none_or(|column| column != name);
                    (Some(name), is_new, used(expr))
                }
                SelectItem::UnnamedExpr(expr) => (column(expr), false, used(expr)),
                _ => (None, false, HashSet::new()),
            };
            results.names.push(name);
            results.is_new.push(is_new);
            results.uses.push(uses);
        }
        results.grouped_by = used(&select.group_by);
        results.grouped_by.extend(used(&select.having));
        results
    }

    /// The result that a key stands for by its number or its name alone.
    fn place(&self, key: &Expr) -> Option<usize> {
        match key {
            Expr::Value(value) => {
                let Value::Number(number, _) = &value.value else { return None };
                number.parse::<usize>().ok()?.checked_sub(1).filter(|place| *place < self.names.len())
            }
            Expr::Identifier(name) => {
                let name = Some(normal(name));
                self.names.iter().position(|found| *found == name)
            }
            _ => None,
        }
    }

    fn is_used_elsewhere(&self, place: usize) -> bool {
        let Some(Some(name)) = self.names.get(place) else { return false };
        let others = self.uses.iter().enumerate().filter(|(other, _)| *other != place);
        self.is_new.get(place) == Some(&true)
            && (self.grouped_by.contains(name) || others.map(|(_, uses)| uses).any(|uses| uses.contains(name)))
    }

    fn are_distinct(&self) -> bool {
        let mut seen = HashSet::new();
        self.names.iter().flatten().all(|name| seen.insert(name))
    }

    fn refuse_within(&self, key: &OrderByExpr) -> Result<(), String> {
        if matches!(key.expr, Expr::Identifier(_) | Expr::Value(_)) {
            return Ok(());
        }
        let bare = bare(&key.expr);
        let is_both = |place: usize, name: &String| {
            let is_column = self.grouped_by.contains(name) || self.uses.iter().any(|uses| uses.contains(name));
            self.is_new.get(place) == Some(&true) && is_column && bare.contains(name)
        };
        let both =
            self.names.iter().enumerate().find_map(|(place, name)| name.as_ref().filter(|name| is_both(place, name)));
        both.map_or(Ok(()), |name| {
            Err(format!(
                "ORDER BY {}: {name} is a column and a result: give the result another name, or order by it alone",
                key.expr
            ))
        })
    }
}

/// The name of a column, if an expression is one.
fn column(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Identifier(name) => Some(normal(name)),
        Expr::CompoundIdentifier(parts) => parts.last().map(normal),
        _ => None,
    }
}

/// The names of the columns in a part of a statement.
fn used<T: Visit>(part: &T) -> HashSet<String> {
    let mut names = HashSet::new();
    let _: ControlFlow<()> = visit_expressions(part, |expr| {
        names.extend(column(expr));
        ControlFlow::Continue(())
    });
    names
}

/// The names that an expression has without a table.
fn bare(expr: &Expr) -> HashSet<String> {
    let mut names = HashSet::new();
    let _: ControlFlow<()> = visit_expressions(expr, |part| {
        if let Expr::Identifier(name) = part {
            names.insert(normal(name));
        }
        ControlFlow::Continue(())
    });
    names
}

//! Changes of a statement's text before planning, and the names that it uses.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::error::DataFusionError;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, CastKind, DataType, ExactNumberInfo, Expr, Function, FunctionArg, FunctionArgExpr,
    FunctionArgumentList, FunctionArguments, Ident, ObjectName, Query, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TimezoneInfo, Value, ValueWithSpan, VisitMut, VisitorMut,
};

use super::order::names;
use super::sets::common_keys::{self, MADE};
use super::times::zone::AT_TIME_ZONE;
use crate::postgres::spelling::normal;

/// The most digits of a decimal number.
const DIGITS_MAX: usize = 38;
/// The most values that are compared one by one: each makes the tree of the statement deeper.
const COMPARED_MAX: usize = 100;
/// Digits behind the point of a second, in the lake and in PostgreSQL.
const MICROSECONDS: u64 = 6;

/// The names of columns that a statement uses, anywhere in it.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// `table.column`.
    qualified: HashSet<(String, String)>,
    /// `table.*`.
    all_of: HashSet<String>,
    /// A column without its table.
    bare: HashSet<String>,
    /// Whether there is a `*`.
    pub(super) has_wildcard: bool,
}

impl Names {
    /// Whether a column is named with its table.
    pub(super) fn has_qualified(&self, table: &str, column: &str) -> bool {
        self.all_of.contains(table) || self.qualified.contains(&(table.to_owned(), column.to_owned()))
    }

    /// Whether a column is named without its table.
    pub(super) fn has_bare(&self, column: &str) -> bool {
        self.bare.contains(column)
    }
}

/// Changes a statement to a form that the engine reads as PostgreSQL does, and returns the names that it uses.
///
/// # Errors
/// [`DataFusionError::Plan`] with the reason and another way to write it, if there is no such form.
pub(crate) fn prepare(statement: &mut Statement) -> Result<Names, DataFusionError> {
    let mut preparer = Preparer::default();
    match visit(statement, &mut preparer) {
        ControlFlow::Continue(()) => Ok(preparer.names),
        ControlFlow::Break(reason) => Err(DataFusionError::Plan(reason)),
    }
}

fn visit(statement: &mut Statement, preparer: &mut Preparer) -> ControlFlow<String> {
    match statement {
        Statement::Explain(explain) => visit(&mut explain.statement, preparer),
        Statement::Statement(statement) => statement.visit(preparer),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    }
}

#[derive(Default)]
struct Preparer {
    names: Names,
}

impl VisitorMut for Preparer {
    type Break = String;

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<String> {
        match names::order_by_results(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(reason) => ControlFlow::Break(reason),
        }
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<String> {
        common_keys::name_in_condition(select, normal);
        for item in &select.projection {
            match item {
                SelectItem::Wildcard(_) => self.names.has_wildcard = true,
                SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(table), _) => {
                    self.names.all_of.extend(table.0.last().and_then(|part| part.as_ident()).map(normal));
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<String> {
        match expr {
            Expr::Identifier(column) => {
                self.names.bare.insert(normal(column));
            }
            Expr::CompoundIdentifier(parts) => {
                // A field of a struct may follow the column, so each pair may be table and column.
                for pair in parts.windows(2) {
                    if let [table, column] = pair {
                        if table.quote_style == Some(MADE) {
                            self.names.bare.insert(normal(column));
                            continue;
                        }
                        self.names.qualified.insert((normal(table), normal(column)));
                    }
                }
            }
            Expr::Cast { data_type, .. } => microseconds(data_type),
            Expr::TypedString(typed) => microseconds(&mut typed.data_type),
            Expr::AtTimeZone { timestamp, time_zone } => {
                *expr = call(AT_TIME_ZONE, vec![(**timestamp).clone(), (**time_zone).clone()]);
            }
            Expr::AnyOp { left, compare_op, right, .. } => {
                if let Some(plain) = each(left, compare_op, right, false) {
                    *expr = plain;
                }
            }
            Expr::AllOp { left, compare_op, right } => {
                if let Some(plain) = each(left, compare_op, right, true) {
                    *expr = plain;
                }
            }
            Expr::Value(value) => {
                if let Some(plain) = exponent(value) {
                    *expr = plain;
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// `TIMESTAMP` alone has nine digits in the engine, and ends in 2262.
fn microseconds(data_type: &mut DataType) {
    match data_type {
        DataType::Timestamp(precision @ None, _) => *precision = Some(MICROSECONDS),
        DataType::Datetime(None) => *data_type = DataType::Timestamp(Some(MICROSECONDS), TimezoneInfo::None),
        _ => {}
    }
}

/// `x = ANY (ARRAY[1, NULL])` as comparisons with each value: the engine takes unknown for false.
fn each(left: &Expr, operator: &BinaryOperator, right: &Expr, is_all: bool) -> Option<Expr> {
    let Expr::Array(array) = right else { return None };
    if array.elem.is_empty() {
        return None;
    }
    let member = match (operator, is_all) {
        (BinaryOperator::Eq, false) => Some(false),
        (BinaryOperator::NotEq, true) => Some(true),
        _ => None,
    };
    if let Some(negated) = member {
        let list = Expr::InList { expr: Box::new(left.clone()), list: array.elem.clone(), negated };
        return Some(Expr::Nested(Box::new(list)));
    }
    if array.elem.len() > COMPARED_MAX {
        return None;
    }
    let joined = if is_all { BinaryOperator::And } else { BinaryOperator::Or };
    let comparisons = array.elem.iter().map(|value| Expr::BinaryOp {
        left: Box::new(left.clone()),
        op: operator.clone(),
        right: Box::new(value.clone()),
    });
    let all = comparisons.reduce(|all, next| Expr::BinaryOp {
        left: Box::new(all),
        op: joined.clone(),
        right: Box::new(next),
    })?;
    Some(Expr::Nested(Box::new(all)))
}

fn call(name: &str, arguments: Vec<Expr>) -> Expr {
    let arguments = arguments.into_iter().map(|argument| FunctionArg::Unnamed(FunctionArgExpr::Expr(argument)));
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new(name)]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: arguments.collect(),
            clauses: Vec::new(),
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// `1.5e3` as 1500.0, or as a double if no decimal number can hold it: the engine makes decimals of scale -3 of such
/// numbers.
fn exponent(value: &ValueWithSpan) -> Option<Expr> {
    let Value::Number(number, _) = &value.value else { return None };
    let (mantissa, exponent) = number.split_once(['e', 'E'])?;
    if let Some(text) = plain(mantissa, exponent) {
        let number = ValueWithSpan { value: Value::Number(text, false), span: value.span };
        return Some(Expr::Value(number));
    }
    let text = ValueWithSpan { value: Value::SingleQuotedString(number.replace('_', "")), span: value.span };
    Some(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(text)),
        data_type: DataType::Double(ExactNumberInfo::None),
        array: false,
        format: None,
    })
}

fn plain(mantissa: &str, exponent: &str) -> Option<String> {
    let exponent: i64 = exponent.parse().ok()?;
    let mantissa = mantissa.replace('_', "");
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((&mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let point = i64::try_from(whole.len()).ok()?.checked_add(exponent)?;
    let length = i64::try_from(digits.len()).ok()?;
    let limit = i64::try_from(DIGITS_MAX).ok()?;
    if point > limit || length.max(point) - point.min(0) > limit {
        return None;
    }
    let zeros = |count: i64| "0".repeat(usize::try_from(count.max(0)).unwrap_or_default());
    Some(if point <= 0 {
        format!("0.{}{digits}", zeros(-point))
    } else if point >= length {
        format!("{digits}{}.0", zeros(point - length))
    } else {
        let (whole, fraction) = digits.split_at_checked(usize::try_from(point).ok()?)?;
        format!("{whole}.{fraction}")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn small_exponents_become_plain_decimals() {
        let cases = [
            ("1", "3", Some("1000.0")),
            ("1.5", "3", Some("1500.0")),
            ("1.2345", "2", Some("123.45")),
            ("25", "-4", Some("0.0025")),
            ("1.5", "-1", Some("0.15")),
            ("1.79", "308", None),
            ("1", "-300", None),
        ];
        for (mantissa, exponent, expected) in cases {
            assert_eq!(plain(mantissa, exponent).as_deref(), expected, "{mantissa}e{exponent}");
        }
    }
}

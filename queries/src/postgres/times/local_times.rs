//! Times in the zone of the session, for days, hours and texts without a zone.
//!
//! The times of the lake are instants, kept in UTC. PostgreSQL shows and cuts them in the zone of the session, and
//! reads texts without a zone in it. The engine does both in UTC, so that `date_trunc('day', occurred_at)` gave other
//! days than `local_date`.

use std::sync::Arc;

use chrono_tz::Tz;
use datafusion::arrow::datatypes::{DataType, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::expr::{Between, Case, Cast, InList, ScalarFunction, TryCast};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    BinaryExpr, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Operator, ScalarUDF, Union, lit,
};
use datafusion::optimizer::AnalyzerRule;
use datafusion::scalar::ScalarValue;

use crate::postgres::rewrite_expressions;
use crate::postgres::times::intervals::{are_lengths, length_of};
use crate::postgres::times::local_day::local_day_of;
use crate::postgres::times::shifted::shifted_by;
use crate::postgres::times::zone::{instant_of, instant_of_text, local_time_of};

/// Functions that cut or show a time in its own zone.
const IN_ITS_ZONE: [&str; 3] = [CUT, "date_part", "to_char"];
const CUT: &str = "date_trunc";
/// Functions that give one of their arguments.
const OF_ONE_TYPE: [&str; 5] = ["coalesce", "greatest", "least", "nullif", "nvl"];

/// Moves times into the zone of the session.
#[derive(Debug)]
pub(in crate::postgres) struct LocalTimes {
    zone: Tz,
    instant_of: ScalarUDF,
    local_time_of: ScalarUDF,
    local_day_of: ScalarUDF,
}

impl LocalTimes {
    pub(in crate::postgres) fn new(zone: Tz) -> Self {
        Self {
            zone,
            instant_of: instant_of(zone),
            local_time_of: local_time_of(zone),
            local_day_of: local_day_of(zone),
        }
    }
}

impl AnalyzerRule for LocalTimes {
    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan, DataFusionError> {
        let plan = plan
            .transform_up_with_subqueries(|node| {
                self.join_keys(node)?.transform_data(|node| self.parts_of_union(node))
            })?
            .data;
        rewrite_expressions(plan, &|expr, schema| {
            refuse_days_as_numbers(&expr, schema)?;
            Ok(self.change(expr, schema))
        })
    }

    fn name(&self) -> &'static str {
        "local_times"
    }
}

impl LocalTimes {
    fn change(&self, expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
                let (left, right) = self.pair(*left, *right, schema, true);
                let (left, right) = as_lengths(left, right, schema);
                Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) }))
            }
            Expr::BinaryExpr(BinaryExpr { left, op, right }) if matches!(op, Operator::Plus | Operator::Minus) => {
                let (left, right) = self.pair(*left, *right, schema, false);
                if let Some(shifted) = self.shifted(&left, op, &right, schema) {
                    return Transformed::yes(shifted);
                }
                let left = with_time(left, &right, schema);
                let right = if op == Operator::Plus { with_time(right, &left, schema) } else { right };
                Transformed::yes(Expr::BinaryExpr(BinaryExpr { left: Box::new(left), op, right: Box::new(right) }))
            }
            Expr::Between(Between { expr, negated, low, high }) => {
                if are_lengths(&expr, &low, schema) || are_lengths(&expr, &high, schema) {
                    let [expr, low, high] = [expr, low, high].map(|value| Box::new(length_of(*value)));
                    return Transformed::yes(Expr::Between(Between { expr, negated, low, high }));
                }
                let (low, high) = (self.against(*low, &expr, schema, true), self.against(*high, &expr, schema, true));
                Transformed::yes(Expr::Between(Between { expr, negated, low: Box::new(low), high: Box::new(high) }))
            }
            Expr::InList(InList { expr, list, negated }) => {
                if list.iter().any(|value| are_lengths(&expr, value, schema)) {
                    let list = list.into_iter().map(length_of).collect();
                    return Transformed::yes(Expr::InList(InList { expr: Box::new(length_of(*expr)), list, negated }));
                }
                let list = list.into_iter().map(|value| self.against(value, &expr, schema, true)).collect();
                Transformed::yes(Expr::InList(InList { expr, list, negated }))
            }
            Expr::Case(case) => Transformed::yes(Expr::Case(self.case(case, schema))),
            Expr::ScalarFunction(ScalarFunction { func, args }) if OF_ONE_TYPE.contains(&func.name()) => {
                let args = self.of_one_type(args, schema);
                Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
            }
            Expr::ScalarFunction(ScalarFunction { func, args }) if IN_ITS_ZONE.contains(&func.name()) => {
                let is_cut = func.name() == CUT;
                let args = args.into_iter().map(|argument| {
                    let argument = self.in_session(argument, schema);
                    if is_cut { as_time(argument, schema) } else { argument }
                });
                let args = args.collect();
                Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args }))
            }
            Expr::Cast(Cast { expr, field }) => {
                if *field.data_type() == DataType::Date32 && is_instant(&expr, schema) {
                    return Transformed::yes(self.local_day_of.call(vec![*expr]));
                }
                let expr = Box::new(self.before_cast(*expr, field.data_type(), schema));
                Transformed::yes(Expr::Cast(Cast { expr, field }))
            }
            // An unreadable text is NULL there: our function would fail.
            Expr::TryCast(TryCast { expr, field }) if !is_text(&expr, schema) => {
                let expr = Box::new(self.before_cast(*expr, field.data_type(), schema));
                Transformed::yes(Expr::TryCast(TryCast { expr, field }))
            }
            other => Transformed::no(other),
        }
    }

    /// Values of which one is the result: all are instants if one of them is.
    fn of_one_type(&self, values: Vec<Expr>, schema: &DFSchema) -> Vec<Expr> {
        let instant = values.iter().find(|value| is_instant(value, schema)).cloned();
        let Some(instant) = instant else { return values };
        values.into_iter().map(|value| self.against(value, &instant, schema, true)).collect()
    }

    /// The results of a CASE are of one type, and so are the value and the values that it is compared with.
    fn case(&self, case: Case, schema: &DFSchema) -> Case {
        let (conditions, results): (Vec<_>, Vec<_>) = case.when_then_expr.into_iter().unzip();
        let count = results.len();
        let results = results.into_iter().chain(case.else_expr).map(|result| *result).collect();
        let mut results = self.of_one_type(results, schema).into_iter();
        let mut conditions: Vec<Expr> = conditions.into_iter().map(|condition| *condition).collect();
        let mut compared = None;
        if let Some(value) = case.expr {
            conditions.push(*value);
            conditions = self.of_one_type(conditions, schema);
            compared = conditions.pop().map(Box::new);
        }
        let when_then = conditions.into_iter().zip(results.by_ref().take(count));
        let when_then = when_then.map(|(condition, result)| (Box::new(condition), Box::new(result))).collect();
        Case { expr: compared, when_then_expr: when_then, else_expr: results.next().map(Box::new) }
    }

    /// An instant plus an interval with days or months, which are counted on the calendar of the zone.
    fn shifted(&self, left: &Expr, op: Operator, right: &Expr, schema: &DFSchema) -> Option<Expr> {
        let is_instant = |expr: &Expr| is_instant(expr, schema);
        let is_interval = |expr: &Expr| matches!(expr.get_type(schema), Ok(DataType::Interval(_)));
        if self.zone == Tz::UTC {
            return None;
        }
        match op {
            Operator::Plus if is_instant(left) && is_interval(right) => {
                Some(shifted_by(self.zone).call(vec![left.clone(), right.clone()]))
            }
            Operator::Plus if is_interval(left) && is_instant(right) => {
                Some(shifted_by(self.zone).call(vec![right.clone(), left.clone()]))
            }
            Operator::Minus if is_instant(left) && is_interval(right) => {
                let back = Expr::Negative(Box::new(right.clone()));
                Some(shifted_by(self.zone).call(vec![left.clone(), back]))
            }
            _ => None,
        }
    }

    /// Two sides of a comparison or a difference.
    fn pair(&self, left: Expr, right: Expr, schema: &DFSchema, with_texts: bool) -> (Expr, Expr) {
        let new_left = self.against(left.clone(), &right, schema, with_texts);
        (new_left, self.against(right, &left, schema, with_texts))
    }

    /// A value beside an instant, as an instant.
    fn against(&self, value: Expr, other: &Expr, schema: &DFSchema, with_texts: bool) -> Expr {
        let (Ok(DataType::Timestamp(_, Some(_))), Ok(data_type)) = (other.get_type(schema), value.get_type(schema))
        else {
            return value;
        };
        match data_type {
            DataType::Date32 | DataType::Timestamp(_, None) => self.instant_of.call(vec![value]),
            text if with_texts && text.is_string() => self.read(value),
            _ => value,
        }
    }

    /// A text as an instant; any other text is left to the engine, which reports it.
    fn read(&self, text: Expr) -> Expr {
        let Expr::Literal(value, _) = &text else { return self.instant_of.call(vec![text]) };
        let Some(Some(written)) = value.try_as_str() else { return text };
        match instant_of_text(self.zone, written) {
            Some(instant) => {
                let micros = Some(instant.timestamp_micros());
                lit(ScalarValue::TimestampMicrosecond(micros, Some("UTC".into())))
            }
            None => text,
        }
    }

    /// An instant in the zone of the session; anything else as it is.
    fn in_session(&self, expr: Expr, schema: &DFSchema) -> Expr {
        match expr.get_type(schema) {
            // Its own zone does not matter: a CASE has the first result's zone here, and may have another's in the end.
            Ok(DataType::Timestamp(_, Some(_))) => {
                let local = DataType::Timestamp(TimeUnit::Microsecond, Some(self.zone.name().into()));
                Expr::Cast(Cast::new(Box::new(expr), local))
            }
            _ => expr,
        }
    }

    fn before_cast(&self, expr: Expr, to: &DataType, schema: &DFSchema) -> Expr {
        let Ok(from) = expr.get_type(schema) else { return expr };
        match (from, to) {
            // From an instant to a day or a time on the clock.
            (DataType::Timestamp(_, Some(_)), DataType::Date32 | DataType::Time32(_) | DataType::Time64(_)) => {
                self.in_session(expr, schema)
            }
            (DataType::Timestamp(_, Some(_)), DataType::Timestamp(_, None)) => self.local_time_of.call(vec![expr]),
            // And back. A cast in the statement has its zone.
            (DataType::Date32 | DataType::Timestamp(_, None), DataType::Timestamp(_, Some(_))) => {
                self.instant_of.call(vec![expr])
            }
            (text, DataType::Timestamp(_, Some(_))) if text.is_string() => self.read(expr),
            _ => expr,
        }
    }

    /// The columns of a union are instants if those of one part are.
    fn parts_of_union(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Union(mut union) = node else { return Ok(Transformed::no(node)) };
        let has_instant = |column: usize| {
            union
                .inputs
                .iter()
                .any(|part| part.schema().fields().get(column).is_some_and(|field| is_instant_type(field.data_type())))
        };
        let instants: Vec<bool> = (0..union.schema.fields().len()).map(has_instant).collect();
        let is_other = |(column, field): (usize, &FieldRef)| {
            instants.get(column) == Some(&true)
                && matches!(field.data_type(), DataType::Date32 | DataType::Timestamp(_, None))
        };
        if !union.inputs.iter().any(|part| part.schema().fields().iter().enumerate().any(is_other)) {
            return Ok(Transformed::no(LogicalPlan::Union(union)));
        }
        for part in &mut union.inputs {
            let columns = part.schema().iter().enumerate().map(|(number, (qualifier, field))| {
                let column = Expr::Column(Column::new(qualifier.cloned(), field.name()));
                if !is_other((number, field)) {
                    return column;
                }
                self.instant_of.call(vec![column]).alias_qualified(qualifier.cloned(), field.name())
            });
            let columns: Vec<Expr> = columns.collect();
            *part = Arc::new(LogicalPlanBuilder::from(Arc::clone(part)).project(columns)?.build()?);
        }
        let union = Union::try_new_with_loose_types(union.inputs)?;
        Ok(Transformed::yes(LogicalPlan::Union(union)))
    }

    /// The keys of a join are pairs, not one expression.
    fn join_keys(&self, node: LogicalPlan) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        let LogicalPlan::Join(mut join) = node else { return Ok(Transformed::no(node)) };
        let schema = merge_schema(&[&join.left, &join.right]);
        for (left, right) in &join.on {
            let keys = BinaryExpr::new(Box::new(left.clone()), Operator::Eq, Box::new(right.clone()));
            refuse_days_as_numbers(&Expr::BinaryExpr(keys), &schema)?;
        }
        join.on = join.on.into_iter().map(|(left, right)| self.pair(left, right, &schema, false)).collect();
        Ok(Transformed::yes(LogicalPlan::Join(join)))
    }
}

/// Refuses a date beside a whole number, as PostgreSQL does: the engine takes the number for days since 1970, so that
/// `20261105` matches no day.
fn refuse_days_as_numbers(expr: &Expr, schema: &DFSchema) -> Result<(), DataFusionError> {
    let are_mixed = |left: &Expr, right: &Expr| {
        let types = [left.get_type(schema), right.get_type(schema)];
        types.iter().any(|data_type| matches!(data_type, Ok(DataType::Date32)))
            && types.iter().any(|data_type| matches!(data_type, Ok(data_type) if data_type.is_integer()))
    };
    let is_mixed = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => compares(*op) && are_mixed(left, right),
        Expr::Between(Between { expr, low, high, .. }) => are_mixed(expr, low) || are_mixed(expr, high),
        Expr::InList(InList { expr, list, .. }) => list.iter().any(|value| are_mixed(expr, value)),
        Expr::Cast(Cast { expr, field }) => {
            *field.data_type() == DataType::Date32
                && expr.get_type(schema).is_ok_and(|data_type| data_type.is_integer())
        }
        _ => false,
    };
    if is_mixed {
        return plan_err!(
            "a date and a whole number cannot be compared or cast: write DATE '2026-11-05', or DATE '1970-01-01' + n"
        );
    }
    Ok(())
}

/// Intervals that are compared, as lengths.
fn as_lengths(left: Expr, right: Expr, schema: &DFSchema) -> (Expr, Expr) {
    if are_lengths(&left, &right, schema) { (length_of(left), length_of(right)) } else { (left, right) }
}

fn is_instant(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| is_instant_type(&data_type))
}

fn is_instant_type(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

fn is_text(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type.is_string())
}

fn compares(op: Operator) -> bool {
    matches!(
        op,
        Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// A date plus less than a day is a time, as in PostgreSQL; the engine drops the added part.
fn with_time(date: Expr, added: &Expr, schema: &DFSchema) -> Expr {
    let is_date = matches!(date.get_type(schema), Ok(DataType::Date32));
    let whole_days = match added {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) => interval.nanoseconds == 0,
        Expr::Literal(..) => true,
        added => !matches!(added.get_type(schema), Ok(DataType::Interval(IntervalUnit::MonthDayNano))),
    };
    if is_date && !whole_days { as_time(date, schema) } else { date }
}

/// A date as the time at which it begins, in microseconds: the engine uses nanoseconds, which end in 2262.
fn as_time(expr: Expr, schema: &DFSchema) -> Expr {
    match expr.get_type(schema) {
        Ok(DataType::Date32) => Expr::Cast(Cast::new(Box::new(expr), DataType::Timestamp(TimeUnit::Microsecond, None))),
        _ => expr,
    }
}

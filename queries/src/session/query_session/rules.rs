//! The same statement with each rule of the optimizer switched off gives the same rows.
//!
//! The statements come from the grammar of `tests/differential` (`run --write-cases`, see its README), because a
//! hand-written list cannot foresee the faults of new rules in a release of DataFusion. A few are in `rules.sql`, with
//! their rows in `rules.ndjson`, for every run; `BLUELAKE_DIFFERENTIAL_CASES` names a folder with more of them and a
//! lake of many files.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::json::ReaderBuilder;
use bluelake_lake::{AsOf, Lake};
use bluelake_schemas::Stream;
use datafusion::catalog::TableProvider;
use datafusion::common::tree_node::Transformed;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::prelude::SessionContext;
use serde_json::Value;

use crate::session::query_session::QuerySession;
use crate::testing::{csv_or_error, event, options, schema};

type Logical = Vec<Arc<dyn OptimizerRule + Send + Sync>>;
type Physical = Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>>;

/// Rules that every plan needs, because other rules rely on them.
const NEEDED: [&str; 2] = ["EnsureRequirements", "OutputRequirements"];
/// Rows are distributed over this many partitions, like files of a lake.
const PARTITIONS: usize = 3;

/// The statements, and the session to run them.
struct Cases {
    session: QuerySession,
    statements: Vec<String>,
}

impl Cases {
    async fn load() -> Self {
        match std::env::var_os("BLUELAKE_DIFFERENTIAL_CASES").map(PathBuf::from) {
            Some(folder) => Self::of_folder(&folder).await,
            None => Self::of_repository().await,
        }
    }

    async fn of_repository() -> Self {
        let events = include_str!("rules.ndjson").lines().map(|line| serde_json::from_str(line).unwrap());
        let rows: Vec<Value> = events.map(landed).collect();
        let is_user = |row: &Value| row["event_type"].as_str().unwrap().starts_with("user_");
        let (users, transactions): (Vec<Value>, Vec<Value>) = rows.into_iter().partition(is_user);
        let tables = vec![
            ("user_events".to_owned(), dealt_out(Stream::UserEvents, &users)),
            ("transactions".to_owned(), dealt_out(Stream::TransactionEvents, &transactions)),
        ];
        let session = QuerySession::new(tables, options()).await.unwrap();
        Self { session, statements: include_str!("rules.sql").lines().map(str::to_owned).collect() }
    }

    async fn of_folder(folder: &Path) -> Self {
        let location = folder.join("lake").display().to_string().parse().unwrap();
        let reading = Lake::at(&location, None).unwrap().read(&AsOf::Newest).await.unwrap();
        let tables = reading.tables.into_iter().map(|table| (table.name, table.provider)).collect();
        let session = QuerySession::new(tables, options()).await.unwrap();
        let text = std::fs::read_to_string(folder.join("statements.sql")).unwrap();
        Self { session, statements: text.lines().map(str::to_owned).collect() }
    }
}

/// An event as a row of its table.
fn landed(fields: Value) -> Value {
    let text = |name: &str| fields[name].as_str().unwrap().to_owned();
    event(&text("event_type"), &text("occurred_at"), fields.clone())
}

fn dealt_out(stream: Stream, rows: &[Value]) -> Arc<dyn TableProvider> {
    let schema = schema(stream);
    let part = |rows: &[Value]| {
        let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).build_decoder().unwrap();
        decoder.serialize(rows).unwrap();
        decoder.flush().unwrap().into_iter().collect::<Vec<_>>()
    };
    let parts = rows.chunks(rows.len().div_ceil(PARTITIONS).max(1)).map(part).collect();
    Arc::new(MemTable::try_new(schema, parts).unwrap())
}

/// The session with other rules.
fn with_rules(session: &QuerySession, logical: Logical, physical: Physical) -> QuerySession {
    let state = SessionStateBuilder::new_from_existing(session.context.state())
        .with_optimizer_rules(logical)
        .with_physical_optimizer_rules(physical)
        .build();
    QuerySession { context: SessionContext::new_with_state(state), ..session.clone() }
}

/// Every session that lacks one rule, with the name of the rule.
fn without_each(session: &QuerySession) -> Vec<(String, QuerySession)> {
    let state = session.context.state();
    let (logical, physical) = (state.optimizers().to_vec(), state.physical_optimizers().to_vec());
    let without = |place: usize| {
        let mut rules = logical.clone();
        let name = rules.remove(place).name().to_owned();
        (name, with_rules(session, rules, physical.clone()))
    };
    let without_physical = |place: usize| {
        let mut rules = physical.clone();
        let name = rules.remove(place).name().to_owned();
        (!NEEDED.contains(&name.as_str())).then(|| (name, with_rules(session, logical.clone(), rules)))
    };
    let all = (0..logical.len()).map(without);
    all.chain((0..physical.len()).filter_map(without_physical)).collect()
}

/// The rows as a bag; doubles without the digits that depend on the order of a sum.
async fn rows(session: &QuerySession, sql: &str) -> Result<Vec<String>, String> {
    let mut lines = csv_or_error(session, sql).await?;
    lines.iter_mut().for_each(|line| *line = line.split(',').map(rounded).collect::<Vec<_>>().join(","));
    lines.sort();
    Ok(lines)
}

fn rounded(cell: &str) -> String {
    match cell.parse::<f64>() {
        // A number with few digits may be a decimal or a double, with or without a point.
        Ok(number) if cell.contains(['.', 'e']) || cell.len() < 10 => format!("{number:.9e}"),
        _ => cell.to_owned(),
    }
}

/// The statements to which the second session gives other rows; statements that it cannot plan are left out.
async fn differences(cases: &Cases, expected: &[Vec<String>], other: &QuerySession) -> Vec<String> {
    let mut found = Vec::new();
    for (sql, expected) in cases.statements.iter().zip(expected) {
        match rows(other, sql).await {
            Ok(rows) if rows != *expected => found.push(format!("{sql}\n    {rows:?}\n    not {expected:?}")),
            _ => {}
        }
    }
    found
}

async fn expected(cases: &Cases) -> Vec<Vec<String>> {
    let mut expected = Vec::new();
    for sql in &cases.statements {
        expected.push(rows(&cases.session, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}")));
    }
    expected
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_the_same_without_any_rule() {
    let cases = Cases::load().await;
    let expected = expected(&cases).await;
    assert!(expected.iter().filter(|rows| rows.len() > 1).count() > expected.len() / 2, "most statements give no rows");
    let mut found = Vec::new();
    for (rule, session) in without_each(&cases.session) {
        found.extend(
            differences(&cases, &expected, &session).await.into_iter().map(|case| format!("without {rule}: {case}")),
        );
    }
    assert!(found.is_empty(), "{} differences:\n{}", found.len(), found.join("\n"));
}

/// Takes filters for fulfilled.
#[derive(Debug)]
struct ForgetsFilters;

impl OptimizerRule for ForgetsFilters {
    fn name(&self) -> &'static str {
        "forgets_filters"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>, DataFusionError> {
        Ok(match plan {
            LogicalPlan::Filter(filter) => Transformed::yes(Arc::unwrap_or_clone(filter.input)),
            other => Transformed::no(other),
        })
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_changes_rows_is_found() {
    let cases = Cases::of_repository().await;
    let state = cases.session.context.state();
    let mut rules: Logical = vec![Arc::new(ForgetsFilters)];
    rules.extend(state.optimizers().to_vec());
    let wrong = with_rules(&cases.session, rules, state.physical_optimizers().to_vec());
    assert!(!differences(&cases, &expected(&cases).await, &wrong).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn most_rules_change_the_plan_of_some_statement() {
    let cases = Cases::of_repository().await;
    let mut plans = Vec::new();
    for sql in &cases.statements {
        plans.push(csv_or_error(&cases.session, &format!("EXPLAIN {sql}")).await);
    }
    let (mut changing, mut idle) = (0, Vec::new());
    for (rule, session) in without_each(&cases.session) {
        let mut changes = false;
        for (sql, plan) in cases.statements.iter().zip(&plans) {
            changes = changes || csv_or_error(&session, &format!("EXPLAIN {sql}")).await != *plan;
        }
        if changes { changing += 1 } else { idle.push(rule) }
    }
    assert!(changing > idle.len(), "{changing} rules matter to the statements of rules.sql, these do not: {idle:?}");
}

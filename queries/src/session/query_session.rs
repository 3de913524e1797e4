//! One DataFusion session over the tables of a lake.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;

use bluelake_lake::LakeReading;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::ensure_requirements::EnsureRequirements;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_optimizer::projection_pushdown::ProjectionPushdown;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use datafusion::sql::parser::Statement;

use crate::error::{NoSuchRelation, QueryError};
use crate::limits::attempt::OneAttempt;
use crate::limits::bounds::bound_functions;
use crate::limits::cooperation::CooperativeJoins;
use crate::limits::guard;
use crate::limits::pool::FreeToAll;
use crate::limits::spill::SpillDirectory;
use crate::limits::workers::Workers;
use crate::postgres;
use crate::session::bytes::{BytesAsText, count_any_bytes};
use crate::session::constants::ForgetConstants;
use crate::session::dependencies::{forget_of_lateral, planning_state};
use crate::session::execute::QueryStream;
use crate::session::options::QueryOptions;
use crate::session::origin::Origin;
use crate::session::prepared::{Plan, unplanned};
use crate::session::shared::{SharingPlanner, ShowShared, share};
use crate::session::views;
use crate::text::nearest::nearest;

const CATALOG: &str = "bluelake";
const SCHEMA: &str = "public";
const INFORMATION_SCHEMA: &str = "information_schema";
/// The fraction of a partition's share of the memory that a sort keeps for merging (one in N).
const SORT_RESERVATIONS_PER_LIMIT: usize = 4;
/// Parts of a query that a message about memory names, biggest first.
const MEMORY_CONSUMERS_SHOWN: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// Tables, views and limits; cheap to clone, and safe to share between concurrent queries.
///
/// The tables are those given to [`QuerySession::new`], pinned to the versions at which they were opened. SQL cannot
/// reach or change anything else.
#[derive(Clone)]
pub struct QuerySession {
    pub(crate) context: SessionContext,
    options: QueryOptions,
    pub(crate) workers: Arc<Workers>,
    /// Views that are not available on this lake, with the reason.
    unavailable: Arc<BTreeMap<String, String>>,
    origin: Arc<Origin>,
    /// Removed with the last copy of the session and the last of its results.
    _spill: Arc<SpillDirectory>,
}

impl QuerySession {
    /// A session over a lake as it was read: its tables, and where they come from.
    ///
    /// # Errors
    /// As [`QuerySession::new`].
    pub async fn over(reading: LakeReading, options: QueryOptions) -> Result<Self, QueryError> {
        let origin = Origin::of(&reading);
        let tables = reading.tables.into_iter().map(|table| (table.name, table.provider)).collect();
        Ok(Self::new(tables, options).await?.with_origin(origin))
    }

    /// Registers the tables (`user_events`, `transactions`, `rejected_events`; any may be missing), then the views that
    /// they allow.
    ///
    /// # Errors
    /// [`QueryError::Session`] when DataFusion refuses the settings or a table.
    pub async fn new(tables: Vec<(String, Arc<dyn TableProvider>)>, options: QueryOptions) -> Result<Self, QueryError> {
        let spill = SpillDirectory::new(options.spill_directory.as_deref())?;
        let runtime = runtime(&options, &spill).map_err(QueryError::session)?;
        let state = SessionStateBuilder::new()
            .with_config(config(&options))
            .with_runtime_env(runtime)
            .with_default_features()
            .with_analyzer_rules(postgres::analyzer_rules(options.time_zone))
            .with_analyzer_rule(Arc::new(BytesAsText))
            .with_optimizer_rules(postgres::optimizer_rules())
            .with_physical_optimizer_rules(physical_rules())
            .with_query_planner(Arc::new(SharingPlanner))
            .build();
        let context = SessionContext::new_with_state(state);
        postgres::register(&context, options.time_zone);
        count_any_bytes(&context);
        bound_functions(&context, options.memory_limit_bytes);
        for (name, table) in tables {
            let table = postgres::exact(table);
            context.register_table(TableReference::bare(name), table).map_err(QueryError::session)?;
        }
        let unavailable = Arc::new(views::register(&context).await?);
        let workers = Workers::new(options.target_partitions).map_err(|error| QueryError::session(error.into()))?;
        Ok(Self {
            context,
            options,
            workers: Arc::new(workers),
            unavailable,
            origin: Arc::default(),
            _spill: Arc::new(spill),
        })
    }

    /// Records where the tables come from; reports show it with their results.
    #[must_use]
    pub(crate) fn with_origin(self, origin: Origin) -> Self {
        Self { origin: Arc::new(origin), ..self }
    }

    /// Where the tables come from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The limits and the time zone of the session.
    pub fn options(&self) -> &QueryOptions {
        &self.options
    }

    /// Names of the tables and views that can be queried, sorted.
    pub fn tables(&self) -> Vec<String> {
        let schema = self.context.catalog(CATALOG).and_then(|catalog| catalog.schema(SCHEMA));
        let mut names = schema.map_or_else(Vec::new, |schema| schema.table_names());
        names.sort();
        names
    }

    /// Starts one read-only statement.
    ///
    /// # Errors
    /// Every fault of the text, before anything runs; [`QueryError::TimeLimit`] when planning alone exceeds the limit.
    pub async fn query(&self, sql: &str) -> Result<QueryStream, QueryError> {
        self.query_with(sql, Vec::new()).await
    }

    /// Starts one read-only statement with values for its named placeholders: `("from", …)` is `$from` in the text.
    ///
    /// # Errors
    /// Those of [`QuerySession::query`]; [`QueryError::Plan`] for a placeholder without a value.
    pub async fn query_with(
        &self,
        sql: &str,
        parameters: Vec<(String, ScalarValue)>,
    ) -> Result<QueryStream, QueryError> {
        let prepared = self.prepare(sql, parameters).await?;
        self.start(prepared).await
    }

    /// Runs one read-only statement to its end and returns all batches.
    ///
    /// # Errors
    /// As [`QuerySession::query`] and [`QueryStream::next`].
    pub async fn collect(&self, sql: &str) -> Result<Vec<RecordBatch>, QueryError> {
        self.query(sql).await?.collect().await
    }

    pub(crate) async fn plan(&self, sql: &str, parameters: Vec<(String, ScalarValue)>) -> Result<Plan, QueryError> {
        let mut statement = guard::parse(sql)?;
        let names = postgres::prepare(&mut statement).map_err(QueryError::plan)?;
        let state = planning_state(&self.context).map_err(QueryError::session)?;
        let plan = match Box::pin(state.statement_to_plan(statement.clone())).await {
            Ok(plan) => plan,
            Err(error) => {
                return Err(self.table_error(&statement).map_or_else(|| QueryError::plan(error), QueryError::Relation));
            }
        };
        guard::verify(&plan)?;
        let plan =
            if parameters.is_empty() { plan } else { plan.with_param_values(parameters).map_err(QueryError::plan)? };
        let plan = postgres::rewrite(plan, &names).map_err(QueryError::plan)?;
        let plan = forget_of_lateral(plan).map_err(QueryError::plan)?;
        let tables = tables_read(&plan).map_err(QueryError::plan)?;
        let is_table = |name: &str| self.context.table_exist(TableReference::bare(name)).unwrap_or(true);
        let plan = share(plan, &state, &is_table).map_err(QueryError::plan)?;
        let frame = Box::pin(self.context.execute_logical_plan(plan)).await.map_err(QueryError::plan)?;
        let context = Arc::new(frame.task_ctx());
        let physical = Box::pin(frame.create_physical_plan()).await;
        let physical = physical.map_err(|error| unplanned(error, self.options.memory_limit_bytes))?;
        Ok(Plan { physical, context, tables })
    }

    /// The first missing table of a statement, as the reason why it cannot be planned.
    fn table_error(&self, statement: &Statement) -> Option<NoSuchRelation> {
        let state = self.context.state();
        let references = state.resolve_table_references(statement).ok()?;
        let missing = references.into_iter().find(|reference| {
            reference.schema() != Some(INFORMATION_SCHEMA)
                && !self.context.table_exist(reference.clone()).unwrap_or(false)
                && !state.table_functions().contains_key(reference.table())
        })?;
        let (name, whole) = (missing.table(), missing.to_string());
        let is_file = is_path(&whole) && !self.unavailable.contains_key(name);
        Some(if is_file { NoSuchRelation::File { name: whole, known: self.tables() } } else { self.missing(name) })
    }

    /// Why there is no table or view of this name.
    pub(crate) fn missing(&self, name: &str) -> NoSuchRelation {
        let (name, known) = (name.to_owned(), self.tables());
        match self.unavailable.get(&name) {
            Some(reason) => NoSuchRelation::Unavailable { name, reason: reason.clone() },
            None => NoSuchRelation::Unknown { suggestion: nearest(&name, &known), name, known },
        }
    }
}

fn config(options: &QueryOptions) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(true)
        .with_target_partitions(options.target_partitions.max(1));
    postgres::configure(&mut config);
    let execution = &mut config.options_mut().execution;
    execution.time_zone = Some(options.time_zone.name().to_owned());
    // The columns of the tables have descriptions. A UNION of columns with different ones keeps the first at run time and none in
    // its plan, and the check of an aggregate above it would refuse that.
    execution.skip_physical_aggregate_schema_check = true;
    // Every partition of a sort keeps this free to merge its spilled rows; together they must leave room to sort in.
    let share = options.memory_limit_bytes / options.target_partitions.max(1) / SORT_RESERVATIONS_PER_LIMIT;
    execution.sort_spill_reservation_bytes = execution.sort_spill_reservation_bytes.min(share);
    config
}

/// DataFusion's rules and ours.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = PhysicalOptimizer::new().rules;
    // Conditions reach the reader with the logical plan. The physical rule goes by names, and confuses columns if both
    // sides of a join have the name: `FROM a RIGHT JOIN b ON … WHERE a.points >= b.points` compares `b.points` with
    // itself. <https://github.com/apache/datafusion/issues/25262>
    rules.retain(|rule| !rule.name().starts_with("FilterPushdown"));
    // Answers from the statistics of files take the one NULL of a column for a value: count(DISTINCT x) is 1 where x is
    // always NULL.
    rules.retain(|rule| rule.name() != "aggregate_statistics");
    // DataFusion drops from a sort columns that a filter holds constant. Later it pushes projections into filters,
    // which then forget the constant, and its last check refuses the sort. So they are pushed before the sorts are made
    // as well.
    let sorts = rules.iter().position(|rule| rule.name() == EnsureRequirements::new().name());
    let sorts = sorts.unwrap_or_default();
    // After the sides of joins are chosen: what is constant on one side is known only then.
    rules.splice(sorts..sorts, [Arc::new(ProjectionPushdown::new()) as _, Arc::new(ForgetConstants) as _]);
    rules.push(Arc::new(OneAttempt));
    rules.push(Arc::new(CooperativeJoins));
    rules.push(Arc::new(ShowShared));
    rules
}

fn runtime(options: &QueryOptions, spill: &SpillDirectory) -> Result<Arc<RuntimeEnv>, DataFusionError> {
    let pool = FreeToAll::new(options.memory_limit_bytes);
    RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(TrackConsumersPool::new(pool, MEMORY_CONSUMERS_SHOWN)))
        .with_disk_manager_builder(
            DiskManagerBuilder::default()
                .with_mode(spill.mode())
                .with_max_temp_directory_size(options.spill_limit_bytes),
        )
        .build_arc()
}

/// Names of the lake's tables that a plan reads, also through views, sorted.
fn tables_read(plan: &LogicalPlan) -> Result<Vec<String>, DataFusionError> {
    let mut tables = BTreeSet::new();
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.schema() != Some(INFORMATION_SCHEMA)
        {
            tables.insert(scan.table_name.table().to_owned());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(tables.into_iter().collect())
}

/// Whether a name is meant as a file or URL: it has their separators, or the ending of a data file.
fn is_path(name: &str) -> bool {
    let endings = [".parquet", ".csv", ".tsv", ".json", ".ndjson", ".arrow", ".avro", ".txt"];
    let bare = name.trim_matches('"').to_lowercase();
    bare.contains(['/', '\\', ':']) || endings.iter().any(|ending| bare.ends_with(ending))
}

#[cfg(test)]
mod rules;
#[cfg(test)]
mod tests;

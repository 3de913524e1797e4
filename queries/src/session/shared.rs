//! Computes a query once that a statement uses several times.
//!
//! DataFusion puts a copy of a `WITH` query in each place of its name, and computes every copy. If a copy groups,
//! numbers or limits rows, that is most of a report's time. So equal copies of such queries become one that is computed
//! once. Its rows are kept for all readers: in memory while they are few, else in the session's spill directory. A plan
//! does not distinguish a `WITH` query from a query in `FROM` that was written twice: those are shared as well.
//!
//! Not shared are queries that only filter and join (conditions from outside make those cheaper, and their rows are
//! many), views (they have columns that a single use does not need), queries that change from one computation to the
//! next (`random()`), and copies in subqueries of expressions, in `LATERAL` or in recursive parts.

mod exec;
mod kept;

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::fmt::{self, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::context::QueryPlanner;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{
    Expr, Extension, LogicalPlan, SubqueryAlias, UserDefinedLogicalNode, UserDefinedLogicalNodeCore,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_planner::{DefaultPhysicalPlanner, ExtensionPlanner, PhysicalPlanner};
use tokio::sync::OnceCell;

use crate::session::dependencies::ForgetDependencies;
use exec::SharedExec;
pub(crate) use exec::ShowShared;
use kept::Rows;

/// Numbers shared queries, so that they stay distinct.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// Replaces equal copies of queries by one that is computed once, if there is a place to keep its rows. `is_table`
/// recognises the names of tables and views.
///
/// # Errors
/// Those of DataFusion's analysis of a plan.
pub(crate) fn share(
    plan: LogicalPlan,
    state: &SessionState,
    is_table: &dyn Fn(&str) -> bool,
) -> Result<LogicalPlan, DataFusionError> {
    if !state.runtime_env().disk_manager.tmp_files_enabled() || repeated(&plan, is_table)?.is_empty() {
        return Ok(plan);
    }
    // The plan gets its later types and casts now, so that a shared part and its readers agree on them.
    let analyzed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    let repeated = repeated(&analyzed, is_table)?;
    replace(analyzed, &repeated, &mut HashMap::new())
}

/// A plan with the addresses of its tables. Plans alone are equal if their tables have the same names, and all calls of
/// a table function have one name, whatever their arguments.
#[derive(PartialEq, Eq, Hash)]
struct Copied {
    plan: LogicalPlan,
    sources: Vec<usize>,
}

impl Copied {
    fn of(plan: &LogicalPlan) -> Result<Self, DataFusionError> {
        let mut sources = Vec::new();
        plan.apply_with_subqueries(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                sources.push(Arc::as_ptr(&scan.source).addr());
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(Self { plan: plan.clone(), sources })
    }
}

/// Copies that are worth sharing, one of each.
fn repeated(plan: &LogicalPlan, is_table: &dyn Fn(&str) -> bool) -> Result<HashSet<Copied>, DataFusionError> {
    let mut copies: HashMap<Copied, usize> = HashMap::new();
    plan.apply(|node| {
        let LogicalPlan::SubqueryAlias(alias) = node else {
            return Ok(if is_closed(node) { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue });
        };
        let named = aliased(alias);
        if is_closed(&named.input) || is_table(named.alias.table()) {
            return Ok(TreeNodeRecursion::Jump);
        }
        if !is_work(&alias.input)? {
            return Ok(TreeNodeRecursion::Continue);
        }
        let count = copies.entry(Copied::of(node)?).or_default();
        *count += 1;
        // Parts of a further copy do not count as copies.
        Ok(if *count > 1 { TreeNodeRecursion::Jump } else { TreeNodeRecursion::Continue })
    })?;
    Ok(copies.into_iter().filter(|(_, count)| *count > 1).map(|(copied, _)| copied).collect())
}

/// The innermost of the names of a table: `FROM users AS u` names `users` a second time.
fn aliased(alias: &SubqueryAlias) -> &SubqueryAlias {
    match alias.input.as_ref() {
        LogicalPlan::SubqueryAlias(inner) => aliased(inner),
        _ => alias,
    }
}

/// Finds plans that depend on their place.
fn is_closed(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::RecursiveQuery(_) | LogicalPlan::Subquery(_))
}

/// Whether computing the rows is more work than reading them back, and gives the same each time.
fn is_work(plan: &LogicalPlan) -> Result<bool, DataFusionError> {
    let (mut works, mut varies) = (false, false);
    plan.apply_with_subqueries(|node| {
        works |= matches!(
            node,
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) | LogicalPlan::Window(_) | LogicalPlan::Limit(_)
        );
        varies |= node.expressions().iter().any(Expr::is_volatile);
        Ok(if varies { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(works && !varies)
}

fn replace(
    plan: LogicalPlan,
    repeated: &HashSet<Copied>,
    made: &mut HashMap<Copied, Arc<SharedNode>>,
) -> Result<LogicalPlan, DataFusionError> {
    let replaced = plan.transform_down(|node| {
        if is_closed(&node) {
            return Ok(Transformed::new(node, false, TreeNodeRecursion::Jump));
        }
        let LogicalPlan::SubqueryAlias(SubqueryAlias { alias, .. }) = &node else { return Ok(Transformed::no(node)) };
        let name = alias.to_string();
        let copied = Copied::of(&node)?;
        if !repeated.contains(&copied) {
            return Ok(Transformed::no(node));
        }
        let shared = match made.get(&copied) {
            Some(shared) => Arc::clone(shared),
            None => {
                let within = node.map_children(|child| replace(child, repeated, made).map(Transformed::yes))?;
                let shared = Arc::new(SharedNode::new(name, within.data));
                made.insert(copied, Arc::clone(&shared));
                shared
            }
        };
        let extension = LogicalPlan::Extension(Extension { node: shared as Arc<dyn UserDefinedLogicalNode> });
        Ok(Transformed::new(extension, true, TreeNodeRecursion::Jump))
    })?;
    Ok(replaced.data)
}

/// The common state of all readers of one shared query.
#[derive(Debug)]
struct Shared {
    number: u64,
    name: String,
    plan: LogicalPlan,
    /// Made by the first reader that is planned.
    physical: OnceCell<Arc<dyn ExecutionPlan>>,
    /// Whether a reader shows that plan.
    is_shown: AtomicBool,
    rows: Rows,
}

/// A reader of a shared query. For the optimizer it is a table: a condition pushed into one reader must not change the
/// others.
#[derive(Debug)]
struct SharedNode {
    shared: Arc<Shared>,
    schema: DFSchemaRef,
}

impl SharedNode {
    fn new(name: String, plan: LogicalPlan) -> Self {
        let schema = Arc::clone(plan.schema());
        let shared = Shared {
            number: NEXT.fetch_add(1, Relaxed),
            name,
            plan,
            physical: OnceCell::new(),
            is_shown: AtomicBool::new(false),
            rows: Rows::default(),
        };
        Self { shared: Arc::new(shared), schema }
    }
}

impl PartialEq for SharedNode {
    fn eq(&self, other: &Self) -> bool {
        self.shared.number == other.shared.number
    }
}

impl Eq for SharedNode {}

impl PartialOrd for SharedNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.shared.number.partial_cmp(&other.shared.number)
    }
}

impl Hash for SharedNode {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.shared.number.hash(state);
    }
}

impl UserDefinedLogicalNodeCore for SharedNode {
    fn name(&self) -> &'static str {
        "Shared"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        Vec::new()
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "Shared: {}", self.shared.name)
    }

    fn with_exprs_and_inputs(&self, _: Vec<Expr>, _: Vec<LogicalPlan>) -> Result<Self, DataFusionError> {
        Ok(Self { shared: Arc::clone(&self.shared), schema: Arc::clone(&self.schema) })
    }
}

/// DataFusion's planner, for plans with shared queries.
#[derive(Debug)]
pub(crate) struct SharingPlanner;

#[async_trait]
impl QueryPlanner for SharingPlanner {
    async fn create_physical_plan(
        &self,
        plan: &LogicalPlan,
        session: &dyn Session,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let planner = DefaultPhysicalPlanner::with_extension_planners(vec![Arc::new(Self)]);
        planner.create_physical_plan(plan, session).await
    }
}

#[async_trait]
impl ExtensionPlanner for SharingPlanner {
    async fn plan_extension(
        &self,
        _: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _: &[&LogicalPlan],
        inputs: &[Arc<dyn ExecutionPlan>],
        session: &dyn Session,
        _: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>, DataFusionError> {
        if node.as_any().is::<ForgetDependencies>() {
            // It is for the rules of logical plans alone.
            return Ok(inputs.first().map(Arc::clone));
        }
        let Some(SharedNode { shared, .. }) = node.as_any().downcast_ref() else { return Ok(None) };
        let plan = shared.physical.get_or_try_init(|| session.create_physical_plan(&shared.plan)).await?;
        Ok(Some(Arc::new(SharedExec::new(Arc::clone(shared), Arc::clone(plan))?)))
    }
}

#[cfg(test)]
mod tests;

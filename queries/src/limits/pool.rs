//! The memory that queries share: free memory goes to the first that asks.
//!
//! DataFusion's fair pool gives each part of a query that can spill an equal share, also beside parts that hold very
//! little: a grouping then spills although most of the memory is free. Here such a part may take all free memory except
//! a last quarter. That quarter is for parts that cannot spill (joins, merges of sorted files), and for the first small
//! piece of every part, which it needs even to spill. All sorts together have a half, in equal shares: a sort must
//! merge its rows before it spills them, which takes about as much again, and several sorts come to that point at the
//! same time.
//!
//! An exchange never spills. DataFusion's `RepartitionExec` spills a batch for which the pool has no room, and its
//! reader may then wait for a file that is not written any more: the query stands still until its time limit
//! (apache/datafusion#24883, present in the version in use). Batches between two operators are few, so they are always
//! granted and counted; other parts have less memory and spill instead.

use std::fmt::{self, Display, Formatter};
use std::sync::{Mutex, MutexGuard, PoisonError};

use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{
    MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation, human_readable_size,
};

use crate::error::Exhausted;

/// Consumers that can spill and whose names begin with this.
const EXCHANGE: &str = "RepartitionExec";
/// Consumers that cannot spill and whose names contain this: see [`Exhausted`].
const JOIN: &str = "Join";
/// The fraction of the memory that is kept for parts that cannot spill (one in N).
const RESERVES_PER_LIMIT: usize = 4;
/// Consumers that gather rows to sort them have names that begin with this.
const SORT: &str = "ExternalSorter[";
/// The fraction of the memory for the rows of sorts (one in N).
const SORTS_PER_LIMIT: usize = 2;
/// The first piece that a part that can spill always gets, as a fraction of the limit (one in N).
const PIECES_PER_LIMIT: usize = 64;

/// See the module.
#[derive(Debug)]
pub(crate) struct FreeToAll {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes in use.
    used: usize,
    /// How many sorts there are.
    sorts: usize,
}

impl FreeToAll {
    /// A pool of `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The most memory in use once this request is granted.
    fn most(&self, reservation: &MemoryReservation, additional: usize, sorts: usize) -> usize {
        let consumer = reservation.consumer();
        let size = reservation.size().saturating_add(additional);
        if is_exchange(consumer) {
            usize::MAX
        } else if !consumer.can_spill() || size <= self.limit / PIECES_PER_LIMIT {
            self.limit
        } else if is_sort(consumer) && size > self.limit / SORTS_PER_LIMIT / sorts.max(1) {
            0
        } else {
            self.limit - self.limit / RESERVES_PER_LIMIT
        }
    }
}

fn is_sort(consumer: &MemoryConsumer) -> bool {
    consumer.can_spill() && consumer.name().starts_with(SORT)
}

fn is_exchange(consumer: &MemoryConsumer) -> bool {
    consumer.can_spill() && consumer.name().starts_with(EXCHANGE)
}

impl MemoryPool for FreeToAll {
    fn name(&self) -> &str {
        "free_to_all"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.state().sorts += usize::from(is_sort(consumer));
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        let mut state = self.state();
        state.sorts = state.sorts.saturating_sub(usize::from(is_sort(consumer)));
    }

    fn grow(&self, _: &MemoryReservation, additional: usize) {
        let mut state = self.state();
        state.used = state.used.saturating_add(additional);
    }

    fn shrink(&self, _: &MemoryReservation, shrink: usize) {
        let mut state = self.state();
        state.used = state.used.saturating_sub(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<(), DataFusionError> {
        let mut state = self.state();
        let most = self.most(reservation, additional, state.sorts);
        let wanted = state.used.saturating_add(additional);
        if wanted <= most {
            state.used = wanted;
            return Ok(());
        }
        let words = format!(
            "{} asked for {} beside the {} that it has; {} of {} are free",
            reservation.consumer().name(),
            human_readable_size(additional),
            human_readable_size(reservation.size()),
            human_readable_size(self.limit.saturating_sub(state.used)),
            human_readable_size(self.limit),
        );
        let consumer = reservation.consumer();
        let is_join = consumer.name().contains(JOIN) && !consumer.can_spill();
        Err(if is_join { Exhausted(words).into() } else { DataFusionError::ResourcesExhausted(words) })
    }

    fn reserved(&self) -> usize {
        self.state().used
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

impl Display for FreeToAll {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}({})", self.name(), human_readable_size(self.limit))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use datafusion::physical_plan::ExecutionPlan as _;
    use datafusion::physical_plan::repartition::RepartitionExec;

    use super::*;

    const LIMIT: usize = 6_400;

    fn pool() -> Arc<dyn MemoryPool> {
        Arc::new(FreeToAll::new(LIMIT))
    }

    fn spilling(pool: &Arc<dyn MemoryPool>, name: &str) -> MemoryReservation {
        MemoryConsumer::new(name).with_can_spill(true).register(pool)
    }

    #[test]
    fn one_part_may_take_all_free_memory() {
        let pool = pool();
        let idle: Vec<_> = (0..9).map(|at| spilling(&pool, &format!("PartialHashAggregateStream[{at}]"))).collect();
        let grouping = spilling(&pool, "GroupedHashAggregateStream[0]");
        grouping.try_grow(4_800).unwrap();
        assert!(grouping.try_grow(1).is_err(), "the last quarter is for others");
        assert_eq!(pool.reserved(), 4_800);
        drop((idle, grouping));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn a_quarter_is_kept_for_unspillable_parts() {
        let pool = pool();
        let (first, second) = (spilling(&pool, "Grouping[0]"), spilling(&pool, "Grouping[1]"));
        let join = MemoryConsumer::new("HashJoinInput[0]").register(&pool);
        first.try_grow(4_800).unwrap();
        second.try_grow(100).unwrap();
        assert!(second.try_grow(1).is_err(), "more than a first piece");
        join.try_grow(1_500).unwrap();
        let error = join.try_grow(1).unwrap_err();
        assert!(crate::error::is_exhausted(&error) && !matches!(error, DataFusionError::ResourcesExhausted(_)));
        let message = error.strip_backtrace();
        assert!(message.contains("HashJoinInput[0] asked for 1.0 B beside the 1500.0 B"), "{message}");
        first.shrink(4_800);
        second.try_grow(3_000).unwrap();
    }

    #[test]
    fn sorts_have_equal_shares_of_a_half() {
        let pool = pool();
        let first = spilling(&pool, "ExternalSorter[0]");
        first.try_grow(3_200).unwrap();
        assert!(first.try_grow(1).is_err());
        first.shrink(3_200);
        let second = spilling(&pool, "ExternalSorter[1]");
        first.try_grow(1_600).unwrap();
        second.try_grow(1_600).unwrap();
        assert!(first.try_grow(1).is_err() && second.try_grow(1).is_err());
        drop(second);
        first.try_grow(1_600).unwrap();
    }

    #[test]
    fn an_exchange_is_counted_but_never_spilled() {
        let pool = pool();
        let exchange = spilling(&pool, "RepartitionExec[0]");
        let (sort, join) =
            (spilling(&pool, "ExternalSorter[0]"), MemoryConsumer::new("HashJoinInput[0]").register(&pool));
        exchange.try_grow(LIMIT + 50).unwrap();
        assert_eq!(pool.reserved(), LIMIT + 50);
        assert!(sort.try_grow(1).is_err() && join.try_grow(1).is_err());
        exchange.shrink(LIMIT + 50);
        join.try_grow(LIMIT).unwrap();
        drop((exchange, sort, join));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn datafusion_still_calls_its_exchanges_so() {
        let name = RepartitionExec::static_name();
        assert_eq!(name, EXCHANGE);
    }
}

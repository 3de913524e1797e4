//! A memory pool that never makes an exchange spill.
//!
//! DataFusion's `RepartitionExec` spills a batch for which the pool has no room, and its reader may then wait for a file
//! that nobody writes any more: the query stands still until its time limit (apache/datafusion#24883, which is in the
//! version in use). Batches between two operators are few, so they are granted and counted; what they take is missing for
//! others, who spill instead.

use std::fmt::{self, Display, Formatter};

use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

/// Consumers whose names begin so and that could spill.
const EXCHANGE: &str = "RepartitionExec";

/// Grants exchanges everything, and leaves the others to the pool within. An exchange keeps its share of a fair pool: that
/// is what merges of sorts, which cannot spill, find free.
#[derive(Debug)]
pub(crate) struct ExchangesFirst<P>(P);

impl<P: MemoryPool> ExchangesFirst<P> {
    pub(crate) fn new(pool: P) -> Self {
        Self(pool)
    }
}

fn is_exchange(consumer: &MemoryConsumer) -> bool {
    consumer.can_spill() && consumer.name().starts_with(EXCHANGE)
}

impl<P: MemoryPool> MemoryPool for ExchangesFirst<P> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.0.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.0.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.0.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.0.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<(), DataFusionError> {
        if is_exchange(reservation.consumer()) {
            self.0.grow(reservation, additional);
            return Ok(());
        }
        self.0.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.0.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.0.memory_limit()
    }
}

impl<P: MemoryPool> Display for ExchangesFirst<P> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, formatter)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use datafusion::execution::memory_pool::FairSpillPool;
    use datafusion::physical_plan::ExecutionPlan as _;
    use datafusion::physical_plan::repartition::RepartitionExec;

    use super::*;

    #[test]
    fn an_exchange_is_never_made_to_spill_and_what_it_takes_is_counted() {
        let pool: Arc<dyn MemoryPool> = Arc::new(ExchangesFirst::new(FairSpillPool::new(100)));
        let exchange = MemoryConsumer::new("RepartitionExec[0]").with_can_spill(true).register(&pool);
        let sort = MemoryConsumer::new("ExternalSorter[0]").with_can_spill(true).register(&pool);
        let join = MemoryConsumer::new("HashJoinInput[0]").register(&pool);
        exchange.try_grow(150).unwrap();
        assert_eq!(pool.reserved(), 150);
        assert!(sort.try_grow(51).is_err() && join.try_grow(1).is_err());
        exchange.shrink(150);
        join.try_grow(60).unwrap();
        sort.try_grow(20).unwrap();
        assert!(sort.try_grow(1).is_err(), "a half of what the join leaves");
        drop((exchange, sort, join));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn datafusion_still_calls_its_exchanges_so() {
        let name = RepartitionExec::static_name();
        assert_eq!(name, EXCHANGE);
    }
}

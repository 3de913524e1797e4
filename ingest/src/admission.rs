//! Bounds the bytes of pages that are on their way from Kinesis to a buffer, over all shards and streams.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes that one permit stands for.
const UNIT: usize = 64 << 10;
/// What a page is taken to weigh before the first one of its shard has come: the most that Kinesis gives. Less, and many
/// shards that begin with large records would be in memory at once.
const FIRST_GUESS: usize = 10 << 20;

/// A budget of bytes, shared by every reader. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission {
    permits: Arc<Semaphore>,
    units: usize,
}

/// Room for one page; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    permits: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Admitted {
    /// Takes more room for a page that turned out heavier, as far as there is any: the page is here already.
    pub(crate) fn grow(&mut self, bytes: usize) {
        let Some(permit) = &mut self.permit else { return };
        let missing = bytes.div_ceil(UNIT).saturating_sub(permit.num_permits()).min(self.permits.available_permits());
        if let Some(more) =
            u32::try_from(missing).ok().and_then(|more| self.permits.clone().try_acquire_many_owned(more).ok())
        {
            permit.merge(more);
        }
    }
}

impl Admission {
    /// A budget of `bytes`, at least one unit of 64 KiB.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let units = (bytes / UNIT).clamp(1, Semaphore::MAX_PERMITS);
        Self { permits: Arc::new(Semaphore::new(units)), units }
    }

    /// Bytes of the budget, and how many of them are taken.
    #[must_use]
    pub(crate) fn usage(&self) -> (usize, usize) {
        let taken = self.units.saturating_sub(self.permits.available_permits());
        (self.units.saturating_mul(UNIT), taken.saturating_mul(UNIT))
    }

    /// Waits for room for a page like the shard's last one. A page larger than the budget gets all of it.
    pub(crate) async fn admit(&self, last_page: Option<usize>) -> Admitted {
        let wanted = last_page.unwrap_or(FIRST_GUESS).div_ceil(UNIT).clamp(1, self.units);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.permits.clone().acquire_many_owned(wanted).await.ok();
        Admitted { permits: self.permits.clone(), permit }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_page_waits_until_there_is_room_for_one_like_the_last() {
        let admission = Admission::new(1 << 20);
        let first = admission.admit(Some(800 << 10)).await;
        assert!(admission.admit(Some(400 << 10)).now_or_never().is_none(), "over the budget");
        let small = admission.admit(Some(10)).now_or_never();
        assert!(small.is_some());
        drop((first, small));
        assert!(admission.admit(Some(64 << 20)).now_or_never().is_some(), "larger than the budget gets all of it");
    }

    #[tokio::test]
    async fn first_pages_are_admitted_as_the_largest_that_there_are() {
        let admission = Admission::new(16 << 20);
        let first = admission.admit(None).await;
        assert!(admission.admit(None).now_or_never().is_none(), "two of 10 MiB are over the budget");
        drop(first);
        assert!(admission.admit(None).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_page_that_turned_out_heavier_takes_what_room_there_is() {
        let admission = Admission::new(1 << 20);
        let mut page = admission.admit(Some(10)).await;
        page.grow(512 << 10);
        assert!(admission.admit(Some(600 << 10)).now_or_never().is_none(), "half of the room is taken");
        let other = admission.admit(Some(500 << 10)).now_or_never();
        assert!(other.is_some());
        page.grow(64 << 20);
        drop(page);
        assert!(admission.admit(Some(512 << 10)).now_or_never().is_some(), "all of it was given back");
    }
}

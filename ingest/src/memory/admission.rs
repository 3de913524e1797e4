//! Bounds memory over all shards and streams: the bytes of pages on their way from Kinesis to a buffer, and the rows of
//! records that unpack to far more than they weigh, until those rows are written.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::memory::budget::PAGE_COPIES;

/// Bytes that one permit stands for.
const UNIT: usize = 64 << 10;
/// The assumed weight of a page before the first one of its shard has come: the most that Kinesis gives. With less,
/// many shards that begin with large records would be in memory at once.
const FIRST_GUESS: usize = 10 << 20;

/// A budget of bytes, shared by every reader. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admission {
    permits: Arc<Semaphore>,
    units: usize,
    rows: Rows,
}

/// Room for the rows of heavy records.
#[derive(Clone, Debug)]
struct Rows {
    permits: Arc<Semaphore>,
    units: usize,
    /// Readers that wait for room.
    waiting: Arc<AtomicUsize>,
}

/// Room for rows; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct RowRoom(OwnedSemaphorePermit);

impl RowRoom {
    /// Gives back the room that rows of `bytes` do not need.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let surplus = self.0.num_permits().saturating_sub(bytes.div_ceil(UNIT).max(1));
        drop(self.0.split(surplus));
    }

    /// All rooms as one.
    pub(crate) fn joined(rooms: impl IntoIterator<Item = Self>) -> Option<Self> {
        rooms.into_iter().reduce(|mut all, more| {
            all.0.merge(more.0);
            all
        })
    }
}

/// Counts a reader that waits.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn start(waiting: &'a AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::AcqRel);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Room for one page; given back when it is dropped.
#[derive(Debug)]
pub(crate) struct Admitted {
    permits: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Admitted {
    /// Takes more room for a page that turned out heavier, as far as there is room: the page is here already.
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
        // Heavy rows get as much room again as a page with everything made of it.
        let row_units = units.saturating_mul(PAGE_COPIES).min(Semaphore::MAX_PERMITS);
        let rows = Rows { permits: Arc::new(Semaphore::new(row_units)), units: row_units, waiting: Arc::default() };
        Self { permits: Arc::new(Semaphore::new(units)), units, rows }
    }

    /// Waits for room for the rows of one record. A record larger than the whole room gets the whole room.
    pub(crate) async fn admit_rows(&self, bytes: usize) -> Option<RowRoom> {
        let Rows { permits, units, waiting } = &self.rows;
        let wanted = u32::try_from(bytes.div_ceil(UNIT).clamp(1, *units)).unwrap_or(u32::MAX);
        let _waiting = Waiting::start(waiting);
        // The semaphore is never closed, so there is always a permit in the end.
        permits.clone().acquire_many_owned(wanted).await.ok().map(RowRoom)
    }

    /// Whether a reader waits for room for rows. Whoever holds rows should write them then.
    pub(crate) fn rows_are_awaited(&self) -> bool {
        self.rows.waiting.load(Ordering::Acquire) > 0
    }

    /// Bytes of the budget, and the bytes taken.
    #[must_use]
    pub(crate) fn usage(&self) -> (usize, usize) {
        let taken = self.units.saturating_sub(self.permits.available_permits());
        (self.units.saturating_mul(UNIT), taken.saturating_mul(UNIT))
    }

    /// Waits for room for a page like the shard's last one. A page larger than the budget gets the whole budget.
    pub(crate) async fn admit(&self, last_page: Option<usize>) -> Admitted {
        let wanted = last_page.unwrap_or(FIRST_GUESS).div_ceil(UNIT).clamp(1, self.units);
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        // The semaphore is never closed, so there is always a permit in the end.
        let permit = self.permits.clone().acquire_many_owned(wanted).await.ok();
        Admitted { permits: self.permits.clone(), permit }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[tokio::test]
    async fn a_page_waits_for_room_like_its_predecessors() {
        let admission = Admission::new(1 << 20);
        let first = admission.admit(Some(800 << 10)).await;
        assert!(admission.admit(Some(400 << 10)).now_or_never().is_none(), "over the budget");
        let small = admission.admit(Some(10)).now_or_never();
        assert!(small.is_some());
        drop((first, small));
        assert!(admission.admit(Some(64 << 20)).now_or_never().is_some(), "larger than the budget gets all of it");
    }

    #[tokio::test]
    async fn first_pages_are_admitted_at_full_size() {
        let admission = Admission::new(16 << 20);
        let first = admission.admit(None).await;
        assert!(admission.admit(None).now_or_never().is_none(), "two of 10 MiB are over the budget");
        drop(first);
        assert!(admission.admit(None).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_page_that_grows_takes_more_room() {
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

    #[tokio::test]
    async fn heavy_rows_wait_until_those_before_are_written() {
        let admission = Admission::new(1 << 20);
        let mut first = admission.admit_rows(64 << 20).await.unwrap();
        assert!(!admission.rows_are_awaited());
        let second = admission.admit_rows(1 << 20);
        let mut second = std::pin::pin!(second);
        assert!(futures::poll!(second.as_mut()).is_pending(), "all the room is taken");
        assert!(admission.rows_are_awaited());
        first.shrink(3 << 20);
        let second = second.now_or_never().flatten().unwrap();
        assert!(!admission.rows_are_awaited());
        assert!(admission.admit_rows(10).now_or_never().is_none());
        let mut both = RowRoom::joined([first, second]).unwrap();
        both.shrink(1);
        assert!(admission.admit_rows(3 << 20).now_or_never().is_some(), "a unit is left to what is not written");
    }
}

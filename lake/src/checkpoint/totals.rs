//! Control totals: received = stored + rejected + duplicate + suppressed.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The number of events received, and their outcomes. Units: events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlTotals {
    /// Events read from the stream.
    pub received: u64,
    /// Events that are rows of the event table.
    pub stored: u64,
    /// Events that are rows of `rejected_events`.
    pub rejected: u64,
    /// Events dropped because their id was seen within the window.
    pub duplicate: u64,
    /// Events dropped because they belong to an erased person. Documents before format 5 have none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub suppressed: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl ControlTotals {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Whether received = stored + rejected + duplicate + suppressed.
    #[must_use]
    pub fn balance(&self) -> bool {
        let parts = [self.stored, self.rejected, self.duplicate, self.suppressed];
        parts.into_iter().try_fold(0_u64, u64::checked_add) == Some(self.received)
    }

    /// The sum; `None` when a count overflows.
    #[must_use]
    pub(crate) fn checked_add(&self, other: &Self) -> Option<Self> {
        self.each(other, u64::checked_add)
    }

    /// The difference; `None` when a count of it is negative.
    #[must_use]
    pub(crate) fn checked_sub(&self, other: &Self) -> Option<Self> {
        self.each(other, u64::checked_sub)
    }

    fn each(&self, other: &Self, count: fn(u64, u64) -> Option<u64>) -> Option<Self> {
        Some(Self {
            received: count(self.received, other.received)?,
            stored: count(self.stored, other.stored)?,
            rejected: count(self.rejected, other.rejected)?,
            duplicate: count(self.duplicate, other.duplicate)?,
            suppressed: count(self.suppressed, other.suppressed)?,
        })
    }
}

impl AddAssign for ControlTotals {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.stored += other.stored;
        self.rejected += other.rejected;
        self.duplicate += other.duplicate;
        self.suppressed += other.suppressed;
    }
}

/// The outcomes of rejected events that were judged again. Units: events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repaired {
    /// Events that are rows of the event table now.
    pub stored: u64,
    /// Events whose id is stored within the window.
    pub duplicate: u64,
}

impl Repaired {
    /// Whether nothing was repaired.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Moves the events out of the rejected ones; `None` when a count overflows or fewer were rejected.
    #[must_use]
    pub(crate) fn applied_to(&self, totals: &ControlTotals) -> Option<ControlTotals> {
        Some(ControlTotals {
            stored: totals.stored.checked_add(self.stored)?,
            duplicate: totals.duplicate.checked_add(self.duplicate)?,
            rejected: totals.rejected.checked_sub(self.stored.checked_add(self.duplicate)?)?,
            ..*totals
        })
    }
}

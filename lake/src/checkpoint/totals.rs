//! Control totals: received = stored + rejected + duplicate.

use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// How many events came in and what became of them. Units: events.
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
}

impl ControlTotals {
    /// Whether nothing was counted.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    /// Whether received = stored + rejected + duplicate.
    #[must_use]
    pub fn balance(&self) -> bool {
        self.stored.checked_add(self.rejected).and_then(|sum| sum.checked_add(self.duplicate)) == Some(self.received)
    }
}

impl AddAssign for ControlTotals {
    fn add_assign(&mut self, other: Self) {
        self.received += other.received;
        self.stored += other.stored;
        self.rejected += other.rejected;
        self.duplicate += other.duplicate;
    }
}

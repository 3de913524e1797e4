//! How long a delivery puts up with faults that may pass.

use std::time::{Duration, Instant};

use bluelake_lake::{Backoff, Chance};

use crate::error::DeliverError;

/// The first limit and the longest of the pauses between tries.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// How long faults in a row are put up with.
pub(super) struct Patience {
    /// `None`: for ever.
    pub(super) most: Option<Duration>,
    pub(super) pauses: Backoff,
    pub(super) since: Option<Instant>,
    /// What was reached when the last of them came.
    pub(super) reached: Vec<(Option<u64>, u64)>,
}

impl Patience {
    /// The fault, and the pause before the next try.
    pub(super) fn after(
        &mut self,
        error: DeliverError,
        reached: Vec<(Option<u64>, u64)>,
    ) -> Result<(DeliverError, Duration), DeliverError> {
        if !error.is_transient() {
            return Err(error);
        }
        // What was reached between two faults begins the count anew.
        if reached != self.reached {
            self.pauses.reset();
            (self.since, self.reached) = (None, reached);
        }
        let since = *self.since.get_or_insert_with(Instant::now);
        if self.most.is_some_and(|most| since.elapsed() > most) {
            return Err(error);
        }
        Ok((error, self.pauses.pause()))
    }
}

/// The pauses after failures in a row.
pub(super) fn pauses() -> Backoff {
    Backoff::steady(PAUSES.0, PAUSES.1, &Chance::default())
}

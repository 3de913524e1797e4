//! The one place that decides how long to go on trying against a lake that fails.

use std::time::Duration;

use backon::BackoffBuilder as _;
use bluelake_lake::LakeError;

/// Tries of a run that should end.
const TRIES_ONCE: usize = 3;

/// How long to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// A few tries, then the error.
    Few,
    /// For as long as the fault may pass by itself.
    Endless,
}

/// Pauses between tries, with jitter, up to half a minute.
pub(crate) struct Pauses(backon::ExponentialBackoff);

impl Patience {
    pub(crate) fn pauses(self) -> Pauses {
        let builder = backon::ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(30))
            .with_jitter();
        Pauses(match self {
            Self::Few => builder.with_max_times(TRIES_ONCE).build(),
            Self::Endless => builder.without_max_times().build(),
        })
    }
}

impl Pauses {
    /// Waits before the next try, or gives the error back when there will be none.
    pub(crate) async fn wait_after(&mut self, operation: &'static str, error: LakeError) -> Result<(), LakeError> {
        if !error.is_transient() {
            return Err(error);
        }
        match self.0.next() {
            Some(pause) => {
                tracing::warn!(
                    operation,
                    error = &error as &dyn std::error::Error,
                    pause_millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                    "the lake failed; trying again"
                );
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }
}

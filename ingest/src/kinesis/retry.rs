//! The one place that decides how long to go on trying against a lake or a stream that fails.

use std::time::Duration;

use backon::BackoffBuilder as _;
use tokio_util::sync::CancellationToken;

use crate::{error::IngestError, progress::count_retry};

/// Tries of a run that should end, and of any run once it was told to stop.
const FEW_TRIES: usize = 3;

/// How long to go on.
#[derive(Clone, Debug)]
pub(crate) enum Patience {
    /// A few tries, then the error.
    Few,
    /// For as long as the fault may pass by itself; after the token is cancelled, a few tries more.
    Until(CancellationToken),
}

/// Pauses between tries, with jitter, up to half a minute.
pub(crate) struct Pauses {
    delays: backon::ExponentialBackoff,
    stop: Option<CancellationToken>,
    left: usize,
}

impl Patience {
    pub(crate) fn pauses(&self) -> Pauses {
        let delays = backon::ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(200))
            .with_max_delay(Duration::from_secs(30))
            .with_jitter()
            .without_max_times()
            .build();
        let stop = match self {
            Self::Few => None,
            Self::Until(stop) => Some(stop.clone()),
        };
        Pauses { delays, stop, left: FEW_TRIES }
    }
}

impl Pauses {
    /// Waits before the next try, or gives the error back when there will be none.
    pub(crate) async fn wait_after(&mut self, operation: &'static str, error: IngestError) -> Result<(), IngestError> {
        if !error.is_transient() || self.left == 0 {
            return Err(error);
        }
        count_retry(operation);
        let pause = self.delays.next().unwrap_or(Duration::from_secs(30));
        tracing::warn!(
            operation,
            error = bluelake_lake::causes(&error),
            pause_millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "failed; trying again"
        );
        match &self.stop {
            Some(stop) if !stop.is_cancelled() => {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(pause) => {}
                }
            }
            _ => {
                self.left -= 1;
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }
}

//! How long to go on trying against a lake or a stream that fails: the one place that decides it.

use std::time::Duration;

use bluelake_lake::{Backoff, Chance};
use tokio_util::sync::CancellationToken;

use crate::{error::IngestError, progress::count_retry};

/// Tries of a run that should end, and of every run once it is to stop.
const FEW_TRIES: usize = 3;
/// Limit of the first pause between tries, and longest pause.
const PAUSES: (Duration, Duration) = (Duration::from_millis(400), Duration::from_secs(30));
/// Shortest and longest pause of a worker after a fence.
const FENCE_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// How long to go on, and the randomness of the pauses.
#[derive(Clone, Debug)]
pub(crate) struct Patience {
    /// Until it is cancelled, tries go on as long as the fault may pass by itself. `None`: a few tries.
    stop: Option<CancellationToken>,
    /// Limit of the first pause, and longest pause.
    pauses: (Duration, Duration),
    chance: Chance,
}

impl Patience {
    /// A few tries, then the error.
    pub(crate) fn few(chance: &Chance) -> Self {
        Self { stop: None, pauses: PAUSES, chance: chance.clone() }
    }

    /// Tries go on as long as the fault may pass by itself, and a few times more after the token is cancelled.
    pub(crate) fn and_until(self, stop: &CancellationToken) -> Self {
        Self { stop: Some(stop.clone()), ..self }
    }

    /// The tries of an operation, by its name in logs and metrics.
    pub(crate) fn tries(&self, operation: &'static str) -> Tries {
        let (first, longest) = self.pauses;
        let backoff = Backoff::steady(first, longest, &self.chance);
        Tries { operation, patience: self.clone(), backoff, left: FEW_TRIES }
    }
}

/// The tries of one operation.
#[derive(Debug)]
pub(crate) struct Tries {
    operation: &'static str,
    patience: Patience,
    backoff: Backoff,
    left: usize,
}

impl Tries {
    /// The outcome of one try: its value, or `None` after the pause before the next try.
    ///
    /// # Errors
    /// The error of this try, if it is permanent or there will be no other try.
    pub(crate) async fn judge<T, E: Into<IngestError>>(
        &mut self,
        outcome: Result<T, E>,
    ) -> Result<Option<T>, IngestError> {
        let error = match outcome {
            Ok(done) => return Ok(Some(done)),
            Err(error) => error.into(),
        };
        if !error.is_transient() || self.left == 0 {
            return Err(error);
        }
        count_retry(self.operation);
        let pause = self.backoff.pause();
        tracing::warn!(
            operation = self.operation,
            error = bluelake_lake::causes(&error),
            pause_millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "failed; trying again"
        );
        match &self.patience.stop {
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
        Ok(None)
    }
}

/// Tries an operation until it succeeds, fails for good, or patience ends. `operation` is its name in logs and metrics.
/// A caller that borrows its subject mutably uses [`Tries`] itself: a closure could not lend it out.
///
/// # Errors
/// The error of the last try.
pub(crate) async fn until<T, E: Into<IngestError>, Attempt: Future<Output = Result<T, E>>>(
    operation: &'static str,
    patience: &Patience,
    mut attempt: impl FnMut() -> Attempt,
) -> Result<T, IngestError> {
    let mut tries = patience.tries(operation);
    loop {
        if let Some(done) = tries.judge(attempt().await).await? {
            return Ok(done);
        }
    }
}

/// How long to wait after a fence, so that workers that were fenced together do not come back together.
pub(crate) fn pause_after_fence(chance: &Chance) -> Duration {
    let (shortest, longest) = FENCE_PAUSES;
    chance.duration(shortest..=longest)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fault(transient: bool) -> IngestError {
        let (stream, reason) = ("s".to_owned(), "no".to_owned());
        IngestError::Kinesis { stream, operation: "GetRecords", reason, remedy: None, transient }
    }

    /// The number of tries when the first `failures` fail, and whether the last succeeds.
    async fn tries(patience: &Patience, failures: usize, transient: bool) -> (usize, bool) {
        let mut tries = 0;
        let attempt = || {
            tries += 1;
            std::future::ready(if tries > failures { Ok(()) } else { Err(fault(transient)) })
        };
        let succeeded = until("test", patience, attempt).await.is_ok();
        (tries, succeeded)
    }

    /// Few tries, a millisecond apart.
    fn few() -> Patience {
        Patience { pauses: (Duration::from_millis(1), Duration::from_millis(2)), ..Patience::few(&Chance::seeded(1)) }
    }

    #[tokio::test]
    async fn retries_end_after_a_few_or_at_shutdown() {
        assert_eq!(tries(&few(), 3, true).await, (4, true));
        assert_eq!(tries(&few(), 9, true).await, (4, false));
        assert_eq!(tries(&few(), 9, false).await, (1, false));
        let stop = CancellationToken::new();
        let many = few().and_until(&stop);
        assert_eq!(tries(&many, 50, true).await, (51, true));
        stop.cancel();
        assert_eq!(tries(&many, 9, true).await, (4, false));
    }

    #[tokio::test]
    async fn a_stop_ends_a_pause() {
        let stop = CancellationToken::new();
        // The first pause would outlast any test.
        let hour = Duration::from_secs(3_600);
        let first = Patience { pauses: (hour, hour), ..few() }.and_until(&stop);
        let stopped = async {
            tokio::task::yield_now().await;
            stop.cancel();
        };
        let (outcome, ()) = tokio::join!(tries(&first, 1, true), stopped);
        assert_eq!(outcome, (2, true));
    }
}

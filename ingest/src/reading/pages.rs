//! Pages of one shard, by polling or by enhanced fan-out. The faults of both are waited out.

use bluelake_lake::{Backoff, Position};

use crate::{
    error::IngestError,
    kinesis::{fault::ReadFault, pace::FAILURE_PAUSES},
    memory::admission::Admitted,
    reading::{
        fan_out::FanOut,
        page::{Page, SUBSCRIPTION_INTERVAL, ShardSource},
        polling::Polling,
    },
};

/// Failures in a row after which a run that should end gives up.
const MAX_FAILURES_ONCE: u32 = 8;
/// Failures in a row after which polling takes the place of fan-out.
const MAX_FAILURES_FAN_OUT: u32 = 6;
/// Refusals in a row, five seconds apart, because another reader has the subscription, after which polling takes its
/// place.
const MAX_IN_USE: u32 = 24;
/// The next part of a shard.
#[derive(Debug)]
pub(crate) enum Next {
    /// A page, and the room that it takes.
    Page(Page, Admitted),
    /// The shard is not in the stream any more.
    Vanished,
}

/// Two ways to the same pages.
#[derive(Debug)]
enum Way {
    Polling(Polling),
    FanOut(Box<FanOut>),
}

/// The pages of one shard.
#[derive(Debug)]
pub(crate) struct Pages {
    source: ShardSource,
    way: Way,
    backoff: Backoff,
    /// Failures in a row other than throttling.
    failures: u32,
    in_use: u32,
    /// Kinesis does not know the position; records that were read already are skipped.
    from_horizon: bool,
    max_failures: Option<u32>,
}

impl Pages {
    /// `once`: for a run that should end, and so gives up after some failures.
    pub(crate) fn new(source: ShardSource, once: bool) -> Self {
        let way = match source.stream.consumer() {
            Some(consumer) => Way::FanOut(Box::new(FanOut::new(consumer.clone()))),
            None => Way::Polling(Polling::default()),
        };
        let (first, longest) = FAILURE_PAUSES;
        let backoff = Backoff::spread(first, longest, source.stream.chance());
        Self {
            source,
            way,
            backoff,
            failures: 0,
            in_use: 0,
            from_horizon: false,
            max_failures: once.then_some(MAX_FAILURES_ONCE),
        }
    }

    /// The page after `position`, the end of the last one. Waits out throttling and failures.
    ///
    /// # Errors
    /// A permanent fault, or, in a run that should end, one that did not pass soon.
    pub(crate) async fn next(&mut self, position: &Position) -> Result<Next, IngestError> {
        loop {
            let from = if self.from_horizon { &Position::TrimHorizon } else { position };
            let next = match &mut self.way {
                Way::Polling(polling) => polling.next(&self.source, from).await,
                Way::FanOut(fan_out) => fan_out.next(&self.source, from).await,
            };
            match next {
                Ok((page, room)) => {
                    self.backoff.reset();
                    (self.failures, self.in_use, self.from_horizon) = (0, 0, false);
                    return Ok(Next::Page(page, room));
                }
                Err(fault) => {
                    if let Some(end) = self.wait_out(fault).await? {
                        return Ok(end);
                    }
                }
            }
        }
    }

    /// Waits, or turns to polling, until another try makes sense. `Some` when none does.
    async fn wait_out(&mut self, fault: ReadFault) -> Result<Option<Next>, IngestError> {
        let fans_out = matches!(self.way, Way::FanOut(_));
        let reason = match fault {
            ReadFault::ExpiredIterator => return Ok(None),
            ReadFault::Trimmed(reason) => {
                tracing::warn!(
                    stream = self.source.stream.name(),
                    shard = %self.source.shard,
                    reason,
                    "Kinesis does not know the position; reading from the oldest record that it holds"
                );
                self.from_horizon = true;
                return Ok(None);
            }
            ReadFault::NotFound(error) | ReadFault::Denied(error) | ReadFault::Final(error) if fans_out => {
                self.fall_back(&error.to_string());
                return Ok(None);
            }
            ReadFault::NotFound(_) => {
                // The stream or the shard is missing; a description of the stream decides which.
                self.source.stream.describe().await?;
                return Ok(Some(Next::Vanished));
            }
            ReadFault::Denied(error) | ReadFault::Final(error) => return Err(error),
            ReadFault::Throttled(reason) => reason,
            ReadFault::InUse(reason) => {
                self.in_use += 1;
                if self.in_use < MAX_IN_USE {
                    tracing::info!(shard = %self.source.shard, reason, "waiting for the subscription");
                    tokio::time::sleep(SUBSCRIPTION_INTERVAL).await;
                    return Ok(None);
                }
                self.failures = MAX_FAILURES_FAN_OUT;
                reason
            }
            ReadFault::Transient(reason) => {
                self.failures += 1;
                reason
            }
        };
        // Throttled subscriptions count too: calls of polling may still be free.
        if fans_out && self.failures.max(self.backoff.failures()) >= MAX_FAILURES_FAN_OUT {
            self.fall_back(&reason);
            return Ok(None);
        }
        self.pause(reason).await?;
        Ok(None)
    }

    async fn pause(&mut self, reason: String) -> Result<(), IngestError> {
        if self.max_failures.is_some_and(|most| self.failures >= most) {
            return Err(IngestError::Kinesis {
                stream: self.source.stream.name().to_owned(),
                operation: "GetRecords",
                reason: format!("{} failures in a row, the last: {reason}", self.failures),
                remedy: None,
                transient: true,
            });
        }
        let pause = self.backoff.pause();
        tracing::warn!(
            stream = self.source.stream.name(),
            shard = %self.source.shard,
            reason,
            failures = self.backoff.failures(),
            pause_millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
            "reading again after a pause"
        );
        tokio::time::sleep(pause).await;
        Ok(())
    }

    fn fall_back(&mut self, reason: &str) {
        tracing::warn!(
            stream = self.source.stream.name(),
            shard = %self.source.shard,
            reason,
            "enhanced fan-out is not to be had; polling instead"
        );
        self.way = Way::Polling(Polling::default());
        self.backoff.reset();
        (self.failures, self.in_use) = (0, 0);
    }
}

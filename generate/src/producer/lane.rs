//! A lane: one request of one stream at a time, repeated until every record of it is stored.

use std::sync::Arc;

use backon::{BackoffBuilder, ExponentialBuilder};
use bluelake_schemas::Stream;
use tokio::sync::mpsc;

use super::batch::{Answered, Batch, PutRecord};
use super::kinesis::{PutFailure, PutRecords};
use crate::Error;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

pub(crate) struct Lane<T> {
    pub(crate) stream: Stream,
    pub(crate) transport: Arc<T>,
    /// Makes the delays of one series of attempts.
    pub(crate) delays: ExponentialBuilder,
    pub(crate) batches: mpsc::Receiver<Vec<PutRecord>>,
    pub(crate) answers: mpsc::Sender<Answered>,
}

impl<T: PutRecords> Lane<T> {
    /// Puts batch after batch until none are left.
    pub(crate) async fn run(mut self) -> Result<(), Error> {
        while let Some(records) = self.batches.recv().await {
            self.put(Batch::new(records)).await?;
        }
        Ok(())
    }

    async fn put(&self, mut batch: Batch) -> Result<(), Error> {
        let mut delays = self.delays.build();
        let mut attempts = 0;
        while !batch.pending().is_empty() {
            let (answered, failure) = self.attempt(&mut batch).await?;
            attempts += 1;
            if answered.stored_any() {
                delays = self.delays.build();
                attempts = 0;
            }
            if self.answers.send(answered).await.is_err() {
                return Err(Error::Cancelled);
            }
            if batch.pending().is_empty() {
                break;
            }
            match delays.next() {
                Some(delay) => tokio::time::sleep(delay).await,
                None => return Err(self.gave_up(&batch, attempts, failure)),
            }
        }
        Ok(())
    }

    async fn attempt(&self, batch: &mut Batch) -> Result<(Answered, Option<BoxError>), Error> {
        match self.transport.put(self.stream, batch.pending()).await {
            Ok(answers) => Ok((batch.absorb(answers), None)),
            Err(PutFailure::Throttled(source)) => Ok((batch.lost(false), Some(source))),
            Err(PutFailure::Unknown(source)) => Ok((batch.lost(true), Some(source))),
            Err(PutFailure::Final(error)) => Err(error),
        }
    }

    fn gave_up(&self, batch: &Batch, attempts: usize, source: Option<BoxError>) -> Error {
        let stream = self.transport.name(self.stream).to_owned();
        Error::GaveUp { stream, records: batch.pending().len(), attempts, source }
    }
}

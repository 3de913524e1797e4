//! A target whose kind is known only when the program runs.

use async_trait::async_trait;
use bluelake_lake::{FeedFile, FeedStep};

use super::{Applied, Load, Source, Standing, Target};
use crate::{digest::TableVerdict, error::DeliverError};

#[async_trait]
impl Target for Box<dyn Target> {
    fn name(&self) -> &str {
        (**self).name()
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        (**self).prepare().await
    }

    async fn standing(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        (**self).standing(source).await
    }

    async fn apply(&mut self, source: &Source, step: &FeedStep) -> Result<Applied, DeliverError> {
        (**self).apply(source, step).await
    }

    async fn begin_load(&mut self, source: &Source) -> Result<Load, DeliverError> {
        (**self).begin_load(source).await
    }

    async fn load(&mut self, source: &Source, load: &Load, files: &[FeedFile]) -> Result<Applied, DeliverError> {
        (**self).load(source, load, files).await
    }

    async fn finish_load(&mut self, source: &Source, load: &Load) -> Result<Applied, DeliverError> {
        (**self).finish_load(source, load).await
    }

    async fn abandon_load(&mut self, source: &Source) -> Result<(), DeliverError> {
        (**self).abandon_load(source).await
    }

    async fn verify(&mut self, source: &Source) -> Result<TableVerdict, DeliverError> {
        (**self).verify(source).await
    }
}

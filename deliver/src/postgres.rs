//! PostgreSQL and Aurora: the position of a table is a row that is locked, moved and committed together with the rows.

pub(crate) mod address;
mod apply;
mod compare;
mod copy;
mod ddl;
mod faults;
mod iam;
pub(crate) mod reports;
mod session;
mod shadow;
mod tls;

use async_trait::async_trait;
use bluelake_lake::{FeedFile, FeedStep};

use crate::{
    digest::TableVerdict,
    error::DeliverError,
    target::{Applied, Load, Source, Standing, Target},
};
use address::Address;
use session::Session;

/// The oldest server that is delivered to, as `server_version_num` says it.
const OLDEST_SERVER: i32 = 120_000;

/// A PostgreSQL database as a target.
#[derive(Clone, Debug)]
pub struct PostgresOptions {
    /// Name of the target.
    pub name: String,
    /// Where it is, and as whom.
    pub address: Address,
    /// The schema that is the target's own.
    pub schema: String,
    /// A role that may read it.
    pub read_role: Option<String>,
}

/// The connection to a target, which is made anew after a fault.
pub struct PostgresTarget {
    options: PostgresOptions,
    session: Option<Session>,
}

impl PostgresTarget {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(options: PostgresOptions) -> Self {
        Self { options, session: None }
    }

    /// The session; after a fault its connection may hold a transaction, so a new one is made.
    async fn session(&mut self) -> Result<&mut Session, DeliverError> {
        if self.session.as_ref().is_none_or(Session::is_closed) {
            self.session = None;
            self.session = Some(Session::open(&self.options).await?);
        }
        match &mut self.session {
            Some(session) => Ok(session),
            None => Err(self.options.refused("its session", "it is closed", "run it again")),
        }
    }

    /// Keeps the session only after success.
    fn judged<T>(&mut self, outcome: Result<T, DeliverError>) -> Result<T, DeliverError> {
        if outcome.is_err() {
            self.session = None;
        }
        outcome
    }
}

#[async_trait]
impl Target for PostgresTarget {
    fn name(&self) -> &str {
        &self.options.name
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        let outcome = self.session().await?.prepare().await;
        self.judged(outcome)
    }

    async fn standing(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        let outcome = self.session().await?.standing(source).await;
        self.judged(outcome)
    }

    async fn seen(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        self.standing(source).await
    }

    async fn apply(&mut self, source: &Source, step: &FeedStep) -> Result<Applied, DeliverError> {
        let outcome = self.session().await?.apply(source, step).await;
        self.judged(outcome)
    }

    async fn begin_load(&mut self, source: &Source) -> Result<Load, DeliverError> {
        let outcome = self.session().await?.begin_load(source).await;
        self.judged(outcome)
    }

    async fn load(&mut self, source: &Source, load: &Load, files: &[FeedFile]) -> Result<Applied, DeliverError> {
        let outcome = self.session().await?.load(source, load, files).await;
        self.judged(outcome)
    }

    async fn finish_load(&mut self, source: &Source, load: &Load) -> Result<Applied, DeliverError> {
        let outcome = self.session().await?.finish_load(source, load).await;
        self.judged(outcome)
    }

    async fn abandon_load(&mut self, source: &Source) -> Result<(), DeliverError> {
        let outcome = self.session().await?.abandon_load(source).await;
        self.judged(outcome)
    }

    async fn verify(&mut self, source: &mut Source) -> Result<TableVerdict, DeliverError> {
        let outcome = self.session().await?.verify(source).await;
        self.judged(outcome)
    }
}

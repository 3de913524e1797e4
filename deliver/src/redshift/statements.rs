//! Statements by the Data API: each request has a token of its own, so that a repeated request is the same one. What became of
//! a statement is asked for until it is known; where nobody answers, its outcome is unknown, and the position settles it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use aws_sdk_redshiftdata::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{Field, StatementStatusString, StatusString},
};
use bluelake_lake::{Backoff, Chance};
use uuid::Uuid;

use super::{
    RedshiftOptions,
    address::Place,
    faults::{is_conflict, may_be_repeated},
};
use crate::error::DeliverError;

/// Statements of a batch, and bytes of a statement: the Data API takes no more.
pub(super) const STATEMENTS: usize = 40;
const STATEMENT: usize = 100_000;
/// The first pause between two questions for the state of a statement, and the longest.
const LOOKS: (Duration, Duration) = (Duration::from_millis(40), Duration::from_secs(2));
/// The pauses while the service is busy.
const BUSY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Tries while it is busy, or its answer was lost. No further one begins after the time of [`SILENCE`].
const TRIES: usize = 6;
/// Times that a question is asked whose outcome is not known, or that another transaction was in the way of.
const QUESTIONS: usize = 3;
/// Tries while other transactions are in the way.
const CONFLICTS: usize = 8;
/// Nobody has answered for this long: the outcome counts as unknown.
const SILENCE: Duration = Duration::from_secs(60);

/// What became of statements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// All of them happened. The rows that each gave or touched.
    Finished(Vec<u64>),
    /// None of them did; the database's words.
    Failed(String),
}

/// A row of an answer.
pub(super) struct Row(Vec<Field>);

impl Row {
    pub(super) fn text(&self, place: usize) -> Option<&str> {
        match self.0.get(place)? {
            Field::StringValue(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number. Sums have more digits than a long, and come as texts.
    pub(super) fn number(&self, place: usize) -> Option<i128> {
        match self.0.get(place)? {
            Field::LongValue(number) => Some((*number).into()),
            Field::StringValue(text) => text.parse().ok(),
            _ => None,
        }
    }

    pub(super) fn double(&self, place: usize) -> Option<f64> {
        match self.0.get(place)? {
            Field::DoubleValue(number) => Some(*number),
            Field::StringValue(text) => text.parse().ok(),
            _ => None,
        }
    }
}

/// The Data API, as a target uses it.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    options: Arc<RedshiftOptions>,
    chance: Chance,
}

impl Api {
    pub(super) fn new(client: Client, options: Arc<RedshiftOptions>, chance: Chance) -> Self {
        Self { client, options, chance }
    }

    /// Runs statements as one transaction. Where other transactions are in its way it is run again: it makes sure of the position
    /// itself. An error means that nobody knows what became of it, or that it was not taken.
    pub(super) async fn batch(
        &self,
        operation: &str,
        about: &str,
        statements: &[String],
    ) -> Result<Outcome, DeliverError> {
        self.check(about, statements)?;
        let mut pauses = Backoff::of_conflicts(&self.chance);
        for _ in 1..CONFLICTS {
            match self.transaction(operation, about, statements).await? {
                Outcome::Failed(said) if is_conflict(&said) => tokio::time::sleep(pauses.pause()).await,
                outcome => return Ok(outcome),
            }
        }
        self.transaction(operation, about, statements).await
    }

    async fn transaction(&self, operation: &str, about: &str, statements: &[String]) -> Result<Outcome, DeliverError> {
        let token = Uuid::new_v4().to_string();
        let id = self
            .while_busy(operation, about, || {
                let call =
                    self.client.batch_execute_statement().set_sqls(Some(statements.to_vec())).client_token(&token);
                let call = match &self.options.address.place {
                    Place::Workgroup(name) => call.workgroup_name(name),
                    Place::Cluster { name, user } => call.cluster_identifier(name).set_db_user(user.clone()),
                };
                let call =
                    call.database(&self.options.address.database).set_secret_arn(self.options.secret_arn.clone());
                async move { call.send().await.map(|answer| answer.id().unwrap_or_default().to_owned()) }
            })
            .await?;
        self.wait(operation, about, &id).await
    }

    /// Runs one statement that cannot be part of a transaction.
    pub(super) async fn alone(&self, operation: &str, about: &str, statement: &str) -> Result<Outcome, DeliverError> {
        let id = self.begin(operation, about, statement).await?;
        self.wait(operation, about, &id).await
    }

    /// Asks a question.
    pub(super) async fn query(&self, operation: &str, about: &str, question: &str) -> Result<Vec<Row>, DeliverError> {
        let mut pauses = Backoff::of_conflicts(&self.chance);
        for _ in 1..QUESTIONS {
            // A question may be asked again.
            match self.ask(operation, about, question).await {
                Err(DeliverError::Unreachable { .. }) => {}
                Ok(Err(said)) if is_conflict(&said) => tokio::time::sleep(pauses.pause()).await,
                other => return other?.map_err(|said| self.options.of_statement(operation, about, &said)),
            }
        }
        self.ask(operation, about, question).await?.map_err(|said| self.options.of_statement(operation, about, &said))
    }

    /// The rows, or what the database said.
    async fn ask(
        &self,
        operation: &str,
        about: &str,
        question: &str,
    ) -> Result<Result<Vec<Row>, String>, DeliverError> {
        let id = self.begin(operation, about, question).await?;
        match self.wait(operation, about, &id).await? {
            Outcome::Finished(_) => self.answer(operation, about, &id).await.map(Ok),
            Outcome::Failed(said) => Ok(Err(said)),
        }
    }

    fn check(&self, about: &str, statements: &[String]) -> Result<(), DeliverError> {
        let longest = statements.iter().map(String::len).max().unwrap_or_default();
        if statements.len() <= STATEMENTS && longest <= STATEMENT {
            return Ok(());
        }
        let problem = format!(
            "a transaction would take {} statements of up to {longest} bytes, and the Data API takes {STATEMENTS} of {STATEMENT}",
            statements.len()
        );
        Err(self.options.refused(about, &problem, "deliver fewer columns (columns = [...]); nothing was changed"))
    }

    async fn begin(&self, operation: &str, about: &str, statement: &str) -> Result<String, DeliverError> {
        self.check(about, &[statement.to_owned()])?;
        let token = Uuid::new_v4().to_string();
        self.while_busy(operation, about, || {
            let call = self.client.execute_statement().sql(statement).client_token(&token);
            let call = match &self.options.address.place {
                Place::Workgroup(name) => call.workgroup_name(name),
                Place::Cluster { name, user } => call.cluster_identifier(name).set_db_user(user.clone()),
            };
            let call = call.database(&self.options.address.database).set_secret_arn(self.options.secret_arn.clone());
            async move { call.send().await.map(|answer| answer.id().unwrap_or_default().to_owned()) }
        })
        .await
    }

    /// Repeats a request while the service is busy, and some times when its answer was lost: the request has a token.
    async fn while_busy<F, T, E>(
        &self,
        operation: &str,
        about: &str,
        request: impl Fn() -> F,
    ) -> Result<T, DeliverError>
    where
        F: Future<Output = Result<T, SdkError<E>>>,
        E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    {
        let mut pauses = Backoff::steady(BUSY.0, BUSY.1, &self.chance);
        let began = Instant::now();
        for _ in 1..TRIES {
            match request().await {
                Err(error) if may_be_repeated(&error) && began.elapsed() < SILENCE => {
                    tokio::time::sleep(pauses.pause()).await;
                }
                other => return other.map_err(|error| self.options.of_call(operation, about, error)),
            }
        }
        request().await.map_err(|error| self.options.of_call(operation, about, error))
    }

    /// Waits until it is known what became of statements.
    async fn wait(&self, operation: &str, about: &str, id: &str) -> Result<Outcome, DeliverError> {
        let mut pauses = Backoff::steady(LOOKS.0, LOOKS.1, &self.chance);
        let mut answered = Instant::now();
        loop {
            let found = match self.client.describe_statement().id(id).send().await {
                Ok(found) => found,
                Err(error) if may_be_repeated(&error) && answered.elapsed() < SILENCE => {
                    tokio::time::sleep(pauses.pause()).await;
                    continue;
                }
                Err(error) => {
                    let operation = format!("{operation}: what became of it is not known");
                    // Who may not ask must be told so. That the service is busy, or does not know it any more, says nothing of it.
                    let is_gone = error.code().is_none_or(|code| code == "ResourceNotFoundException");
                    let is_unknown = is_gone || may_be_repeated(&error);
                    return Err(if is_unknown {
                        self.options.unreachable(&operation, about, error.into())
                    } else {
                        self.options.of_call(&operation, about, error)
                    });
                }
            };
            answered = Instant::now();
            match found.status() {
                Some(StatusString::Finished) => {
                    let rows = |rows: i64| u64::try_from(rows).unwrap_or_default();
                    let parts = found.sub_statements().iter().map(|part| rows(part.result_rows()));
                    let whole = if found.sub_statements().is_empty() { Some(rows(found.result_rows())) } else { None };
                    return Ok(Outcome::Finished(parts.chain(whole).collect()));
                }
                Some(StatusString::Failed | StatusString::Aborted) => {
                    let failed =
                        |status: Option<&StatementStatusString>| status == Some(&StatementStatusString::Failed);
                    let part = found.sub_statements().iter().find(|part| failed(part.status()));
                    let said = part.and_then(|part| part.error()).or(found.error());
                    return Ok(Outcome::Failed(said.unwrap_or("it was aborted by somebody").to_owned()));
                }
                _ => tokio::time::sleep(pauses.pause()).await,
            }
        }
    }

    /// The rows of an answer, page after page.
    async fn answer(&self, operation: &str, about: &str, id: &str) -> Result<Vec<Row>, DeliverError> {
        let (mut rows, mut next): (Vec<Row>, Option<String>) = (Vec::new(), None);
        loop {
            let page = self
                .while_busy(operation, about, || {
                    self.client.get_statement_result().id(id).set_next_token(next.clone()).send()
                })
                .await?;
            next = page.next_token().filter(|token| !token.is_empty()).map(str::to_owned);
            rows.extend(page.records.into_iter().map(Row));
            if next.is_none() {
                return Ok(rows);
            }
        }
    }
}

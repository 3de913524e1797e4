//! OpenSearch and Elasticsearch: documents are written with the version of the table as theirs, so that each write may be
//! repeated and none comes late; the position of a table is a document that moves when all of a step is settled.

pub(crate) mod address;
mod apply;
mod bulk;
mod client;
mod compare;
mod document;
mod indices;
mod load;
mod names;
mod position;
mod scan;
mod shape;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bluelake_lake::{FeedFile, FeedStep, Lake};
use reqwest::Method;
use serde_json::Value;

use crate::{
    columns::Table,
    digest::TableVerdict,
    error::DeliverError,
    target::{Applied, Load, Source, Standing, Target},
};
use address::{SearchAddress, SearchAuth};
use client::{Call, Client, at};
use indices::Indices;
use names::Names;
use position::{Found, Stop};

/// The oldest Elasticsearch that is delivered to.
const OLDEST: (u64, u64) = (7, 10);

/// A search server as a target.
#[derive(Clone, Debug)]
pub struct SearchOptions {
    /// Name of the target.
    pub name: String,
    /// Where it is.
    pub address: SearchAddress,
    /// How it is convinced that one may write.
    pub auth: SearchAuth,
    /// PEM certificates of authorities, beside those of the machine.
    pub authorities: Option<Vec<u8>>,
    /// What the names of all indices begin with; see [`address::checked_prefix`].
    pub prefix: String,
    /// Shards of an index; `None`: what the server makes of it.
    pub shards: Option<u32>,
    /// Replicas of an index; `None`: what the server makes of it.
    pub replicas: Option<u32>,
    /// Documents that the server may refuse.
    pub max_rejected: RejectedBound,
}

/// How many documents a server may refuse before the delivery stops: the larger of the two.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RejectedBound {
    /// This many.
    pub least: u64,
    /// This share of the rows that were sent since the load.
    pub share: f64,
}

impl Default for RejectedBound {
    fn default() -> Self {
        Self { least: 100, share: 0.001 }
    }
}

impl RejectedBound {
    /// Of so many rows.
    pub(crate) fn of(&self, rows: u64) -> u64 {
        // Rounded down; more rows than 2^53 are not to be expected.
        #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let share = (rows as f64 * self.share.clamp(0.0, 1.0)) as u64;
        share.max(self.least)
    }
}

impl SearchOptions {
    fn refused(&self, about: &str, problem: &str, remedy: &str) -> DeliverError {
        DeliverError::refused(&self.name, &self.address, [about, problem, remedy])
    }

    fn rebuild(&self, table: &str, reason: String) -> DeliverError {
        DeliverError::Rebuild { target: self.name.clone(), table: table.to_owned(), reason }
    }
}

/// The server of a target, and what is known of it.
pub struct SearchTarget {
    client: Client,
    /// Where refused documents are listed.
    lake: Lake,
    is_prepared: bool,
    /// Looked at since the last fault.
    indices: BTreeMap<&'static str, Indices>,
}

impl SearchTarget {
    /// Connects to nothing yet.
    ///
    /// # Errors
    /// When no connection can be made with these options.
    pub fn new(options: SearchOptions, lake: &Lake) -> Result<Self, DeliverError> {
        if let Err(problem) = options.address.fits(&options.auth) {
            return Err(options.refused("its address", &problem, "correct bluelake.toml"));
        }
        if let Err(problem) = address::checked_prefix(&options.prefix) {
            return Err(options.refused("index_prefix", &problem, "correct bluelake.toml"));
        }
        let client = Client::new(Arc::new(options), lake.chance())?;
        Ok(Self { client, lake: lake.clone(), is_prepared: false, indices: BTreeMap::new() })
    }

    fn options(&self) -> &SearchOptions {
        &self.client.options
    }

    async fn check_server(&self) -> Result<(), DeliverError> {
        // A serverless collection says nothing of itself.
        if matches!(&self.options().auth, SearchAuth::Aws { service, .. } if service == "aoss") {
            return Ok(());
        }
        let said = self.client.expect(&Call::new(Method::GET, "/", "ask the server what it is", "the server")).await?;
        judge_server(&said).map_err(|problem| {
            let remedy = "give the address of OpenSearch, or of Elasticsearch from 7.10 on";
            self.options().refused("the server", &problem, remedy)
        })
    }

    /// The indices of a table, looked at anew when its columns changed.
    async fn look(&mut self, source: &Source, table: &Table) -> Result<(), DeliverError> {
        let id = source.feed.table_id()?;
        let name = source.name();
        if self.indices.get(name).is_none_or(|indices| !indices.fits(table, &id)) {
            let indices = Indices::look(&self.client, table, &id).await?;
            self.indices.insert(name, indices);
        }
        Ok(())
    }

    /// The same, before documents are written.
    async fn look_to_write(&mut self, source: &Source, table: &Table) -> Result<(), DeliverError> {
        self.look(source, table).await?;
        let (client, indices) = self.indices_of(source.name())?;
        indices.complete(client).await
    }

    /// The indices of a table that was looked at.
    fn indices_of(&mut self, name: &str) -> Result<(&Client, &mut Indices), DeliverError> {
        let Self { client, indices, .. } = self;
        let client: &Client = client;
        let missing = || client.options.refused("its indices", "they were not looked at", "run it again");
        Ok((client, indices.get_mut(name).ok_or_else(missing)?))
    }

    /// The position of a table. It refuses one of another lake.
    async fn position(&self, source: &Source) -> Result<Option<Found>, DeliverError> {
        let found = position::read(&self.client, source.name()).await?;
        let id = source.feed.table_id()?;
        match &found {
            Some(other) if other.position.table_id != id => Err(self.options().refused(
                &format!("table '{}'", source.name()),
                &format!(
                    "the indices '{}-…' hold the table of another lake, {}, or of this one before it was made anew",
                    self.options().prefix,
                    other.position.lake
                ),
                "give the target another index_prefix, or delete these indices and the document of the position if nobody needs them",
            )),
            _ => Ok(found),
        }
    }

    async fn stand(&mut self, source: &Source) -> Result<Standing, Stop> {
        let table = source.table()?;
        // Before anything is changed: it may be that of another lake.
        let found = self.position(source).await?;
        self.look(source, &table).await?;
        let Some(mut found) = found else { return Ok(Standing::default()) };
        if found.position.version.is_some() {
            self.check_columns(source, &found)?;
            found = self.complete_swap(source, found).await?;
        }
        let alias = self.indices_of(table.name)?.1.names.alias();
        Ok(self.stands(&found, &alias).await?)
    }

    /// How it stands by a position, with the documents that an alias shows.
    async fn stands(&self, found: &Found, alias: &str) -> Result<Standing, DeliverError> {
        Ok(Standing {
            held: found.position.version,
            loading: found.position.loading.as_ref().map(|loading| loading.version),
            rows: scan::count(&self.client, alias).await?,
            losses: 0,
        })
    }

    fn check_columns(&self, source: &Source, found: &Found) -> Result<(), DeliverError> {
        let (held, wanted) = (&found.position.columns, source.columns.to_string());
        if *held == wanted {
            return Ok(());
        }
        let reason = format!("it was loaded with columns = {held}, and bluelake.toml says {wanted}");
        Err(self.options().rebuild(source.name(), reason))
    }

    /// After a fault nothing is taken for known.
    fn forget(&mut self) {
        self.is_prepared = false;
        self.indices.clear();
    }

    fn judged<T>(&mut self, outcome: Result<T, Stop>, overtaken: T) -> Result<T, DeliverError> {
        if outcome.is_err() {
            self.forget();
        }
        match outcome {
            Ok(done) => Ok(done),
            Err(Stop::Overtaken) => Ok(overtaken),
            Err(Stop::Fault(error)) => Err(*error),
        }
    }
}

#[async_trait]
impl Target for SearchTarget {
    fn name(&self) -> &str {
        &self.client.options.name
    }

    async fn prepare(&mut self) -> Result<(), DeliverError> {
        if !self.is_prepared {
            self.check_server().await?;
            position::make_index(&self.client).await?;
            self.is_prepared = true;
        }
        Ok(())
    }

    async fn standing(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        loop {
            match self.stand(source).await {
                // Somebody moved it meanwhile: what it is now is the answer.
                Err(Stop::Overtaken) => self.indices.clear(),
                outcome => return self.judged(outcome, Standing::default()),
            }
        }
    }

    async fn seen(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        self.check_server().await?;
        let Some(found) = self.position(source).await? else { return Ok(Standing::default()) };
        if found.position.version.is_some() {
            self.check_columns(source, &found)?;
        }
        self.stands(&found, &Names::new(&self.options().prefix, source.name()).alias()).await
    }

    async fn apply(&mut self, source: &Source, step: &FeedStep) -> Result<Applied, DeliverError> {
        let outcome = self.take(source, step).await;
        self.judged(outcome, Applied::Overtaken)
    }

    async fn begin_load(&mut self, source: &Source) -> Result<Load, DeliverError> {
        loop {
            match self.begin(source).await {
                Err(Stop::Overtaken) => self.indices.clear(),
                Err(Stop::Fault(error)) => {
                    self.forget();
                    return Err(*error);
                }
                Ok(load) => return Ok(load),
            }
        }
    }

    async fn load(&mut self, source: &Source, load: &Load, files: &[FeedFile]) -> Result<Applied, DeliverError> {
        let outcome = self.load_files(source, load, files).await;
        self.judged(outcome, Applied::Overtaken)
    }

    async fn finish_load(&mut self, source: &Source, load: &Load) -> Result<Applied, DeliverError> {
        let outcome = self.finish(source, load).await;
        self.judged(outcome, Applied::Overtaken)
    }

    async fn abandon_load(&mut self, source: &Source) -> Result<(), DeliverError> {
        loop {
            match self.abandon(source).await {
                Err(Stop::Overtaken) => self.indices.clear(),
                outcome => return self.judged(outcome, ()),
            }
        }
    }

    async fn verify(&mut self, source: &mut Source) -> Result<TableVerdict, DeliverError> {
        self.check_server().await?;
        let outcome = self.compare(source).await;
        if outcome.is_err() {
            self.forget();
        }
        outcome
    }
}

/// Pure: whether documents can be delivered to a server that says this of itself.
fn judge_server(said: &Value) -> Result<(), String> {
    let Some(number) = at(said, "/version/number").as_str() else {
        return Err("it does not say which version it is, as OpenSearch and Elasticsearch do".to_owned());
    };
    if at(said, "/version/distribution") == "opensearch" {
        return Ok(());
    }
    let mut parts = number.split('.').map(str::parse::<u64>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) >= OLDEST => Ok(()),
        (Some(Ok(_)), Some(Ok(_))) => {
            Err(format!("its version {number} is too old: 7.10 is the oldest that is delivered to"))
        }
        _ => Err(format!("its version {number:?} is none of OpenSearch or Elasticsearch")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_must_be_known_and_new_enough() {
        let version = |number: &str| json!({ "version": { "number": number } });
        for good in [
            json!({ "version": { "number": "1.0.0", "distribution": "opensearch" } }),
            version("7.10.0"),
            version("8.15.3"),
            version("9.1.0-SNAPSHOT"),
        ] {
            judge_server(&good).unwrap();
        }
        for (bad, expected) in [
            (version("6.8.23"), "too old"),
            (version("7.9.3"), "too old"),
            (version("latest"), "none of"),
            (json!({ "couchdb": "Welcome" }), "does not say"),
            (json!([]), "does not say"),
        ] {
            let problem = judge_server(&bad).unwrap_err();
            assert!(problem.contains(expected), "{problem}");
        }
    }

    #[test]
    fn a_share_of_many_rows_may_be_refused_and_some_of_few() {
        let bound = RejectedBound::default();
        assert_eq!([0, 1_000, 100_000, 1_000_000].map(|rows| bound.of(rows)), [100, 100, 100, 1_000]);
        assert_eq!(RejectedBound { least: 0, share: 0.0 }.of(1_000_000), 0);
    }
}

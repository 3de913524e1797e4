//! The position of a table: a document of the target that is written only by who read its last form. It names the lake, the
//! version that the target holds, the generation of the indices in use, and a load that is under way.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    client::{Call, Client, at},
    names::progress_index,
};
use crate::{digest::Partition, error::DeliverError};

/// A run looks this often whether the position is still where it was. It is far below the time for which an index remembers
/// deletes, after which a late write of an older version would pass.
const LOOK_EVERY: Duration = Duration::from_secs(600);

/// A load that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Loading {
    pub(super) version: u64,
    pub(super) generation: u64,
    pub(super) columns: String,
    /// The partitions that it holds.
    pub(super) done: BTreeSet<Partition>,
    /// Rows that were sent, and those of them that were refused.
    pub(super) rows: u64,
    pub(super) rejected: u64,
}

/// What the target holds of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Which table of which lake.
    pub(super) table_id: String,
    /// Where the lake was, for people.
    pub(super) lake: String,
    /// `None`: it was never loaded in full.
    pub(super) version: Option<u64>,
    /// Of the indices in use.
    pub(super) generation: u64,
    /// The columns that were asked for.
    pub(super) columns: String,
    /// Rows that were sent since the load, and those of them that were refused.
    pub(super) rows: u64,
    pub(super) rejected: u64,
    pub(super) loading: Option<Loading>,
    /// The highest generation that was ever begun: none is used twice, so that what writes late to an old one harms no other.
    pub(super) begun: u64,
    /// The alias may still name indices of an older generation.
    pub(super) swapping: bool,
    /// Who wrote it: a lost answer is told from another process by this.
    pub(super) written_by: String,
    pub(super) written_at: String,
}

/// A position as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) position: Position,
    number: u64,
    term: u64,
}

/// Why work ends before its end.
pub(super) enum Stop {
    /// Another process moved the position.
    Overtaken,
    /// A fault.
    Fault(Box<DeliverError>),
}

impl From<DeliverError> for Stop {
    fn from(error: DeliverError) -> Self {
        Self::Fault(Box::new(error))
    }
}

/// Makes the index of the positions.
pub(super) async fn make_index(client: &Client) -> Result<(), DeliverError> {
    let index = progress_index(&client.options.prefix);
    let path = format!("/{index}");
    let about = format!("index '{index}'");
    let look = format!("{path}/_mapping");
    if client.find(&Call::new(Method::GET, &look, "look for the index of the positions", &about)).await?.is_some() {
        return Ok(());
    }
    let body = json!({
        "settings": { "index": { "number_of_shards": 1, "auto_expand_replicas": "0-1" } },
        "mappings": { "dynamic": false, "properties": {} },
    });
    let call = Call::new(Method::PUT, &path, "make the index of the positions", &about).json(&body);
    let answer = client.answer(&call).await?;
    if answer.status == 200 || answer.fault().0 == "resource_already_exists_exception" {
        return Ok(());
    }
    Err(client.refusal(&call, &answer))
}

/// Reads the position of a table.
pub(super) async fn read(client: &Client, table: &str) -> Result<Option<Found>, DeliverError> {
    let path = format!("/{}/_doc/{table}", progress_index(&client.options.prefix));
    let about = format!("table '{table}'");
    let Some(found) = client.find(&Call::new(Method::GET, &path, "read the position", &about)).await? else {
        return Ok(None);
    };
    let number = |place: &str| at(&found, place).as_u64();
    let position = serde_json::from_value(at(&found, "/_source").clone());
    match (position, number("/_seq_no"), number("/_primary_term")) {
        (Ok(position), Some(number), Some(term)) => Ok(Some(Found { position, number, term })),
        _ => Err(client.options.refused(
            &about,
            &format!("the position in the document {} is none that this version knows", path.trim_start_matches('/')),
            "deliver with the newest version, or give the target another index_prefix",
        )),
    }
}

/// Puts a position in the place of the one that was read, or of none; `None`: another process was faster.
pub(super) async fn write(
    client: &Client,
    table: &str,
    from: Option<&Found>,
    mut to: Position,
) -> Result<Option<Found>, DeliverError> {
    let index = progress_index(&client.options.prefix);
    let path = match from {
        Some(found) => format!("/{index}/_doc/{table}?if_seq_no={}&if_primary_term={}", found.number, found.term),
        None => format!("/{index}/_create/{table}"),
    };
    to.written_by = Uuid::new_v4().to_string();
    to.written_at = chrono::Utc::now().to_rfc3339();
    let about = format!("table '{table}'");
    let body = serde_json::to_value(&to).unwrap_or(Value::Null);
    let call = Call::new(Method::PUT, &path, "move the position", &about).json(&body);
    let answer = client.answer(&call).await?;
    match answer.status {
        200 | 201 => {}
        409 => {
            // An earlier try may have succeeded, and its answer was lost.
            let found = read(client, table).await?;
            return Ok(found.filter(|found| found.position.written_by == to.written_by));
        }
        _ => return Err(client.refusal(&call, &answer)),
    }
    let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match (at(&said, "/_seq_no").as_u64(), at(&said, "/_primary_term").as_u64()) {
        (Some(number), Some(term)) => Ok(Some(Found { position: to, number, term })),
        _ => Ok(read(client, table).await?.filter(|found| found.position.written_by == to.written_by)),
    }
}

/// Tells a run that another process moved the position.
pub(super) struct Fence<'a> {
    client: &'a Client,
    table: &'a str,
    mark: Mark,
    looked: Mutex<Instant>,
}

/// What does not change while the work of a run is of use.
type Mark = (Option<u64>, u64, Option<(u64, u64)>);

fn mark(position: &Position) -> Mark {
    let loading = position.loading.as_ref().map(|loading| (loading.version, loading.generation));
    (position.version, position.generation, loading)
}

impl<'a> Fence<'a> {
    /// It stands where the position was just read.
    pub(super) fn new(client: &'a Client, table: &'a str, position: &Position) -> Self {
        Self { client, table, mark: mark(position), looked: Mutex::new(Instant::now()) }
    }

    /// Looks at the position if that was not done for long.
    pub(super) async fn pass(&self) -> Result<(), Stop> {
        if self.looked.lock().await.elapsed() < LOOK_EVERY {
            return Ok(());
        }
        self.look().await
    }

    /// Looks at the position now.
    pub(super) async fn look(&self) -> Result<(), Stop> {
        let begun = Instant::now();
        let found = read(self.client, self.table).await?;
        if found.is_none_or(|found| mark(&found.position) != self.mark) {
            return Err(Stop::Overtaken);
        }
        *self.looked.lock().await = begun;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written() {
        let position = Position {
            table_id: "id".to_owned(),
            version: Some(7),
            generation: 2,
            loading: Some(Loading {
                version: 9,
                generation: 3,
                columns: "all".to_owned(),
                done: [["donation".to_owned(), "2026-11-01".to_owned()]].into(),
                rows: 5,
                rejected: 1,
            }),
            ..Position::default()
        };
        let read: Position = serde_json::from_value(serde_json::to_value(&position).unwrap()).unwrap();
        assert_eq!(read, position);
    }

    #[test]
    fn more_partitions_of_a_load_do_not_end_it() {
        let loading = |done: &[Partition]| Loading {
            version: 9,
            generation: 3,
            columns: "all".to_owned(),
            done: done.iter().cloned().collect(),
            rows: 0,
            rejected: 0,
        };
        let at = |version, loading| Position { version, loading, ..Position::default() };
        let before = at(Some(1), Some(loading(&[])));
        assert_eq!(mark(&before), mark(&at(Some(1), Some(loading(&[["a".to_owned(), "b".to_owned()]])))));
        assert_ne!(mark(&before), mark(&at(Some(2), Some(loading(&[])))));
        assert_ne!(mark(&before), mark(&at(Some(1), None)));
    }
}

//! The rows that an erasure touched, by their positions: a Parquet file beside the records, which holds nothing of a person.
//! It is written before the commit of the erasure, which its name says. Without it the partitions are loaded anew.

use arrow::{array::AsArray as _, datatypes::Int32Type};
use futures::TryStreamExt as _;
use object_store::{ObjectStoreExt as _, path::Path};
use uuid::Uuid;

use super::{Feed, rows::boxed};
use crate::{error::LakeError, maintenance::record_chain::FOLDER};

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Touch {
    /// It is gone.
    Gone,
    /// It has other values.
    Rewritten,
}

/// A row that an erasure touched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TouchedRow {
    /// The shard of its record.
    pub shard: String,
    /// Sequence number of its record.
    pub sequence: String,
    /// Position inside the record.
    pub sub_sequence: i32,
    /// The event's id.
    pub event_id: String,
    /// What became of it.
    pub what: Touch,
}

/// Where the list of the rows that a task touched is, below its table: Parquet with the columns `stream_shard`,
/// `stream_sequence` and `event_id` (text), `stream_sub_sequence` (32 bits) and `what` (text, `gone` or `rewritten`), none
/// of them null.
#[must_use]
pub fn touched_path(task: Uuid) -> String {
    format!("{FOLDER}/{task}.touched.parquet")
}

impl Feed {
    pub(super) async fn has(&self, path: &str) -> Result<bool, LakeError> {
        match self.table.object_store().head(&Path::from(path)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(LakeError::store("look at", format!("{}/{path}", self.name))(error)),
        }
    }

    /// The rows that the file of a [`super::TableChange::Changed`] lists.
    ///
    /// # Errors
    /// When it cannot be read, or is no such file.
    pub async fn touched(&self, path: &str) -> Result<Vec<TouchedRow>, LakeError> {
        let place = Path::from(path);
        let found = self.table.object_store().head(&place).await;
        let size = found.map_err(LakeError::store("look at", format!("{}/{path}", self.name)))?.size;
        let mut parts = boxed(self.stored(path, size).await?.read(8_192)?);
        let mut touched = Vec::new();
        while let Some(batch) = parts.try_next().await? {
            let text = |name: &str| batch.column_by_name(name)?.as_string_opt::<i32>();
            let columns = (|| {
                let number = batch.column_by_name("stream_sub_sequence")?.as_primitive_opt::<Int32Type>()?;
                Some((text("stream_shard")?, text("stream_sequence")?, text("event_id")?, text("what")?, number))
            })();
            let fault = |reason: &str| LakeError::DataFile { path: path.to_owned(), reason: reason.to_owned() };
            let (shards, sequences, ids, whats, numbers) =
                columns.ok_or_else(|| fault("it lacks a column of a list of touched rows, or has another type"))?;
            for row in 0..batch.num_rows() {
                let what = match whats.value(row) {
                    "gone" => Touch::Gone,
                    "rewritten" => Touch::Rewritten,
                    _ => return Err(fault("its column what says neither gone nor rewritten")),
                };
                touched.push(TouchedRow {
                    shard: shards.value(row).to_owned(),
                    sequence: sequences.value(row).to_owned(),
                    sub_sequence: numbers.value(row),
                    event_id: ids.value(row).to_owned(),
                    what,
                });
            }
        }
        Ok(touched)
    }
}

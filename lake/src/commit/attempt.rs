//! The steps of one try to commit a batch, from reading the table back to the Delta commit. Pure: the outcome of a step
//! in, the next step out. The table in a store (`stream_table.rs`) and the simulated table both drive it, and so take
//! the same steps in the same order.
//!
//! | step | outcome | next |
//! | --- | --- | --- |
//! | read the table back | the chain holds the batch | done |
//! | | the table has moved on | fenced |
//! | | else | put the document |
//! | put the document | it is put | ask for its age, when the batch has files; else commit |
//! | | its number is taken | put it under the next free number |
//! | | unknown | read the table back |
//! | ask when the document was written | the batch is too old by then | expired |
//! | | else | commit |
//! | commit files and number to the Delta log | they are committed | done |
//! | | another commit came first, or unknown | read the table back |

use bluelake_schemas::Millis;

use crate::checkpoint::{
    advance::{Batch, Fence, Refusal, Writer},
    document::CheckpointDocument,
    settlement::{NextAct, next_act},
};

/// The next step of a try to commit a batch.
#[derive(Clone, Debug)]
pub enum Attempt {
    /// Read the table and its document in force back, and look for the batch in the chain: [`Attempt::decide`].
    Read,
    /// Put this document unless its number is taken: [`Attempt::put`], [`Attempt::taken`].
    Put(Box<CheckpointDocument>),
    /// Ask the store when it wrote the document: [`Attempt::written`].
    Age(Box<CheckpointDocument>),
    /// Commit the files and the document's number to the Delta log, as the next version after the one read.
    Commit(Box<CheckpointDocument>),
    /// Nothing: the batch happened.
    Done,
    /// None: the batch can never happen.
    Fenced(Fence),
    /// None: the batch is too old, and its files may be taken for orphans.
    Expired,
}

impl Attempt {
    /// Decides from the document in force as just read; `found` says whether the chain holds the batch already.
    ///
    /// # Errors
    /// [`Refusal::Inconsistent`] when the batch contradicts itself.
    pub fn decide(
        current: Option<&CheckpointDocument>,
        found: bool,
        batch: &Batch,
        writer: &Writer,
    ) -> Result<Self, Refusal> {
        Ok(match next_act(current, found, batch, writer)? {
            NextAct::Done => Self::Done,
            NextAct::Fenced(fence) => Self::Fenced(fence),
            NextAct::Put(document) => Self::Put(document),
        })
    }

    /// The document is put.
    #[must_use]
    pub fn put(document: Box<CheckpointDocument>, batch: &Batch) -> Self {
        let has_files = !batch.files.is_empty() || !batch.rejected_files.is_empty();
        if has_files { Self::Age(document) } else { Self::Commit(document) }
    }

    /// The document's number is taken, perhaps by itself with a lost answer; `highest` is the highest number in use.
    #[must_use]
    pub fn taken(mut document: Box<CheckpointDocument>, highest: Option<u64>) -> Self {
        document.take_free_number(highest);
        Self::Put(document)
    }

    /// The store wrote the document at `written_at`.
    #[must_use]
    pub fn written(document: Box<CheckpointDocument>, batch: &Batch, written_at: Millis) -> Self {
        if batch.is_too_old(written_at) { Self::Expired } else { Self::Commit(document) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::*;
    use crate::checkpoint::data_file::DataFile;

    fn batch(modified_at: Option<i64>) -> Batch {
        let file = |at| DataFile {
            path: "p".to_owned(),
            partition_values: BTreeMap::new(),
            size: 1,
            modified_at: Millis::new(at),
            rows: 0,
            statistics: String::new(),
        };
        Batch {
            id: Uuid::from_u128(1),
            base: 0,
            erasure_epoch: 0,
            shards: Vec::new(),
            retire: Vec::new(),
            supplement: None,
            files: modified_at.map(file).into_iter().collect(),
            rejected_files: Vec::new(),
        }
    }

    fn document() -> Box<CheckpointDocument> {
        Box::new(CheckpointDocument::empty())
    }

    #[test]
    fn only_files_have_an_age() {
        assert!(matches!(Attempt::put(document(), &batch(None)), Attempt::Commit(_)));
        assert!(matches!(Attempt::put(document(), &batch(Some(0))), Attempt::Age(_)));
    }

    #[test]
    fn a_batch_expires_an_hour_after_upload() {
        let batch = batch(Some(1_000));
        let hour = 3_600_000;
        assert!(matches!(Attempt::written(document(), &batch, Millis::new(1_000 + hour)), Attempt::Commit(_)));
        assert!(matches!(Attempt::written(document(), &batch, Millis::new(1_001 + hour)), Attempt::Expired));
    }

    #[test]
    fn a_taken_number_gives_way_to_the_next() {
        let Attempt::Put(document) = Attempt::taken(document(), Some(7)) else { panic!("another step") };
        assert_eq!(document.head.number, 8);
    }
}

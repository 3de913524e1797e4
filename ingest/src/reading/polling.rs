//! Pages of one shard by GetRecords: at most five calls a second, and two megabytes a second unless set otherwise.

use std::time::Duration;

use bluelake_lake::Position;
use tokio::time::Instant;

use crate::{
    kinesis::{fault::ReadFault, pace::pause_after},
    memory::admission::Admitted,
    reading::page::{Page, ShardSource},
};

/// Polls one shard.
#[derive(Debug, Default)]
pub(crate) struct Polling {
    iterator: Option<String>,
    /// Bytes of the last page that had records.
    last_page: Option<usize>,
    next_call: Option<Instant>,
}

impl Polling {
    /// The next page; `position` is the end of the last one, in case there is no iterator.
    pub(crate) async fn next(
        &mut self,
        source: &ShardSource,
        position: &Position,
    ) -> Result<(Page, Admitted), ReadFault> {
        if let Some(next_call) = self.next_call {
            tokio::time::sleep_until(next_call).await;
        }
        let mut room = source.admission.admit(self.last_page).await;
        // Spent, whatever the answer.
        self.next_call = Some(Instant::now() + pause_after(0, source.stream.shard_rate(), false));
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => source.stream.iterator(&source.shard, position).await?,
        };
        let output = match source.stream.records(&iterator).await {
            Ok(output) => output,
            Err(ReadFault::ExpiredIterator) => return Err(ReadFault::ExpiredIterator),
            Err(fault) => {
                self.iterator = Some(iterator);
                return Err(fault);
            }
        };
        self.iterator.clone_from(&output.next_shard_iterator);
        // Child shards mean that the shard is closed, not that no records are left.
        let has_children = output.child_shards.is_some_and(|children| !children.is_empty());
        let end_of_shard = output.next_shard_iterator.is_none() || (has_children && output.records.is_empty());
        let millis_behind = output.millis_behind_latest;
        let page = Page { records: output.records, millis_behind, end_of_shard, on_its_way: Duration::ZERO };
        let bytes = page.bytes();
        self.next_call = Some(Instant::now() + pause_after(bytes, source.stream.shard_rate(), page.is_tip()));
        if !page.records.is_empty() {
            self.last_page = Some(bytes);
            room.grow(bytes);
        }
        Ok((page, room))
    }
}

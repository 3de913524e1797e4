//! The rows of the table from which the deduplication windows of some shards are rebuilt. Pure: the document in; rows
//! in any order into the windows.

use std::{collections::BTreeMap, time::Duration};

use bluelake_lake::{CheckpointDocument, RecentEvent, RecentRanges, ShardId};
use bluelake_schemas::Micros;

use crate::{
    reading::dedup::{
        limits::DedupLimits,
        window::{DedupWindow, EventPosition},
    },
    shards::lineage::{ReadableShard, ancestry},
};

/// A shard whose window needs rows of another shard, and the earliest arrival time of those rows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct WindowTarget {
    shard: ShardId,
    since: Micros,
}

/// Windows that are being rebuilt in one scan.
#[derive(Debug)]
pub(crate) struct Rebuild {
    windows: BTreeMap<ShardId, DedupWindow>,
    heirs: BTreeMap<ShardId, Vec<WindowTarget>>,
    wanted: RecentRanges,
}

impl Rebuild {
    /// Plans for shards about to be read. The limit of ids is the worker's; each shard gets its share.
    #[must_use]
    pub(crate) fn plan(
        shards: &[ReadableShard],
        document: Option<&CheckpointDocument>,
        mut dedup: DedupLimits,
    ) -> Self {
        dedup.max_ids = (dedup.max_ids / shards.len().max(1)).max(1);
        let windows = shards.iter().map(|shard| (shard.shard.id.clone(), DedupWindow::new(dedup))).collect();
        let mut rebuild = Self { windows, heirs: BTreeMap::new(), wanted: RecentRanges::new() };
        let span = dedup.span;
        // Windows without a span remember nothing.
        let document = document.filter(|_| !span.is_zero());
        for (shard, document) in shards.iter().filter_map(|shard| Some((shard, document?))) {
            rebuild.want_family(&shard.shard.id, document, span);
        }
        rebuild.wanted.retain(|_, range| !range.is_empty());
        rebuild
    }

    fn want_family(&mut self, shard: &ShardId, document: &CheckpointDocument, span: Duration) {
        let family = ancestry(shard, document);
        let arrived = |member: &ShardId| document.shards.get(member)?.arrived_at;
        let Some(newest) = family.iter().filter_map(arrived).max() else { return };
        let since = newest.earlier(span);
        for member in family {
            let Some(last) = arrived(&member) else { continue };
            let earliest = self.wanted.get(&member).map_or(since, |range| since.min(*range.start()));
            self.wanted.insert(member.clone(), earliest..=last);
            self.heirs.entry(member).or_default().push(WindowTarget { shard: shard.to_owned(), since });
        }
    }

    /// The rows that are wanted; empty when none are.
    #[must_use]
    pub(crate) fn wanted(&self) -> &RecentRanges {
        &self.wanted
    }

    /// Takes a row of the table.
    pub(crate) fn remember(&mut self, event: RecentEvent<'_>) {
        for heir in self.heirs.get(event.shard).into_iter().flatten() {
            if let Some(window) = self.windows.get_mut(&heir.shard).filter(|_| event.arrived_at >= heir.since) {
                let position = EventPosition { sequence: event.sequence, sub_sequence: event.sub_sequence };
                window.remember(event.event_id, position, event.arrived_at);
            }
        }
    }

    /// The windows, by shard.
    #[must_use]
    pub(crate) fn finish(self) -> BTreeMap<ShardId, DedupWindow> {
        self.windows
    }
}

//! Shards as ListShards gives them.

use std::collections::BTreeSet;

use bluelake_lake::{SequenceNumber, ShardId};

/// A shard as ListShards gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListedShard {
    /// Shard id.
    pub(crate) id: ShardId,
    /// StartingSequenceNumber.
    pub(crate) starting_sequence: SequenceNumber,
    /// Parent shard ids: none, one after a split, two after a merge.
    pub(crate) parents: Vec<ShardId>,
    /// Its range of hash keys, both ends included, if ListShards gave it.
    pub(crate) hash_keys: Option<(u128, u128)>,
    /// It was split or merged: it takes no more records, and its children may hold some already.
    pub(crate) closed: bool,
}

/// Marks every shard with children in the list as closed, whatever else the list says of it.
pub(crate) fn close_parents(listed: &mut [ListedShard]) {
    let parents: BTreeSet<ShardId> = listed.iter().flat_map(|shard| shard.parents.iter().cloned()).collect();
    for shard in listed.iter_mut().filter(|shard| parents.contains(&shard.id)) {
        shard.closed = true;
    }
}

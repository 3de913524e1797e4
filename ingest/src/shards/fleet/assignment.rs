//! Which worker should read which shard: rendezvous hashing over the living, with a bound on the load of each. Pure,
//! and the same for every worker that sees the same workers and shards. Only efficiency depends on it.

use std::collections::{BTreeMap, BTreeSet};

use bluelake_lake::{Heartbeat, ShardId};
use sha2::{Digest as _, Sha256};

/// A worker, as the assignment sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) id: String,
    pub(crate) streams: BTreeSet<String>,
    pub(crate) max_shards: Option<usize>,
}

impl Member {
    pub(crate) fn of(heartbeat: &Heartbeat) -> Self {
        Self { id: heartbeat.worker.clone(), streams: heartbeat.streams.clone(), max_shards: heartbeat.max_shards }
    }
}

/// Stream → its shards that need a reader.
pub(crate) type Shards = BTreeMap<String, BTreeSet<ShardId>>;

/// The shards of each stream that `me` should read.
///
/// Every shard has an order of preference among the workers, by a hash of both, and goes to the first worker with room.
/// A worker takes its even share of a stream (rounded up) as long as another has room, and at most its own limit over
/// all streams. So two workers differ by at most one shard of a stream, and few shards move when a worker comes or
/// goes.
pub(crate) fn assigned_to(me: &str, members: &[Member], shards: &Shards) -> Shards {
    let mut all_streams: BTreeMap<&str, usize> = BTreeMap::new();
    let mut mine = Shards::new();
    for (stream, shards) in shards {
        let able: Vec<&Member> = members.iter().filter(|member| member.streams.contains(stream)).collect();
        let share = shards.len().div_ceil(able.len().max(1));
        let mut load: BTreeMap<&str, usize> = BTreeMap::new();
        let mine = mine.entry(stream.clone()).or_default();
        for shard in shards {
            let wants_more = |member: &&&Member| {
                let total = all_streams.get(member.id.as_str()).copied().unwrap_or(0);
                member.max_shards.is_none_or(|most| total < most)
            };
            let has_room = |member: &&&Member| load.get(member.id.as_str()).copied().unwrap_or(0) < share;
            let by_preference = |member: &&&Member| weight(&member.id, stream, shard);
            let willing = able.iter().filter(wants_more);
            let chosen = willing.clone().filter(has_room).max_by_key(by_preference);
            // Workers without a limit of their own take more than their share where others keep to one.
            let Some(chosen) = chosen.or_else(|| willing.max_by_key(by_preference)) else { continue };
            *load.entry(&chosen.id).or_default() += 1;
            *all_streams.entry(&chosen.id).or_default() += 1;
            if chosen.id == me {
                mine.insert(shard.clone());
            }
        }
    }
    mine
}

/// Whether `me` is the first of the living for a piece of work that one of them should do.
pub(crate) fn is_first_for<'a>(me: &'a str, others: impl Iterator<Item = &'a str>, work: &str) -> bool {
    let mut everybody = others.chain([me]);
    everybody.by_ref().max_by_key(|worker| weight(worker, "", work)) == Some(me)
}

/// Highest wins. SHA-256, because all versions and machines must agree on it.
fn weight(worker: &str, stream: &str, shard: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in [worker, stream, shard] {
        hash.update(part.as_bytes());
        hash.update([0]);
    }
    hash.finalize().into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn member(id: &str, max_shards: Option<usize>) -> Member {
        Member { id: id.to_owned(), streams: BTreeSet::from(["s".to_owned()]), max_shards }
    }

    #[test]
    fn one_living_worker_is_first_for_each_task() {
        let workers = ["a", "b", "c"];
        let mut counts = [0; 3];
        for work in 0..300 {
            let work = format!("transactions/event_date={work}");
            let first: Vec<bool> = workers
                .iter()
                .map(|me| is_first_for(me, workers.iter().copied().filter(|other| other != me), &work))
                .collect();
            assert_eq!(first.iter().filter(|is_first| **is_first).count(), 1, "{work}");
            first.iter().zip(&mut counts).for_each(|(is_first, count)| *count += i32::from(*is_first));
        }
        assert!(counts.iter().all(|count| *count > 60), "{counts:?}");
        assert!(is_first_for("alone", std::iter::empty(), "x"));
    }

    fn members(ids: &[String]) -> Vec<Member> {
        ids.iter().map(|id| member(id, None)).collect()
    }

    fn shards(count: usize) -> Shards {
        Shards::from([("s".to_owned(), (0..count).map(|number| ShardId::from(format!("shard-{number:04}"))).collect())])
    }

    fn all(members: &[Member], shards: &Shards) -> BTreeMap<String, BTreeSet<ShardId>> {
        members
            .iter()
            .map(|member| (member.id.clone(), assigned_to(&member.id, members, shards)["s"].clone()))
            .collect()
    }

    proptest! {
        #[test]
        fn every_shard_has_one_fairly_loaded_worker(workers in 1_usize..12, count in 0_usize..60) {
            let ids: Vec<String> = (0..workers).map(|number| format!("worker-{number}")).collect();
            let assigned = all(&members(&ids), &shards(count));
            let total: usize = assigned.values().map(BTreeSet::len).sum();
            let distinct: BTreeSet<&ShardId> = assigned.values().flatten().collect();
            prop_assert_eq!((total, distinct.len()), (count, count));
            prop_assert!(assigned.values().all(|shards| shards.len() <= count.div_ceil(workers)));
        }
    }

    #[test]
    fn few_shards_move_when_a_worker_leaves() {
        let ids: Vec<String> = (0..10).map(|number| format!("worker-{number}")).collect();
        let before = all(&members(&ids), &shards(1000));
        let after = all(&members(&ids[1..]), &shards(1000));
        let stayed: usize = after.iter().map(|(id, shards)| shards.intersection(&before[id]).count()).sum();
        assert!(stayed >= 750, "of the 900 shards of the others only {stayed} stayed");
    }

    #[test]
    fn a_worker_takes_only_what_it_wants() {
        let workers = [member("a", Some(2)), member("b", None)];
        let assigned = all(&workers, &shards(10));
        assert_eq!((assigned["a"].len(), assigned["b"].len()), (2, 8), "a's limit");
        let alone = all(&[member("a", Some(2))], &shards(10));
        assert_eq!(alone["a"].len(), 2);
        let other = Member { streams: BTreeSet::from(["other".to_owned()]), ..member("c", None) };
        let assigned = all(&[member("a", None), other], &shards(10));
        assert_eq!((assigned["a"].len(), assigned["c"].len()), (10, 0));
    }

    #[test]
    fn a_limit_counts_shards_of_all_streams() {
        let both = BTreeSet::from(["s".to_owned(), "t".to_owned()]);
        let workers = [Member { streams: both, ..member("a", Some(3)) }];
        let mut two = shards(2);
        two.insert("t".to_owned(), BTreeSet::from(["x".into(), "y".into()]));
        let mine = assigned_to("a", &workers, &two);
        assert_eq!(mine.values().map(BTreeSet::len).sum::<usize>(), 3);
    }
}

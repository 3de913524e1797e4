//! Which objects of an archive a backfill reads, and from where. Pure.
//!
//! | the object, in this version, in the documents | it was written | then |
//! | --- | --- | --- |
//! | read to its end | – | nothing |
//! | nothing, or read in part | before the limit | read on from there |
//! | nothing, or read in part | at the limit or later | left: ingest may still bring its events |

use std::collections::BTreeMap;

use bluelake_lake::{ArchiveRange, ArchivedObject, ShardId, archive_shard};
use bluelake_schemas::{Micros, Millis};
use chrono::NaiveDate;

/// An object that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ObjectTask {
    pub(crate) object: ArchivedObject,
    /// The name of its shard in its rows.
    pub(crate) shard: ShardId,
    /// The first unread byte of the decompressed content.
    pub(crate) from: u64,
    /// When its records arrived.
    pub(crate) arrived_at: Micros,
}

/// What to do about the objects of an archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BackfillPlan {
    pub(crate) tasks: Vec<ObjectTask>,
    /// Objects that were read to their end before.
    pub(crate) present: usize,
    /// Names of the objects that are left for later.
    pub(crate) left: Vec<String>,
}

/// Plans from the listed objects and the committed ranges of the documents.
pub(crate) fn plan(
    objects: &[ArchivedObject],
    committed: &[ArchiveRange],
    written_before: Option<Millis>,
) -> BackfillPlan {
    let mut reached: BTreeMap<(&str, &str), (u64, bool)> = BTreeMap::new();
    for range in committed {
        let (to, ended) = reached.entry((&range.object, &range.version)).or_default();
        *to = range.to.max(*to);
        *ended |= range.ended;
    }
    let mut plan = BackfillPlan::default();
    for object in objects {
        let (from, ended) = reached.get(&(object.name.as_str(), object.version.as_str())).copied().unwrap_or_default();
        if ended {
            plan.present += 1;
        } else if written_before.is_some_and(|limit| object.modified_at >= limit) {
            plan.left.push(object.name.clone());
        } else {
            plan.tasks.push(ObjectTask {
                shard: archive_shard(&object.name, &object.version),
                from,
                arrived_at: arrived_at(&object.name).unwrap_or(object.modified_at).micros(),
                object: object.clone(),
            });
        }
    }
    plan
}

/// When the first record of an object of Firehose arrived: Firehose ends names with
/// `-<version>-YYYY-MM-DD-HH-MM-SS-<random>`. The records of any other object arrived before it was written.
fn arrived_at(name: &str) -> Option<Millis> {
    const DIGITS: [usize; 6] = [4, 2, 2, 2, 2, 2];
    let file = name.rsplit('/').next()?;
    let parts: Vec<&str> = file.split('-').collect();
    let number = |(part, digits): (&&str, usize)| {
        let is_number = part.len() == digits && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u32>().ok().filter(|_| is_number)
    };
    parts.windows(DIGITS.len()).find_map(|window| {
        let numbers: Vec<u32> = window.iter().zip(DIGITS).map_while(number).collect();
        let [year, month, day, hour, minute, second] = numbers.as_slice() else { return None };
        let date = NaiveDate::from_ymd_opt(i32::try_from(*year).ok()?, *month, *day)?;
        Some(date.and_hms_opt(*hour, *minute, *second)?.and_utc().into())
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bluelake_lake::ControlTotals;

    use super::*;

    fn object(name: &str, version: &str, modified_at: Millis) -> ArchivedObject {
        ArchivedObject::new(name, version, modified_at)
    }

    fn range(name: &str, version: &str, to: u64, ended: bool) -> ArchiveRange {
        let counts = ControlTotals::default();
        ArchiveRange { object: name.to_owned(), version: version.to_owned(), from: 0, to, ended, counts }
    }

    #[test]
    fn a_backfill_resumes_and_reads_nothing_twice() {
        let objects = [
            object("a", "1", Millis::new(5)),
            object("b", "1", Millis::new(5)),
            object("c", "2", Millis::new(5)),
            object("d", "1", Millis::new(5)),
        ];
        let committed = [
            range("b", "1", 90, false),
            range("b", "1", 70, false),
            range("c", "1", 9, true),
            range("d", "1", 7, true),
        ];
        let plan = plan(&objects, &committed, None);
        let tasks: Vec<_> = plan.tasks.iter().map(|task| (task.shard.as_str(), task.from)).collect();
        assert_eq!(tasks, [("archive:a#1", 0), ("archive:b#1", 90), ("archive:c#2", 0)], "c was written anew");
        assert_eq!((plan.present, plan.left.len()), (1, 0));
    }

    #[test]
    fn what_is_newer_than_the_limit_is_left() {
        let objects =
            [object("a", "1", Millis::new(5)), object("b", "1", Millis::new(6)), object("c", "1", Millis::new(7))];
        let plan = plan(&objects, &[range("c", "1", 9, true)], Some(Millis::new(6)));
        assert_eq!((plan.tasks.len(), plan.left, plan.present), (1, vec!["b".to_owned()], 1));
    }

    #[test]
    fn firehose_names_give_the_first_arrival_time() {
        let name = "s3://b/raw/2026/11/03/17/points-2026-1-2026-11-03-17-05-09-0a1b2c3d-1234-4000-8000-000000000001.gz";
        let expected = "2026-11-03T17:05:09Z".parse::<chrono::DateTime<chrono::Utc>>().unwrap();
        assert_eq!(arrived_at(name), Some(Millis::new(expected.timestamp_millis())));
        for name in ["events.ndjson", "/2026-11-03-17-05-09/x", "x-2026-13-03-17-05-09-y", "x-2026-11-3-17-05-09-1"] {
            assert_eq!(arrived_at(name), None, "{name}");
        }
    }
}

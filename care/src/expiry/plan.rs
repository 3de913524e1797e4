//! Which files leave in which commit of an expiry. Pure: files in, commits out.

use std::collections::BTreeMap;

use bluelake_lake::{TableFile, day_of, folder_of};
use chrono::{Days, NaiveDate};

/// Files that leave in one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Departure {
    /// Rows of days before this one may be missing from then on.
    pub(crate) before: NaiveDate,
    /// What leaves.
    pub(crate) files: Vec<TableFile>,
}

/// The commits by which all days before `before` leave, the oldest first, each of `limit` files at most.
///
/// A commit says no more than what it does: all but the last name the day after the newest of which they take files. So a run
/// that is killed between two leaves a lake of which fewer days expired. The last one names the day that was asked for.
pub(crate) fn departures(files: Vec<TableFile>, before: NaiveDate, limit: usize) -> Vec<Departure> {
    let mut days: BTreeMap<NaiveDate, Vec<TableFile>> = BTreeMap::new();
    for file in files {
        if let Some(day) = day_of(folder_of(&file.path)).filter(|day| *day < before) {
            days.entry(day).or_default().push(file);
        }
    }
    let limit = limit.max(1);
    let mut departures: Vec<Departure> = Vec::new();
    for (day, mut files) in days {
        let after = day.checked_add_days(Days::new(1)).unwrap_or(before).min(before);
        // Whole days leave together, unless a day alone is too much for a commit.
        match departures.last_mut().filter(|last| last.files.len() + files.len() <= limit) {
            Some(last) => {
                last.files.append(&mut files);
                last.before = after;
            }
            None => {
                files.sort_by(|left, right| left.path.cmp(&right.path));
                let parts = files.chunks(limit).map(|part| Departure { before: after, files: part.to_vec() });
                departures.extend(parts);
            }
        }
    }
    if let Some(last) = departures.last_mut() {
        last.before = before;
    }
    departures
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeSet;

    use bluelake_schemas::Millis;
    use proptest::prelude::*;

    use super::*;

    fn day(number: u64) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 1, 1).unwrap() + Days::new(number)
    }

    fn file(number: u64, name: usize) -> TableFile {
        TableFile {
            path: format!("event_type=donation/event_date={}/{name}.parquet", day(number)),
            size: 10,
            rows: 1,
            written_at: Millis::new(0),
            partition_values: BTreeMap::new(),
            stream: bluelake_schemas::Stream::TransactionEvents,
            first: None,
            last: None,
        }
    }

    fn files(days: &[(u64, usize)]) -> Vec<TableFile> {
        days.iter().flat_map(|(day, count)| (0..*count).map(|name| file(*day, name))).collect()
    }

    fn said(departures: &[Departure]) -> Vec<(NaiveDate, usize)> {
        departures.iter().map(|departure| (departure.before, departure.files.len())).collect()
    }

    #[test]
    fn whole_days_leave_the_oldest_first() {
        let found = departures(files(&[(3, 2), (0, 2), (1, 2), (9, 5)]), day(8), 4);
        assert_eq!(said(&found), [(day(2), 4), (day(8), 2)]);
        assert_eq!(said(&departures(files(&[(3, 2)]), day(3), 4)), []);
    }

    #[test]
    fn a_day_too_large_is_split_over_commits() {
        let found = departures(files(&[(0, 1), (1, 5), (2, 1)]), day(3), 2);
        // Its rows may be missing from the first part on.
        assert_eq!(said(&found), [(day(1), 1), (day(2), 2), (day(2), 2), (day(3), 2)]);
    }

    proptest! {
        #[test]
        fn each_file_leaves_once_and_no_commit_says_less(
            days in proptest::collection::vec((0_u64..12, 0_usize..6), 0..12), before in 0_u64..14, limit in 1_usize..9
        ) {
            let mut seen = BTreeSet::new();
            let all: Vec<TableFile> = files(&days).into_iter().filter(|file| seen.insert(file.path.clone())).collect();
            let due = all.iter().filter(|file| day_of(folder_of(&file.path)).unwrap() < day(before)).count();
            let found = departures(all, day(before), limit);
            let mut left = BTreeSet::new();
            let mut last = day(0);
            for departure in &found {
                prop_assert!((1..=limit).contains(&departure.files.len()));
                prop_assert!(departure.before >= last && departure.before <= day(before));
                last = departure.before;
                for file in &departure.files {
                    prop_assert!(day_of(folder_of(&file.path)).unwrap() < departure.before);
                    prop_assert!(left.insert(file.path.clone()), "twice");
                }
            }
            prop_assert_eq!(left.len(), due);
            prop_assert!(found.is_empty() || last == day(before));
        }
    }
}

//! What a partition holds, in few numbers: rows, points, and a sum over the hashes of the rows. Equal rows in any order
//! have equal numbers; a row that is missing, doubled or changed in one column has others. Pure.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

/// The values that name a partition.
pub(crate) type Partition = [String; 2];

/// 128 bits of the SHA-256 of some bytes.
pub(crate) fn hash(bytes: &[u8]) -> u128 {
    let hash: [u8; 32] = Sha256::digest(bytes).into();
    hash.first_chunk().map_or(0, |part| u128::from_le_bytes(*part))
}

/// What some rows hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How many there are.
    pub rows: u64,
    /// The sum of their points.
    pub points: i128,
    /// The sum of 128 bits of the SHA-256 of each row.
    pub digest: u128,
}

impl Counts {
    /// Takes a row in, by the bytes of its values.
    pub(crate) fn take_in(&mut self, row: &[u8], points: i64) {
        self.rows = self.rows.saturating_add(1);
        self.points = self.points.saturating_add(points.into());
        self.digest = self.digest.wrapping_add(hash(row));
    }
}

/// A partition that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PartitionDifference {
    /// The values of the columns that name it.
    pub partition: [String; 2],
    /// Rows in the lake.
    pub lake_rows: u64,
    /// Rows in the target.
    pub target_rows: u64,
    /// Points in the lake.
    pub lake_points: String,
    /// Points in the target.
    pub target_points: String,
    /// What that means, in words.
    pub meaning: &'static str,
}

/// What a comparison of a table found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableVerdict {
    /// The table.
    pub table: String,
    /// The version that was compared; `None`: the target was never loaded.
    pub version: Option<u64>,
    /// Partitions that were compared.
    pub partitions: usize,
    /// Rows of the lake that were compared.
    pub rows: u64,
    /// Those that differ.
    pub differences: Vec<PartitionDifference>,
    /// What else is wrong.
    pub faults: Vec<String>,
}

impl TableVerdict {
    /// Whether the target holds what the lake does.
    #[must_use]
    pub fn is_equal(&self) -> bool {
        self.version.is_some() && self.differences.is_empty() && self.faults.is_empty()
    }

    /// Of a target that cannot be compared.
    pub(crate) fn without_comparison(table: &str, faults: Vec<String>) -> Self {
        Self { table: table.to_owned(), version: None, partitions: 0, rows: 0, differences: Vec::new(), faults }
    }

    /// Compares the partitions of both sides.
    pub(crate) fn of(
        table: &str,
        version: u64,
        lake: &BTreeMap<Partition, Counts>,
        target: &BTreeMap<Partition, Counts>,
        faults: Vec<String>,
    ) -> Self {
        let names: std::collections::BTreeSet<&Partition> = lake.keys().chain(target.keys()).collect();
        let partitions = names.len();
        let differences = names.into_iter().filter_map(|partition| {
            let counts = |side: &BTreeMap<Partition, Counts>| side.get(partition).copied().unwrap_or_default();
            difference(partition, counts(lake), counts(target))
        });
        let rows = lake.values().map(|counts| counts.rows).fold(0, u64::saturating_add);
        let differences = differences.collect();
        Self { table: table.to_owned(), version: Some(version), partitions, rows, differences, faults }
    }
}

fn difference(partition: &Partition, lake: Counts, target: Counts) -> Option<PartitionDifference> {
    let meaning = match target.rows.cmp(&lake.rows) {
        _ if lake == target => return None,
        std::cmp::Ordering::Less => "rows are missing",
        std::cmp::Ordering::Greater => "there are rows too many",
        std::cmp::Ordering::Equal => "rows have other values",
    };
    Some(PartitionDifference {
        partition: partition.clone(),
        lake_rows: lake.rows,
        target_rows: target.rows,
        lake_points: lake.points.to_string(),
        target_points: target.points.to_string(),
        meaning,
    })
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn counts(rows: &[(&str, i64)]) -> Counts {
        let mut counts = Counts::default();
        rows.iter().for_each(|(row, points)| counts.take_in(row.as_bytes(), *points));
        counts
    }

    #[test]
    fn the_order_of_rows_is_nothing_and_each_row_is_something() {
        let both = counts(&[("a", 1), ("b", 2)]);
        assert_eq!(both, counts(&[("b", 2), ("a", 1)]));
        for other in [&[("a", 1)][..], &[("a", 1), ("b", 2), ("b", 2)], &[("a", 1), ("c", 2)], &[("a", 1), ("b", 3)]] {
            assert_ne!(both, counts(other), "{other:?}");
        }
    }

    #[test]
    fn a_difference_says_what_it_means() {
        let partition = |name: &str| [name.to_owned(), "2026-01-01".to_owned()];
        let lake: BTreeMap<_, _> =
            ["a", "b", "c", "d"].map(|name| (partition(name), counts(&[("1", 1), ("2", 2)]))).into();
        let mut target = lake.clone();
        target.insert(partition("a"), counts(&[("1", 1)]));
        target.insert(partition("b"), counts(&[("1", 1), ("2", 2), ("2", 2)]));
        target.insert(partition("c"), counts(&[("1", 1), ("3", 2)]));
        target.insert(partition("e"), counts(&[("1", 1)]));
        let verdict = TableVerdict::of("t", 3, &lake, &target, Vec::new());
        let found: Vec<_> = verdict.differences.iter().map(|it| (it.partition[0].as_str(), it.meaning)).collect();
        let expected = [
            ("a", "rows are missing"),
            ("b", "there are rows too many"),
            ("c", "rows have other values"),
            ("e", "there are rows too many"),
        ];
        assert_eq!(found, expected);
        assert_eq!((verdict.partitions, verdict.rows, verdict.is_equal()), (5, 8, false));
        assert!(TableVerdict::of("t", 3, &lake, &lake, Vec::new()).is_equal());
        assert!(!TableVerdict::of("t", 3, &lake, &lake, vec!["users".to_owned()]).is_equal());
    }
}

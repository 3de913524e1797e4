//! Files by their partitions, and partitions by what memory holds at a time. Pure.

use crate::verify::files::ActiveFile;

/// The files of one partition of a table.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) table: &'static str,
    /// By their places among all files.
    pub(crate) files: Vec<usize>,
    /// By the log.
    pub(super) rows: u64,
}

impl Partition {
    /// Its files.
    pub(crate) fn of<'a>(&self, files: &'a [ActiveFile]) -> Vec<&'a ActiveFile> {
        self.files.iter().filter_map(|index| files.get(*index)).collect()
    }
}

/// The partitions of the chosen files, which are in the order of their paths.
pub(crate) fn by_partition(files: &[ActiveFile], chosen: &[usize]) -> Vec<Partition> {
    let mut found: Vec<Partition> = Vec::new();
    let mut last: Option<&ActiveFile> = None;
    for index in chosen {
        let Some(file) = files.get(*index) else { continue };
        let is_same = last.is_some_and(|last| {
            last.table == file.table && last.folder() == file.folder() && last.partition == file.partition
        });
        let rows = file.rows.unwrap_or_default();
        match found.last_mut() {
            Some(partition) if is_same => {
                partition.files.push(*index);
                partition.rows = partition.rows.saturating_add(rows);
            }
            _ => found.push(Partition { table: file.table, files: vec![*index], rows }),
        }
        last = Some(file);
    }
    found
}

/// The `wanted` partitions in groups of at most so many rows; one with more is alone.
pub(crate) fn groups(partitions: &[Partition], wanted: &[usize], rows: u64) -> Vec<Vec<usize>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    let mut sum = 0_u64;
    for number in wanted {
        let own = partitions.get(*number).map_or(0, |partition| partition.rows);
        sum = sum.saturating_add(own);
        match groups.last_mut() {
            Some(group) if sum <= rows => group.push(*number),
            _ => {
                groups.push(vec![*number]);
                sum = own;
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(rows: u64) -> Partition {
        Partition { table: "transactions", files: Vec::new(), rows }
    }

    #[test]
    fn partitions_are_held_together_as_far_as_rows_allow() {
        let all: Vec<Partition> = [3, 4, 3, 20, 1, 10, 0].map(partition).into();
        let every: Vec<usize> = (0..all.len()).collect();
        assert_eq!(groups(&all, &every, 10), [vec![0, 1, 2], vec![3], vec![4], vec![5, 6]]);
        assert_eq!(groups(&all, &[1, 3, 4], 10), [vec![1], vec![3], vec![4]]);
        assert_eq!(groups(&all, &every, 100), [every]);
        assert!(groups(&all, &[], 10).is_empty());
    }
}

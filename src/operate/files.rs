//! The files of the tables, as whoever looks after them last counted them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use bluelake_care::FileCounts;
use bluelake_ingest::status::TableFiles;

/// What was counted of each table.
#[derive(Debug, Default)]
pub(crate) struct FilesSeen(Mutex<BTreeMap<&'static str, TableFiles>>);

impl FilesSeen {
    /// Takes in how a table stands. An alarm is told to the log when it begins and when it has passed.
    pub(crate) fn take_in(&self, counts: &FileCounts) {
        let now = table_files(counts);
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = seen.insert(counts.table, now.clone()).is_some_and(|before| !before.alarms.is_empty());
        drop(seen);
        match (before, now.alarms.as_slice()) {
            (false, [_, ..]) => now.alarms.iter().for_each(|alarm| tracing::warn!(alarm, "a table has too many files")),
            (true, []) => tracing::info!(table = now.table, files = now.files, "the table has few files again"),
            _ => {}
        }
    }

    /// Every table that was counted.
    pub(crate) fn all(&self) -> Vec<TableFiles> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

/// For the metrics and the status.
pub(crate) fn table_files(counts: &FileCounts) -> TableFiles {
    TableFiles {
        table: counts.table,
        files: counts.files,
        bytes: counts.bytes,
        small_files: counts.small.objects,
        compacted_at: counts.compacted_at,
        alarms: counts.alarms(),
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use bluelake_care::SMALL_FILES_MAX;
    use bluelake_lake::Objects;
    use bluelake_schemas::Millis;

    use super::*;

    #[test]
    fn the_last_count_of_each_table_is_kept() {
        let seen = FilesSeen::default();
        let counts = |table, small| FileCounts {
            table,
            files: small + 1,
            small: Objects { objects: small, bytes: small },
            compacted_at: Millis::new(7_000).time(),
            ..FileCounts::default()
        };
        seen.take_in(&counts("transactions", SMALL_FILES_MAX + 1));
        seen.take_in(&counts("user_events", 3));
        let all = seen.all();
        assert_eq!((all[0].table, all[0].small_files, all[0].alarms.len()), ("transactions", SMALL_FILES_MAX + 1, 1));
        assert_eq!((all[1].files, all[1].compacted_at, all[1].alarms.len()), (4, Millis::new(7_000).time(), 0));
        seen.take_in(&counts("transactions", 0));
        assert_eq!((seen.all().len(), seen.all()[0].alarms.len()), (2, 0));
    }
}

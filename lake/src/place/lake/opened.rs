//! What a process keeps of the tables that it opened for queries: their newest version, how they are scanned, and the footers
//! of their files. A table that is opened again only reads what came since.

use std::{
    collections::BTreeMap,
    fmt::{self, Debug, Formatter},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use datafusion::{
    catalog::TableProvider,
    execution::cache::{cache_manager::FileMetadataCache, default_cache::DefaultCache},
};
use deltalake::DeltaTable;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt as _, path::Path};

/// Bytes of footers that a lake keeps, as DataFusion does in a session.
const FOOTERS: usize = 50 << 20;

/// A table at one version.
#[derive(Clone, Debug)]
pub(crate) struct OpenedTable {
    /// As loaded.
    pub(crate) table: DeltaTable,
    /// How it is scanned, once that is known: by our scan, and by the general one.
    pub(crate) scans: Arc<OnceLock<[Arc<dyn TableProvider>; 2]>>,
}

impl OpenedTable {
    /// A table as loaded.
    pub(crate) fn new(table: DeltaTable) -> Self {
        Self { table, scans: Arc::default() }
    }
}

/// What is kept. Copies share it.
#[derive(Clone)]
pub(crate) struct OpenedTables {
    tables: Arc<Mutex<BTreeMap<String, (OpenedTable, ObjectMeta)>>>,
    footers: Arc<FileMetadataCache>,
}

impl Default for OpenedTables {
    fn default() -> Self {
        Self { tables: Arc::default(), footers: Arc::new(DefaultCache::new(FOOTERS)) }
    }
}

impl OpenedTables {
    /// Footers by the paths of files. A path is given once, so a footer never changes.
    pub(crate) fn footers(&self) -> &Arc<FileMetadataCache> {
        &self.footers
    }

    /// A kept table at its newest version. `None` when there is none, or it is no longer the table that was kept: one whose log
    /// has another object for the version.
    pub(crate) async fn newest(&self, name: &str, store: &dyn ObjectStore, folder: &Path) -> Option<OpenedTable> {
        let (kept, commit) = self.tables.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()?;
        if store.head(&commit.location).await.ok()? != commit {
            return None;
        }
        let mut table = kept.table.clone();
        table.update_incremental(None).await.ok()?;
        if table.version() == kept.table.version() {
            return Some(kept);
        }
        let newer = OpenedTable::new(table);
        self.keep(name, &newer, store, folder).await;
        Some(newer)
    }

    /// Keeps a table. Without the commit of its version in the log it is not kept.
    pub(crate) async fn keep(&self, name: &str, opened: &OpenedTable, store: &dyn ObjectStore, folder: &Path) {
        let Some(version) = opened.table.version() else { return };
        let commit = folder.clone().join("_delta_log").join(format!("{version:020}.json"));
        let Ok(commit) = store.head(&commit).await else { return };
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        tables.insert(name.to_owned(), (opened.clone(), commit));
    }
}

impl Debug for OpenedTables {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("OpenedTables")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use bluelake_schemas::Contract;

    use super::*;
    use crate::place::lake::Lake;

    const TABLE: &str = "transactions";

    #[tokio::test]
    async fn a_table_is_opened_once_and_then_reads_what_came_since() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::at(&folder.path().to_str().unwrap().parse().unwrap(), None).unwrap();
        lake.init(&Contract::embedded().unwrap()).await.unwrap();
        let first = lake.opened(TABLE).await.unwrap();
        let again = lake.clone().opened(TABLE).await.unwrap();
        assert!(Arc::ptr_eq(&first.scans, &again.scans), "nothing came since");
        let commit = folder.path().join(TABLE).join("_delta_log/00000000000000000001.json");
        fs::write(commit, r#"{"txn":{"appId":"another","version":1}}"#).unwrap();
        let newer = lake.opened(TABLE).await.unwrap();
        assert_eq!((first.table.version(), newer.table.version()), (Some(0), Some(1)));
        assert!(!Arc::ptr_eq(&first.scans, &newer.scans));
        assert!(Arc::ptr_eq(&newer.scans, &lake.opened(TABLE).await.unwrap().scans));
    }

    #[tokio::test]
    async fn a_table_that_was_made_anew_is_opened_anew() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::at(&folder.path().to_str().unwrap().parse().unwrap(), None).unwrap();
        let id = |opened: &OpenedTable| opened.table.snapshot().unwrap().metadata().id().to_owned();
        let contract = Contract::embedded().unwrap();
        lake.init(&contract).await.unwrap();
        let first = lake.opened(TABLE).await.unwrap();
        fs::remove_dir_all(folder.path().join(TABLE)).unwrap();
        lake.init(&contract).await.unwrap();
        let second = lake.opened(TABLE).await.unwrap();
        assert_ne!(id(&first), id(&second));
        assert_eq!(id(&second), id(&lake.opened(TABLE).await.unwrap()));
        fs::remove_dir_all(folder.path().join(TABLE)).unwrap();
        assert!(lake.opened(TABLE).await.is_err(), "it is gone");
    }
}

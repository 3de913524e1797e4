//! The short cuts of a Delta log: its checkpoints, and the hint that names the newest. All of them follow from the log's
//! entries, so they can be made anew as long as those are there.

use std::collections::BTreeMap;

use futures::TryStreamExt as _;
use object_store::{ObjectStoreExt as _, path::Path};

use super::{Advice, Mend, RepairReport};
use crate::{
    error::LakeError,
    place::{lake::Lake, parquet_object::ParquetObject},
};

/// Without a log checkpoint for more versions than this one is written: readers begin at the first entry.
const OVERDUE: u64 = 500;
const HINT: &str = "_last_checkpoint";

/// The files of a log.
#[derive(Debug, Default)]
struct Log {
    folder: Option<Path>,
    /// Versions that have an entry, ascending.
    entries: Vec<u64>,
    /// Version → path and size of its checkpoint, those of one part.
    checkpoints: BTreeMap<u64, (Path, u64)>,
    /// There are checkpoints of several parts or another form, which are left alone.
    has_others: bool,
    hint: Hint,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Hint {
    #[default]
    Missing,
    Torn,
    Names(u64),
}

/// Mends the short cuts of a table's log, or says that a person must.
pub(super) async fn mend(
    lake: &Lake,
    name: &'static str,
    dry_run: bool,
    report: &mut RepairReport,
) -> Result<(), LakeError> {
    let log = Log::look(lake, name).await?;
    let Some(newest) = log.entries.last().copied() else { return Ok(()) };
    if log.has_others {
        return Ok(());
    }
    let (good, torn) = log.judge(lake).await?;
    if !torn.is_empty() && !log.reaches(good, newest) {
        report.remaining.push(Advice::torn_checkpoint(name, &torn));
        return Ok(());
    }
    let hint_is_wrong = match log.hint {
        Hint::Torn => true,
        Hint::Names(version) => torn.contains(&version) || !log.checkpoints.contains_key(&version),
        Hint::Missing => false,
    };
    let mut found = Vec::new();
    if hint_is_wrong {
        found.push("the hint to its newest log checkpoint could not be used".to_owned());
    }
    found.extend(torn.iter().map(|version| format!("log checkpoint {version} was damaged, and no entry is missing")));
    let since = good.map_or(newest, |good| newest.saturating_sub(good));
    if found.is_empty() && log.hint == Hint::Missing && (good.is_some() || since > OVERDUE) {
        found.push("nothing named its newest log checkpoint".to_owned());
    } else if found.is_empty() && since > OVERDUE {
        found.push(format!("its log checkpoint was {since} versions old"));
    }
    if found.is_empty() {
        return Ok(());
    }
    if !dry_run {
        log.renew(lake, name, hint_is_wrong, &torn).await?;
    }
    let what = format!("{}; a log checkpoint of version {newest} was written", found.join(", "));
    report.mends.push(Mend { table: name, what });
    Ok(())
}

impl Log {
    async fn look(lake: &Lake, name: &str) -> Result<Self, LakeError> {
        let folder = lake.table_path(name).join("_delta_log");
        let mut found = Self::default();
        let mut listed = lake.root().list(Some(&folder));
        while let Some(object) = listed.try_next().await.map_err(LakeError::store("list", lake.describe(&folder)))? {
            let file = object.location.filename().unwrap_or_default();
            let version = |ending: &str| {
                let digits = file.strip_suffix(ending).filter(|digits| digits.len() == 20)?;
                digits.parse::<u64>().ok()
            };
            if let Some(version) = version(".json") {
                found.entries.push(version);
            } else if let Some(version) = version(".checkpoint.parquet") {
                found.checkpoints.insert(version, (object.location.clone(), object.size));
            } else {
                found.has_others |= file.contains(".checkpoint.");
            }
        }
        found.entries.sort_unstable();
        let path = folder.clone().join(HINT);
        found.hint = match lake.root().get(&path).await {
            Ok(hint) => {
                let bytes = hint.bytes().await.map_err(LakeError::store("read", lake.describe(&path)))?;
                let hint: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
                hint.and_then(|hint| hint.get("version")?.as_u64()).map_or(Hint::Torn, Hint::Names)
            }
            Err(object_store::Error::NotFound { .. }) => Hint::Missing,
            Err(error) => return Err(LakeError::store("read", lake.describe(&path))(error)),
        };
        found.folder = Some(folder);
        Ok(found)
    }

    /// The newest checkpoint that can be read, and those above it that cannot.
    async fn judge(&self, lake: &Lake) -> Result<(Option<u64>, Vec<u64>), LakeError> {
        let mut torn = Vec::new();
        for (version, (path, size)) in self.checkpoints.iter().rev() {
            let object = ParquetObject::new(lake.root().clone(), path.clone(), *size);
            match object.reader().await {
                Ok(_) => return Ok((Some(*version), torn)),
                Err(parquet::errors::ParquetError::External(source)) => {
                    let store = source.downcast::<object_store::Error>();
                    let Ok(store) = store else { return Ok((None, torn)) };
                    return Err(LakeError::store("read", lake.describe(path))(*store));
                }
                Err(_) => torn.push(*version),
            }
        }
        Ok((None, torn))
    }

    /// Whether each version after `good`, or from the first, has its entry.
    fn reaches(&self, good: Option<u64>, newest: u64) -> bool {
        let first = good.map_or(0, |good| good + 1);
        let there: Vec<u64> = self.entries.iter().copied().filter(|version| *version >= first).collect();
        there.into_iter().eq(first..=newest)
    }

    /// Takes away what is damaged, the hint to it first, and writes a log checkpoint.
    async fn renew(&self, lake: &Lake, name: &str, hint_is_wrong: bool, torn: &[u64]) -> Result<(), LakeError> {
        let mut gone = Vec::new();
        gone.extend(self.folder.as_ref().filter(|_| hint_is_wrong).map(|folder| folder.clone().join(HINT)));
        gone.extend(torn.iter().filter_map(|version| self.checkpoints.get(version)).map(|(path, _)| path.clone()));
        for path in gone {
            match lake.root().delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(LakeError::store("delete", lake.describe(&path))(error)),
            }
        }
        let table = lake.table(name).await?;
        let written = deltalake::checkpoints::create_checkpoint(&table, None).await;
        written.map_err(LakeError::table(name, "write a log checkpoint"))
    }
}

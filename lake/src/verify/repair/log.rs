//! The short cuts of a Delta log: its checkpoints, and the hint that names the newest. All of them follow from the log's
//! entries, so they can be made anew as long as those are there.

use deltalake::DeltaTable;
use object_store::ObjectStoreExt as _;

use super::{Advice, Mend, RepairReport};
use crate::{
    commit::log::{
        checkpoint::{self, DISTANCE},
        files::{self, HINT, Hint, LogFiles},
    },
    error::LakeError,
    place::lake::Lake,
};

/// The log of a table, which need not be one that can be loaded.
struct Log {
    table: DeltaTable,
    hint: Hint,
    files: LogFiles,
}

/// Mends the short cuts of a table's log, or says that a person must.
pub(super) async fn mend(
    lake: &Lake,
    name: &'static str,
    dry_run: bool,
    report: &mut RepairReport,
) -> Result<(), LakeError> {
    let log = Log::look(lake, name).await?;
    let Some(newest) = log.files.commits.last_key_value().map(|(version, _)| *version) else { return Ok(()) };
    if log.files.has_others {
        return Ok(());
    }
    let (good, torn) = log.judge(name).await?;
    if !torn.is_empty() && !log.reaches(good, newest) {
        report.remaining.push(Advice::torn_checkpoint(name, &torn));
        return Ok(());
    }
    let hint_is_wrong = match log.hint {
        Hint::Torn => true,
        Hint::Names(version) => torn.contains(&version) || !log.files.checkpoints.contains_key(&version),
        Hint::Missing => false,
    };
    let mut found = Vec::new();
    if hint_is_wrong {
        found.push("the hint to its newest log checkpoint could not be used".to_owned());
    }
    found.extend(torn.iter().map(|version| format!("log checkpoint {version} was damaged, and no entry is missing")));
    let since = good.map_or(newest, |good| newest.saturating_sub(good));
    if found.is_empty() && log.hint == Hint::Missing && (good.is_some() || since > DISTANCE.1) {
        found.push("nothing named its newest log checkpoint".to_owned());
    } else if found.is_empty() && since > DISTANCE.1 {
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
    /// The hint first: what it names is listed then.
    async fn look(lake: &Lake, name: &str) -> Result<Self, LakeError> {
        let table = lake.unloaded(name)?;
        let hint = Hint::read(name, &table).await?;
        Ok(Self { hint, files: LogFiles::list(name, &table, 0).await?, table })
    }

    /// The newest log checkpoint that can be read, and those above it that cannot.
    async fn judge(&self, name: &str) -> Result<(Option<u64>, Vec<u64>), LakeError> {
        let mut torn = Vec::new();
        for version in self.files.checkpoints.keys().rev() {
            match checkpoint::open(name, &self.table, *version).await {
                Ok(_) => return Ok((Some(*version), torn)),
                Err(LakeError::DataFile { .. }) => torn.push(*version),
                Err(error) => return Err(error),
            }
        }
        Ok((None, torn))
    }

    /// Whether each version after `good`, or from the first, has its entry.
    fn reaches(&self, good: Option<u64>, newest: u64) -> bool {
        let first = good.map_or(0, |good| good + 1);
        self.files.commits.range(first..).map(|(version, _)| *version).eq(first..=newest)
    }

    /// Takes away what is damaged, the hint to it first, and writes a log checkpoint.
    async fn renew(&self, lake: &Lake, name: &str, hint_is_wrong: bool, torn: &[u64]) -> Result<(), LakeError> {
        let names = hint_is_wrong.then(|| HINT.to_owned()).into_iter();
        let names = names.chain(torn.iter().map(|version| files::checkpoint(*version)));
        let log = self.table.log_store();
        for path in names.map(|name| log.log_path().clone().join(name)) {
            match log.object_store(None).delete(&path).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(LakeError::store("delete", format!("{name}/{path}"))(error)),
            }
        }
        checkpoint::write(name, &lake.table(name).await?).await
    }
}

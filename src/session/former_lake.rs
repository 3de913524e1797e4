//! The place of the default lake in earlier versions. A user with a lake there who names none gets a message before
//! anything is read or made: an empty new lake beside the old one would look like lost events.

use std::path::Path;

use anyhow::Result;
use bluelake_lake::table_names;

use crate::config::DEFAULT_LAKE;
use crate::terminal::failure::WrongUsage;

/// The default lake of earlier versions.
const FORMER_LAKE: &str = "./lake";

/// Refuses to go on with the default lake when it does not exist and the former one does, both seen from `folder`.
///
/// # Errors
/// [`WrongUsage`] that says how to name either lake.
pub(crate) fn check(folder: &Path) -> Result<()> {
    if folder.join(DEFAULT_LAKE).exists() || !has_tables(&folder.join(FORMER_LAKE)) {
        return Ok(());
    }
    Err(WrongUsage::new(format!(
        "{DEFAULT_LAKE}, the default lake, is not there, but {FORMER_LAKE}, the default of earlier versions, holds one: \
         give --lake {FORMER_LAKE}, or rename it to {DEFAULT_LAKE}; for a new lake beside it give --lake {DEFAULT_LAKE}"
    ))
    .into())
}

/// Whether one of our tables exists. The folder may be a source folder of the same name.
fn has_tables(lake: &Path) -> bool {
    table_names().any(|table| lake.join(table).join("_delta_log").is_dir())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_a_sole_former_lake_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| std::fs::create_dir_all(folder.path().join(name)).unwrap();
        assert!(check(folder.path()).is_ok(), "nothing is there");
        make("lake/src");
        make("lake/transactions");
        assert!(check(folder.path()).is_ok(), "no table");
        make("lake/transactions/_delta_log");
        let message = check(folder.path()).unwrap_err().to_string();
        assert!(message.contains("--lake ./lake") && message.contains("rename"), "{message}");
        make("bluelake-data");
        assert!(check(folder.path()).is_ok(), "the default lake is there");
    }
}

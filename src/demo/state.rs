//! The state of a demo beside the tables, so that the next run can go on: `_demo/demo.json` and `_demo/truth.json`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bluelake_generate::{GeneratorOptions, Truth};
use bluelake_lake::table_names;
use chrono::{DateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use crate::terminal::failure::WrongUsage;
use crate::terminal::output;

/// Share of bad events.
pub(crate) const BAD_RATE: f64 = 0.01;
/// Share of repeated events.
pub(crate) const DUPLICATE_RATE: f64 = 0.01;

/// Folder of the demo's own files, beside the tables.
const MARK: &str = "_demo";

const EVENTS: u64 = 200_000;
const SEED: u64 = 1;
const DAYS: u32 = 30;

/// The options of a demo, and its progress.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DemoState {
    /// Events to make.
    pub(crate) events: u64,
    /// The end of the period of the events.
    pub(crate) end: DateTime<Utc>,
    /// Everything has landed.
    pub(crate) complete: bool,
    /// Duplicates that ingest counted, if one run landed everything.
    pub(crate) duplicate: Option<u64>,
}

impl DemoState {
    /// The state that an earlier demo left in this lake.
    ///
    /// # Errors
    /// When it exists but cannot be read.
    pub(crate) fn find(folder: &Path) -> Result<Option<Self>> {
        let path = state_file(folder);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let state = serde_json::from_slice(&text)
            .with_context(|| format!("{} is not what a demo wrote; --fresh starts again", path.display()))?;
        Ok(Some(state))
    }

    /// A new demo; its mark is made before anything else.
    ///
    /// # Errors
    /// [`WrongUsage`] when the folder holds another lake.
    pub(crate) fn start(folder: &Path, events: Option<u64>) -> Result<Self> {
        if has_tables(folder) {
            let message =
                format!("{} holds a lake that no demo made; use --lake FOLDER with another folder", folder.display());
            return Err(WrongUsage::new(message).into());
        }
        let end = Utc::now().date_naive().and_time(NaiveTime::MIN).and_utc();
        let state = Self { events: events.unwrap_or(EVENTS), end, complete: false, duplicate: None };
        state.save(folder)?;
        Ok(state)
    }

    /// The same state, unless another number of events is requested.
    ///
    /// # Errors
    /// [`WrongUsage`] when it is.
    pub(crate) fn for_events(self, events: Option<u64>) -> Result<Self> {
        match events {
            Some(wanted) if wanted != self.events => {
                let message = format!("the demo that is there has {} events; add --fresh to start again", self.events);
                Err(WrongUsage::new(message).into())
            }
            _ => Ok(self),
        }
    }

    /// Writes the state.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn save(&self, folder: &Path) -> Result<()> {
        write(&state_file(folder), self)
    }

    /// The options of the generator.
    pub(crate) fn options(&self) -> GeneratorOptions {
        GeneratorOptions {
            events: self.events,
            seed: SEED,
            days: DAYS,
            end: self.end,
            bad_rate: BAD_RATE,
            duplicate_rate: DUPLICATE_RATE,
        }
    }
}

/// Keeps what the generator knows.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn save_truth(folder: &Path, truth: &Truth) -> Result<()> {
    write(&truth_file(folder), truth)
}

/// The generator's truth.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_truth(folder: &Path) -> Result<Truth> {
    let path = truth_file(folder);
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not what a demo wrote; --fresh starts again", path.display()))
}

/// Removes the lake of an earlier demo: only its tables by name, because the folder may hold other files. The mark goes
/// last, so that an interrupted removal can be repeated.
///
/// # Errors
/// [`WrongUsage`] when the folder holds a lake that no demo made.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    if !state_file(folder).is_file() {
        if has_tables(folder) {
            let message = format!("--fresh does not touch {}: no demo made the lake in it", folder.display());
            return Err(WrongUsage::new(message).into());
        }
        return Ok(());
    }
    for name in table_names().chain(["_workers", MARK]) {
        let path = folder.join(name);
        match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn has_tables(folder: &Path) -> bool {
    table_names().any(|table| folder.join(table).exists())
}

fn state_file(folder: &Path) -> PathBuf {
    folder.join(MARK).join("demo.json")
}

fn truth_file(folder: &Path) -> PathBuf {
    folder.join(MARK).join("truth.json")
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let mut file = output::create(path)?;
    serde_json::to_writer(&mut file, value).with_context(|| format!("cannot write {}", path.display()))?;
    output::publish(file)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_demo_finds_its_own_state_again() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        assert_eq!(DemoState::find(&lake).unwrap(), None);
        let state = DemoState::start(&lake, Some(5)).unwrap();
        assert_eq!(DemoState::find(&lake).unwrap(), Some(state.clone()));
        assert!(state.clone().for_events(Some(6)).is_err());
        assert_eq!(state.clone().for_events(None).unwrap(), state);
    }

    #[test]
    fn only_a_demos_own_lake_is_used() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("transactions")).unwrap();
        assert!(DemoState::start(folder.path(), None).is_err());
        assert!(clear(folder.path()).is_err());
        assert!(folder.path().join("transactions").is_dir());
    }

    #[test]
    fn fresh_removes_only_a_demos_tables() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        clear(folder.path()).unwrap();
        DemoState::start(folder.path(), None).unwrap();
        std::fs::create_dir(folder.path().join("transactions")).unwrap();
        clear(folder.path()).unwrap();
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["src"]);
        clear(folder.path()).unwrap();
    }
}

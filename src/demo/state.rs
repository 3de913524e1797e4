//! What a demo leaves beside the tables, so that the next run can go on: `_demo/demo.json` and `_demo/truth.json`.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use bluelake_generate::{GeneratorOptions, Truth};
use chrono::{DateTime, NaiveTime, Utc};
use serde::{Deserialize, Serialize};

use crate::failure::WrongUsage;
use crate::output::WholeFile;

/// Share of bad events.
pub(crate) const BAD_RATE: f64 = 0.01;
/// Share of repeated events.
pub(crate) const DUPLICATE_RATE: f64 = 0.01;

const EVENTS: u64 = 200_000;
const SEED: u64 = 1;
const DAYS: u32 = 30;

/// What a demo makes, and how far it is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DemoState {
    /// Events to make.
    pub(crate) events: u64,
    /// End of the period that they are about.
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
    /// When it is there but cannot be read.
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

    /// A new demo, marked as such before anything else is made.
    ///
    /// # Errors
    /// [`WrongUsage`] when something else is in the folder.
    pub(crate) fn start(folder: &Path, events: Option<u64>) -> Result<Self> {
        if !is_empty(folder)? {
            let message =
                format!("{} holds something that no demo made; use --lake FOLDER with another one", folder.display());
            return Err(WrongUsage::new(message).into());
        }
        let end = Utc::now().date_naive().and_time(NaiveTime::MIN).and_utc();
        let state = Self { events: events.unwrap_or(EVENTS), end, complete: false, duplicate: None };
        state.save(folder)?;
        Ok(state)
    }

    /// The same state, unless another number of events is wanted.
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

    /// What the generator is asked for.
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

/// What the generator knew.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn read_truth(folder: &Path) -> Result<Truth> {
    let path = truth_file(folder);
    let text = std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text)
        .with_context(|| format!("{} is not what a demo wrote; --fresh starts again", path.display()))
}

/// Removes the lake of an earlier demo.
///
/// # Errors
/// [`WrongUsage`] when the folder holds something that no demo made.
pub(crate) fn clear(folder: &Path) -> Result<()> {
    if is_empty(folder)? {
        return Ok(());
    }
    if !state_file(folder).is_file() {
        let message = format!("--fresh does not touch {}: no demo made what is in it", folder.display());
        return Err(WrongUsage::new(message).into());
    }
    std::fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

fn is_empty(folder: &Path) -> Result<bool> {
    match std::fs::read_dir(folder) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error).with_context(|| format!("cannot read the folder {}", folder.display())),
    }
}

fn state_file(folder: &Path) -> PathBuf {
    folder.join("_demo").join("demo.json")
}

fn truth_file(folder: &Path) -> PathBuf {
    folder.join("_demo").join("truth.json")
}

fn write(path: &Path, value: &impl Serialize) -> Result<()> {
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
    }
    let mut file = WholeFile::create(path)?;
    serde_json::to_writer(&mut file, value).with_context(|| format!("cannot write {}", path.display()))?;
    file.finish()
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
    fn what_no_demo_made_is_neither_used_nor_removed() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("mine"), "x").unwrap();
        assert!(DemoState::start(folder.path(), None).is_err());
        assert!(clear(folder.path()).is_err());
        assert!(folder.path().join("mine").is_file());
    }

    #[test]
    fn fresh_removes_a_lake_that_a_demo_made() {
        let folder = tempfile::tempdir().unwrap();
        let lake = folder.path().join("lake");
        DemoState::start(&lake, None).unwrap();
        clear(&lake).unwrap();
        assert!(!lake.exists());
        clear(&lake).unwrap();
    }
}

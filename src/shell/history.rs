//! The history of the shell.

use std::ffi::OsString;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::config::HistoryFile;

/// Only the user may read the history.
const FOLDER_MODE: u32 = 0o700;

/// The file for the history, in an existing folder; `None` if there is none, for example without a home.
pub(super) fn file(setting: &HistoryFile) -> Option<PathBuf> {
    let path = path(setting, |name| std::env::var_os(name))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let made =
        folder.is_none_or(|folder| std::fs::DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder).is_ok());
    made.then_some(path)
}

fn path(setting: &HistoryFile, variable: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    match setting {
        HistoryFile::None => None,
        HistoryFile::File(path) => Some(path.clone()),
        HistoryFile::Usual => {
            let folder = |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
            let state = folder("XDG_STATE_HOME").or_else(|| Some(folder("HOME")?.join(Path::new(".local/state"))))?;
            Some(state.join("bluelake/history"))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_history_lies_in_the_state_folder() {
        let cases = [
            (Some("/home/ann"), None, Some("/home/ann/.local/state/bluelake/history")),
            (Some("/home/ann"), Some("/state"), Some("/state/bluelake/history")),
            (Some("/home/ann"), Some("relative"), Some("/home/ann/.local/state/bluelake/history")),
            (Some(""), None, None),
            (None, None, None),
        ];
        for (home, state, expected) in cases {
            let variable = |name: &str| if name == "HOME" { home } else { state }.map(OsString::from);
            assert_eq!(path(&HistoryFile::Usual, variable), expected.map(PathBuf::from), "{home:?} {state:?}");
        }
        assert_eq!(path(&HistoryFile::None, |_| Some("/home/ann".into())), None);
        assert_eq!(path(&HistoryFile::File("here".into()), |_| None), Some(PathBuf::from("here")));
    }

    #[test]
    fn an_impossible_folder_means_no_history() {
        assert_eq!(file(&HistoryFile::File("/proc/nowhere/history".into())), None);
    }
}

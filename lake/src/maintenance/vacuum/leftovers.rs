//! What puts leave in a folder when they are broken off: files whose names end with `#` and digits, which object_store
//! hides.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use bluelake_schemas::Millis;
use chrono::{DateTime, Utc};
use walkdir::WalkDir;

use super::plan::GoneFile;
use crate::{error::LakeError, place::lake::Lake};

/// Finds those of a table that were last written before `before`; none in a bucket.
pub(super) async fn find(lake: &Lake, table: &str, before: Millis) -> Result<Vec<GoneFile>, LakeError> {
    let Some(folder) = folder(lake, table) else { return Ok(Vec::new()) };
    let failed = LakeError::file("look through", &folder);
    blocking(move || walk(&folder, before)).await.map_err(failed)
}

/// Deletes them. One that is gone already is no error.
pub(super) async fn delete(lake: &Lake, table: &str, files: &[GoneFile]) -> Result<(), LakeError> {
    let Some(folder) = folder(lake, table) else { return Ok(()) };
    let paths: Vec<PathBuf> = files.iter().map(|file| folder.join(&file.path)).collect();
    let failed = LakeError::file("delete leftovers of puts in", &folder);
    let delete = move || {
        paths.iter().try_for_each(|path| match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        })
    };
    blocking(delete).await.map_err(failed)
}

fn folder(lake: &Lake, table: &str) -> Option<PathBuf> {
    lake.location().folder().map(|folder| folder.join(table))
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

fn walk(folder: &Path, before: Millis) -> io::Result<Vec<GoneFile>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder).sort_by_file_name() {
        let entry = match entry {
            Err(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) => continue,
            entry => entry?,
        };
        if !entry.file_type().is_file() || !is_leftover(&entry.file_name().to_string_lossy()) {
            continue;
        }
        // It may be named, or taken away, at this moment.
        let Ok(metadata) = entry.metadata() else { continue };
        let written_at = Millis::from(DateTime::<Utc>::from(metadata.modified()?));
        if let Ok(path) = entry.path().strip_prefix(folder)
            && written_at < before
        {
            found.push(GoneFile { path: path.to_string_lossy().into_owned(), size: metadata.len() });
        }
    }
    Ok(found)
}

/// As object_store tells what it hides.
fn is_leftover(name: &str) -> bool {
    name.rsplit_once('#')
        .is_some_and(|(_, digits)| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leftover_ends_with_a_number() {
        for (name, expected) in [
            ("a.parquet#12", true),
            ("a#1#2", true),
            ("a.parquet", false),
            ("a.parquet#", false),
            ("a#1.parquet", false),
            ("a#x", false),
        ] {
            assert_eq!(is_leftover(name), expected, "{name}");
        }
    }
}

//! Archived files of a folder.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use bluelake_schemas::Millis;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use walkdir::{DirEntry, WalkDir};

use super::{ArchivedObject, DELTA_LOG, Listed, ObjectPlace, UnreadableObject, holds_records};
use crate::error::LakeError;

/// Bytes of a file that are read at once.
const PART: usize = 1 << 20;

/// All files below the folder, or the one file that it is. Links are followed.
pub(super) async fn list(folder: PathBuf) -> Result<Listed, LakeError> {
    let path = folder.display().to_string();
    let walked = tokio::task::spawn_blocking(move || walk(&folder)).await;
    walked.map_err(io::Error::other).and_then(|walked| walked).map_err(|source| LakeError::File {
        operation: "list",
        path,
        source,
    })
}

fn walk(folder: &Path) -> io::Result<Listed> {
    let mut listed = Listed { is_empty: true, ..Listed::default() };
    for entry in WalkDir::new(folder).follow_links(true) {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) if error.depth() > 0 => {
                listed.is_empty = false;
                let path = error.path().unwrap_or(folder).to_owned();
                if holds_records(&path.file_name().unwrap_or_default().to_string_lossy()) {
                    let reason =
                        error.io_error().map_or_else(|| "its links lead in a circle".to_owned(), ToString::to_string);
                    listed.listing.unreadable.push(UnreadableObject { name: path.display().to_string(), reason });
                }
                continue;
            }
            Err(error) if error.io_error().is_some_and(|error| error.kind() == io::ErrorKind::NotFound) => break,
            Err(error) => return Err(error.into()),
        };
        listed.is_lake |= entry.file_name() == DELTA_LOG;
        if !entry.file_type().is_dir() {
            listed.is_empty = false;
            take(&entry, &mut listed);
        }
    }
    Ok(listed)
}

/// Takes an entry other than a folder, if it may hold records.
fn take(entry: &DirEntry, listed: &mut Listed) {
    let name = entry.path().display().to_string();
    if !holds_records(&entry.file_name().to_string_lossy()) {
        return;
    }
    match object(entry) {
        Ok(None) => {}
        Ok(Some(object)) => listed.listing.objects.push(object),
        Err(reason) => listed.listing.unreadable.push(UnreadableObject { name, reason }),
    }
}

/// A file that is not empty, or why it cannot be read.
fn object(entry: &DirEntry) -> Result<Option<ArchivedObject>, String> {
    if !entry.file_type().is_file() {
        return Err("it is no regular file".to_owned());
    }
    let metadata = entry.metadata().map_err(|error| error.to_string())?;
    if metadata.len() == 0 {
        return Ok(None);
    }
    let name = entry.path().to_str().ok_or("its name is not UTF-8")?.to_owned();
    let modified = metadata.modified().map_err(|error| error.to_string())?;
    let modified_at = match modified.duration_since(UNIX_EPOCH) {
        Ok(after) => Millis::new(0).later(after),
        Err(before) => Millis::new(0).earlier(before.duration()),
    };
    Ok(Some(ArchivedObject {
        name,
        version: format!("{}-{}", metadata.len(), modified_at.get()),
        size: metadata.len(),
        modified_at,
        at: ObjectPlace::File(entry.path().to_owned()),
    }))
}

/// The content of a file, part by part. Each part is one call of a thread that may wait.
pub(super) async fn read(path: PathBuf) -> Result<BoxStream<'static, Result<Bytes, LakeError>>, LakeError> {
    let name = path.display().to_string();
    let fault = move |source| LakeError::File { operation: "read", path: name.clone(), source };
    let file = waited(move || File::open(path)).await.map_err(&fault)?;
    let parts = futures::stream::try_unfold((file, fault), |(file, fault)| async move {
        let read = waited(move || {
            let mut part = Vec::with_capacity(PART);
            let read = (&file).take(u64::try_from(PART).unwrap_or(u64::MAX)).read_to_end(&mut part)?;
            Ok((read > 0).then_some((part, file)))
        });
        let read = read.await.map_err(&fault)?;
        Ok::<_, LakeError>(read.map(|(part, file)| (Bytes::from(part), (file, fault))))
    });
    Ok(parts.boxed())
}

async fn waited<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt as _, os::unix::fs::symlink};

    use futures::TryStreamExt as _;

    use super::*;
    use crate::place::{archive::Archive, location::LakeLocation};

    fn archive(folder: &Path) -> Archive {
        Archive::at(&folder.to_str().unwrap().parse::<LakeLocation>().unwrap(), None).unwrap()
    }

    #[tokio::test]
    async fn unreadable_entries_do_not_hide_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let names = ["a b", "a%20b", "a#1", "ünï", "{x}\"'", "a?b", "back\\slash", "line\nfeed", "x/y..", "tail "];
        fs::create_dir(folder.path().join("x")).unwrap();
        for name in names {
            fs::write(folder.path().join(name), name).unwrap();
        }
        fs::write(folder.path().join(OsStr::from_bytes(b"\xff\xfe.json")), "{}").unwrap();
        fs::write(folder.path().join("empty"), "").unwrap();
        fs::write(folder.path().join("_SUCCESS"), "x").unwrap();
        symlink("nowhere", folder.path().join("dangling")).unwrap();
        symlink("nowhere", folder.path().join(".lock")).unwrap();
        symlink("..", folder.path().join("x/circle")).unwrap();
        let archive = archive(folder.path());
        let found = archive.list().await.unwrap();
        let mut read = Vec::new();
        for object in &found.objects {
            let parts: Vec<Bytes> = archive.read(object).await.unwrap().try_collect().await.unwrap();
            assert_eq!(
                object.name,
                format!("{}/{}", folder.path().display(), String::from_utf8_lossy(&parts.concat()))
            );
            read.push(String::from_utf8(parts.concat()).unwrap());
        }
        let mut expected = names.map(str::to_owned);
        expected.sort();
        read.sort();
        assert_eq!(read, expected);
        let reasons: Vec<&str> = found.unreadable.iter().map(|object| object.reason.as_str()).collect();
        assert_eq!(reasons.len(), 3, "{:?}", found.unreadable);
        assert!(
            reasons.contains(&"its name is not UTF-8") && reasons.contains(&"its links lead in a circle"),
            "{reasons:?}"
        );
    }

    #[tokio::test]
    async fn a_changed_file_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "one").unwrap();
        let archive = archive(&folder.path().join("a"));
        let found = archive.list().await.unwrap();
        fs::write(folder.path().join("a"), "one and more").unwrap();
        let read: Result<Vec<Bytes>, _> = archive.read(&found.objects[0]).await.unwrap().try_collect().await;
        assert!(read.is_err_and(|error| error.is_of_one_object()));
        fs::remove_file(folder.path().join("a")).unwrap();
        assert!(archive.read(&found.objects[0]).await.is_err_and(|error| error.is_of_one_object()));
        assert!(archive.list().await.unwrap_err().to_string().contains("nothing is there"));
    }
}

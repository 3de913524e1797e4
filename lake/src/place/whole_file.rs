//! A local file that gets its name only when it is complete and on disk.
//!
//! It is written beside its place, synced, and named by a rename (which replaces an existing file) or by a link (which
//! fails for an existing file). Then the folder is synced, so that a power failure loses neither the bytes nor the
//! name. A file without a name is removed when it is dropped.

use std::{
    fs,
    fs::File,
    io::{self, BufWriter, IntoInnerError, Write},
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// A file that is being written, or waits for its name.
#[derive(Debug)]
pub struct WholeFile {
    target: PathBuf,
    partial: PathBuf,
    writer: Option<BufWriter<File>>,
    named: bool,
}

impl WholeFile {
    /// Starts to write the future `target` under a hidden name in the same folder, which must exist.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn create(target: &Path) -> io::Result<Self> {
        let (folder, name) = place_of(target)?;
        Self::create_as(target, folder.join(format!(".{name}.{}.partial", Uuid::new_v4().simple())))
    }

    /// As [`Self::create`], under a name that object_store leaves out of its listings: one that ends with `#` and digits.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn create_unlisted(target: &Path) -> io::Result<Self> {
        Self::create_as(target, unlisted(target)?)
    }

    fn create_as(target: &Path, partial: PathBuf) -> io::Result<Self> {
        let file = fs::OpenOptions::new().write(true).create_new(true).open(&partial)?;
        Ok(Self { target: target.to_owned(), partial, writer: Some(BufWriter::new(file)), named: false })
    }

    /// The name that it will have.
    #[must_use]
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Brings all of it to the disk and ends writing.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn sync(&mut self) -> io::Result<()> {
        match self.writer.take() {
            Some(writer) => writer.into_inner().map_err(IntoInnerError::into_error)?.sync_all(),
            None => Ok(()),
        }
    }

    /// Gives it its name; an existing file of that name is replaced.
    ///
    /// # Errors
    /// When that fails. An existing file is unchanged until the name is given.
    pub fn publish(self) -> io::Result<()> {
        self.publish_as(false)
    }

    /// Gives it its name if no file has that name.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`] for a taken name; other errors when the file cannot be named.
    pub(crate) fn publish_new(self) -> io::Result<()> {
        self.publish_as(true)
    }

    fn publish_as(mut self, create: bool) -> io::Result<()> {
        self.sync()?;
        give_name(&self.partial, &self.target, create)?;
        self.named = true;
        sync_folder_of(&self.target)
    }
}

impl Write for WholeFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.writer.as_mut().ok_or_else(closed)?.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if !self.named {
            // Left-overs are not read; a failure to remove them must not hide the outcome.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

fn closed() -> io::Error {
    io::Error::other("the file is complete")
}

fn place_of(target: &Path) -> io::Result<(&Path, String)> {
    let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
    let name = target.file_name().ok_or_else(invalid)?;
    Ok((target.parent().ok_or_else(invalid)?, name.to_string_lossy().into_owned()))
}

/// A path beside `target` that object_store leaves out of its listings: its name ends with `#` and digits.
pub(crate) fn unlisted(target: &Path) -> io::Result<PathBuf> {
    let (folder, name) = place_of(target)?;
    Ok(folder.join(format!("{name}#{}", Uuid::new_v4().as_u128())))
}

/// Gives a file its name; `create` refuses a taken name, else an existing file is replaced.
pub(crate) fn give_name(hidden: &Path, target: &Path, create: bool) -> io::Result<()> {
    if !create {
        return fs::rename(hidden, target);
    }
    fs::hard_link(hidden, target)?;
    // A left-over is invisible to readers; the file has its name.
    let _ = fs::remove_file(hidden);
    Ok(())
}

/// Creates the folders that a file needs, as [`create_folders`].
pub(crate) fn create_folders_of(target: &Path) -> io::Result<()> {
    target.parent().map_or(Ok(()), create_folders)
}

/// Creates the folders down to `folder` and syncs each parent that gained one.
pub(crate) fn create_folders(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        create_folders(parent)?;
        match fs::create_dir(folder) {
            Ok(()) => sync_folder(parent)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn sync_folder_of(target: &Path) -> io::Result<()> {
    target.parent().map_or(Ok(()), sync_folder)
}

/// Makes the names in a folder survive a power failure. An empty path is the folder of the process.
fn sync_folder(folder: &Path) -> io::Result<()> {
    let here = Path::new(".");
    File::open(if folder.as_os_str().is_empty() { here } else { folder })?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn an_abandoned_file_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("result.csv");
        fs::write(&path, "before").unwrap();
        let mut abandoned = WholeFile::create(&path).unwrap();
        abandoned.write_all(b"half").unwrap();
        drop(abandoned);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), files(folder.path())), ("before", 1));
        let mut complete = WholeFile::create(&path).unwrap();
        complete.write_all(b"after").unwrap();
        complete.sync().unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), files(folder.path())), ("before", 2));
        assert!(complete.write_all(b"more").is_err());
        complete.publish().unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), files(folder.path())), ("after", 1));
    }

    #[test]
    fn a_new_file_overwrites_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("1.json");
        let write = |text: &[u8]| {
            let mut file = WholeFile::create_unlisted(&path).unwrap();
            file.write_all(text).unwrap();
            file.publish_new()
        };
        write(b"one").unwrap();
        assert_eq!(write(b"two").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), files(folder.path())), ("one", 1));
    }
}

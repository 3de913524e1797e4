//! Exports reports as files in a folder or bucket, with a manifest of them.
//!
//! The files of a report with its parameters have a folder of their own, so that the same question overwrites only its
//! own answer. All files are complete before the first gets its name. The manifest gets its name last. After that,
//! files that only an earlier manifest lists are deleted. A reader that goes by the manifest and compares checksums can
//! distinguish a complete export from one that is being replaced. Docs: `docs/reports.md`.

mod folder;
mod manifest;

use std::time::Duration;

use bluelake_lake::{FileStore, LakeError, StagedFile};
use bytes::Bytes;
use serde::Serialize;

pub use folder::export_folder;
use manifest::EarlierExport;
pub use manifest::{ExportManifest, ExportedFile, MANIFEST};

use crate::output::error::OutputError;
use crate::output::format::OutputFormat;
use crate::output::writer::write_report;
use crate::report::result::ReportResult;

/// Why a report is not exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// Exported files cannot be written, or existing ones cannot be read.
    #[error(transparent)]
    Destination(Box<LakeError>),
    /// The report cannot be put in a format.
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl From<LakeError> for ExportError {
    fn from(error: LakeError) -> Self {
        Self::Destination(Box::new(error))
    }
}

/// What an export wrote.
#[derive(Clone, Debug, Serialize)]
pub struct Export {
    /// The folder of the files, as a path or URL.
    pub folder: String,
    /// What is in it.
    pub manifest: ExportManifest,
    /// Events of the period that came after the replaced export; `None` without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_since_last_run: Option<i64>,
    /// Links by which anybody can get the files, if they were requested.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<ExportLink>,
}

/// How a report is exported.
#[derive(Clone, Debug, Default)]
pub struct ExportOptions {
    /// A file in each of them.
    pub formats: Vec<OutputFormat>,
    /// Makes links that are valid for this time.
    pub presign: Option<Duration>,
    /// Whether the report is of an older state on purpose. It then has a folder of its own, and does not replace the
    /// export of the newest state.
    pub is_as_of: bool,
}

/// A link to a file.
#[derive(Clone, Debug, Serialize)]
pub struct ExportLink {
    /// Name of the file.
    pub name: String,
    /// The link.
    pub url: String,
}

/// Writes a report as files.
///
/// # Errors
/// [`ExportError::Destination`] when the place cannot be read or written, and as [`write_report`]. A failure before the
/// first file has its name leaves no file behind; after that the manifest distinguishes old files from new ones.
pub async fn export_report(
    result: &ReportResult,
    options: &ExportOptions,
    store: &FileStore,
) -> Result<Export, ExportError> {
    let folder = export_folder(&result.provenance, options.is_as_of);
    let before = read_manifest(store, &folder).await?;
    let mut staged = Vec::new();
    let written = stage_all(result, &options.formats, store, &folder, &mut staged).await;
    let (manifest, manifest_file) = match written {
        Ok(written) => written,
        Err(error) => {
            for file in staged {
                store.discard(file).await;
            }
            return Err(error);
        }
    };
    publish_all(store, staged, manifest_file).await?;
    let events_since_last_run = before
        .events
        .zip(result.provenance.period.as_ref())
        .and_then(|(before, period)| i64::try_from(period.events).ok()?.checked_sub(i64::try_from(before).ok()?));
    let gone = before.names.into_iter().filter(|name| !manifest.files.iter().any(|file| file.name == *name));
    for name in gone {
        store.remove(&format!("{folder}/{name}")).await?;
    }
    let links = match options.presign {
        Some(valid) => links(store, &folder, &manifest, valid).await?,
        None => Vec::new(),
    };
    Ok(Export { folder: store.name(&folder), manifest, events_since_last_run, links })
}

/// Writes all files under temporary names; the manifest is the last, and apart.
async fn stage_all(
    result: &ReportResult,
    formats: &[OutputFormat],
    store: &FileStore,
    folder: &str,
    staged: &mut Vec<StagedFile>,
) -> Result<(ExportManifest, StagedFile), ExportError> {
    let mut files = Vec::new();
    for format in formats {
        let mut content = Vec::new();
        let rows = write_report(result, *format, &mut content)?;
        let file = ExportedFile::new(&result.provenance.report, *format, rows, &content);
        let path = format!("{folder}/{}", file.name);
        staged.push(store.stage(&path, Bytes::from(content), file.media_type).await?);
        files.push(file);
    }
    let manifest = ExportManifest::new(result, files);
    let json = manifest.to_json().map_err(|source| OutputError::Format { format: "json", source: Box::new(source) })?;
    let path = format!("{folder}/{MANIFEST}");
    let file = store.stage(&path, json.into(), OutputFormat::Json.media_type()).await?;
    Ok((manifest, file))
}

/// Names every file, the manifest last. After a failure the others are discarded.
async fn publish_all(store: &FileStore, staged: Vec<StagedFile>, manifest: StagedFile) -> Result<(), LakeError> {
    let mut failed = None;
    for file in staged.into_iter().chain([manifest]) {
        match failed {
            None => failed = store.publish(file).await.err(),
            Some(_) => store.discard(file).await,
        }
    }
    failed.map_or(Ok(()), Err)
}

/// The manifest of an earlier export. A file that is no manifest of ours lists no files.
async fn read_manifest(store: &FileStore, folder: &str) -> Result<EarlierExport, LakeError> {
    let found = store.read(&format!("{folder}/{MANIFEST}")).await?;
    Ok(found.map(|content| manifest::listed(&content)).unwrap_or_default())
}

async fn links(
    store: &FileStore,
    folder: &str,
    manifest: &ExportManifest,
    valid: Duration,
) -> Result<Vec<ExportLink>, LakeError> {
    let mut links = Vec::new();
    for name in manifest.files.iter().map(|file| file.name.as_str()).chain([MANIFEST]) {
        if let Some(url) = store.link(&format!("{folder}/{name}"), valid).await? {
            links.push(ExportLink { name: name.to_owned(), url });
        }
    }
    Ok(links)
}

#[cfg(test)]
mod tests;

//! The manifest of an export: its files, their content, and what they were computed from.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::header::column::ReportColumn;
use crate::output::format::OutputFormat;
use crate::report::provenance::Provenance;
use crate::report::result::ReportResult;

/// Name of the manifest, in the folder of the files.
pub const MANIFEST: &str = "_manifest.json";
/// Rises when readers of manifests must change.
const MANIFEST_VERSION: u32 = 1;

/// The content of an export's folder. It has no time of writing: the same result gives the same bytes.
#[derive(Clone, Debug, Serialize)]
pub struct ExportManifest {
    /// Version of this form.
    pub manifest_version: u32,
    /// Name of the report.
    pub report: String,
    /// Its title.
    pub title: String,
    /// The question that it answers.
    pub question: String,
    /// Rows of the result.
    pub rows: u64,
    /// The columns, with units and meanings.
    pub columns: Vec<ReportColumn>,
    /// The files, in the requested order.
    pub files: Vec<ExportedFile>,
    /// What the result was computed from.
    pub provenance: Provenance,
}

/// A file of an export.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ExportedFile {
    /// Its name in the folder.
    pub name: String,
    /// Its format, by name.
    pub format: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Rows that it has: a page or Markdown shows a bounded number.
    pub rows: u64,
    /// SHA-256 of its content, in hexadecimal digits.
    pub sha256: String,
}

impl ExportedFile {
    /// Describes a file of a report.
    pub(super) fn new(report: &str, format: OutputFormat, rows: u64, content: &[u8]) -> Self {
        let digest = Sha256::digest(content);
        Self {
            name: format!("{}.{}", super::folder::readable(report), format.name()),
            format: format.name(),
            media_type: format.media_type(),
            bytes: u64::try_from(content.len()).unwrap_or(u64::MAX),
            rows,
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

impl ExportManifest {
    pub(super) fn new(result: &ReportResult, files: Vec<ExportedFile>) -> Self {
        let rows: usize = result.batches.iter().map(arrow::array::RecordBatch::num_rows).sum();
        Self {
            manifest_version: MANIFEST_VERSION,
            report: result.provenance.report.clone(),
            title: result.title.clone(),
            question: result.question.clone(),
            rows: u64::try_from(rows).unwrap_or(u64::MAX),
            columns: result.columns.clone(),
            files,
            provenance: result.provenance.clone(),
        }
    }

    /// The content of the manifest's file.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut text = serde_json::to_vec_pretty(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// The needed part of an earlier export's manifest.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EarlierExport {
    /// Names of its files; only names within its folder.
    pub(super) names: Vec<String>,
    /// Events of its period.
    pub(super) events: Option<u64>,
}

/// Reads a manifest; anything else gives an empty list.
pub(super) fn listed(content: &[u8]) -> EarlierExport {
    #[derive(Deserialize)]
    struct Listed {
        files: Vec<Named>,
        provenance: Option<Described>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    #[derive(Deserialize)]
    struct Described {
        period: Option<Counted>,
    }
    #[derive(Deserialize)]
    struct Counted {
        events: u64,
    }
    let Ok(listed) = serde_json::from_slice::<Listed>(content) else { return EarlierExport::default() };
    let names = listed.files.into_iter().map(|file| file.name);
    let events = listed.provenance.and_then(|described| described.period).map(|counted| counted.events);
    EarlierExport {
        names: names.filter(|name| !name.contains(['/', '\\']) && !name.starts_with('.')).collect(),
        events,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_only_files_in_its_folder() {
        let content =
            br#"{"files": [{"name": "a.csv", "rows": 1}, {"name": "../b"}, {"name": ".."}, {"name": "a\\b"}]}"#;
        assert_eq!(listed(content).names, ["a.csv"]);
        assert_eq!(listed(br#"{"files": [], "provenance": {"period": {"events": 7}}}"#).events, Some(7));
        assert!([&b"not JSON"[..], b"{}"].iter().all(|content| listed(content) == EarlierExport::default()));
    }
}

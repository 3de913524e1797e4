//! `bluelake report run … --destination`: a report as files in a folder or bucket, or as rows of a database.

use std::time::Duration;

use anyhow::{Context as _, Result};
use bluelake_lake::{FileStore, LINK_VALID_MAX, LakeError, LakeLocation};
use bluelake_queries::{Export, ExportOptions, MANIFEST, OutputFormat, ReportResult, export_report};
use serde::Serialize;

use super::database::{Database, Written};
use crate::cli::Session;
use crate::session::aws;
use crate::terminal::failure::WrongUsage;
use crate::terminal::output;

/// For readers, for spreadsheets and for programs.
const USUAL: [OutputFormat; 3] = [OutputFormat::Csv, OutputFormat::Xlsx, OutputFormat::Html];

/// A checked request for an export.
pub(super) enum Destination {
    /// Files in a folder or bucket.
    Files(Files),
    /// Rows of a database.
    Database(Box<Database>),
}

/// A checked request for files.
pub(super) struct Files {
    location: LakeLocation,
    formats: Vec<OutputFormat>,
    presign: Option<Duration>,
}

/// What was exported.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Exported {
    /// Files.
    Files(Box<Export>),
    /// Rows.
    Rows(Written),
}

impl Exported {
    /// Rows of the report.
    pub(super) fn rows(&self) -> u64 {
        match self {
            Self::Files(export) => export.manifest.rows,
            Self::Rows(written) => written.rows,
        }
    }

    /// Where they are, for people.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Files(export) => export.folder.clone(),
            Self::Rows(written) => written.place(),
        }
    }
}

/// Reads the validity of links.
pub(super) fn link_validity(text: &str) -> Result<Duration, String> {
    let valid = humantime::parse_duration(text).map_err(|error| format!("{error}; write a time such as 12h or 7d"))?;
    if valid.as_secs() == 0 {
        return Err("a link must be good for a second at least".to_owned());
    }
    if valid > LINK_VALID_MAX {
        return Err("S3 lets no link be good for longer than 7d".to_owned());
    }
    Ok(valid)
}

impl Destination {
    /// # Errors
    /// [`WrongUsage`] for an invalid place, format or validity of links.
    pub(super) async fn new(
        session: &Session,
        destination: &str,
        formats: &[OutputFormat],
        presign: Option<Duration>,
    ) -> Result<Self> {
        if Database::is_meant(destination) {
            if !formats.is_empty() || presign.is_some() {
                let message = "--format and --presign are for files; a database takes the rows of a report as they are";
                return Err(WrongUsage::new(message).into());
            }
            return Ok(Self::Database(Box::new(Database::new(destination, session.location()?.to_string()).await?)));
        }
        Files::new(session, destination, formats, presign).map(Self::Files)
    }

    /// Exports; `is_as_of`: of a requested older state.
    ///
    /// # Errors
    /// When the place cannot be written, or a format cannot hold the report.
    pub(super) async fn run(&self, result: &ReportResult, is_as_of: bool) -> Result<Exported> {
        match self {
            Self::Files(files) => files.run(result, is_as_of).await.map(Box::new).map(Exported::Files),
            Self::Database(database) => database.run(result, is_as_of).await.map(Exported::Rows),
        }
    }
}

impl Files {
    fn new(session: &Session, destination: &str, formats: &[OutputFormat], presign: Option<Duration>) -> Result<Self> {
        let location: LakeLocation = destination.parse().map_err(|error: LakeError| {
            let reason = match error {
                LakeError::Location { reason, .. } => reason,
                other => other.to_string(),
            };
            WrongUsage::new(format!("cannot export to '{destination}': {reason}"))
        })?;
        if presign.is_some() && !location.is_bucket() {
            let message = "--presign needs a bucket: links to files of a folder cannot be made; use --destination s3://bucket/prefix";
            return Err(WrongUsage::new(message).into());
        }
        let lake = session.location()?;
        if location.url().as_str().starts_with(lake.url().as_str()) {
            let message =
                format!("cannot export to '{destination}': it lies in the lake {lake}, where only tables may be");
            return Err(WrongUsage::new(message).into());
        }
        Ok(Self { location, formats: distinct(formats)?, presign })
    }

    async fn run(&self, result: &ReportResult, is_as_of: bool) -> Result<Export> {
        let aws = if self.location.is_bucket() { Some(aws::sdk_config().await?) } else { None };
        let store = FileStore::at(&self.location, aws.as_ref())?;
        let options = ExportOptions { formats: self.formats.clone(), presign: self.presign, is_as_of };
        export_report(result, &options, &store)
            .await
            .with_context(|| format!("the report was not exported to {}", self.location))
    }
}

/// Says what was written.
///
/// # Errors
/// When standard output cannot be written.
pub(super) fn print(session: &Session, exported: &Exported) -> Result<()> {
    if session.json {
        return output::json(exported);
    }
    output::line(match exported {
        Exported::Files(export) => described(export),
        Exported::Rows(written) => written.described(),
    })
}

/// The formats, each once.
fn distinct(formats: &[OutputFormat]) -> Result<Vec<OutputFormat>> {
    if formats.contains(&OutputFormat::Table) {
        return Err(WrongUsage::new("table is for terminals; export md, html, xlsx or csv").into());
    }
    let formats = if formats.is_empty() { &USUAL } else { formats };
    let mut distinct = Vec::new();
    for format in formats {
        if !distinct.contains(format) {
            distinct.push(*format);
        }
    }
    Ok(distinct)
}

fn described(export: &Export) -> String {
    let files = export.manifest.files.iter();
    let rows = files.map(|file| [file.name.clone(), output::grouped(file.rows), output::grouped(file.bytes)]);
    let mut text = format!("Exported to {}\n", export.folder);
    text.push_str(&output::table(&["file", "rows", "bytes"], &[1, 2], rows).to_string());
    text.push_str(&format!("\n{MANIFEST} lists them with their checksums."));
    if let Some(events) = export.events_since_last_run.filter(|events| *events != 0) {
        text.push_str(&format!("\n{events} events of the period came since it was exported last."));
    }
    for link in &export.links {
        text.push_str(&format!("\n\n{}\n{}", link.name, link.url));
    }
    text
}

//! Mends what can be mended without a choice, and says of every other fault what a person must do.
//!
//! A mend changes no row and no promise: the log's own short cuts are made anew, `rejected_events` gets the files that the
//! documents give it, and what was remembered of files that are gone is forgotten. Each is looked for by itself, and
//! everything is verified after that.

mod advice;
mod log;

use bluelake_schemas::Stream;
use serde::Serialize;

use super::{
    CheckOutcome, Subject, VerifyOptions, VerifyReport,
    files::{active_files, check_log},
    rows::{Memory, by_partition},
    verify,
};
use crate::{
    commit::{rejected::RejectedFollower, self_check, stream_table::document_number},
    error::LakeError,
    layout::{REJECTED_EVENTS, app_id, partitions_of, table_names},
    place::lake::Lake,
};
pub use advice::Advice;

/// What a repair did, or in a dry run would do, and what it leaves to a person.
#[derive(Clone, Debug, Serialize)]
pub struct RepairReport {
    /// The lake's place, as given.
    pub lake: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// What was mended, or would be.
    pub mends: Vec<Mend>,
    /// What a person must do.
    pub remaining: Vec<Advice>,
    /// What was found afterwards; `None` when a table cannot be read as it is.
    pub verified: Option<VerifyReport>,
}

impl RepairReport {
    /// Whether nothing is left to a person.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.remaining.is_empty()
    }
}

/// One thing that was mended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mend {
    /// The table that it is about.
    pub table: &'static str,
    /// What was wrong, and what was done about it.
    pub what: String,
}

/// Mends a lake. In a dry run nothing is changed, and what is found is found in the lake as it is.
///
/// # Errors
/// When the lake cannot be looked into or written to; what was mended before stays.
pub async fn repair(lake: &Lake, options: &VerifyOptions, dry_run: bool) -> Result<RepairReport, LakeError> {
    let mut report = RepairReport {
        lake: lake.location().to_string(),
        dry_run,
        mends: Vec::new(),
        remaining: Vec::new(),
        verified: None,
    };
    for table in table_names() {
        log::mend(lake, table, dry_run, &mut report).await?;
    }
    for table in table_names() {
        if let Err(error @ LakeError::Table { .. }) = lake.table(table).await {
            // In a dry run a damaged log checkpoint is still there.
            let will_be_mended = dry_run && report.mends.iter().any(|mend| mend.table == table);
            if !will_be_mended {
                report.remaining.push(Advice::unreadable(table, &error));
            }
            return Ok(report);
        }
    }
    for stream in Stream::ALL {
        report.mends.extend(follow(lake, stream, dry_run).await?);
    }
    for table in table_names() {
        report.mends.extend(forget(lake, table, options, dry_run).await?);
    }
    let verified = verify(lake, options).await?;
    for stream in &verified.streams {
        for check in &stream.checks {
            if let CheckOutcome::Failed(found) = &check.outcome {
                report.remaining.push(Advice::of(stream, check.name, found));
            }
        }
    }
    if report.remaining.iter().any(Advice::may_be_foreign) {
        for stream in Stream::ALL {
            report.remaining.extend(advice::foreign_versions(lake, stream).await?);
        }
    }
    report.verified = Some(verified);
    Ok(report)
}

/// Brings `rejected_events` up to the document in force, as the next commit of ingest would.
async fn follow(lake: &Lake, stream: Stream, dry_run: bool) -> Result<Option<Mend>, LakeError> {
    let subject = match Subject::load(lake, stream).await {
        Ok(subject) => subject,
        Err(LakeError::Document { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(document) = &subject.document else { return Ok(None) };
    let table = lake.table(REJECTED_EVENTS).await?;
    let state = table.snapshot().map_err(LakeError::table(REJECTED_EVENTS, "load its Delta log"))?.clone();
    let followed = document_number(REJECTED_EVENTS, &table, &state, &subject.app_id).await?.unwrap_or(0);
    let Some(newest) = document.links.last_rejected.filter(|newest| *newest > followed) else { return Ok(None) };
    // A table that a worker would refuse is not written to here either.
    if !is_trusted(&subject).await? {
        return Ok(None);
    }
    if !dry_run {
        let mut follower = RejectedFollower::new(table, subject.chain.clone(), app_id(stream), lake.chance());
        follower.follow(document).await?;
    }
    let what = format!("it followed document {followed} of {stream}; brought to document {newest}");
    Ok(Some(Mend { table: REJECTED_EVENTS, what }))
}

async fn is_trusted(subject: &Subject) -> Result<bool, LakeError> {
    let checked = self_check::check(subject.stream, &subject.state, subject.document.as_ref(), &subject.chain).await;
    match checked {
        Ok(()) => Ok(true),
        Err(LakeError::Refused { .. } | LakeError::Document { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Forgets what was remembered of other files, another contract or another window than those of now.
async fn forget(
    lake: &Lake,
    name: &'static str,
    options: &VerifyOptions,
    dry_run: bool,
) -> Result<Option<Mend>, LakeError> {
    let memory = Memory::of(lake, name, options).await?;
    if memory.listed.is_empty() {
        return Ok(None);
    }
    let mut files = active_files(name, &lake.table(name).await?, &partitions_of(name)).await?;
    check_log(lake, &mut files).await?;
    let all: Vec<usize> = (0..files.len()).collect();
    let mut stale = memory.listed.clone();
    for partition in by_partition(&files, &all) {
        for (path, _) in memory.places(&partition.of(&files)) {
            stale.remove(&path);
        }
    }
    if !dry_run {
        for path in &stale {
            memory.delete(path).await?;
        }
    }
    let what = format!(
        "{} remembered results were of other files, another contract or another window than those of now; forgotten",
        stale.len()
    );
    Ok((!stale.is_empty()).then_some(Mend { table: name, what }))
}

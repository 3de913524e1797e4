//! What a person must do about a fault that nothing but a choice can mend.

use bluelake_schemas::Stream;
use serde::Serialize;

use crate::{
    error::LakeError,
    maintenance::time::history::{HistoryOptions, history},
    place::lake::Lake,
    verify::report::{Found, StreamReport},
};

/// Versions of other programs that are named.
const NAMED: usize = 10;

/// A fault that is left, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    /// The table.
    pub table: &'static str,
    /// The check that found it, or another word for it.
    pub fault: &'static str,
    /// What was found, the first of it.
    pub found: String,
    /// What to do.
    pub advice: String,
}

impl Advice {
    /// Of a check that failed.
    pub(super) fn of(stream: &StreamReport, check: &'static str, found: &Found) -> Self {
        let example = found.examples.first().cloned().unwrap_or_default();
        let more = if found.found > 1 { format!(" ({} times in all)", found.found) } else { String::new() };
        Self { table: stream.table, fault: check, found: format!("{example}{more}"), advice: advice(check).to_owned() }
    }

    pub(super) fn unreadable(table: &'static str, error: &LakeError) -> Self {
        Self {
            table,
            fault: "log",
            found: crate::causes(error),
            advice: "restore _delta_log/ of the table from a backup or older object versions".to_owned(),
        }
    }

    pub(super) fn torn_checkpoint(table: &'static str, torn: &[u64]) -> Self {
        let torn: Vec<String> = torn.iter().map(ToString::to_string).collect();
        Self {
            table,
            fault: "log",
            found: format!("log checkpoint {} is damaged, and entries before it were cleared away", torn.join(", ")),
            advice: "restore it from a backup or an older object version; it cannot be made anew".to_owned(),
        }
    }

    /// Whether a commit of another program may have done it.
    pub(super) fn may_be_foreign(&self) -> bool {
        ["rows", "batches", "maintenance", "versions", "uniqueness"].contains(&self.fault)
    }
}

/// One line for each check.
fn advice(check: &str) -> &'static str {
    match check {
        "chain" => "restore the document from a backup or an older object version; nothing else can replace it",
        "positions" | "totals" | "lineage" => {
            "keep the documents and report it: a document was written by another program or a faulty version"
        }
        "rows" => {
            "take the commit of the other program back (lake undo), or restore the log that the documents describe"
        }
        "batches" => {
            "files of another program: if all else passed, no row is missing or twice, and they may stay; else take its \
             commit back (lake undo)"
        }
        "maintenance" => {
            "restore the record from a backup or an older object version, or take the other program's commit back"
        }
        "versions" => {
            "look at the version named (lake history), and take it back (lake undo) if another program made it"
        }
        "files" => {
            "restore the file from a backup or an older object version; without one, replay or backfill its time into \
             another lake"
        }
        "uniqueness" => {
            "take the commit back that brought the second copy (lake undo); of two copies nobody can choose one"
        }
        "window" => "look whether --window is the one that ingest ran with; else the ids were stored twice: report it",
        "reach" => "the documents were rolled back, or another program wrote the rows: restore the newest document",
        "partitions" => "another program put the rows there: take its commit back (lake undo)",
        "rejected" => {
            "files too many: take the other program's commit back; files missing: restore the log of the table"
        }
        _ => "see docs/operating.md, Proving a lake",
    }
}

/// Versions of an event table by which another program changed files and that nobody has undone, the newest first.
pub(super) async fn foreign_versions(lake: &Lake, stream: Stream) -> Result<Vec<Advice>, LakeError> {
    let name = stream.table();
    let options = HistoryOptions { foreign: true, ..HistoryOptions::default() };
    let versions = history(lake, name, &options).await?.versions.into_iter();
    let standing = versions.filter(|entry| entry.undone_by.is_none()).take(NAMED);
    let advice = standing.map(|entry| {
        let (version, files) = (entry.version, entry.files_added + entry.files_removed);
        let who = [entry.operation, entry.who].into_iter().flatten().collect::<Vec<_>>().join(" by ");
        let who = if who.is_empty() { String::new() } else { format!(" ({who})") };
        Advice {
            table: name,
            fault: "foreign commit",
            found: format!("version {version} changed {files} files and is not Bluelake's{who}"),
            advice: "lake undo takes it back".to_owned(),
        }
    });
    Ok(advice.collect())
}

//! The versions of an event table since its first maintenance record, from the newest back: at each of them the rows are
//! those of the document in force, and nobody but maintenance takes files out.

use std::collections::BTreeMap;

use bluelake_schemas::Stream;
use deltalake::{DeltaTable, DeltaTableError, kernel::Action, logstore::get_actions};
use futures::StreamExt as _;

use super::{
    history::{History, Reach},
    maintenance::{PastFiles, RecordSummary},
    report::{Check, Findings},
};
use crate::{error::LakeError, layout::app_id, maintenance::record_chain::MAINTENANCE};

/// Versions read at once.
const READS: usize = 64;

/// What a version did.
#[derive(Debug, Default)]
struct Version {
    number: u64,
    /// Rows of the files that it added, by the log; `None` when one has no count.
    rows_added: Option<u64>,
    files_added: usize,
    files_removed: usize,
    /// Files that it added or removed without a change of data.
    quiet: usize,
    /// The document that it put in force.
    document: Option<u64>,
    /// The record that it put in force.
    record: Option<u64>,
}

/// Replays the versions back to the first record. `rows` are those of the table as loaded.
pub(super) async fn check(
    table: (Stream, &DeltaTable),
    history: &History,
    past: &PastFiles,
    rows: Option<u64>,
) -> Result<Check, LakeError> {
    const NAME: &str = "versions";
    let (stream, table) = table;
    let mut replay =
        Replay { history, records: &past.records, rows, undecided: Vec::new(), findings: Findings::default() };
    let Some(first) = past.records.keys().next().copied() else {
        return Ok(replay.findings.into_check(NAME));
    };
    let newest = table.version().unwrap_or_default();
    let mut read = futures::stream::iter((0..=newest).rev())
        .map(|number| async move { read_version(stream, table, number).await })
        .buffered(READS);
    let mut note = None;
    while let Some(version) = read.next().await {
        let Some(version) = version? else {
            note = Some("older versions were cleared away from the log".to_owned());
            break;
        };
        let is_first = version.record == Some(first);
        let goes_on = replay.version(&version);
        // Two documents further back lies the one that was in force before the first record.
        if !goes_on || (is_first && replay.undecided.is_empty()) {
            break;
        }
    }
    let broken = past.broken.clone().or_else(|| match &history.reach {
        Reach::Broken(reason) => Some(reason.clone()),
        Reach::Whole | Reach::Pruned(_) => None,
    });
    Ok(replay.findings.into_check(NAME).with_note(note).unless(broken))
}

/// `None` when it was cleared away.
async fn read_version(stream: Stream, table: &DeltaTable, number: u64) -> Result<Option<Version>, LakeError> {
    let failed = || LakeError::table(stream.table(), "read a version of its Delta log");
    let bytes = match table.log_store().read_commit_entry(number).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Ok(None),
        Err(DeltaTableError::ObjectStore { source: object_store::Error::NotFound { .. } }) => return Ok(None),
        Err(error) => return Err(failed()(error)),
    };
    let mut version = Version { number, rows_added: Some(0), ..Version::default() };
    for action in get_actions(number, &bytes).map_err(failed())? {
        match action {
            Action::Add(add) => {
                let rows = add.stats.as_deref().and_then(rows_of);
                version.rows_added = version.rows_added.zip(rows).and_then(|(sum, rows)| sum.checked_add(rows));
                version.files_added += 1;
                version.quiet += usize::from(!add.data_change);
            }
            Action::Remove(remove) => {
                version.files_removed += 1;
                version.quiet += usize::from(!remove.data_change);
            }
            Action::Txn(txn) if txn.app_id == MAINTENANCE => version.record = u64::try_from(txn.version).ok(),
            Action::Txn(txn) if txn.app_id == app_id(stream) => version.document = u64::try_from(txn.version).ok(),
            _ => {}
        }
    }
    Ok(Some(version))
}

fn rows_of(statistics: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(statistics).ok()?.get("numRecords")?.as_u64()
}

/// Pure: the rows of the table on their way back.
struct Replay<'a> {
    history: &'a History,
    records: &'a BTreeMap<u64, RecordSummary>,
    /// Rows at the version that comes next; `None` once they cannot be told.
    rows: Option<u64>,
    /// Versions whose document is named by an older one, with their rows.
    undecided: Vec<(u64, u64)>,
    findings: Findings,
}

impl Replay<'_> {
    /// Judges a version and goes back behind it; false when nothing can be told of what is older.
    fn version(&mut self, version: &Version) -> bool {
        let number = version.number;
        let Some(rows) = self.rows else { return false };
        self.undecided.push((number, rows));
        if let Some(document) = version.document {
            self.decide(document);
        }
        let record = version.record.and_then(|record| self.records.get(&record));
        let removed = match record {
            Some(record) => {
                let as_said =
                    record.files_added == version.files_added && record.files_removed == version.files_removed;
                if !as_said {
                    self.findings.add(|| format!("version {number}: it changed other files than its record says"));
                }
                // Who follows changes of data must see all but a compaction.
                let quiet = if record.compacts { version.files_added + version.files_removed } else { 0 };
                if version.quiet != quiet {
                    self.findings.add(|| format!("version {number}: it says wrongly whether it changes data"));
                }
                record.rows.map_or(0, |rows| rows.before)
            }
            None if version.files_removed > 0 => {
                self.findings
                    .add(|| format!("version {number}: another program took {} files out", version.files_removed));
                self.rows = None;
                return false;
            }
            None => 0,
        };
        self.rows = version.rows_added.and_then(|added| rows.checked_add(removed)?.checked_sub(added));
        self.rows.is_some()
    }

    /// The undecided versions had this document in force.
    fn decide(&mut self, document: u64) {
        for (version, rows) in self.undecided.drain(..) {
            // Of a document that was pruned nothing is known.
            let Some(expected) = self.history.rows.get(&document) else { continue };
            if *expected != Some(rows) {
                let expected = expected.map_or_else(|| "no number".to_owned(), |expected| expected.to_string());
                self.findings.add(|| {
                    format!("version {version} held {rows} rows by its log, document {document} says {expected}")
                });
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{maintenance::record::RowChange, verify::report::CheckOutcome};

    fn record(before: u64, after: u64, compacts: bool) -> RecordSummary {
        RecordSummary {
            digest: String::new(),
            task: Uuid::nil(),
            files_removed: 2,
            files_added: 1,
            rows: Some(RowChange { before, after }),
            compacts,
        }
    }

    /// What is found in versions, the newest first, of a table that holds 8 rows.
    fn found(versions: &[Version], record: RecordSummary) -> Vec<String> {
        let mut history = History::empty();
        history.rows = BTreeMap::from([(1, Some(10)), (2, Some(8))]);
        let records = BTreeMap::from([(1, record)]);
        let findings = Findings::default();
        let mut replay =
            Replay { history: &history, records: &records, rows: Some(8), undecided: Vec::new(), findings };
        for version in versions {
            replay.version(version);
        }
        match replay.findings.into_check("versions").outcome {
            CheckOutcome::Failed(found) => found.examples,
            _ => Vec::new(),
        }
    }

    fn erasing() -> Version {
        let (document, record) = (Some(2), Some(1));
        Version {
            number: 5,
            rows_added: Some(8),
            files_added: 1,
            files_removed: 2,
            document,
            record,
            ..Version::default()
        }
    }

    fn adding() -> Version {
        Version { number: 4, rows_added: Some(10), files_added: 2, document: Some(1), ..Version::default() }
    }

    #[test]
    fn rows_that_leave_with_their_document_are_as_it_says() {
        assert_eq!(found(&[erasing(), adding()], record(10, 8, false)), [""; 0]);
    }

    #[test]
    fn a_document_one_version_later_is_seen() {
        let late = Version { number: 6, rows_added: Some(0), document: Some(2), ..Version::default() };
        let early = Version { document: None, ..erasing() };
        let found = found(&[late, early, adding()], record(10, 8, false));
        assert_eq!(found, ["version 5 held 8 rows by its log, document 1 says 10"]);
    }

    #[test]
    fn files_that_another_program_took_out_are_seen() {
        let foreign = Version { record: None, document: None, ..erasing() };
        assert_eq!(found(&[foreign], record(10, 8, false)), ["version 5: another program took 2 files out"]);
    }

    #[test]
    fn a_version_does_what_its_record_says_and_says_so() {
        let more = Version { files_removed: 3, ..erasing() };
        assert_eq!(found(&[more], record(10, 8, false)), ["version 5: it changed other files than its record says"]);
        let quiet = Version { quiet: 1, ..erasing() };
        let words = "version 5: it says wrongly whether it changes data";
        assert_eq!(found(&[quiet], record(10, 8, false)), [words]);
        assert_eq!(found(&[erasing()], record(8, 8, true)), [words]);
    }
}

//! The versions of an event table since its first maintenance record, from the newest back: at each of them the rows are
//! those of the document in force, and nobody but ingest and maintenance changes files. What another program did and an
//! undo took back counts for as long as it stood.

use std::collections::BTreeMap;

use bluelake_schemas::Stream;
use deltalake::DeltaTable;
use futures::StreamExt as _;

use super::{
    history::{History, Reach},
    maintenance::{PastFiles, RecordSummary},
    report::{Check, Findings},
};
use crate::{
    commit::log::version::{LogVersion, read_versions},
    error::LakeError,
    layout::app_id,
    maintenance::{
        record::{RowChange, TaskKind},
        record_chain::MAINTENANCE,
    },
};

/// The effect of a version.
#[derive(Clone, Debug, Default)]
struct Version {
    number: u64,
    /// Rows of its added files, by the log; `None` when one has no count.
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

/// Replays the versions back to the first record. `rows` are the rows of the table as loaded.
pub(super) async fn check(
    table: (Stream, &DeltaTable),
    history: &History,
    past: &PastFiles,
    rows: Option<u64>,
) -> Result<Check, LakeError> {
    const NAME: &str = "versions";
    let (stream, table) = table;
    let mut replay = Replay::new(history, &past.records, rows);
    let Some(first) = past.records.keys().next().copied() else {
        return Ok(replay.findings.into_check(NAME));
    };
    let newest = table.version().unwrap_or_default();
    let mut read = std::pin::pin!(read_versions(stream.table(), table, (0..=newest).rev(), usize::MAX));
    let mut note = None;
    while let Some(version) = read.next().await {
        let Some(version) = version? else {
            note = Some("older versions were cleared away from the log".to_owned());
            break;
        };
        let version = Version::of(stream, &version);
        let is_first = version.record == Some(first);
        let goes_on = replay.version(&version);
        // The document in force before the first record is two documents further back.
        if !goes_on || (is_first && replay.undecided.is_empty() && replay.undone.is_empty()) {
            break;
        }
    }
    let broken = past.broken.clone().or_else(|| match &history.reach {
        Reach::Broken(reason) => Some(reason.clone()),
        Reach::Whole | Reach::Pruned(_) => None,
    });
    Ok(replay.findings.into_check(NAME).with_note(note).unless(broken))
}

impl Version {
    fn of(stream: Stream, logged: &LogVersion) -> Self {
        let rows_added = logged.added.iter().map(|file| file.rows).try_fold(0_u64, |sum, rows| sum.checked_add(rows?));
        Self {
            number: logged.number,
            rows_added,
            files_added: logged.added.len(),
            files_removed: logged.removed.len(),
            quiet: logged.quiet,
            document: logged.transactions.get(&app_id(stream)).copied(),
            record: logged.transactions.get(MAINTENANCE).copied(),
        }
    }
}

/// A version that an undo has taken back, as the undo says.
struct Undone {
    /// The version of the undo.
    by: u64,
    /// Rows of the files that the version put in, and of those that it took out.
    rows: RowChange,
    files_added: usize,
    files_removed: usize,
    /// The undo says that no data changed.
    is_quiet: bool,
    /// Another program made the version.
    is_foreign: bool,
}

/// Pure: the rows of the table while versions are replayed backwards.
struct Replay<'a> {
    history: &'a History,
    records: &'a BTreeMap<u64, RecordSummary>,
    /// Rows at the next version; `None` once they are not known.
    rows: Option<u64>,
    /// Versions whose document is named by an older one, with the rows that it should say.
    undecided: Vec<(u64, Option<u64>)>,
    /// Versions that were taken back, and were not met yet.
    undone: BTreeMap<u64, Undone>,
    findings: Findings,
}

impl<'a> Replay<'a> {
    fn new(history: &'a History, records: &'a BTreeMap<u64, RecordSummary>, rows: Option<u64>) -> Self {
        let (undecided, undone, findings) = (Vec::new(), BTreeMap::new(), Findings::default());
        Self { history, records, rows, undecided, undone, findings }
    }

    /// Judges a version and goes back behind it; false when older versions cannot be judged.
    fn version(&mut self, version: &Version) -> bool {
        let Some(rows) = self.rows else { return false };
        self.undecided.push((version.number, self.counted(rows)));
        if let Some(document) = version.document {
            self.decide(document);
        }
        let undone = self.undone.remove(&version.number);
        if let Some(undone) = &undone {
            self.check_undone(version, undone);
        }
        let record = version.record.and_then(|record| self.records.get(&record));
        let foreign = undone.filter(|undone| undone.is_foreign);
        // Another program may not have counted the rows of its files; the undo has.
        let added = version.rows_added.or(foreign.as_ref().map(|undone| undone.rows.before));
        let removed = match (record, foreign) {
            (Some(record), _) => self.of_record(version, record),
            (None, Some(undone)) => Some(undone.rows.after),
            (None, None) => self.of_others(version),
        };
        self.rows = removed.zip(added).and_then(|(removed, added)| rows.checked_add(removed)?.checked_sub(added));
        self.rows.is_some()
    }

    /// Rows that a document counts: without what other programs did and was taken back later.
    fn counted(&self, rows: u64) -> Option<u64> {
        let foreign = self.undone.values().filter(|undone| undone.is_foreign);
        let (mut without, mut more) = (0_u64, 0_u64);
        for undone in foreign {
            without = without.checked_add(undone.rows.before)?;
            more = more.checked_add(undone.rows.after)?;
        }
        rows.checked_add(more)?.checked_sub(without)
    }

    /// Judges a version of maintenance, and gives the rows of the files that it took out.
    fn of_record(&mut self, version: &Version, record: &RecordSummary) -> Option<u64> {
        let number = version.number;
        if record.files_added != version.files_added || record.files_removed != version.files_removed {
            self.findings.add(|| format!("version {number}: it changed other files than its record says"));
        }
        let rows = record.rows.unwrap_or(RowChange { before: 0, after: 0 });
        let files = version.files_added + version.files_removed;
        // Who follows changes of data must see all but a compaction, and the undo of what was none.
        let as_meant = match &record.kind {
            TaskKind::Compact => version.quiet == files,
            TaskKind::Undo { .. } => version.quiet == files || version.quiet == 0,
            _ => version.quiet == 0,
        };
        if !as_meant {
            self.findings.add(|| format!("version {number}: it says wrongly whether it changes data"));
        }
        if let TaskKind::Undo { version: undone, record: of } = record.kind {
            let undoes = Undone {
                by: number,
                rows,
                files_added: record.files_removed,
                files_removed: record.files_added,
                is_quiet: version.quiet > 0,
                is_foreign: of.is_none(),
            };
            if undone >= number || self.undone.insert(undone, undoes).is_some() {
                self.findings.add(|| format!("version {number}: version {undone} was not there to be undone"));
            }
        }
        Some(rows.before)
    }

    /// Judges a version that no record tells of, and gives the rows of the files that it took out: `None` when it took some.
    fn of_others(&mut self, version: &Version) -> Option<u64> {
        let (number, added, removed) = (version.number, version.files_added, version.files_removed);
        if removed > 0 {
            self.findings.add(|| format!("version {number}: another program took {removed} files out"));
            return None;
        }
        if added > 0 && version.document.is_none() {
            self.findings.add(|| format!("version {number}: another program put {added} files in"));
        }
        Some(0)
    }

    /// The version must be what its undo took back.
    fn check_undone(&mut self, version: &Version, undone: &Undone) {
        let files = (version.files_added, version.files_removed) == (undone.files_added, undone.files_removed);
        let is_ours = version.record.is_some() || version.document.is_some();
        let says_so = version.quiet > 0 && version.quiet == version.files_added + version.files_removed;
        // Another program may call quiet what changed rows.
        let is_quiet = says_so && undone.rows.before == undone.rows.after;
        if !files || is_ours == undone.is_foreign || is_quiet != undone.is_quiet {
            self.findings.add(|| format!("version {}: it is not the undo of version {}", undone.by, version.number));
        }
    }

    /// The undecided versions had this document in force.
    fn decide(&mut self, document: u64) {
        for (version, rows) in self.undecided.drain(..) {
            // A pruned document is unknown.
            let Some(expected) = self.history.rows.get(&document) else { continue };
            if rows.is_none() || *expected != rows {
                let words = |rows: Option<u64>| rows.map_or_else(|| "no number".to_owned(), |rows| rows.to_string());
                self.findings.add(|| {
                    let (rows, expected) = (words(rows), words(*expected));
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
    use crate::verify::report::CheckOutcome;

    const ERASE: TaskKind = TaskKind::Erase { request: Uuid::nil() };

    fn record(before: u64, after: u64, kind: TaskKind) -> RecordSummary {
        RecordSummary {
            digest: String::new(),
            task: Uuid::nil(),
            files_removed: 2,
            files_added: 1,
            rows: Some(RowChange { before, after }),
            kind,
            left: BTreeMap::new(),
            expired_before: None,
        }
    }

    /// The findings in versions, the newest first, of a table with 8 rows.
    fn found(versions: &[Version], record: RecordSummary) -> Vec<String> {
        let mut history = History::empty();
        history.rows = BTreeMap::from([(1, Some(10)), (2, Some(8))]);
        let records = BTreeMap::from([(1, record)]);
        let mut replay = Replay::new(&history, &records, Some(8));
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
    fn leaving_rows_match_their_document() {
        assert_eq!(found(&[erasing(), adding()], record(10, 8, ERASE)), [""; 0]);
    }

    #[test]
    fn a_document_one_version_later_is_seen() {
        let late = Version { number: 6, rows_added: Some(0), document: Some(2), ..Version::default() };
        let early = Version { document: None, ..erasing() };
        let found = found(&[late, early, adding()], record(10, 8, ERASE));
        assert_eq!(found, ["version 5 held 8 rows by its log, document 1 says 10"]);
    }

    #[test]
    fn files_that_another_program_took_out_are_seen() {
        let foreign = Version { record: None, document: None, ..erasing() };
        assert_eq!(found(&[foreign], record(10, 8, ERASE)), ["version 5: another program took 2 files out"]);
    }

    #[test]
    fn a_version_matches_its_record() {
        let more = Version { files_removed: 3, ..erasing() };
        assert_eq!(found(&[more], record(10, 8, ERASE)), ["version 5: it changed other files than its record says"]);
        let quiet = Version { quiet: 1, ..erasing() };
        let words = "version 5: it says wrongly whether it changes data";
        assert_eq!(found(&[quiet], record(10, 8, ERASE)), [words]);
        assert_eq!(found(&[erasing()], record(8, 8, TaskKind::Compact)), [words]);
    }

    /// The undo of version 5 by another program, which took 2 rows out and put none in.
    fn undoing(quiet: usize) -> Version {
        Version {
            number: 6,
            rows_added: Some(2),
            files_added: 1,
            files_removed: 2,
            quiet,
            record: Some(1),
            ..Version::default()
        }
    }

    fn foreign() -> Version {
        Version { number: 5, rows_added: Some(0), files_added: 2, files_removed: 1, ..Version::default() }
    }

    /// What is found in a table of which another program took some of 8 rows out, which then came back for these.
    fn found_undone(undo: Version, foreign: Version, rows: (u64, u64)) -> Vec<String> {
        let batch = Version { number: 4, rows_added: Some(8), files_added: 2, document: Some(2), ..Version::default() };
        found(&[undo, foreign, batch], record(rows.0, rows.1, TaskKind::Undo { version: 5, record: None }))
    }

    #[test]
    fn what_was_undone_counts_while_it_stood() {
        let wrong = ["version 6: it is not the undo of version 5"];
        assert_eq!(found_undone(undoing(0), foreign(), (0, 2)), [""; 0]);
        let more = Version { files_removed: 2, ..foreign() };
        assert_eq!(found_undone(undoing(0), more, (0, 2)), wrong);
        let half = found_undone(undoing(1), foreign(), (0, 2));
        assert!(half.contains(&"version 6: it says wrongly whether it changes data".to_owned()), "{half:?}");
        let lies = Version { quiet: 3, ..foreign() };
        assert_eq!(found_undone(undoing(0), lies, (0, 2)), [""; 0], "rows changed, whatever it says");
        // The same rows went into other files and back.
        let quiet = Version { rows_added: Some(2), quiet: 3, ..foreign() };
        assert_eq!(found_undone(undoing(3), quiet.clone(), (2, 2)), [""; 0]);
        assert_eq!(found_undone(undoing(0), quiet, (2, 2)), wrong);
    }

    #[test]
    fn files_that_another_program_put_in_are_seen() {
        let foreign = Version { number: 6, rows_added: Some(0), files_added: 1, ..Version::default() };
        let found = found(&[foreign, erasing(), adding()], record(10, 8, ERASE));
        assert_eq!(found, ["version 6: another program put 1 files in"]);
    }
}

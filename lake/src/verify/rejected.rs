//! Compares `rejected_events` with the documents: it must have exactly the files that they name, as far as it follows
//! them.

use std::{collections::BTreeSet, pin::pin};

use bluelake_schemas::{REJECTED_PARTITIONS, Stream};
use deltalake::DeltaTable;
use futures::StreamExt as _;

use super::{
    Subject,
    documents::rejected_so_far,
    files::{ActiveFile, active_files},
    history::{History, NamedFile, Reach},
    maintenance::{Maintained, PastFile, PastFiles, replay},
    readable,
    report::{Check, Findings},
};
use crate::{
    checkpoint::totals::Repaired,
    commit::{log::version::read_versions, stream_table::document_number},
    error::LakeError,
    layout::{REJECTED_EVENTS, stream_of},
    maintenance::record_chain::{MAINTENANCE, RecordChain},
    place::lake::Lake,
};

/// Checks the stream's part of the table, and gives its files, without those of later documents.
pub(super) async fn check(
    lake: &Lake,
    subject: &Subject,
    history: &History,
    table: &mut DeltaTable,
) -> Result<(Check, Vec<ActiveFile>), LakeError> {
    let mut findings = Findings::default();
    let mut seen = Seen::load(lake, subject, table, &mut findings).await?;
    if seen.hides_later()
        && let Some(version) = version_before(subject, table).await?
    {
        table.load_version(version).await.map_err(LakeError::table(REJECTED_EVENTS, "load an older version"))?;
        seen = Seen::load(lake, subject, table, &mut findings).await?;
    }
    let Seen { follows, later, mut files, mut past, .. } = seen;
    files.retain(|file| !later.contains(file.path.as_ref()));
    let behind =
        subject.document.as_ref().and_then(|document| document.links.last_rejected).filter(|last| *last > follows);
    let note = behind.map(|last| {
        format!("it is behind: it follows document {follows}, document {last} has more; the next commit brings them")
    });
    let broken = match &history.reach {
        Reach::Broken(reason) => Some(reason.clone()),
        Reach::Whole | Reach::Pruned(_) => past.broken.clone(),
    };
    findings.append(std::mem::take(&mut past.findings));
    past.open.retain(|path, _| !later.contains(path));
    compare(&past, history, follows, &mut findings);
    if behind.is_none() && past.broken.is_none() {
        count_rows(&files, subject, &past, &mut findings);
    }
    let pruned = history.gap().filter(|_| broken.is_none()).map(|gap| format!("{gap}: their files are only counted"));
    let note = note.into_iter().chain(pruned).reduce(|left, right| format!("{left}; {right}"));
    Ok((findings.into_check("rejected").with_note(note).unless(broken), files))
}

/// The stream's part of the table as loaded.
struct Seen {
    /// The document that it follows.
    follows: u64,
    /// Its files from documents after the one in force.
    later: BTreeSet<String>,
    files: Vec<ActiveFile>,
    /// Its files before maintenance.
    past: PastFiles,
}

impl Seen {
    async fn load(
        lake: &Lake,
        subject: &Subject,
        table: &DeltaTable,
        findings: &mut Findings,
    ) -> Result<Self, LakeError> {
        let state = table.snapshot().map_err(LakeError::table(REJECTED_EVENTS, "load its Delta log"))?;
        let follows = document_number(REJECTED_EVENTS, table, state, &subject.app_id).await?.unwrap_or(0);
        let number = document_number(REJECTED_EVENTS, table, state, MAINTENANCE).await?;
        let later = later_files(lake, subject, follows, findings).await?;
        let mut files = active_files(REJECTED_EVENTS, table, &REJECTED_PARTITIONS).await?;
        let chain = RecordChain::new(lake, REJECTED_EVENTS);
        let maintained = Maintained { table: REJECTED_EVENTS, chain, number, batches: None };
        let mut past = replay(&maintained, &files).await?;
        files.retain(|file| belongs_to(file, subject.stream));
        past.open.retain(|path, _| is_of(path, subject.stream));
        Ok(Self { follows, later, files, past })
    }

    /// Whether maintenance has moved rows that are later than the judged state into other files.
    fn hides_later(&self) -> bool {
        let active: BTreeSet<&str> = self.files.iter().map(|file| file.path.as_ref()).collect();
        self.later.iter().any(|path| !active.contains(path.as_str()))
    }
}

/// The newest version of the table that follows no document after the one in force; `None` when the log does not say
/// so.
async fn version_before(subject: &Subject, table: &DeltaTable) -> Result<Option<u64>, LakeError> {
    let in_force = subject.number.unwrap_or(0);
    let mut found = None;
    let numbers = (1..=table.version().unwrap_or_default()).rev();
    let mut read = pin!(read_versions(REJECTED_EVENTS, table, numbers, usize::MAX));
    while let Some(version) = read.next().await {
        let Some(version) = version? else { break };
        match version.transactions.get(&subject.app_id) {
            Some(followed) if *followed > in_force => found = Some(version.number - 1),
            Some(_) => break,
            None => {}
        }
    }
    Ok(found)
}

/// As [`belongs_to`], by the path.
fn is_of(path: &str, stream: Stream) -> bool {
    let starts = |stream: Stream| path.starts_with(&format!("stream={}/", stream.name()));
    starts(stream) || !Stream::ALL.into_iter().any(starts)
}

/// Every stream reports a file of an unknown stream.
fn belongs_to(file: &ActiveFile, stream: Stream) -> bool {
    let named = file.partition.get("stream").and_then(Option::as_deref);
    stream_of(REJECTED_EVENTS, named).is_none_or(|found| found == stream)
}

/// Files of the documents after the one in force, up to the one that the table follows.
async fn later_files(
    lake: &Lake,
    subject: &Subject,
    follows: u64,
    findings: &mut Findings,
) -> Result<BTreeSet<String>, LakeError> {
    let mut later = BTreeSet::new();
    let in_force = subject.number.unwrap_or(0);
    if follows <= in_force {
        return Ok(later);
    }
    // Other tables only follow: events that are not in the event table now were lost from it.
    let name = subject.stream.table();
    let now = lake.table(name).await?;
    let state = now.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
    let newest = document_number(name, &now, state, &subject.app_id).await?.unwrap_or(0);
    if follows > newest {
        findings.add(|| format!("it follows document {follows}, its event table only document {newest}"));
    }
    let mut number = follows;
    while number > in_force {
        let Some(document) = readable(subject.chain.get(number).await, findings)? else { break };
        later.extend(document.commit.rejected_files.iter().map(|file| file.path.clone()));
        number = match document.head.previous {
            Some(previous) if previous.number < number => previous.number,
            _ => break,
        };
    }
    Ok(later)
}

/// Pure: compares the files that maintenance did not write with those that documents name up to `follows`.
fn compare(past: &PastFiles, history: &History, follows: u64, findings: &mut Findings) {
    for (path, file) in past.open.iter().filter(|(path, _)| !past.undone.contains(*path)) {
        match history.rejected.get(path).filter(|named| named.document <= follows) {
            Some(named) => same(path, *file, named, findings),
            // Pruned or unreadable documents may have named it.
            None if history.reach == Reach::Whole => {
                findings.add(|| format!("{REJECTED_EVENTS}/{path}: no document names it"));
            }
            None => {}
        }
    }
    for (path, named) in history.rejected.iter().filter(|(_, named)| named.document <= follows) {
        if past.broken.is_none() && !past.open.contains_key(path) {
            findings
                .add(|| format!("{REJECTED_EVENTS}/{path}: document {} names it, the log lacks it", named.document));
        }
    }
}

/// Pure: compares the rows of all files, and the rows that records removed, with the document in force.
fn count_rows(files: &[ActiveFile], subject: &Subject, past: &PastFiles, findings: &mut Findings) {
    let (rejected, repaired) = match (&subject.document, subject.number) {
        (Some(document), _) => (rejected_so_far(document), document.tally.repaired),
        (None, None) => (Some(0), Repaired::default()),
        (None, Some(_)) => return,
    };
    let left = past.newest.as_ref().and_then(|record| record.counts.rows_left.get(&subject.stream)).copied();
    let left = left.unwrap_or_default();
    if left.repaired > repaired.stored.saturating_add(repaired.duplicate) {
        findings.add(|| format!("records took {} rows out as repaired, the documents repaired fewer", left.repaired));
    }
    let rows = files.iter().filter_map(|file| file.rows).fold(0, u64::saturating_add);
    let found = left.sum().and_then(|left| rows.checked_add(left));
    if let Some(expected) = rejected.filter(|rejected| Some(*rejected) != found) {
        findings.add(|| {
            let left = left.sum().filter(|left| *left > 0);
            let left = left.map_or_else(String::new, |left| format!(" and records took {left} out"));
            format!("it holds {rows} rows by its log{left}, the document in force counts {expected} rejected")
        });
    }
}

fn same(path: &str, file: PastFile, named: &NamedFile, findings: &mut Findings) {
    if file.rows != Some(named.rows) || file.size != named.size {
        findings.add(|| {
            let found = file.rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
            let (size, document) = (file.size, named.document);
            format!(
                "{REJECTED_EVENTS}/{path}: {found} rows and {size} bytes by the log, {} and {} by document {document}",
                named.rows, named.size
            )
        });
    }
}

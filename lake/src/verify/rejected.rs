//! `rejected_events` against the documents: exactly the files that they name, up to where the table follows them.

use std::collections::{BTreeMap, BTreeSet};

use bluelake_schemas::{REJECTED_PARTITIONS, Stream};
use deltalake::DeltaTable;

use super::{
    Subject,
    documents::rejected_so_far,
    files::{ActiveFile, active_files},
    history::{History, NamedFile, Reach},
    readable,
    report::{Check, Findings},
};
use crate::{commit::stream_table::document_number, error::LakeError, layout::REJECTED_EVENTS, place::lake::Lake};

/// appId of the commits that rewrite files.
const MAINTENANCE: &str = "bluelake/maintenance";

/// Checks the stream's part of the table, and gives its files: those that later documents gave it are left out.
pub(super) async fn check(
    lake: &Lake,
    subject: &Subject,
    history: &History,
    table: &DeltaTable,
) -> Result<(Check, Vec<ActiveFile>), LakeError> {
    let state = table.snapshot().map_err(LakeError::table(REJECTED_EVENTS, "load its Delta log"))?;
    let follows = document_number(REJECTED_EVENTS, table, state, &subject.app_id).await?.unwrap_or(0);
    let rewritten = document_number(REJECTED_EVENTS, table, state, MAINTENANCE).await?.is_some();
    let mut findings = Findings::default();
    let later = later_files(lake, subject, follows, &mut findings).await?;
    let mut files = active_files(REJECTED_EVENTS, table, &REJECTED_PARTITIONS).await?;
    files.retain(|file| belongs_to(file, subject.stream) && !later.contains(file.path.as_ref()));
    let behind =
        subject.document.as_ref().and_then(|document| document.links.last_rejected).filter(|last| *last > follows);
    let note = behind.map(|last| {
        format!("it is behind: it follows document {follows}, document {last} has more; the next commit brings them")
    });
    let broken = match &history.reach {
        Reach::Broken(reason) => Some(reason.clone()),
        Reach::Whole | Reach::Pruned(_) => None,
    };
    if rewritten {
        let check = findings.into_check("rejected").with_note(note);
        return Ok((check.unless(Some("maintenance has rewritten its files".to_owned())), files));
    }
    compare(&files, history, follows, &mut findings);
    if behind.is_none() {
        count_rows(&files, subject, &mut findings);
    }
    let pruned = history.gap().filter(|_| broken.is_none()).map(|gap| format!("{gap}: their files are only counted"));
    let note = note.into_iter().chain(pruned).reduce(|left, right| format!("{left}; {right}"));
    Ok((findings.into_check("rejected").with_note(note).unless(broken), files))
}

/// A file of no stream that is known is anybody's: every stream reports it.
fn belongs_to(file: &ActiveFile, stream: Stream) -> bool {
    let value = file.partition.get("stream").and_then(Option::as_deref);
    value == Some(stream.name()) || !Stream::ALL.iter().any(|stream| value == Some(stream.name()))
}

/// Files that the documents after the one in force name, up to the one that the table follows.
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
    // Other tables only follow: what is not in the event table now was lost from it.
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

/// Pure: files of the log against those that documents name up to `follows`.
fn compare(files: &[ActiveFile], history: &History, follows: u64, findings: &mut Findings) {
    let mut present: BTreeMap<&str, &ActiveFile> = BTreeMap::new();
    for file in files {
        match history.rejected.get(file.path.as_ref()).filter(|named| named.document <= follows) {
            Some(named) => same(file, named, findings),
            // Documents that were pruned, or cannot be read, may have named it.
            None if history.reach == Reach::Whole => {
                findings.add(|| format!("{}: no document names it", file.name()));
            }
            None => {}
        }
        present.insert(file.path.as_ref(), file);
    }
    for (path, named) in history.rejected.iter().filter(|(_, named)| named.document <= follows) {
        if !present.contains_key(path.as_str()) {
            findings
                .add(|| format!("{REJECTED_EVENTS}/{path}: document {} names it, the log lacks it", named.document));
        }
    }
}

/// Pure: rows of all the files against the total of the document in force.
fn count_rows(files: &[ActiveFile], subject: &Subject, findings: &mut Findings) {
    let expected = match (&subject.document, subject.number) {
        (Some(document), _) => rejected_so_far(document),
        (None, None) => Some(0),
        (None, Some(_)) => return,
    };
    let rows = files.iter().filter_map(|file| file.rows).fold(0, u64::saturating_add);
    if let Some(expected) = expected.filter(|expected| *expected != rows) {
        findings.add(|| format!("it holds {rows} rows by its log, the document in force counts {expected} rejected"));
    }
}

fn same(file: &ActiveFile, named: &NamedFile, findings: &mut Findings) {
    if file.rows != Some(named.rows) || file.size != named.size {
        findings.add(|| {
            let found = file.rows.map_or_else(|| "?".to_owned(), |rows| rows.to_string());
            let (size, document) = (file.size, named.document);
            format!(
                "{}: {found} rows and {size} bytes by the log, {} and {} by document {document}",
                file.name(),
                named.rows,
                named.size
            )
        });
    }
}

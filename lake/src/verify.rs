//! Proves the invariants of a lake from the lake alone: its Delta logs, checkpoint documents and data files. Reads only,
//! unless what was read is to be remembered.
//!
//! It proves one snapshot of an event table and the document that it names; `rejected_events` is loaded after them, and
//! files from later documents are left out. So it may run beside an ingest.
//!
//! Memory: 64 documents or maintenance records at a time; an entry for every document, every active file, every shard that
//! a document names, every rejected file and every file that a batch of no known document wrote; and the rows of some
//! partitions. At most about [`VerifyOptions::rows_per_pass`] of them are held at 80 bytes each (32 of the position, 48 of
//! the event id), and fingerprints of as many at 32 bytes each; a partition with more rows is read several times.
//! Positions are told apart by 128 bits of a SHA-256.

mod documents;
mod duplicates;
mod files;
mod history;
mod maintenance;
mod rejected;
mod repair;
mod report;
mod rows;
mod versions;

use std::time::{Duration, Instant};

use bluelake_schemas::Stream;
use deltalake::{DeltaTable, table::state::DeltaTableState};

use crate::{
    checkpoint::document::CheckpointDocument,
    commit::{chain::DocumentChain, stream_table::document_number},
    error::LakeError,
    layout::{REJECTED_EVENTS, app_id, partitions_of},
    maintenance::record_chain::{MAINTENANCE, RecordChain},
    place::lake::Lake,
};
use documents::DocumentFindings;
use files::ActiveFile;
use history::{History, Reach};
pub use maintenance::replay_records;
use maintenance::{Maintained, PastFiles};
pub use repair::{Advice, Mend, RepairReport, repair};
use report::Findings;
pub use report::{Check, CheckOutcome, Found, PartitionCounts, StreamReport, VerifyReport};
use rows::Memory;

/// How a lake is verified.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// The deduplication window of ingest; zero: it had none.
    pub window: Duration,
    /// The part of the data files whose bodies are read, above 0 and up to 1; `None` reads all.
    pub sample: Option<f64>,
    /// Chooses the files of a sample: the same seed chooses the same ones.
    pub seed: u64,
    /// Rows that are held in memory at a time.
    pub rows_per_pass: u64,
    /// Decode every column of the files, and not only those of the checks.
    pub deep: bool,
    /// Version of the contract; what is remembered is bound to it.
    pub contract_version: i32,
    /// Read every partition, also those of which a result is remembered.
    pub full: bool,
    /// Remember partitions that were read whole and in which nothing was at fault.
    pub remember: bool,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(15 * 60),
            sample: None,
            seed: 0,
            rows_per_pass: 2_000_000,
            deep: false,
            contract_version: 0,
            full: false,
            remember: false,
        }
    }
}

/// Verifies both streams of a lake.
///
/// # Errors
/// When the lake cannot be inspected: no tables, an unreadable Delta log, a store that refuses. Faults *in* the lake,
/// also missing documents or data files, are in the report.
pub async fn verify(lake: &Lake, options: &VerifyOptions) -> Result<VerifyReport, LakeError> {
    let started = Instant::now();
    let mut streams = Vec::new();
    for stream in Stream::ALL {
        streams.push(verify_stream(lake, stream, options).await?);
    }
    Ok(VerifyReport {
        lake: lake.location().to_string(),
        holds: streams.iter().all(StreamReport::holds),
        window_seconds: options.window.as_secs(),
        sample: options.sample,
        seed: options.sample.map(|_| options.seed),
        seconds: started.elapsed().as_secs_f64(),
        streams,
    })
}

/// One stream as it was at one version of its event table.
struct Subject {
    stream: Stream,
    app_id: String,
    chain: DocumentChain,
    events: DeltaTable,
    state: DeltaTableState,
    /// Number of the document in force.
    number: Option<u64>,
    document: Option<CheckpointDocument>,
    /// The faults of the table's reference to its document.
    chain_findings: Findings,
}

async fn verify_stream(lake: &Lake, stream: Stream, options: &VerifyOptions) -> Result<StreamReport, LakeError> {
    let started = Instant::now();
    let mut subject = Subject::load(lake, stream).await?;
    let (history, mut found) = match &subject.document {
        Some(document) => documents::walk(&subject.chain, document).await?,
        None if subject.number.is_none() => (History::empty(), DocumentFindings::default()),
        None => (History::unreadable(), DocumentFindings::default()),
    };
    found.chain.append(std::mem::take(&mut subject.chain_findings));
    let mut active = files::active_files(stream.table(), &subject.events, &partitions_of(stream.table())).await?;
    let event_files = active.len();
    let event_rows = row_check(&subject, &active);
    let (batches, maintenance, versions) = maintenance_checks(lake, &subject, &history, &active).await?;

    let mut follower = lake.table(REJECTED_EVENTS).await?;
    let (rejected, rejected_files) = rejected::check(lake, &subject, &history, &mut follower).await?;
    let rejected_count = rejected_files.len();
    active.extend(rejected_files);

    let mut findings = files::check_log(lake, &mut active).await?;
    let memory = memory(lake, stream, options).await?;
    let mut read = rows::check(&active, &mut findings, &history, options, &memory).await?;
    let mut checks = documents::checks(found, &history);
    checks.push(event_rows);
    checks.extend([batches, maintenance, versions]);
    checks.push(findings.into_check("files").with_note(read.sample_note()));
    let mut warnings = gap_warnings(subject.document.as_ref());
    warnings.append(std::mem::take(&mut read.warnings));
    let (files_read, rows, partitions, warnings) = (read.files_read, read.rows, read.counts(), warnings.found());
    checks.extend(read.checks(&history, subject.document.is_some()));
    checks.push(rejected);
    Ok(StreamReport {
        stream: stream.name(),
        table: stream.table(),
        document: subject.number,
        documents: history.documents,
        files: event_files,
        rejected_files: rejected_count,
        files_read,
        rows,
        partitions,
        seconds: started.elapsed().as_secs_f64(),
        warnings,
        checks,
    })
}

/// What is remembered of the stream's tables. A sample of the files says nothing of a partition.
async fn memory(lake: &Lake, stream: Stream, options: &VerifyOptions) -> Result<Vec<Memory>, LakeError> {
    let mut memory = Vec::new();
    if options.sample.is_none() {
        for table in [stream.table(), REJECTED_EVENTS] {
            memory.push(Memory::of(lake, table, options).await?);
        }
    }
    Ok(memory)
}

impl Subject {
    async fn load(lake: &Lake, stream: Stream) -> Result<Self, LakeError> {
        let name = stream.table();
        let events = lake.table(name).await?;
        let state = events.snapshot().map_err(LakeError::table(name, "load its Delta log"))?.clone();
        let app_id = app_id(stream);
        let chain = DocumentChain::new(lake, stream);
        let mut findings = Findings::default();
        let retention = "delta.setTransactionRetentionDuration";
        if state.metadata().configuration().contains_key(retention) {
            findings.add(|| format!("property {retention} is set, which makes Delta forget how far the table is"));
        }
        let number = document_number(name, &events, &state, &app_id).await?;
        let document = match number {
            Some(number) => readable(chain.get(number).await, &mut findings)?,
            None => {
                let newest = readable(chain.newest().await, &mut findings)?.flatten();
                if let Some(newest) = newest.filter(|newest| newest.head.previous.is_some()) {
                    findings.add(|| {
                        format!(
                            "the table has no txn '{app_id}' although document {} builds on a commit",
                            newest.head.number
                        )
                    });
                }
                None
            }
        };
        Ok(Self { stream, app_id, chain, events, state, number, document, chain_findings: findings })
    }
}

/// A document or record. A missing or faulty one is a finding, an unreachable store an error.
fn readable<T>(read: Result<T, LakeError>, findings: &mut Findings) -> Result<Option<T>, LakeError> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(error @ (LakeError::Document { .. } | LakeError::Record { .. })) => {
            findings.add(|| error.to_string());
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Compares the rows by the log's statistics with those of the document.
fn row_check(subject: &Subject, active: &[ActiveFile]) -> Check {
    let mut findings = Findings::default();
    let mut rows: u64 = 0;
    for file in active {
        match file.rows {
            Some(count) => rows = rows.saturating_add(count),
            None => findings.add(|| format!("{}: the log has no row count for it", file.path)),
        }
    }
    let expected = match (&subject.document, subject.number) {
        (Some(document), _) => documents::expected_rows(document),
        (None, None) => Some(0),
        (None, Some(number)) => return Check::not_checked("rows", format!("document {number} cannot be read")),
    };
    match expected {
        Some(expected) if expected == rows => {}
        Some(expected) => findings.add(|| {
            format!("version {} holds {rows} rows by its log, its document says {expected}", subject.state.version())
        }),
        None => findings.add(|| "the document has erased and expired more rows than were stored".to_owned()),
    }
    findings.into_check("rows")
}

/// Replays the records of the event table, and checks its batches, its records and its versions by them.
async fn maintenance_checks(
    lake: &Lake,
    subject: &Subject,
    history: &History,
    active: &[ActiveFile],
) -> Result<(Check, Check, Check), LakeError> {
    let name = subject.stream.table();
    let number = document_number(name, &subject.events, &subject.state, MAINTENANCE).await?;
    let table =
        Maintained { table: name, chain: RecordChain::new(lake, name), number, batches: Some(&history.batches) };
    let mut past = maintenance::replay(&table, active).await?;
    let left = subject.document.as_ref().map(|document| (document.tally.erased, document.tally.expired));
    maintenance::check_documents(subject.stream, &mut past, history, left);
    let rows = active.iter().map(|file| file.rows).try_fold(0_u64, |sum, rows| sum.checked_add(rows?));
    let versions = versions::check((subject.stream, &subject.events), history, &past, rows).await?;
    let batches = batch_check(name, history, &past);
    Ok((batches, std::mem::take(&mut past.findings).into_check("maintenance"), versions))
}

/// Checks that every file that maintenance did not write belongs to a batch of a document, and that the files of a
/// batch hold, or held, the rows that its document counts.
fn batch_check(table: &str, history: &History, past: &PastFiles) -> Check {
    let mut findings = Findings::default();
    let mut unknown = 0;
    for path in past.open.keys().filter(|path| !past.undone.contains(*path)) {
        match &history.reach {
            // The document of its batch may be one of those.
            Reach::Pruned(_) => unknown += 1,
            _ => findings.add(|| format!("{table}/{path}: no document commits its batch")),
        }
    }
    for (id, batch) in &history.batches {
        let found = past.batches.get(id).copied().unwrap_or_default();
        if found != batch.stored {
            findings.add(|| {
                format!(
                    "document {}: it counts {} rows, the files of its batch hold {found}",
                    batch.document, batch.stored
                )
            });
        }
    }
    let note = history.gap().map(|gap| format!("{gap}: {unknown} files are of batches that no document left names"));
    let broken = match &history.reach {
        Reach::Broken(reason) => Some(reason.clone()),
        Reach::Whole | Reach::Pruned(_) => past.broken.clone(),
    };
    let note = note.filter(|_| broken.is_none());
    let check = findings.into_check("batches").with_note(note);
    // Beyond a fault in a chain the files cannot be checked.
    match broken {
        Some(reason) => Check::not_checked("batches", reason),
        None => check,
    }
}

/// Gaps are no fault of the lake, but records may be missing from it.
fn gap_warnings(document: Option<&CheckpointDocument>) -> Findings {
    let mut warnings = Findings::default();
    for gap in document.iter().flat_map(|document| &document.gaps) {
        let state = if gap.accepted { "reading went on behind" } else { "it stands still behind" };
        warnings.add(|| format!("shard {}: {state} a gap: Kinesis may have discarded records unread", gap.shard));
    }
    warnings
}

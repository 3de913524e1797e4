//! The rows themselves, partition by partition: each file is read once, in as many passes as memory asks for when one
//! partition is too large to be held.
//!
//! A record's copies have one type and day, so what is repeated is repeated in one partition, and compared whole there. That
//! a copy was put elsewhere is a fault, too, and an id may come again under another day: what two partitions share is seen by
//! fingerprints, and those rows are read once more and compared whole.

mod file;
mod fingerprints;
mod memory;
mod partitions;
mod run;
mod sealed;

use sha2::{Digest as _, Sha256};

use super::{
    VerifyOptions,
    duplicates::Lineage,
    files::ActiveFile,
    history::{History, Reach},
    report::{Check, Findings, PartitionCounts},
};
use crate::error::LakeError;
use fingerprints::Fingerprints;
pub(super) use memory::Memory;
pub(super) use partitions::by_partition;
use partitions::groups;
use run::Run;

/// The findings in the rows.
#[derive(Debug, Default)]
pub(super) struct RowFindings {
    pub(super) files_read: usize,
    pub(super) rows: u64,
    pub(super) partitions: PartitionCounts,
    files: usize,
    unreadable: usize,
    sampled: bool,
    unknown_shards: u64,
    uniqueness: Findings,
    window: Findings,
    reach: Findings,
    dates: Findings,
    pub(super) warnings: Findings,
    memory_faults: Findings,
}

impl RowFindings {
    pub(super) fn sample_note(&self) -> Option<String> {
        self.sampled.then(|| format!("the bodies of {} of {} files were read", self.files_read, self.files))
    }

    /// Partitions by how their rows are known.
    pub(super) fn counts(&self) -> PartitionCounts {
        PartitionCounts { memory_faults: self.memory_faults.found(), ..self.partitions.clone() }
    }

    pub(super) fn checks(self, history: &History, has_document: bool) -> Vec<Check> {
        let note = self.sample_note();
        let unread = (self.unreadable > 0).then(|| format!("{} files cannot be read", self.unreadable));
        let unread_document = match &history.reach {
            Reach::Broken(reason) if !has_document => Some(reason.clone()),
            _ => None,
        };
        let unknown = (self.unknown_shards > 0)
            .then(|| format!("{} rows are of shards that no document left names", self.unknown_shards));
        let lineage = if self.warnings.is_empty() { None } else { history.gap() };
        let check = |findings: Findings, name| findings.into_check(name).unless(unread.clone()).with_note(note.clone());
        vec![
            check(self.uniqueness, "uniqueness"),
            check(self.window, "window").unless(unread_document.clone().or(lineage)),
            check(self.reach, "reach").unless(unread_document.or(unknown)),
            check(self.dates, "partitions"),
        ]
    }
}

/// Reads the rows of the files, or of a sample of them. A file that cannot be read goes to `file_findings`.
pub(super) async fn check(
    files: &[ActiveFile],
    file_findings: &mut Findings,
    history: &History,
    options: &VerifyOptions,
    memory: &[Memory],
) -> Result<RowFindings, LakeError> {
    let chosen: Vec<usize> =
        (0..files.len()).filter(|index| files.get(*index).is_some_and(|file| is_chosen(file, options))).collect();
    let usable = |index: &usize| files.get(*index).is_some_and(|file| file.usable);
    let found = RowFindings {
        files: files.len(),
        sampled: options.sample.is_some(),
        unreadable: chosen.iter().filter(|index| !usable(index)).count(),
        ..RowFindings::default()
    };
    let chosen: Vec<usize> = chosen.into_iter().filter(usable).collect();
    let partitions = by_partition(files, &chosen);
    let room = usize::try_from(options.rows_per_pass).unwrap_or(usize::MAX);
    let mut run = Run {
        files,
        partitions: &partitions,
        history,
        options,
        lineage: Lineage::of(history),
        // Without a window a repeat is no fault, even at the same moment.
        window: (!options.window.is_zero()).then_some(options.window),
        memory,
        positions: Fingerprints::with_room(room),
        ids: Fingerprints::with_room(room),
        is_refused: false,
        found,
        file_findings,
    };
    let unread = run.recall().await?;
    for group in groups(&partitions, &unread, options.rows_per_pass) {
        run.group(&group).await?;
    }
    run.across().await
}

/// Whether the file is in the sample.
fn is_chosen(file: &ActiveFile, options: &VerifyOptions) -> bool {
    options.sample.is_none_or(|fraction| {
        let mut hash = Sha256::new();
        hash.update(options.seed.to_le_bytes());
        hash.update(file.name());
        let bytes: [u8; 32] = hash.finalize().into();
        let lot = bytes.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        f64::from(lot) / f64::from(u32::MAX) <= fraction
    })
}

//! The chain of documents, read from the one in force to the first. Checks that it is complete, and that every document
//! follows from its predecessor by the rules of [`crate::checkpoint::advance::advance`]. The rules themselves
//! ([`replay`]) are pure.

use std::collections::BTreeSet;

use super::{
    history::{History, Reach},
    report::{Check, Findings},
};
use crate::{
    checkpoint::{
        document::{CheckpointDocument, Position, ShardRange, ShardState, Tally},
        shard_id::ShardId,
        totals::ControlTotals,
    },
    commit::chain::DocumentChain,
    error::LakeError,
};

/// The number of newest documents of the chain that are never pruned.
const NEVER_PRUNED: u64 = 1_000;

/// The findings of each check of the documents.
#[derive(Debug, Default)]
pub(super) struct DocumentFindings {
    pub(super) chain: Findings,
    pub(super) positions: Findings,
    pub(super) lineage: Findings,
    pub(super) totals: Findings,
}

/// Reads the chain back from `newest` and replays each document on its predecessor.
pub(super) async fn walk(
    chain: &DocumentChain,
    newest: &CheckpointDocument,
) -> Result<(History, DocumentFindings), LakeError> {
    let mut history = History::empty();
    let mut found = DocumentFindings::default();
    history.take_in(newest, None, &mut found.positions);
    let mut document = newest.clone();
    let mut before = chain.before(newest.head.number).await?;
    check_balance(newest, &mut found.totals);
    while let Some(predecessor) = document.head.previous.clone() {
        if predecessor.number >= document.head.number {
            found.chain.add(|| format!("document {} builds on document {}", document.head.number, predecessor.number));
            history.reach = Reach::Broken(format!("the chain is broken at document {}", document.head.number));
            break;
        }
        let previous = match before.get(predecessor.number).await {
            Ok(previous) => previous,
            Err(error @ LakeError::Document { .. }) => {
                let missing = !chain.is_there(predecessor.number).await?;
                // Pruned documents are older than the newest one with rejected events.
                let prunable = newest.links.last_rejected.is_none_or(|last| predecessor.number < last);
                if missing && prunable && history.documents >= NEVER_PRUNED {
                    history.reach = Reach::Pruned(document.head.number);
                } else {
                    found.chain.add(|| error.to_string());
                    history.reach =
                        Reach::Broken(format!("the chain is broken before document {}", document.head.number));
                }
                break;
            }
            Err(error) => return Err(error),
        };
        if previous.head.digest != predecessor.digest {
            found.chain.add(|| {
                format!(
                    "document {}: document {} is not the one that it builds on",
                    document.head.number, previous.head.number
                )
            });
        }
        replay(Some(&previous), &document, &mut found);
        history.take_in_batch(Some(&previous), &document, &mut found.positions);
        history.take_in(&previous, Some(&document), &mut found.positions);
        document = previous;
    }
    if document.head.previous.is_none() {
        replay(None, &document, &mut found);
        history.take_in_batch(None, &document, &mut found.positions);
    }
    if let Reach::Pruned(_) = history.reach {
        walk_archives(chain, &document, &mut history, &mut found).await?;
    }
    if !matches!(history.reach, Reach::Broken(_)) {
        history.check_archives(&mut found.positions);
    }
    history.number_shards();
    Ok((history, found))
}

/// Checks documents with parts of archives, which outlive the others: each names the one before.
async fn walk_archives(
    chain: &DocumentChain,
    oldest: &CheckpointDocument,
    history: &mut History,
    found: &mut DocumentFindings,
) -> Result<(), LakeError> {
    let is_own = oldest.links.last_archive == Some(oldest.head.number);
    let mut next = if is_own { oldest.links.previous_archive } else { oldest.links.last_archive };
    while let Some(number) = next {
        match chain.get(number).await {
            Ok(document) => {
                history.take_in_archives(&document, &mut found.positions);
                next = document.links.previous_archive.filter(|before| *before < number);
            }
            Err(error @ LakeError::Document { .. }) => {
                found.chain.add(|| error.to_string());
                history.reach = Reach::Broken(format!("document {number}, which names archives, cannot be read"));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The checks of the documents. Beyond a fault in the chain nothing is known, so no check passes.
pub(super) fn checks(found: DocumentFindings, history: &History) -> Vec<Check> {
    let broken = match &history.reach {
        Reach::Broken(reason) => Some(reason.clone()),
        Reach::Whole | Reach::Pruned(_) => None,
    };
    let note = if broken.is_none() { history.gap() } else { None };
    let others = [("positions", found.positions), ("lineage", found.lineage), ("totals", found.totals)]
        .map(|(name, findings)| findings.into_check(name).unless(broken.clone()).with_note(note.clone()));
    std::iter::once(found.chain.into_check("chain").with_note(note.clone())).chain(others).collect()
}

/// Rows that the event table must hold; `None` on overflow.
pub(super) fn expected_rows(document: &CheckpointDocument) -> Option<u64> {
    totals(document)?.stored.checked_sub(document.tally.erased)?.checked_sub(document.tally.expired)
}

/// As [`CheckpointDocument::totals`], for documents with arbitrary content.
pub(super) fn totals(document: &CheckpointDocument) -> Option<ControlTotals> {
    document.tally.repaired.applied_to(&unrepaired(document)?)
}

/// As [`CheckpointDocument::rejected_so_far`], for documents with arbitrary content.
pub(super) fn rejected_so_far(document: &CheckpointDocument) -> Option<u64> {
    unrepaired(document).map(|totals| totals.rejected)
}

fn unrepaired(document: &CheckpointDocument) -> Option<ControlTotals> {
    let shards = document.shards.values().map(|state| &state.totals);
    let mut parts = shards.chain([&document.tally.retired, &document.tally.supplemented]);
    parts.try_fold(ControlTotals::default(), |sum, counts| sum.checked_add(counts))
}

/// The invariants inside a document.
fn check_balance(document: &CheckpointDocument, totals: &mut Findings) {
    let shards = document.shards.iter().map(|(id, state)| (format!("shard {id}"), &state.totals));
    let ranges =
        document.commit.ranges.iter().map(|range| (format!("the range of shard {}", range.shard), &range.counts));
    let others = [("retired shards", &document.tally.retired), ("replays and backfills", &document.tally.supplemented)];
    for (what, counts) in shards.chain(ranges).chain(others.map(|(what, counts)| (what.to_owned(), counts))) {
        if !counts.balance() {
            totals.add(|| {
                format!(
                    "document {}: {what}: received is not stored + rejected + duplicate + suppressed",
                    document.head.number
                )
            });
        }
    }
    if expected_rows(document).is_none() {
        totals.add(|| {
            let number = document.head.number;
            format!("document {number}: more is erased and expired than was stored, or repaired than was rejected")
        });
    }
}

/// Checks that `next` follows from `previous` by the rules by which commits advance a table.
pub(super) fn replay(previous: Option<&CheckpointDocument>, next: &CheckpointDocument, found: &mut DocumentFindings) {
    // The walk balances the newest document; every other one is a predecessor.
    if let Some(previous) = previous {
        check_balance(previous, &mut found.totals);
    }
    check_carried(previous, next, &mut found.chain);
    let mut replayed =
        Replay { previous, next, retired: previous.map_or_else(ControlTotals::default, |it| it.tally.retired) };
    let mut moved = BTreeSet::new();
    for range in &next.commit.ranges {
        if !moved.insert(range.shard.as_str()) {
            found.positions.add(|| format!("document {}: two ranges of shard {}", next.head.number, range.shard));
            continue;
        }
        replayed.range(range, found);
    }
    replayed.unmoved(&moved, found);
    if replayed.retired != next.tally.retired {
        found.totals.add(|| format!("document {}: totals of retired shards do not add up", next.head.number));
    }
    check_supplement(previous, next, &mut found.totals);
    check_care(previous, next, &mut found.totals);
}

/// Epoch, and the references to earlier documents.
fn check_carried(previous: Option<&CheckpointDocument>, next: &CheckpointDocument, chain: &mut Findings) {
    let number = next.head.number;
    if previous.is_some_and(|previous| previous.head.erasure_epoch > next.head.erasure_epoch) {
        chain.add(|| format!("document {number}: the erasure epoch falls"));
    }
    if previous.is_some_and(|previous| previous.head.erasure_registry > next.head.erasure_registry) {
        chain.add(|| format!("document {number}: it names an older state of the registry of erased persons"));
    }
    if let Some(other) =
        previous.and_then(|previous| previous.other_stream(&next.head.stream_arn, next.head.stream_created_at))
    {
        chain.add(|| format!("document {number} is of another stream than the one before: {other}"));
    }
    let newest = |has_own: bool, before: Option<u64>| if has_own { Some(number) } else { before };
    let last_rejected = previous.and_then(|previous| previous.links.last_rejected);
    if next.links.last_rejected != newest(!next.commit.rejected_files.is_empty(), last_rejected) {
        chain.add(|| format!("document {number}: it names another document as the last with rejected events"));
    }
    let last_archive = previous.and_then(|previous| previous.links.last_archive);
    if next.links.last_archive != newest(!next.commit.archive_ranges.is_empty(), last_archive) {
        chain.add(|| format!("document {number}: it names another document as the last with archives"));
    }
    let last_repair = previous.and_then(|previous| previous.links.last_repair);
    if next.links.last_repair != newest(next.commit.repair.is_some(), last_repair) {
        chain.add(|| format!("document {number}: it names another document as the last with repairs"));
    }
}

/// Replays of a stream's events and backfills of archives, and the rows that left.
fn check_supplement(previous: Option<&CheckpointDocument>, next: &CheckpointDocument, totals: &mut Findings) {
    let number = next.head.number;
    let before = previous.map(|previous| previous.tally.supplemented).unwrap_or_default();
    let supplements = previous.map_or(0, |previous| previous.tally.supplements);
    let added = next.tally.supplemented.checked_sub(&before);
    let mut archived = Some(ControlTotals::default());
    for range in &next.commit.archive_ranges {
        archived = archived.and_then(|sum| sum.checked_add(&range.counts));
    }
    let adds_up = match added {
        Some(added) if next.tally.supplements == supplements => {
            added.is_zero() && next.commit.archive_ranges.is_empty()
        }
        Some(added) if Some(next.tally.supplements) == supplements.checked_add(1) => {
            let from_archives = next.commit.archive_ranges.is_empty() || archived == Some(added);
            added.balance() && from_archives && next.commit.ranges.is_empty()
        }
        _ => false,
    };
    if !adds_up {
        totals.add(|| format!("document {number}: totals of replays and backfills do not add up"));
    }
    let counts = next.commit.ranges.iter().map(|range| range.counts.rejected);
    let counted = counts.chain([added.map_or(0, |added| added.rejected)]).try_fold(0_u64, u64::checked_add);
    let named = next.commit.rejected_files.iter().map(|file| file.rows).try_fold(0_u64, u64::checked_add);
    if counted.is_none() || counted != named {
        totals.add(|| format!("document {number}: its files hold other than its count of rejected events"));
    }
}

/// Rows that left, and rejected events that were repaired.
fn check_care(previous: Option<&CheckpointDocument>, next: &CheckpointDocument, totals: &mut Findings) {
    let number = next.head.number;
    let (before, after) = (previous.map(|previous| previous.tally).unwrap_or_default(), next.tally);
    let left = |tally: &Tally| (tally.erased, tally.expired, tally.expired_before);
    match &next.commit.maintenance {
        None if left(&before) != left(&after) => {
            totals.add(|| format!("document {number}: rows are erased or expired without a maintenance record"));
        }
        Some(_) if !next.commit.ranges.is_empty() || after.supplements != before.supplements => {
            totals.add(|| format!("document {number}: it is both of a batch and of maintenance"));
        }
        _ => {}
    }
    // Only an undo makes them fewer, and then rows came back; its record says that it is one.
    let came_back = next.commit.maintenance.is_some() && after.expired < before.expired;
    if after.erased < before.erased || (after.expired_before < before.expired_before && !came_back) {
        totals.add(|| format!("document {number}: rows erased or expired become fewer"));
    }
    let fewer = after.repaired.stored < before.repaired.stored || after.repaired.duplicate < before.repaired.duplicate;
    if fewer || (after.repaired != before.repaired) != next.commit.repair.is_some() {
        totals.add(|| format!("document {number}: repaired events do not add up"));
    }
}

struct Replay<'a> {
    previous: Option<&'a CheckpointDocument>,
    next: &'a CheckpointDocument,
    /// Totals of retired shards as they must be.
    retired: ControlTotals,
}

impl Replay<'_> {
    fn range(&mut self, range: &ShardRange, found: &mut DocumentFindings) {
        let number = self.next.head.number;
        let shard = &range.shard;
        let before = self.previous.and_then(|previous| previous.shards.get(shard));
        let after = self.next.shards.get(shard);
        if let Err(reason) = range_starts(range, before, after) {
            found.positions.add(|| format!("document {number}, shard {shard}: {reason}"));
        }
        if range.from_exclusive.as_ref().is_some_and(|from| !from.reaches(&range.to_inclusive)) {
            found.positions.add(|| format!("document {number}, shard {shard}: the position goes back"));
        }
        if after.is_some_and(|after| after.position != range.to_inclusive) {
            found.positions.add(|| format!("document {number}, shard {shard}: its state is not where its range ends"));
        }
        if let (None, Some(after)) = (&range.from_exclusive, after) {
            self.check_parents(shard, after, &mut found.lineage);
        }
        let carried = before.filter(|_| range.from_exclusive.is_some()).map(|before| before.totals).unwrap_or_default();
        if let (None, Some(before)) = (&range.from_exclusive, before) {
            self.retire(&before.totals, &mut found.totals);
        }
        let expected = carried.checked_add(&range.counts);
        match (after, expected) {
            (Some(after), Some(expected)) if after.totals == expected => {}
            (None, Some(expected)) => {
                self.check_retired(shard, before.is_some(), &mut found.positions);
                self.retire(&expected, &mut found.totals);
            }
            _ => found.totals.add(|| {
                format!("document {number}, shard {shard}: its totals are not those before and those of its range")
            }),
        }
    }

    /// Checks that shards without a range stay as they are, or retire.
    fn unmoved(&mut self, moved: &BTreeSet<&str>, found: &mut DocumentFindings) {
        let number = self.next.head.number;
        for (id, before) in self.previous.into_iter().flat_map(|previous| &previous.shards) {
            if moved.contains(id.as_str()) {
                continue;
            }
            match self.next.shards.get(id) {
                Some(after) => {
                    let stays = before.position == after.position
                        && before.ended == after.ended
                        && before.starting_sequence == after.starting_sequence;
                    if !stays {
                        found.positions.add(|| format!("document {number}, shard {id}: it moved without a range"));
                    }
                    if before.totals != after.totals {
                        found
                            .totals
                            .add(|| format!("document {number}, shard {id}: its totals changed without a range"));
                    }
                }
                None => {
                    self.check_retired(id, before.ended, &mut found.positions);
                    self.retire(&before.totals, &mut found.totals);
                }
            }
        }
        for id in self.next.shards.keys().filter(|id| !moved.contains(id.as_str())) {
            if self.previous.is_none_or(|previous| !previous.shards.contains_key(id)) {
                found.positions.add(|| format!("document {number}, shard {id}: it appeared without a range"));
            }
        }
    }

    fn retire(&mut self, totals: &ControlTotals, findings: &mut Findings) {
        match self.retired.checked_add(totals) {
            Some(sum) => self.retired = sum,
            None => findings.add(|| format!("document {}: totals of retired shards overflow", self.next.head.number)),
        }
    }

    /// Checks that a shard leaves the document only when it has ended and its children are under way.
    fn check_retired(&self, shard: &ShardId, ended: bool, positions: &mut Findings) {
        let mut children = self.next.shards.values().filter(|state| state.parents.contains(shard));
        let under_way = children.all(|child| matches!(child.position, Position::After(_)) || child.ended);
        if !ended || !under_way {
            positions.add(|| {
                format!(
                    "document {}, shard {shard}: it left before it ended or its children began",
                    self.next.head.number
                )
            });
        }
    }

    /// Checks that a child is pinned only when its parents have ended or are gone, and no parent after its child.
    fn check_parents(&self, shard: &ShardId, pinned: &ShardState, lineage: &mut Findings) {
        let number = self.next.head.number;
        for parent in &pinned.parents {
            if self.next.shards.get(parent).is_some_and(|state| !state.ended) {
                lineage.add(|| format!("document {number}: shard {shard} is pinned before its parent {parent} ended"));
            }
        }
        let known = self.previous.into_iter().flat_map(|previous| &previous.shards);
        for (child, state) in known {
            // A child of the same name from before the stream was recreated begins before its namesake's parent.
            let is_child = state.parents.iter().any(|parent| parent == shard);
            if is_child && state.starting_sequence > pinned.starting_sequence {
                lineage.add(|| format!("document {number}: shard {shard} is pinned after its child {child}"));
            }
        }
    }
}

/// Whether a range starts at the previous state of the shard.
fn range_starts(
    range: &ShardRange,
    before: Option<&ShardState>,
    after: Option<&ShardState>,
) -> Result<(), &'static str> {
    match (&range.from_exclusive, before) {
        (None, None) => Ok(()),
        (None, Some(before)) => match after {
            Some(after) if after.starting_sequence <= before.starting_sequence => {
                Err("it is pinned again although the table has it")
            }
            _ => Ok(()),
        },
        (Some(_), None) => Err("its range starts although it was never pinned"),
        (Some(_), Some(before)) if before.ended => Err("it goes on after its end"),
        (Some(from), Some(before)) if before.position != *from => Err("its range does not start where it stood before"),
        (Some(_), Some(before)) => match after {
            Some(after) if after.starting_sequence != before.starting_sequence => Err("its incarnation changed"),
            _ => Ok(()),
        },
    }
}

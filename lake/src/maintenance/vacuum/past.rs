//! Reads what is known of a table's past: its records, its log, and the documents that `rejected_events` follows.

use std::{collections::HashSet, time::Duration};

use bluelake_schemas::Millis;
use object_store::ObjectStoreExt as _;

use super::plan::{Cutoff, Past};
use crate::{
    commit::{
        housekeeping::{Housekeeping, Need, document_at},
        log::{
            files::{LogFiles, commit},
            outline::{self, VersionOutline},
        },
        rejected::files_since,
        stream_table::document_number,
    },
    error::LakeError,
    layout::{REJECTED_EVENTS, app_id},
    maintenance::{record::MaintenanceRecord, record_chain::MAINTENANCE, table::MaintainedTable},
};

/// Checkpoint documents below the floor go at this age.
const DOCUMENT_AGE: Duration = Duration::from_secs(14 * 24 * 3600);

/// Loads the newest version, and refuses to go on from one that is not: with a listing that is behind, files of the table
/// would look as if they were not.
pub(super) async fn reload(table: &mut MaintainedTable) -> Result<(), LakeError> {
    table.reload().await?;
    expect_newest(table).await
}

async fn expect_newest(table: &MaintainedTable) -> Result<(), LakeError> {
    let log = table.delta_table().log_store();
    let version = table.delta_table().version().unwrap_or_default();
    let next = log.log_path().clone().join(commit(version + 1));
    match log.object_store(None).head(&next).await {
        // One that has just come is no fault: the next look has it.
        Ok(found) => {
            let mut newer = deltalake::DeltaTable::new(log.clone());
            newer.load().await.map_err(LakeError::table(table.name(), "load its Delta log"))?;
            if newer.version().unwrap_or_default() > version {
                return Ok(());
            }
            Err(behind(table, format!("version {}, written at {}", version + 1, found.last_modified)))
        }
        Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(LakeError::store("look at the Delta log of", table.name())(error)),
    }
}

fn behind(table: &MaintainedTable, what: String) -> LakeError {
    LakeError::Refused {
        table: table.name().to_owned(),
        check: format!("the store's listing of its log leaves out {what}"),
        remedy: "nothing was deleted; run it again when the store's listings are whole".to_owned(),
    }
}

/// The floor as it should be, no lower than it is; and the oldest version from there on that the log still has.
pub(super) async fn floor(table: &MaintainedTable, floor: u64, cutoff: Cutoff) -> Result<(u64, u64), LakeError> {
    let newest = table.delta_table().version().unwrap_or_default();
    let log = LogFiles::list(table.name(), table.delta_table(), floor).await?;
    if let Some(gap) = log.gap(newest) {
        return Err(behind(table, format!("version {gap}")));
    }
    let first = log.commits.first_key_value().map_or(floor, |(version, _)| *version);
    Ok((cutoff.oldest(&log, newest).unwrap_or(floor).max(floor), first))
}

/// How much of it is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extent {
    /// The floor as it should be.
    pub(super) floor: u64,
    /// The oldest version that the log may have.
    pub(super) first: u64,
    /// The versions above the floor, too, when there is nothing to delete.
    pub(super) whole: bool,
}

/// Reads it.
pub(super) async fn read(table: &MaintainedTable, extent: Extent) -> Result<Past, LakeError> {
    let Extent { floor, first, whole } = extent;
    let (name, delta) = (table.name(), table.delta_table());
    let purged_to = table.record().map_or(0, |record| record.standing.purged_to);
    let records = unpurged(table, purged_to).await?;
    let mut past = Past { purged_to, records, coming: coming(table).await?, ..Past::default() };
    // What left up to that record's version was purged with it.
    let from = if purged_to == 0 { 0 } else { table.records().get(purged_to).await?.planned_on + 1 };
    let from = from.max(first);
    if from <= floor {
        past.below = outline::read_all(name, delta, from..=floor).await?;
        let is_purged = |version: &VersionOutline| version.numbers.get(MAINTENANCE) == Some(&purged_to);
        let purged = past.below.iter().position(is_purged).map_or(0, |position| position + 1);
        past.below.drain(..purged);
    }
    let removes = past.below.iter().any(|version| !version.removed.is_empty())
        || past.records.iter().any(|record| !record.removed.is_empty());
    let newest = delta.version().unwrap_or_default();
    if (removes || whole) && floor < newest {
        past.above = outline::read_all(name, delta, floor + 1..=newest).await?;
        let read = u64::try_from(past.above.len()).unwrap_or_default();
        if read != newest - floor {
            return Err(behind(table, format!("one of the versions {} to {newest}", floor + 1)));
        }
    }
    if whole {
        past.unsettled = unsettled(table, &past).await?;
    }
    Ok(past)
}

/// The records of the chain that are not purged, newest first.
async fn unpurged(table: &MaintainedTable, purged_to: u64) -> Result<Vec<MaintenanceRecord>, LakeError> {
    let mut records = Vec::new();
    let Some(newest) = table.record().filter(|newest| newest.number > purged_to) else { return Ok(records) };
    let mut before = table.records().before(newest.number).await?;
    let mut next = newest.previous.as_ref().map(|previous| previous.number);
    records.push(newest.clone());
    while let Some(number) = next.filter(|number| *number > purged_to) {
        let record = before.get(number).await?;
        next = record.previous.as_ref().map(|previous| previous.number).filter(|previous| *previous < number);
        records.push(record);
    }
    Ok(records)
}

/// Files of tasks whose records are there and not in the chain.
async fn unsettled(table: &MaintainedTable, past: &Past) -> Result<HashSet<String>, LakeError> {
    let chain: HashSet<u64> = past.records.iter().map(|record| record.number).collect();
    let listed = table.records().list().await?.into_iter().map(|listed| listed.number);
    let mut numbers: Vec<u64> = listed.filter(|number| *number > past.purged_to && !chain.contains(number)).collect();
    numbers.sort_unstable_by(|left, right| right.cmp(left));
    let mut before = table.records().before(u64::MAX).await?;
    let mut files = HashSet::new();
    for number in numbers {
        files.extend(before.get(number).await?.added.into_iter().map(|file| file.path));
    }
    Ok(files)
}

/// Files that the records after this one took out or put in, and what came to `rejected_events` meanwhile.
pub(super) async fn named_since(table: &MaintainedTable, number: u64) -> Result<HashSet<String>, LakeError> {
    let records = unpurged(table, number).await?;
    Ok(Past { records, coming: coming(table).await?, ..Past::default() }.names())
}

/// Files that documents give to `rejected_events` and that it does not have yet: it may be behind.
async fn coming(table: &MaintainedTable) -> Result<HashSet<String>, LakeError> {
    let mut coming = HashSet::new();
    if table.name() != REJECTED_EVENTS {
        return Ok(coming);
    }
    let delta = table.delta_table();
    let state = delta.snapshot().map_err(LakeError::table(table.name(), "load its Delta log"))?;
    for (stream, chain, document) in table.followed() {
        let follows = document_number(table.name(), delta, state, &app_id(stream)).await?.unwrap_or_default();
        if let Some(document) = document {
            let files = files_since(chain, document, follows).await?;
            coming.extend(files.into_iter().map(|file| file.path));
        }
    }
    Ok(coming)
}

/// Deletes the documents of an event table that only versions below the floor were of, and says how many.
pub(super) async fn prune_documents(table: &MaintainedTable, floor: u64, now: Millis) -> Result<usize, LakeError> {
    if floor == 0 || table.name() == REJECTED_EVENTS {
        return Ok(0);
    }
    let housekeeping = Housekeeping { document_age: DOCUMENT_AGE, ..Housekeeping::default() };
    let mut deleted = 0;
    for (stream, chain, document) in table.followed() {
        let app_id = app_id(stream);
        let promised = document_at(table.name(), table.delta_table(), &app_id, floor).await?;
        let (Some(document), Some(promised)) = (document, promised) else { continue };
        let followed = table.followed_by_rejected(stream).await?;
        let need = Need { followed, promised: Some(promised) };
        deleted += housekeeping.prune_all_documents(chain, document, &need, now).await?;
    }
    Ok(deleted)
}

//! The stored document: one flat JSON object with a fixed order of fields, because its digest covers them.

use std::collections::BTreeMap;

use bluelake_schemas::Millis;
use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    ArchiveRange, CheckpointDocument, Commit, Gap, Head, Links, RawObject, RepairSidecar, ShardRange, ShardState, Tally,
};
use crate::checkpoint::{
    data_file::DataFile,
    numbered::Predecessor,
    shard_id::ShardId,
    totals::{ControlTotals, Repaired},
};

/// Every field of a document.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Stored {
    format: u32,
    digest: String,
    number: u64,
    previous: Option<Predecessor>,
    batch_id: Uuid,
    worker: String,
    bluelake_version: String,
    contract_version: i32,
    stream_arn: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stream_created_at: Option<Millis>,
    erasure_epoch: u64,
    shards: BTreeMap<ShardId, ShardState>,
    ranges: Vec<ShardRange>,
    retired: ControlTotals,
    erased: u64,
    expired: u64,
    rejected_files: Vec<DataFile>,
    last_rejected: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    gaps: Vec<Gap>,
    #[serde(default, skip_serializing_if = "ControlTotals::is_zero")]
    supplemented: ControlTotals,
    #[serde(default, skip_serializing_if = "is_zero")]
    supplements: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    archive_ranges: Vec<ArchiveRange>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_archive: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_archive: Option<u64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    erasure_registry: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    archived: Vec<RawObject>,
    #[serde(default, skip_serializing_if = "Repaired::is_zero")]
    repaired: Repaired,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    repair: Option<RepairSidecar>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_repair: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_repair: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expired_before: Option<NaiveDate>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    maintenance: Option<Predecessor>,
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<CheckpointDocument> for Stored {
    fn from(document: CheckpointDocument) -> Self {
        let CheckpointDocument { head, shards, commit, tally, gaps, links } = document;
        let Head {
            format,
            digest,
            number,
            previous,
            batch_id,
            worker,
            bluelake_version,
            contract_version,
            stream_arn,
            stream_created_at,
            erasure_epoch,
            erasure_registry,
        } = head;
        let Commit { ranges, rejected_files, archive_ranges, archived, repair, maintenance } = commit;
        let Tally { retired, supplemented, supplements, erased, expired, repaired, expired_before } = tally;
        let Links { last_rejected, last_archive, previous_archive, last_repair, previous_repair } = links;
        Self {
            format,
            digest,
            number,
            previous,
            batch_id,
            worker,
            bluelake_version,
            contract_version,
            stream_arn,
            stream_created_at,
            erasure_epoch,
            shards,
            ranges,
            retired,
            erased,
            expired,
            rejected_files,
            last_rejected,
            gaps,
            supplemented,
            supplements,
            archive_ranges,
            last_archive,
            previous_archive,
            erasure_registry,
            archived,
            repaired,
            repair,
            last_repair,
            previous_repair,
            expired_before,
            maintenance,
        }
    }
}

impl From<Stored> for CheckpointDocument {
    fn from(stored: Stored) -> Self {
        let Stored {
            format,
            digest,
            number,
            previous,
            batch_id,
            worker,
            bluelake_version,
            contract_version,
            stream_arn,
            stream_created_at,
            erasure_epoch,
            shards,
            ranges,
            retired,
            erased,
            expired,
            rejected_files,
            last_rejected,
            gaps,
            supplemented,
            supplements,
            archive_ranges,
            last_archive,
            previous_archive,
            erasure_registry,
            archived,
            repaired,
            repair,
            last_repair,
            previous_repair,
            expired_before,
            maintenance,
        } = stored;
        Self {
            head: Head {
                format,
                digest,
                number,
                previous,
                batch_id,
                worker,
                bluelake_version,
                contract_version,
                stream_arn,
                stream_created_at,
                erasure_epoch,
                erasure_registry,
            },
            shards,
            commit: Commit { ranges, rejected_files, archive_ranges, archived, repair, maintenance },
            tally: Tally { retired, supplemented, supplements, erased, expired, repaired, expired_before },
            gaps,
            links: Links { last_rejected, last_archive, previous_archive, last_repair, previous_repair },
        }
    }
}

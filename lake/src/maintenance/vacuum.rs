//! Vacuum: deletes the files that left a table longer ago than its versions are promised, and what nobody refers to.
//!
//! The floor is raised first, by a record (`readable_from`); then files are deleted; then a second record says up to
//! which record all of them are (`purged_to`). So whoever reads is told before a file is missing, an undo that would
//! put one back is lost, and what a killed vacuum left is found by the next one, which begins from `purged_to` again:
//! to delete twice does no harm. What is old is told by the store's clock.

pub(crate) mod deliveries;
mod leftovers;
mod orphans;
mod past;
pub(crate) mod plan;
mod sweep;

use std::{collections::BTreeSet, time::Duration};

use bluelake_schemas::Millis;

use crate::{
    error::LakeError,
    failpoint,
    maintenance::{
        record::TaskKind,
        table::{MaintainedTable, TaskOutcome},
        task::{Lost, Step},
    },
    place::lake::Lake,
};
use deliveries::DeliveryHints;
pub use orphans::OrphanSearch;
use past::Extent;
use plan::{Cutoff, GoneFile, Past};

/// Floors in a row that others may be faster with.
const FLOORS: usize = 4;

/// What is deleted.
#[derive(Clone, Debug)]
pub struct VacuumOptions {
    /// Versions that were the newest within this time stay readable. It must be longer than a query runs.
    pub time_travel: Duration,
    /// Versions that were the newest within this time stay readable for a target of delivery that is behind; what it has
    /// not read for longer it must load anew.
    pub hold: Duration,
    /// What nobody refers to is deleted at this age. It must be longer than a batch or task may wait for its commit, an
    /// hour.
    pub orphan_age: Duration,
    /// Whether such files are looked for.
    pub orphans: OrphanSearch,
    /// Only say what would be deleted.
    pub dry_run: bool,
    /// Name of the worker in the records.
    pub worker: String,
}

/// Who is told how far it is.
pub(crate) type Observe<'a> = &'a (dyn Fn(Step) + Sync);

/// What vacuum did to a table, or in a dry run would do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    /// The table.
    pub table: &'static str,
    /// Files that left the table and were deleted.
    pub retired: Vec<GoneFile>,
    /// Files that nobody refers to; `None`: they were not looked for.
    pub orphans: Option<Vec<GoneFile>>,
    /// Whether the orphans were deleted. Those that are found for the first time are only listed.
    pub orphans_deleted: bool,
    /// What puts that were broken off left in a folder, deleted with the orphans.
    pub leftovers: Vec<GoneFile>,
    /// Checkpoint documents deleted.
    pub documents: usize,
    /// The oldest version that can be read.
    pub readable_from: u64,
    /// The newest record whose removed files are deleted.
    pub purged_to: u64,
}

/// Vacuums a table.
///
/// # Errors
/// When the table cannot be read or committed to, or the store refuses to delete. What was deleted before stays
/// deleted; the next run finishes it.
pub async fn vacuum(
    lake: &Lake,
    name: &str,
    options: &VacuumOptions,
    observe: &(dyn Fn(Step) + Sync),
) -> Result<Vacuumed, LakeError> {
    let mut table = MaintainedTable::open(lake, name, &options.worker).await?;
    let mut run = Run { lake, table: &mut table, options, observe };
    run.all().await
}

/// A vacuum under way.
struct Run<'a> {
    lake: &'a Lake,
    table: &'a mut MaintainedTable,
    options: &'a VacuumOptions,
    observe: Observe<'a>,
}

/// What is to be done with what left the table.
struct Planned {
    past: Past,
    /// Files of the table as it was planned on.
    active: BTreeSet<String>,
    /// The floor as it should be.
    readable_from: u64,
    retired: Vec<GoneFile>,
}

impl Run<'_> {
    async fn all(&mut self) -> Result<Vacuumed, LakeError> {
        let now = self.lake.store_time().await?;
        let due = orphans::due(self.lake, self.table.name(), self.options, now).await?;
        let planned = self.retire(now, due.is_some()).await?;
        let (readable_from, purged_to) = self.standing();
        let mut done = Vacuumed {
            table: self.table.name(),
            retired: planned.retired,
            readable_from: if self.options.dry_run { planned.readable_from } else { readable_from },
            purged_to,
            ..Vacuumed::default()
        };
        if let Some(due) = due {
            let before = now.earlier(self.options.orphan_age);
            let mut known = planned.past.names();
            known.extend(planned.active);
            let found = orphans::find(self.table, known, planned.past.newest(), before).await?;
            done.leftovers = leftovers::find(self.lake, self.table.name(), before).await?;
            done.orphans_deleted = due.deletes && !self.options.dry_run;
            if done.orphans_deleted {
                sweep::delete(self.table, &found, self.observe).await?;
                leftovers::delete(self.lake, self.table.name(), &done.leftovers).await?;
            }
            if !self.options.dry_run {
                orphans::listed(self.lake, self.table.name()).await?;
            }
            done.orphans = Some(found);
        }
        if !self.options.dry_run {
            done.documents = past::prune_documents(self.table, readable_from, now).await?;
        }
        Ok(done)
    }

    /// Deletes what left the table: floor, files, floor again.
    async fn retire(&mut self, now: Millis, whole: bool) -> Result<Planned, LakeError> {
        for _ in 0..FLOORS {
            let planned = self.plan(now, whole).await?;
            if self.options.dry_run || planned.retired.is_empty() {
                return Ok(planned);
            }
            let (readable_from, purged_to) = self.standing();
            if planned.readable_from > readable_from {
                failpoint::pass("before_floor").await?;
                if !self.floor(planned.readable_from, purged_to).await? {
                    continue;
                }
                failpoint::pass("after_floor").await?;
            }
            sweep::delete(self.table, &planned.retired, self.observe).await?;
            self.purged(&planned).await?;
            return Ok(planned);
        }
        let table = self.table.name().to_owned();
        Err(LakeError::Contention { table, attempts: FLOORS, source: None })
    }

    /// Plans from the table as it is now.
    async fn plan(&mut self, now: Millis, whole: bool) -> Result<Planned, LakeError> {
        past::reload(self.table).await?;
        let (floor, _) = self.standing();
        let slowest = DeliveryHints::of(self.lake).slowest(self.table.name()).await?;
        let cutoff = Cutoff {
            time_travel: now.earlier(self.options.time_travel),
            slowest,
            hold: now.earlier(self.options.hold),
        };
        let (readable_from, first) = past::floor(self.table, floor, cutoff).await?;
        let first = if first > floor { first } else { 0 };
        let past = past::read(self.table, Extent { floor: readable_from, first, whole }).await?;
        let active: BTreeSet<String> = sweep::active(self.table)?;
        let retired = plan::without(past.retired(), &active);
        let retired = retired.into_iter().map(|(path, size)| GoneFile { path, size }).collect();
        Ok(Planned { past, active, readable_from, retired })
    }

    /// All that was planned is deleted: says so, unless another vacuum said more meanwhile.
    async fn purged(&mut self, planned: &Planned) -> Result<(), LakeError> {
        failpoint::pass("before_purged").await?;
        let purges_to = planned.past.purges_to();
        for _ in 0..FLOORS {
            self.table.reload().await?;
            let (readable_from, purged_to) = self.standing();
            if purges_to <= purged_to || self.floor(readable_from.max(planned.readable_from), purges_to).await? {
                break;
            }
        }
        failpoint::pass("after_purged").await
    }

    /// Commits a floor; false when the table's is higher already.
    async fn floor(&mut self, readable_from: u64, purged_to: u64) -> Result<bool, LakeError> {
        let task = self.table.begin(TaskKind::Floor { readable_from, purged_to }).await?;
        match self.table.commit(&task).await? {
            TaskOutcome::Committed { .. } => Ok(true),
            TaskOutcome::Lost(Lost::Outrun { .. }) => Ok(false),
            TaskOutcome::Lost(lost) => Err(LakeError::Refused {
                table: self.table.name().to_owned(),
                check: format!("its floor was not raised: {lost}"),
                remedy: "run it again".to_owned(),
            }),
        }
    }

    /// The floor, and the newest record that is purged.
    fn standing(&self) -> (u64, u64) {
        self.table.record().map_or((0, 0), |record| (record.standing.readable_from, record.standing.purged_to))
    }
}

//! Expiry of one table: whole partitions of old days leave, in a few commits that count their rows.
//!
//! The files stay in the store until what nobody needs any more is cleared away, so versions from before can be read meanwhile.

mod plan;

use std::collections::BTreeMap;

use bluelake_lake::{
    Lake, MaintainedTable, REJECTED_EVENTS, Step, TableFile, TaskKind, TaskOutcome, day_of, folder_of, follow_rejected,
};
use bluelake_schemas::Stream;
use chrono::NaiveDate;

use self::plan::{Departure, departures};
use crate::{
    compaction::{Extent, LOST_IN_A_ROW},
    error::CareError,
};

/// Files that leave in one commit, at most: an action of the log and a line of the record each.
pub const FILES_A_COMMIT: usize = 10_000;

/// What expires.
#[derive(Clone, Debug)]
pub struct ExpiryOptions {
    /// Days (in UTC) before this one leave. It may not lie ahead of the store's clock.
    pub before: NaiveDate,
    /// Transactions may leave: balances, liability and all else that needs the whole ledger count since `before` then.
    pub accept_changed_balances: bool,
    /// Only say what would leave.
    pub dry_run: bool,
    /// Files of a commit, at most.
    pub files_per_commit: usize,
    /// Name of the worker in the records.
    pub worker: String,
}

/// What an expiry did to a table.
#[derive(Clone, Debug)]
pub struct Expiry {
    /// The table.
    pub table: &'static str,
    /// What left, or in a dry run would leave.
    pub gone: Extent,
    /// Partitions of which files left.
    pub partitions: BTreeMap<String, u64>,
    /// Commits, or in a dry run how many there would be.
    pub commits: usize,
    /// Tasks that another commit overtook.
    pub lost: usize,
    /// Files of these days that stay, with the reason: the log does not tell enough of them.
    pub left: BTreeMap<String, String>,
    /// Rows of days before this one may be missing, by the record in force.
    pub expired_before: Option<NaiveDate>,
    /// Version of the table afterwards.
    pub version: Option<u64>,
}

/// Takes whole partitions of old days out of a table.
///
/// # Errors
/// [`CareError::NeverExpires`], [`CareError::ChangesBalances`] and [`CareError::NotOver`] before anything is done; and when
/// the table cannot be read or committed to. What was committed before stays, and a new run goes on from there.
pub async fn expire(
    lake: &Lake,
    name: &str,
    options: &ExpiryOptions,
    observe: &(dyn Fn(Step) + Sync),
) -> Result<Expiry, CareError> {
    check(name, options)?;
    let now = lake.store_time().await?;
    let today = now.time().map(|now| now.date_naive());
    if today.is_none_or(|today| options.before > today) {
        return Err(CareError::NotOver { before: options.before, today: today.unwrap_or_default() });
    }
    if name == REJECTED_EVENTS && !options.dry_run {
        // What documents gave it is expired with the rest, and not put in afterwards.
        follow_rejected(lake).await?;
    }
    let table = MaintainedTable::open(lake, name, &options.worker).await?;
    let found = Expiry {
        table: table.name(),
        gone: Extent::default(),
        partitions: BTreeMap::new(),
        commits: 0,
        lost: 0,
        left: BTreeMap::new(),
        expired_before: None,
        version: None,
    };
    let mut run = Run { table, options, found };
    run.all(observe).await?;
    Ok(run.found)
}

/// What no clock and no table changes.
fn check(name: &str, options: &ExpiryOptions) -> Result<(), CareError> {
    if name == Stream::UserEvents.table() {
        return Err(CareError::NeverExpires { table: Stream::UserEvents.table() });
    }
    if name == Stream::TransactionEvents.table() && !options.accept_changed_balances {
        return Err(CareError::ChangesBalances { table: Stream::TransactionEvents.table() });
    }
    Ok(())
}

struct Run<'a> {
    table: MaintainedTable,
    options: &'a ExpiryOptions,
    found: Expiry,
}

impl Run<'_> {
    async fn all(&mut self, observe: &(dyn Fn(Step) + Sync)) -> Result<(), CareError> {
        let mut due = self.look().await?;
        if self.options.dry_run {
            for departure in &due {
                self.count(&departure.files);
            }
            return Ok(());
        }
        let mut lost_in_a_row = 0;
        let mut files = 0;
        while let Some(departure) = due.first() {
            let of = files + due.iter().map(|departure| departure.files.len()).sum::<usize>();
            observe(Step { files, of });
            match self.task(departure).await? {
                TaskOutcome::Committed { version, .. } => {
                    lost_in_a_row = 0;
                    files += departure.files.len();
                    self.count(&departure.files);
                    self.found.version = Some(version);
                    // What comes late meanwhile is left to the next run: it would go on for ever beside an ingest.
                    due.remove(0);
                }
                TaskOutcome::Lost(reason) => {
                    lost_in_a_row += 1;
                    self.found.lost += 1;
                    if lost_in_a_row == LOST_IN_A_ROW {
                        return Err(CareError::Lost { table: self.found.table, times: lost_in_a_row, reason });
                    }
                    tracing::info!(table = self.found.table, %reason, "an expiry was overtaken and is planned anew");
                    due = self.look().await?;
                }
            }
        }
        self.found.expired_before = self.table.record().and_then(|record| record.standing.expired_before);
        Ok(())
    }

    /// Loads the table, and plans what is due.
    async fn look(&mut self) -> Result<Vec<Departure>, CareError> {
        self.table.reload().await?;
        let (files, odd) = self.table.files()?;
        self.found.version = self.table.delta_table().version();
        self.found.expired_before = self.table.record().and_then(|record| record.standing.expired_before);
        let of_these_days = |path: &str| day_of(folder_of(path)).is_some_and(|day| day < self.options.before);
        let odd = odd.into_iter().filter(|file| of_these_days(&file.path));
        self.found.left = odd.map(|file| (file.path, file.reason.to_owned())).collect();
        Ok(departures(files, self.options.before, self.options.files_per_commit))
    }

    async fn task(&mut self, departure: &Departure) -> Result<TaskOutcome, CareError> {
        let mut task = self.table.begin(TaskKind::Expire { before: departure.before }).await?;
        for file in &departure.files {
            task.take_out(file.stream, file.into());
        }
        let outcome = self.table.commit(&task).await?;
        if matches!(outcome, TaskOutcome::Committed { .. }) {
            self.found.commits += 1;
        }
        Ok(outcome)
    }

    fn count(&mut self, files: &[TableFile]) {
        for file in files {
            self.found.gone.files += 1;
            self.found.gone.bytes += file.size;
            self.found.gone.rows += file.rows;
            *self.found.partitions.entry(folder_of(&file.path).to_owned()).or_default() += file.rows;
        }
        if self.options.dry_run {
            self.found.commits += 1;
        }
    }
}

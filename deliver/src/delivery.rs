//! The delivery of a lake to one target: reads what happened, has the target take it step by step, and begins again from
//! what the target says after any fault. It knows nothing of the kind of the target.

mod patience;

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bluelake_lake::{DeliveryHint, DeliveryHints, Extent, FeedFile, Lake, StepBounds, causes};
use bluelake_schemas::Contract;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use self::patience::{Patience, pauses};
use crate::{
    columns::{Columns, unknown_columns},
    digest::TableVerdict,
    error::DeliverError,
    progress::DeliveryProgress,
    target::{Applied, Load, Source, Standing, Target},
};

/// A transaction holds about this much: few enough rows that another one need not wait long, many enough that its own cost
/// does not matter.
const BOUNDS: StepBounds = StepBounds { rows: 500_000, bytes: 256 << 20 };
/// Tries to connect for the first time.
const FIRST_TRIES: u32 = 3;
/// A hint is written no more often than this while a delivery follows.
const HINT_EVERY: Duration = Duration::from_secs(60);
/// Loads of a table in a row whose files vacuum was faster with.
const LOADS: usize = 3;

/// How a delivery runs.
#[derive(Clone, Debug)]
pub struct DeliveryOptions {
    /// The tables, in order.
    pub tables: Vec<String>,
    /// The columns that the target wants.
    pub columns: Columns,
    /// Ends when the target holds the newest versions as of the start.
    pub once: bool,
    /// How often the lake is looked at.
    pub interval: Duration,
    /// How long a run that should end puts up with faults that may pass.
    pub patience: Duration,
}

/// What a delivery did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Delivered {
    /// By table.
    pub tables: Vec<TableDelivered>,
    /// Values that this run delivered as null since they do not fit there.
    pub losses: u64,
}

/// What it did with a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableDelivered {
    /// The table.
    pub table: &'static str,
    /// The version that the target holds.
    pub version: Option<u64>,
    /// The newest version of the lake, as last looked at.
    pub newest: u64,
    /// Rows that this run delivered.
    pub rows: u64,
    /// Rows that this run took away.
    pub removed: u64,
}

/// The delivery of a lake to a target.
pub struct Delivery<T> {
    lake: Lake,
    contract: Contract,
    target: T,
    options: DeliveryOptions,
    progress: DeliveryProgress,
    /// Table → the version that the target needs the changes since.
    needs: BTreeMap<String, u64>,
    /// The hint as last written, and when.
    told: Option<(BTreeMap<String, u64>, Instant)>,
}

impl<T: Target> Delivery<T> {
    /// Of these tables. Nothing is done yet.
    #[must_use]
    pub fn new(lake: Lake, contract: Contract, target: T, options: DeliveryOptions) -> Self {
        let progress = DeliveryProgress::new(target.name());
        Self { lake, contract, target, options, progress, needs: BTreeMap::new(), told: None }
    }

    /// How it stands, for whoever watches it.
    #[must_use]
    pub fn progress(&self) -> DeliveryProgress {
        self.progress.clone()
    }

    /// Names in the list of columns that no table has.
    #[must_use]
    pub fn unknown_columns(&self) -> Vec<String> {
        unknown_columns(&self.options.columns, &self.contract)
    }

    /// Delivers until it is to stop, or, once, until the target holds what the lake did at the start. A fault that may pass is
    /// waited out; what was not done then is not half done.
    ///
    /// # Errors
    /// Those that a person must look at, and a target that cannot be reached at the start.
    pub async fn run(&mut self, shutdown: &CancellationToken) -> Result<Delivered, DeliverError> {
        self.begin().await?;
        let mut sources = self.sources().await?;
        let mut patience = self.patience(self.options.once);
        loop {
            let round = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                round = self.round(&mut sources) => round,
            };
            let pause = match round {
                Ok(()) => {
                    self.progress.went_well();
                    patience = self.patience(self.options.once);
                    if self.options.once {
                        break;
                    }
                    self.options.interval
                }
                Err(error) => self.failed(&mut patience, error)?,
            };
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep(pause) => {}
            }
        }
        Ok(self.delivered())
    }

    /// Loads the tables anew beside those in use, puts them in their place, and delivers what came meanwhile.
    ///
    /// # Errors
    /// As [`Self::run`], once.
    pub async fn rebuild(&mut self, shutdown: &CancellationToken) -> Result<Delivered, DeliverError> {
        self.begin().await?;
        let mut sources = self.sources().await?;
        for source in &sources {
            // A table that must be rebuilt is no obstacle here.
            match self.look(source).await {
                Err(error) if !error.needs_rebuild() => return Err(error),
                _ => {}
            }
        }
        for source in &mut sources {
            let mut patience = self.patience(true);
            loop {
                let loaded = tokio::select! {
                    biased;
                    () = shutdown.cancelled() => return Ok(self.delivered()),
                    loaded = self.load(source) => loaded,
                };
                let pause = match loaded {
                    Ok(()) => break,
                    // What is loaded stays: the next try goes on with it.
                    Err(error) => self.failed(&mut patience, error)?,
                };
                tokio::select! {
                    () = shutdown.cancelled() => return Ok(self.delivered()),
                    () = tokio::time::sleep(pause) => {}
                }
            }
        }
        self.options.once = true;
        self.run(shutdown).await
    }

    fn patience(&self, ends: bool) -> Patience {
        let most = ends.then_some(self.options.patience);
        Patience { most, pauses: pauses(), since: None, reached: self.reached() }
    }

    /// What to do after a fault: how long to wait before the next try, or to give up.
    fn failed(&self, patience: &mut Patience, error: DeliverError) -> Result<Duration, DeliverError> {
        let after = patience.after(error, self.reached());
        match &after {
            Ok((error, _)) => {
                tracing::warn!(error = causes(error), "the delivery is tried again");
                self.progress.failed(causes(error));
            }
            Err(error) if !error.is_transient() => self.progress.failed(causes(error)),
            Err(_) => {}
        }
        after.map(|(_, pause)| pause)
    }

    /// Compares the target with the lake at the version that the target holds.
    ///
    /// # Errors
    /// When either cannot be read.
    pub async fn verify(&mut self) -> Result<Vec<TableVerdict>, DeliverError> {
        let mut verdicts = Vec::new();
        for mut source in self.sources().await? {
            verdicts.push(self.target.verify(&mut source).await?);
        }
        Ok(verdicts)
    }

    /// How the target stands with each table; nothing is changed there.
    ///
    /// # Errors
    /// When it or the lake cannot be read.
    pub async fn standings(&mut self) -> Result<Vec<(Source, Standing)>, DeliverError> {
        let mut standings = Vec::new();
        for source in self.sources().await? {
            let standing = self.target.seen(&source).await?;
            standings.push((source, standing));
        }
        Ok(standings)
    }

    /// Connects for the first time: a wrong address is told soon, and one broken connection is no fault.
    async fn begin(&mut self) -> Result<(), DeliverError> {
        let mut pauses = pauses();
        for _ in 1..FIRST_TRIES {
            match self.target.prepare().await {
                Err(error) if error.is_transient() => tokio::time::sleep(pauses.pause()).await,
                other => return other,
            }
        }
        self.target.prepare().await
    }

    async fn sources(&self) -> Result<Vec<Source>, DeliverError> {
        let mut sources = Vec::new();
        for table in &self.options.tables {
            sources.push(Source::open(&self.lake, table, &self.contract, &self.options.columns).await?);
        }
        Ok(sources)
    }

    /// What was reached: the versions that the target holds, and the rows that came.
    fn reached(&self) -> Vec<(Option<u64>, u64)> {
        self.progress.tables().into_values().map(|table| (table.held, table.rows)).collect()
    }

    fn delivered(&self) -> Delivered {
        let tables = self.progress.tables().into_iter().map(|(table, progress)| TableDelivered {
            table,
            version: progress.held,
            newest: progress.newest,
            rows: progress.rows,
            removed: progress.removed,
        });
        Delivered { tables: tables.collect(), losses: self.target.lost() }
    }

    /// Brings each table to the newest version.
    async fn round(&mut self, sources: &mut [Source]) -> Result<(), DeliverError> {
        // How far the target is behind grows while it cannot be reached: so the lake comes first.
        for source in sources.iter_mut() {
            source.feed.reload().await?;
            self.note_newest(source).await?;
        }
        self.target.prepare().await?;
        // All tables are looked at before the first step: a hint takes the place of the one before, with every table in it.
        for source in sources.iter() {
            self.look(source).await?;
        }
        for source in sources {
            self.catch_up(source).await?;
        }
        self.tell(self.options.once).await;
        Ok(())
    }

    /// Notes the newest version of the lake, and since when the target is behind.
    async fn note_newest(&mut self, source: &Source) -> Result<(), DeliverError> {
        let (name, newest) = (source.name(), source.version());
        let known = self.progress.tables().get(name).copied().unwrap_or_default();
        let since = match known.held {
            Some(held) if held < newest && known.behind_since.is_none() => source.feed.written_at(held + 1).await?,
            _ => known.behind_since,
        };
        self.progress.of_table(name, |table| (table.newest, table.behind_since) = (newest, since));
        Ok(())
    }

    async fn catch_up(&mut self, source: &mut Source) -> Result<(), DeliverError> {
        loop {
            let standing = self.look(source).await?;
            let Some(held) = standing.held else {
                self.load(source).await?;
                continue;
            };
            if held > source.version() {
                // Another process looked at the lake later.
                source.feed.reload().await?;
            }
            if held == source.version() {
                return Ok(());
            }
            let next = source.feed.written_at(held + 1).await?;
            self.progress.of_table(source.name(), |table| table.behind_since = next);
            let steps = source.feed.changes(held, BOUNDS).await;
            for step in steps.map_err(DeliverError::of_feed(self.target.name()))? {
                match self.target.apply(source, &step).await? {
                    Applied::Done { added, removed } => {
                        self.note(source, step.to, added, removed);
                        self.tell(false).await;
                    }
                    Applied::Overtaken => break,
                }
            }
        }
    }

    async fn look(&mut self, source: &Source) -> Result<Standing, DeliverError> {
        let standing = self.target.standing(source).await?;
        let newest = source.version();
        self.progress.of_table(source.name(), |table| {
            (table.held, table.newest) = (standing.held, newest);
            if standing.held == Some(newest) {
                table.behind_since = None;
            }
        });
        let needs = standing.held.into_iter().chain(standing.loading).min();
        if let Some(needs) = needs {
            self.needs.insert(source.name().to_owned(), needs);
        }
        Ok(standing)
    }

    fn note(&mut self, source: &Source, version: u64, added: u64, removed: u64) {
        tracing::info!(table = source.name(), version, added, removed, "delivered");
        self.progress.went_well();
        self.progress.of_table(source.name(), |table| {
            table.held = Some(version);
            table.rows = table.rows.saturating_add(added);
            table.removed = table.removed.saturating_add(removed);
        });
        self.needs.insert(source.name().to_owned(), version);
    }

    /// Tells the lake what the target needs. That is a hint: a fault of it is no fault of the delivery.
    async fn tell(&mut self, now: bool) {
        let is_due = self.told.as_ref().is_none_or(|(told, at)| {
            *told != self.needs && (now || at.elapsed() >= HINT_EVERY || told.len() != self.needs.len())
        });
        if !is_due || self.needs.is_empty() {
            return;
        }
        let hint = DeliveryHint {
            target: self.target.name().to_owned(),
            versions: self.needs.clone(),
            at: chrono::Utc::now().into(),
        };
        match DeliveryHints::of(&self.lake).put(&hint).await {
            Ok(()) => self.told = Some((hint.versions, Instant::now())),
            Err(error) => tracing::warn!(error = causes(&error), "vacuum is not told how far the target is"),
        }
    }

    /// Loads a table beside the one in use, and puts it in its place.
    async fn load(&mut self, source: &mut Source) -> Result<(), DeliverError> {
        for _ in 1..LOADS {
            match self.try_load(source).await {
                Err(error) if error.needs_rebuild() => {
                    tracing::warn!(error = causes(&error), "the load begins again");
                    self.target.abandon_load(source).await?;
                    source.feed.reload().await?;
                }
                other => return other,
            }
        }
        self.try_load(source).await
    }

    async fn try_load(&mut self, source: &Source) -> Result<(), DeliverError> {
        loop {
            let load = self.target.begin_load(source).await?;
            tracing::info!(table = source.name(), version = load.version, done = load.done.len(), "loading");
            let held = self.needs.get(source.name()).copied().unwrap_or(load.version);
            self.needs.insert(source.name().to_owned(), held.min(load.version));
            self.tell(true).await;
            let files = source.feed.files_at(load.version, &Extent::All).await;
            let files = files.map_err(DeliverError::of_feed(self.target.name()))?;
            let mut applied = self.load_all(source, &load, files).await?;
            if applied != Applied::Overtaken {
                applied = self.target.finish_load(source, &load).await?;
            }
            if applied != Applied::Overtaken {
                self.note(source, load.version, 0, 0);
                return Ok(());
            }
            // Another process goes on with it, or has ended it.
            match self.target.standing(source).await {
                Ok(standing) if standing.held.is_some_and(|held| held >= load.version) => return Ok(()),
                Err(error) if !error.needs_rebuild() => return Err(error),
                _ => {}
            }
        }
    }

    async fn load_all(&mut self, source: &Source, load: &Load, files: Vec<FeedFile>) -> Result<Applied, DeliverError> {
        for group in groups(files, load) {
            match self.target.load(source, load, &group).await? {
                Applied::Overtaken => return Ok(Applied::Overtaken),
                Applied::Done { added, .. } => {
                    self.progress.went_well();
                    self.progress.of_table(source.name(), |table| table.rows = table.rows.saturating_add(added));
                }
            }
        }
        Ok(Applied::Done { added: 0, removed: 0 })
    }
}

/// Pure: the files of partitions that are not loaded yet, whole partitions together, within the bounds where a partition is.
fn groups(files: Vec<FeedFile>, load: &Load) -> Vec<Vec<FeedFile>> {
    let mut partitions: BTreeMap<[String; 2], Vec<FeedFile>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| !load.done.contains(&file.partition)) {
        partitions.entry(file.partition.clone()).or_default().push(file);
    }
    let mut groups: Vec<Vec<FeedFile>> = Vec::new();
    let sum = |files: &[FeedFile], of: fn(&FeedFile) -> u64| files.iter().map(of).fold(0, u64::saturating_add);
    for files in partitions.into_values() {
        match groups.last_mut() {
            Some(last)
                if sum(last, |file| file.rows).saturating_add(sum(&files, |file| file.rows)) <= BOUNDS.rows
                    && sum(last, |file| file.size).saturating_add(sum(&files, |file| file.size)) <= BOUNDS.bytes =>
            {
                last.extend(files);
            }
            _ => groups.push(files),
        }
    }
    groups
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn file(day: &str, name: &str, rows: u64) -> FeedFile {
        let partition = ["donation".to_owned(), day.to_owned()];
        FeedFile { path: format!("event_type=donation/event_date={day}/{name}"), size: rows, rows, partition }
    }

    #[test]
    fn partitions_are_loaded_whole_and_once() {
        let files = vec![file("2", "a", 300_000), file("1", "a", 200_000), file("1", "b", 100_000), file("3", "a", 7)];
        let load = Load { version: 1, done: [["donation".to_owned(), "3".to_owned()]].into() };
        let found = groups(files.clone(), &load);
        let names = |group: &Vec<FeedFile>| group.iter().map(|file| file.partition[1].clone()).collect::<Vec<_>>();
        assert_eq!(found.iter().map(names).collect::<Vec<_>>(), [vec!["1", "1"], vec!["2"]]);
        let small = groups(
            vec![file("1", "a", 5), file("2", "a", 5), file("3", "a", 9_000_000)],
            &Load { version: 1, done: [].into() },
        );
        assert_eq!(small.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1], "a large partition is a load of its own");
    }
}

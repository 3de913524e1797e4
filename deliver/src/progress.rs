//! How a delivery stands, for metrics and health.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bluelake_schemas::Millis;
use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

/// How it stands with a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableProgress {
    /// The version that the target holds.
    pub held: Option<u64>,
    /// The newest version of the lake.
    pub newest: u64,
    /// When the oldest version was written that the target does not hold.
    pub behind_since: Option<Millis>,
    /// Rows delivered by this process.
    pub rows: u64,
    /// Rows taken away by this process.
    pub removed: u64,
}

/// How a delivery stands. Cheap to clone; written by the delivery, read by whoever watches it.
#[derive(Clone, Debug, Default)]
pub struct DeliveryProgress {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    target: String,
    tables: BTreeMap<&'static str, TableProgress>,
    /// What went wrong last, and has not passed.
    trouble: Option<String>,
    failures: u64,
}

/// The metrics, with their meanings.
pub const DELIVERY_METRICS: [(&str, &str); 8] = [
    (
        "bluelake_deliver_behind_seconds",
        "Age of the oldest version of the lake that the target does not hold; 0 when it holds all",
    ),
    ("bluelake_deliver_behind_versions", "Versions of the lake that the target does not hold"),
    ("bluelake_deliver_version", "The version that the target holds"),
    ("bluelake_deliver_rows_total", "Rows delivered"),
    ("bluelake_deliver_rows_removed_total", "Rows taken away: expired, erased, or loaded anew"),
    ("bluelake_deliver_failures_total", "Tries that failed"),
    ("bluelake_deliver_losses_total", "Values that do not fit into Redshift and were delivered as null"),
    ("bluelake_deliver_rejected_total", "Documents that a search server refused, which are listed in the lake"),
];

/// Describes the metrics to the recorder in force.
pub fn describe_delivery_metrics() {
    for (name, meaning) in DELIVERY_METRICS {
        let unit = if name.ends_with("_seconds") { Unit::Seconds } else { Unit::Count };
        if name.ends_with("_total") {
            describe_counter!(name, unit, meaning);
        } else {
            describe_gauge!(name, unit, meaning);
        }
    }
}

impl DeliveryProgress {
    /// Of a target.
    #[must_use]
    pub fn new(target: &str) -> Self {
        let progress = Self::default();
        progress.with(|inner| inner.target = target.to_owned());
        progress
    }

    fn with<T>(&self, act: impl FnOnce(&mut Inner) -> T) -> T {
        act(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn of_table(&self, table: &'static str, act: impl FnOnce(&mut TableProgress)) {
        self.with(|inner| act(inner.tables.entry(table).or_default()));
    }

    pub(crate) fn failed(&self, trouble: String) {
        self.with(|inner| {
            inner.trouble = Some(trouble);
            inner.failures += 1;
        });
    }

    pub(crate) fn went_well(&self) {
        self.with(|inner| inner.trouble = None);
    }

    /// How it stands with each table.
    #[must_use]
    pub fn tables(&self) -> BTreeMap<&'static str, TableProgress> {
        self.with(|inner| inner.tables.clone())
    }

    /// What went wrong last and has not passed.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.with(|inner| inner.trouble.clone())
    }

    /// Publishes the metrics to the recorder in force.
    pub fn publish(&self, now: Millis) {
        let (target, failures) = self.with(|inner| (inner.target.clone(), inner.failures));
        counter!("bluelake_deliver_failures_total", "target" => target.clone()).absolute(failures);
        for (table, progress) in self.tables() {
            let labels = [("target", target.clone()), ("table", table.to_owned())];
            let behind = progress.behind_since.map_or(Duration::ZERO, |since| now.since(since));
            gauge!("bluelake_deliver_behind_seconds", &labels).set(behind.as_secs_f64());
            let held = progress.held.unwrap_or_default();
            let versions = u32::try_from(progress.newest.saturating_sub(held)).unwrap_or(u32::MAX);
            gauge!("bluelake_deliver_behind_versions", &labels).set(versions);
            gauge!("bluelake_deliver_version", &labels).set(u32::try_from(held).unwrap_or(u32::MAX));
            counter!("bluelake_deliver_rows_total", &labels).absolute(progress.rows);
            counter!("bluelake_deliver_rows_removed_total", &labels).absolute(progress.removed);
        }
    }
}

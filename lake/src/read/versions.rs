//! The lake for queries: every table at one version, and its stream's document at that version.

use std::{collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use bluelake_schemas::{Millis, Stream};
use chrono::{DateTime, NaiveDate, Utc};
use datafusion::{
    catalog::TableProvider,
    execution::{SessionStateBuilder, context::SessionState},
    prelude::SessionConfig,
};
use deltalake::{DeltaTable, DeltaTableError};
use futures::future::join_all;

use crate::{
    checkpoint::{document::CheckpointDocument, totals::ControlTotals},
    commit::{
        chain::DocumentChain,
        log::version::{at_version, commits, no_such_version},
        self_check,
        stream_table::document_number,
    },
    error::LakeError,
    layout::{REJECTED_EVENTS, app_id, partitions_of, table_names},
    maintenance::{
        record::MaintenanceRecord,
        record_chain::{MAINTENANCE, RecordChain},
    },
    place::lake::{Lake, opened::OpenedTable},
    read::{
        expired::Expired,
        scan::{PlainConditions, scan_of},
    },
};

/// Which versions are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AsOf {
    /// The newest of each table.
    #[default]
    Newest,
    /// The newest versions at this time, by the store's clock.
    Time(DateTime<Utc>),
    /// This version of `transactions`, and the newest versions of the other tables when it was committed.
    Version(u64),
    /// These versions by table; the newest for a table that is not named.
    Versions(BTreeMap<String, u64>),
}

/// The fault in the text of an [`AsOf`].
#[derive(Debug, thiserror::Error)]
#[error(
    "{0:?} is no version and no time: write 2026-11-25T06:00:00Z, 12 (a version of transactions) or transactions@12,user_events@7"
)]
pub struct AsOfFault(String);

impl FromStr for AsOf {
    type Err = AsOfFault;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fault = || AsOfFault(text.to_owned());
        if let Ok(version) = text.parse() {
            return Ok(Self::Version(version));
        }
        if let Ok(time) = DateTime::parse_from_rfc3339(text) {
            return Ok(Self::Time(time.with_timezone(&Utc)));
        }
        let tables: Vec<&str> = table_names().collect();
        let mut versions = BTreeMap::new();
        for part in text.split(',') {
            let (table, version) = part.trim().split_once('@').ok_or_else(fault)?;
            let version = version.parse().map_err(|_| fault())?;
            if !tables.contains(&table) || versions.insert(table.to_owned(), version).is_some() {
                return Err(fault());
            }
        }
        Ok(Self::Versions(versions))
    }
}

/// The lake at one version of each table.
#[derive(Debug)]
pub struct LakeReading {
    /// The tables: those of the streams, then `rejected_events`.
    pub tables: Vec<TableReading>,
    /// The streams.
    pub streams: Vec<StreamReading>,
}

/// A table at one version, ready for queries.
#[derive(Debug)]
pub struct TableReading {
    /// Name of the table.
    pub name: String,
    /// The version that is read.
    pub version: Option<u64>,
    /// Its rows by the statistics of the log; `None` when a file has none. Rows of expired days are not among them.
    pub rows: Option<u64>,
    /// Rows of days (in UTC) before this one expired. The table does not show those that came late.
    pub expired_before: Option<NaiveDate>,
    /// The table for DataFusion.
    pub provider: Arc<dyn TableProvider>,
    /// The same by the scan of deltalake, which knows every kind of Delta table; tests compare the two.
    pub general: Arc<dyn TableProvider>,
}

/// The facts of a table's document about its stream, at the read version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamReading {
    /// The stream.
    pub stream: Stream,
    /// Number of the document; `None` before the first commit, or when it was cleared away.
    pub document: Option<u64>,
    /// Every record that arrived up to here is in the table; `None` when that is not known.
    pub complete_to: Option<Millis>,
    /// Control totals since the first commit.
    pub totals: ControlTotals,
    /// Rows that the table should show: stored, less those erased and expired and those of expired days that came late.
    pub expected_rows: Option<u64>,
    /// Rows of the stream that `rejected_events` was given and does not show: they expired.
    pub rejected_gone: u64,
    /// The number of gaps found: Kinesis may have discarded records unread.
    pub gaps: usize,
}

/// An [`AsOf`] by table: the named version, else the newest of the time, else the newest.
#[derive(Debug, Default)]
struct Wanted {
    versions: BTreeMap<String, u64>,
    time: Option<DateTime<Utc>>,
}

impl Lake {
    /// Opens every table at the wanted version.
    ///
    /// # Errors
    /// [`LakeError::NotALake`] without tables, [`LakeError::NoSuchVersion`] for a version or time that the logs do not have (any
    /// more), or whose files were deleted.
    pub async fn read(&self, as_of: &AsOf) -> Result<LakeReading, LakeError> {
        let wanted = self.wanted(as_of).await?;
        let session = &scan_session();
        let streams = Stream::ALL.map(|stream| {
            let wanted = &wanted;
            async move {
                let opened = self.wanted_table(stream.table(), wanted).await?;
                let (reading, expired) = self.stream_reading(stream, &opened.table).await?;
                Ok::<_, LakeError>((reading, self.table_reading(stream.table(), &opened, &expired, session).await?))
            }
        });
        // Each read runs to its end: dropping a read of the log makes its own threads panic.
        let read = join_all(streams).await.into_iter().collect::<Result<Vec<_>, _>>()?;
        let (mut streams, mut tables): (Vec<_>, Vec<_>) = read.into_iter().unzip();
        // It is read after the tables that it follows, so that an early read does not make it look behind.
        let rejected = self.wanted_table(REJECTED_EVENTS, &wanted).await?;
        let expired = Expired::of(self, REJECTED_EVENTS, &rejected.table).await?;
        for reading in &mut streams {
            reading.rejected_gone = expired.hidden(reading.stream);
        }
        tables.push(self.table_reading(REJECTED_EVENTS, &rejected, &expired, session).await?);
        Ok(LakeReading { tables, streams })
    }

    async fn wanted(&self, as_of: &AsOf) -> Result<Wanted, LakeError> {
        Ok(match as_of {
            AsOf::Newest => Wanted::default(),
            AsOf::Time(time) => Wanted { time: Some(*time), ..Wanted::default() },
            AsOf::Versions(versions) => Wanted { versions: versions.clone(), time: None },
            AsOf::Version(version) => {
                let name = Stream::TransactionEvents.table();
                let table = self.opened(name).await?.table;
                self.expect_readable(name, &table, *version).await?;
                let committed = commits(name, &table).await?;
                let time = committed.get(version).copied();
                let time = time.ok_or_else(|| no_such_version(name, &committed, &format!("version {version}")))?;
                Wanted { versions: BTreeMap::from([(name.to_owned(), *version)]), time: Some(time) }
            }
        })
    }

    async fn wanted_table(&self, name: &str, wanted: &Wanted) -> Result<OpenedTable, LakeError> {
        let opened = self.opened(name).await?;
        let table = &opened.table;
        let version = match (wanted.versions.get(name), wanted.time) {
            (Some(version), _) => *version,
            (None, None) => return Ok(opened),
            (None, Some(time)) => {
                let committed = commits(name, table).await?;
                let before = committed.iter().filter(|(_, at)| **at <= time).map(|(version, _)| *version).max();
                before.ok_or_else(|| no_such_version(name, &committed, &format!("version of {time} or before")))?
            }
        };
        self.expect_readable(name, table, version).await?;
        Ok(OpenedTable::new(at_version(name, opened.table, version).await?))
    }

    /// Refuses a version below the floor, before anything of it is read: its log may still be there when its files are not.
    async fn expect_readable(&self, name: &str, table: &DeltaTable, version: u64) -> Result<(), LakeError> {
        let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?;
        let Some(newest) = document_number(name, table, state, MAINTENANCE).await? else { return Ok(()) };
        let chain = RecordChain::new(self, name);
        let mut record = chain.get(newest).await?;
        if version >= record.standing.readable_from {
            return Ok(());
        }
        // The first record of this floor or a higher one says since when.
        let oldest = record.standing.readable_from;
        let mut before = chain.before(newest).await?;
        let number = |record: &MaintenanceRecord| record.previous.as_ref().map(|previous| previous.number);
        while let Some(previous) = number(&record).filter(|previous| *previous < record.number) {
            let earlier = before.get(previous).await?;
            if earlier.standing.readable_from <= version {
                break;
            }
            record = earlier;
        }
        let since = record.began_at.time().map_or_else(String::new, |at| at.format("%FT%TZ").to_string());
        let reason = format!(
            "version {version} can no longer be read since {since}: its files were deleted (vacuum); the oldest that can be read is {oldest}"
        );
        Err(LakeError::NoSuchVersion { table: name.to_owned(), reason })
    }

    async fn stream_reading(&self, stream: Stream, table: &DeltaTable) -> Result<(StreamReading, Expired), LakeError> {
        let name = stream.table();
        let state = table.snapshot().map_err(LakeError::table(name, "load its Delta log"))?.clone();
        let number = document_number(name, table, &state, &app_id(stream)).await?;
        let document = match number {
            // An older document may have been removed; then less is known, and the rows are unchanged.
            Some(number) => DocumentChain::new(self, stream).get(number).await.ok(),
            None => None,
        };
        // The document says what the record in force does; reading that costs another call.
        let expired = match &document {
            Some(document) => Expired::before(name, &state, document.tally.expired_before),
            None => Expired::of(self, name, table).await?,
        };
        let expected = document.as_ref().and_then(CheckpointDocument::expected_rows);
        let reading = StreamReading {
            stream,
            document: document.as_ref().map(|document| document.head.number),
            complete_to: document.as_ref().and_then(|document| document.watermark(None)),
            totals: document.as_ref().map(CheckpointDocument::totals).unwrap_or_default(),
            expected_rows: expected.and_then(|expected| expected.checked_sub(expired.late(stream))),
            rejected_gone: 0,
            gaps: document.map_or(0, |document| document.gaps.len()),
        };
        Ok((reading, expired))
    }

    async fn table_reading(
        &self,
        name: &str,
        opened: &OpenedTable,
        expired: &Expired,
        session: &Arc<SessionState>,
    ) -> Result<TableReading, LakeError> {
        let table = &opened.table;
        let [scan, general] = match opened.scans.get() {
            Some(scans) => scans.clone(),
            None => {
                let general = table.table_provider().with_session(Arc::clone(session)).await;
                let general = general.map_err(|error| {
                    LakeError::table(name, "plan a scan")(DeltaTableError::generic(error.to_string()))
                })?;
                let scan = scan_of(table, &general, self.opened_tables().footers());
                opened.scans.get_or_init(|| [scan, general]).clone()
            }
        };
        let rows = table.snapshot().ok().and_then(self_check::rows);
        let [_, day] = partitions_of(name);
        let since = expired.before.map(|before| (day, before));
        Ok(TableReading {
            name: name.to_owned(),
            version: table.version(),
            rows: rows.and_then(|rows| rows.checked_sub(expired.all_late())),
            expired_before: expired.before,
            provider: PlainConditions::of(scan, since),
            general: PlainConditions::of(general, since),
        })
    }
}

/// The settings for reading files. Conditions on plain columns go into the reader (see `scan`). Text is copied and not
/// read as views into its pages: every part of a batch with such views would count as all of those pages, and a sort of
/// a small part of a day's files would take gigabytes.
pub(crate) fn scan_session() -> Arc<SessionState> {
    let mut config = SessionConfig::new();
    let parquet = &mut config.options_mut().execution.parquet;
    parquet.pushdown_filters = true;
    parquet.schema_force_view_types = false;
    Arc::new(SessionStateBuilder::new().with_config(config).build())
}

impl fmt::Display for AsOf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Newest => formatter.write_str("newest"),
            Self::Time(time) => write!(formatter, "{}", time.to_rfc3339()),
            Self::Version(version) => write!(formatter, "{version}"),
            Self::Versions(versions) => {
                let parts: Vec<String> = versions.iter().map(|(table, version)| format!("{table}@{version}")).collect();
                formatter.write_str(&parts.join(","))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn older_states_are_named_by_time_or_version() {
        assert_eq!("12".parse::<AsOf>().unwrap(), AsOf::Version(12));
        let time = "2026-11-25T06:00:00+01:00".parse::<AsOf>().unwrap();
        assert_eq!(time.to_string(), "2026-11-25T05:00:00+00:00");
        let versions = "transactions@12, user_events@7".parse::<AsOf>().unwrap();
        assert_eq!(versions.to_string(), "transactions@12,user_events@7");
        for wrong in [
            "",
            "yesterday",
            "2026-11-25",
            "transactions",
            "transactions@x",
            "donations@3",
            "transactions@1,transactions@2",
        ] {
            assert!(wrong.parse::<AsOf>().is_err(), "{wrong}");
        }
    }
}

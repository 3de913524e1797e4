//! Configuration: built-in defaults < `bluelake.toml` < `BLUELAKE_…` variables < flags.
//!
//! Every setting keeps its origin, for errors and `config show`. Unknown keys are errors, because an ignored misspelt
//! setting is worse than a refused one.

mod layers;
mod machine;
#[cfg(test)]
mod page;
mod readers;
mod scheduled;
mod setting;
mod settings;
mod targets;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use bluelake_care::{CompactionOptions, Prices};
use bluelake_ingest::OnGap;
use bluelake_lake::TierClass;
use bluelake_schemas::Stream;
use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::terminal::failure::WrongUsage;
use crate::terminal::logging::LogSettings;

pub(crate) use layers::{Layers, Override, Value};
pub(crate) use readers::{duration, retention};
pub(crate) use scheduled::ScheduledReport;
pub(crate) use setting::{About, DefaultValue, Flag, Setting};
pub(crate) use settings::{DEFAULT_LAKE, SETTINGS};
pub(crate) use targets::{RedshiftSettings, SearchSettings, TargetKind, TargetSettings};

/// The file that is read from the working folder when `--config` names none.
pub(crate) const DEFAULT_FILE: &str = "bluelake.toml";

/// Where reading of a shard that is new to the lake begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartPosition {
    /// The oldest record that the stream still holds.
    TrimHorizon,
    /// Records that arrive from now on.
    Latest,
    /// Records that arrived at this time or later.
    At(DateTime<Utc>),
}

impl From<StartPosition> for bluelake_ingest::StartPosition {
    fn from(start: StartPosition) -> Self {
        match start {
            StartPosition::TrimHorizon => Self::TrimHorizon,
            StartPosition::Latest => Self::Latest,
            StartPosition::At(time) => Self::AtTimestamp(time),
        }
    }
}

/// All settings, checked and typed.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// A folder or an `s3://bucket/prefix` URL.
    pub(crate) lake: String,
    /// Folder of the contract's TOML files; `None`: the built-in contract.
    pub(crate) contract: Option<PathBuf>,
    /// The zone in which a report's day begins at midnight.
    pub(crate) time_zone: Tz,
    /// Name or ARN of the Kinesis stream for user events.
    pub(crate) user_events: String,
    /// Name or ARN of the Kinesis stream for transaction events.
    pub(crate) transaction_events: String,
    /// The bounds of a batch and the start of reading.
    pub(crate) ingest: IngestSettings,
    /// The care of the lake.
    pub(crate) care: CareSettings,
    /// Delivery to other stores.
    pub(crate) deliver: DeliverSettings,
    /// What the store charges.
    pub(crate) prices: Prices,
    /// How long rows are kept.
    pub(crate) retention: RetentionSettings,
    /// When files get cheaper.
    pub(crate) tiers: TierSettings,
    /// The reports, and those that are run on a schedule.
    pub(crate) reports: ReportSettings,
    /// Limits of a query.
    pub(crate) sql: SqlSettings,
    /// The settings of the log.
    pub(crate) log: LogSettings,
    /// The raw values with their origins, for `config show`.
    pub(crate) layers: Layers,
}

/// The bounds of a batch and the start of reading.
#[derive(Debug, Clone)]
pub(crate) struct IngestSettings {
    /// Memory that ingest may take.
    pub(crate) memory_budget: ByteSize,
    /// A batch is committed when its files have this many bytes.
    pub(crate) file_size: ByteSize,
    /// A batch is committed when its rows have this many bytes in memory.
    pub(crate) buffer_size: Option<ByteSize>,
    /// A batch is committed at this age.
    pub(crate) buffer_age: Duration,
    /// Where reading of a new shard begins.
    pub(crate) start: StartPosition,
    /// An event id seen within this time of a shard's arrivals is a duplicate; zero: there are no duplicates.
    pub(crate) dedup_window: Duration,
    /// Time for the last commit after a request to stop.
    pub(crate) shutdown_timeout: Duration,
    /// The worker's name in the fleet, if one was given.
    pub(crate) worker_id: Option<String>,
    /// Most shards that the worker reads.
    pub(crate) max_shards: Option<usize>,
    /// What a shard does behind a gap.
    pub(crate) on_gap: OnGap,
    /// Bytes a second that polling takes of a shard.
    pub(crate) shard_rate: ByteSize,
    /// The registered consumer that reads by enhanced fan-out.
    pub(crate) fan_out: Option<String>,
    /// Where metrics and health are served, if they are.
    pub(crate) listen: Option<SocketAddr>,
}

/// The care of the lake.
#[derive(Debug, Clone)]
pub(crate) struct CareSettings {
    /// Whether ingest compacts the tables beside it.
    pub(crate) auto_compact: bool,
    /// Bytes of files that compaction reads per second.
    pub(crate) rate: ByteSize,
    /// Size of the files that compaction makes, if not by the table's size.
    pub(crate) target_file_size: Option<ByteSize>,
    /// Memory that compaction may take.
    pub(crate) memory: ByteSize,
    /// How long versions stay readable.
    pub(crate) time_travel: Duration,
    /// Age at which files go that nothing refers to.
    pub(crate) orphan_age: Duration,
}

/// Delivery to other stores.
#[derive(Debug, Clone)]
pub(crate) struct DeliverSettings {
    /// How long vacuum keeps what a target has not read.
    pub(crate) hold: Duration,
    /// How often the lake is looked at.
    pub(crate) interval: Duration,
    /// Where metrics and health are served, if they are.
    pub(crate) listen: Option<SocketAddr>,
    /// The targets: the `[[target]]` tables of the file, in their order.
    pub(crate) targets: Vec<TargetSettings>,
}

/// How long rows are kept, at least; they leave when `lake expire` runs.
#[derive(Debug, Clone)]
pub(crate) struct RetentionSettings {
    /// By the day of arrival.
    pub(crate) rejected_events: Retention,
    /// By the day on which events happened.
    pub(crate) transactions: Retention,
}

/// When the bucket moves files to a cheaper class, once `lake tiers` has told it.
#[derive(Debug, Clone)]
pub(crate) struct TierSettings {
    /// By the age of the file.
    pub(crate) infrequent_after: Retention,
    /// The class.
    pub(crate) class: TierClass,
}

/// How long the days of a table are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retention {
    /// For ever.
    Never,
    /// So many whole days before today.
    Days(u32),
}

/// The reports, and those that are run on a schedule.
#[derive(Debug, Clone)]
pub(crate) struct ReportSettings {
    /// Folder of the user's own.
    pub(crate) folder: Option<PathBuf>,
    /// Where `report run-all` exports to.
    pub(crate) destination: Option<String>,
    /// What `report run-all` runs: the `[[report]]` tables of the file, in their order.
    pub(crate) scheduled: Vec<ScheduledReport>,
}

/// Limits of a query.
#[derive(Debug, Clone)]
pub(crate) struct SqlSettings {
    /// Memory that sorting, grouping and joining may hold together.
    pub(crate) memory_limit: ByteSize,
    /// Time after which a query is stopped.
    pub(crate) time_limit: Duration,
    /// Folder for results that do not fit into memory, if not the system's place for temporary files.
    pub(crate) spill_directory: Option<PathBuf>,
    /// Disk that spilled results may take.
    pub(crate) spill_limit: ByteSize,
    /// Where the shell keeps its history.
    pub(crate) history: HistoryFile,
    /// The command through which the shell shows long results, if one was given.
    pub(crate) pager: Option<String>,
}

/// Where the shell keeps its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum HistoryFile {
    /// In the user's folder for state, if there is one.
    Usual,
    /// In this file.
    File(PathBuf),
    /// Nowhere.
    None,
}

impl Config {
    /// Reads the file (`--config`, `BLUELAKE_CONFIG` or `bluelake.toml` if it exists), the environment and the flags,
    /// in rising precedence, and checks every value.
    ///
    /// # Errors
    /// [`WrongUsage`] for a file that is missing or not TOML, an unknown key or variable, or an invalid value.
    pub(crate) fn load(file: Option<&Path>, flags: Vec<Override>) -> Result<Self> {
        Self::resolve(Layers::load(file, std::env::vars_os(), flags)?)
    }

    /// Whether the place of the lake is the default.
    pub(crate) fn lake_is_default(&self) -> bool {
        self.layers.get(settings::LAKE.about.key).is_some_and(|value| value.origin == layers::Origin::Default)
    }

    /// The stream's name or ARN as the Kinesis API takes it.
    pub(crate) fn stream(&self, stream: Stream) -> &str {
        match stream {
            Stream::UserEvents => &self.user_events,
            Stream::TransactionEvents => &self.transaction_events,
        }
    }

    /// The stream's name: the part after the last `/` of an ARN.
    pub(crate) fn stream_name(&self, stream: Stream) -> &str {
        let stream = self.stream(stream);
        stream.rsplit_once('/').map_or(stream, |(_, name)| name)
    }

    fn resolve(layers: Layers) -> Result<Self> {
        streams_differ(&layers)?;
        Ok(Self {
            lake: layers.read(&settings::LAKE)?,
            contract: layers.read_optional(&settings::CONTRACT)?,
            time_zone: layers.read(&settings::TIME_ZONE)?,
            user_events: layers.read(&settings::STREAMS_USER_EVENTS)?,
            transaction_events: layers.read(&settings::STREAMS_TRANSACTION_EVENTS)?,
            ingest: IngestSettings::of(&layers)?,
            care: CareSettings {
                auto_compact: layers.read(&settings::CARE_AUTO_COMPACT)?,
                rate: layers.read(&settings::CARE_RATE)?,
                target_file_size: layers.read_optional(&settings::CARE_TARGET_FILE_SIZE)?,
                memory: layers.read(&settings::CARE_MEMORY)?,
                time_travel: layers.read(&settings::CARE_TIME_TRAVEL)?,
                orphan_age: layers.read(&settings::CARE_ORPHAN_AGE)?,
            },
            deliver: DeliverSettings {
                hold: layers.read(&settings::DELIVER_HOLD)?,
                interval: layers.read(&settings::DELIVER_INTERVAL)?,
                listen: layers.read_optional(&settings::DELIVER_LISTEN)?,
                targets: layers.targets().to_vec(),
            },
            prices: Prices {
                storage: layers.read(&settings::PRICES_STORAGE)?,
                writes: layers.read(&settings::PRICES_WRITES)?,
                reads: layers.read(&settings::PRICES_READS)?,
            },
            retention: RetentionSettings {
                rejected_events: layers.read(&settings::RETENTION_REJECTED_EVENTS)?,
                transactions: layers.read(&settings::RETENTION_TRANSACTIONS)?,
            },
            tiers: TierSettings {
                infrequent_after: layers.read(&settings::TIERS_INFREQUENT_AFTER)?,
                class: layers.read(&settings::TIERS_CLASS)?,
            },
            reports: ReportSettings::of(&layers)?,
            sql: SqlSettings::of(&layers)?,
            log: LogSettings {
                filter: layers.read(&settings::LOG_LEVEL)?,
                format: layers.read(&settings::LOG_FORMAT)?,
            },
            layers,
        })
    }
}

impl IngestSettings {
    fn of(layers: &Layers) -> Result<Self> {
        Ok(Self {
            memory_budget: layers.read(&settings::INGEST_MEMORY_BUDGET)?,
            file_size: layers.read(&settings::INGEST_FILE_SIZE)?,
            buffer_size: layers.read_optional(&settings::INGEST_BUFFER_SIZE)?,
            buffer_age: layers.read(&settings::INGEST_BUFFER_AGE)?,
            start: layers.read(&settings::INGEST_START)?,
            dedup_window: layers.read(&settings::INGEST_DEDUP_WINDOW)?,
            shutdown_timeout: layers.read(&settings::INGEST_SHUTDOWN_TIMEOUT)?,
            worker_id: layers.read_optional(&settings::INGEST_WORKER_ID)?,
            max_shards: layers.read_optional(&settings::INGEST_MAX_SHARDS)?,
            on_gap: layers.read(&settings::INGEST_ON_GAP)?,
            shard_rate: layers.read(&settings::INGEST_SHARD_RATE)?,
            fan_out: layers.read_optional(&settings::INGEST_FAN_OUT)?,
            listen: layers.read_optional(&settings::INGEST_LISTEN)?,
        })
    }
}

impl CareSettings {
    /// Size of the files that compaction makes, in bytes, if not by the table's size.
    pub(crate) fn target(&self) -> Option<u64> {
        self.target_file_size.map(|size| size.as_u64())
    }

    /// Compaction of all tables, without a limit of its rate.
    pub(crate) fn compaction(&self) -> CompactionOptions {
        CompactionOptions {
            partition: None,
            full: false,
            dry_run: false,
            target: self.target(),
            memory: usize::try_from(self.memory.as_u64()).unwrap_or(usize::MAX),
            rate: None,
            worker: format!("compact-{}", std::process::id()),
        }
    }
}

impl ReportSettings {
    fn of(layers: &Layers) -> Result<Self> {
        Ok(Self {
            folder: layers.read_optional(&settings::REPORTS_FOLDER)?,
            destination: layers.read_optional(&settings::REPORTS_DESTINATION)?,
            scheduled: layers.scheduled().to_vec(),
        })
    }
}

impl SqlSettings {
    fn of(layers: &Layers) -> Result<Self> {
        Ok(Self {
            memory_limit: layers.read(&settings::SQL_MEMORY_LIMIT)?,
            time_limit: layers.read(&settings::SQL_TIME_LIMIT)?,
            spill_directory: layers.read_optional(&settings::SQL_SPILL_DIRECTORY)?,
            spill_limit: layers.read(&settings::SQL_SPILL_LIMIT)?,
            history: layers.read_optional(&settings::SQL_HISTORY_FILE)?.unwrap_or(HistoryFile::Usual),
            pager: layers.read_optional(&settings::SQL_PAGER)?,
        })
    }
}

/// Turns a reader's error into one that names the setting and the origin of its value.
fn complaint(setting: &str, value: &Value, detail: impl Display) -> anyhow::Error {
    WrongUsage::new(format!("{setting} = {:?} ({}): {detail}", value.text, value.origin)).into()
}

/// One stream cannot be both: the events of one are bad events of the other. A name and an ARN of the same stream are
/// recognised with the help of Kinesis ([`crate::session::streams`]).
fn streams_differ(layers: &Layers) -> Result<()> {
    const KEYS: [&str; 2] = [settings::STREAMS_USER_EVENTS.about.key, settings::STREAMS_TRANSACTION_EVENTS.about.key];
    let [users, transactions] = KEYS.map(|key| layers.get(key));
    match (users, transactions) {
        (Some(users), Some(transactions)) if users.text.trim() == transactions.text.trim() => {
            let ([first, second], text) = (KEYS, users.text.trim());
            Err(WrongUsage::new(format!(
                "{first} ({}) and {second} ({}) both name the stream '{text}'; each kind of event needs a stream of its own",
                users.origin, transactions.origin
            ))
            .into())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use std::ffi::OsString;

    fn resolve(
        file: &str,
        environment: &[(&str, &str)],
        flags: &[(&'static str, &str, &'static str)],
    ) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bluelake.toml");
        std::fs::write(&path, file).unwrap();
        let variables = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let flags = flags.iter().map(|(key, text, flag)| Override::new(key, *text, flag)).collect();
        Config::resolve(Layers::load(Some(&path), variables, flags)?)
    }

    #[test]
    fn defaults_are_valid() {
        let config = resolve("", &[], &[]).unwrap();
        assert_eq!(config.lake, DEFAULT_LAKE);
        assert!(config.lake_is_default());
        assert_eq!(config.ingest.memory_budget, ByteSize::gib(1));
        assert_eq!(config.ingest.file_size, ByteSize::mib(128));
        assert_eq!(config.ingest.shard_rate, ByteSize::mb(2));
        assert_eq!((config.ingest.buffer_size, config.ingest.fan_out.as_deref()), (None, None));
        assert_eq!(config.ingest.buffer_age, Duration::from_secs(60));
        assert_eq!(config.ingest.dedup_window, Duration::from_secs(900));
        assert!(config.sql.memory_limit >= ByteSize::gib(1));
        let memory = config.layers.get("sql.memory-limit").unwrap().origin.to_string();
        assert!(
            memory.starts_with("default: a quarter of the ") || memory.starts_with("default: the least"),
            "{memory}"
        );
        assert_eq!(config.stream(Stream::UserEvents), "user-events");
    }

    #[test]
    fn flags_beat_environment_and_that_the_file() {
        let file = "lake = 'from-file'\n[ingest]\nbuffer-size = '1MiB'\nbuffer-age = '5s'\n";
        let environment = [("BLUELAKE_LAKE", "from-environment"), ("BLUELAKE_INGEST_BUFFER_SIZE", "2MiB")];
        let config = resolve(file, &environment, &[("lake", "from-flag", "--lake")]).unwrap();
        assert_eq!(config.lake, "from-flag");
        assert_eq!(config.ingest.buffer_size, Some(ByteSize::mib(2)));
        assert_eq!(config.ingest.buffer_age, Duration::from_secs(5));
        let origins: Vec<String> = ["lake", "ingest.buffer-size", "time-zone"]
            .iter()
            .map(|key| config.layers.get(key).unwrap().origin.to_string())
            .collect();
        assert_eq!(origins, ["flag --lake", "variable BLUELAKE_INGEST_BUFFER_SIZE", "default"]);
    }

    #[test]
    fn faulty_values_are_named_with_their_origin() {
        let cases = [
            ("ingest.buffer-size", "[ingest]\nbuffer-size = 'lots'", "not a size"),
            ("ingest.memory-budget", "[ingest]\nmemory-budget = '64MiB'", "at least 128"),
            ("ingest.fan-out", "[ingest]\nfan-out = 'a/b'", "not a name"),
            ("ingest.buffer-age", "[ingest]\nbuffer-age = '0s'", "longer than nothing"),
            ("ingest.buffer-age", "[ingest]\nbuffer-age = '500000000000y'", "must be at most"),
            ("sql.memory-limit", "[sql]\nmemory-limit = '16000PB'", "must be at most 1.0 PiB"),
            ("ingest.dedup-window", "[ingest]\ndedup-window = 'long'", "not a duration"),
            ("ingest.start", "[ingest]\nstart = 'yesterday'", "neither trim-horizon"),
            ("ingest.worker-id", "[ingest]\nworker-id = 'a/b'", "not a name"),
            ("ingest.max-shards", "[ingest]\nmax-shards = '0'", "at least 1"),
            ("ingest.on-gap", "[ingest]\non-gap = 'ignore'", "neither stop nor continue"),
            ("ingest.listen", "[ingest]\nlisten = '9464'", "127.0.0.1:9464"),
            ("time-zone", "time-zone = 'Mars/Olympus'", "not a time zone"),
            ("log.format", "[log]\nformat = 'jsno'", "did you mean json?"),
            ("log.level", "[log]\nlevel = 'inof'", "did you mean info?"),
            ("ingest.on-gap", "[ingest]\non-gap = 'contiune'", "did you mean continue?"),
            ("ingest.start", "[ingest]\nstart = 'lastest'", "did you mean latest?"),
            ("log.format", "[log]\nformat = 'xml'", "neither text nor json"),
            ("sql.memory-limit", "[sql]\nmemory-limit = '10'", "at least 16"),
            ("sql.memory-limit", "[sql]\nmemory-limit = '-1GiB'", "not a size"),
            ("sql.spill-limit", "[sql]\nspill-limit = 10", "at least 1"),
            ("prices.storage", "[prices]\nstorage = '-1'", "nothing or more"),
            ("prices.reads", "[prices]\nreads = 'cheap'", "not a price"),
            ("lake", "lake = ' '", "must not be empty"),
        ];
        for (key, file, detail) in cases {
            let message = format!("{:#}", resolve(file, &[], &[]).unwrap_err());
            assert!(
                message.contains(key) && message.contains(detail) && message.contains("bluelake.toml"),
                "{message}"
            );
        }
    }

    #[test]
    fn unknown_settings_get_the_nearest_known_one() {
        let message = format!("{:#}", resolve("[ingest]\nbufer-size = '1MiB'", &[], &[]).unwrap_err());
        assert!(message.contains("ingest.bufer-size") && message.contains("ingest.buffer-size"), "{message}");
        let message = format!("{:#}", resolve("", &[("BLUELAKE_LAEK", "x")], &[]).unwrap_err());
        assert!(message.contains("BLUELAKE_LAEK") && message.contains("BLUELAKE_LAKE"), "{message}");
    }

    #[test]
    fn empty_and_foreign_variables_set_nothing() {
        let config = resolve("lake = 'here'", &[("BLUELAKE_LAKE", ""), ("BLUE", "x")], &[]).unwrap();
        assert_eq!(config.lake, "here");
    }

    #[test]
    fn a_start_time_is_kept_in_utc() {
        let config = resolve("", &[], &[("ingest.start", "2026-10-01T02:00:00+02:00", "--start")]).unwrap();
        assert_eq!(config.ingest.start, StartPosition::At("2026-10-01T00:00:00Z".parse().unwrap()));
    }
}

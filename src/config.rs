//! Configuration: built-in defaults < `bluelake.toml` < `BLUELAKE_…` variables < flags.
//!
//! Every setting keeps where it came from, so that an error and `config show` can say it. Unknown keys are errors,
//! because a misspelt setting that is ignored is worse than one that is refused.

mod layers;
mod machine;
mod scheduled;
mod settings;

use std::fmt::Display;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use bluelake_ingest::{MemoryBudget, OnGap};
use bluelake_lake::Heartbeats;
use bluelake_queries::QueryError;
use bluelake_schemas::Stream;
use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;

use crate::terminal::failure::WrongUsage;
use crate::terminal::logging::{LogFormat, LogSettings};
use crate::terminal::nearest::hint;

pub(crate) use layers::{Layers, Override, Value};
pub(crate) use scheduled::ScheduledReport;
pub(crate) use settings::{DEFAULT_LAKE, SETTINGS, Setting};

/// The file that is read from the working folder when `--config` names none.
pub(crate) const DEFAULT_FILE: &str = "bluelake.toml";

/// Sizes and times stay so small that sums of them, and moments that lie so far ahead, can be told.
const SIZE_MAX: ByteSize = ByteSize::pib(1);
const SPAN_MAX: Duration = Duration::from_secs(3_650 * 24 * 3_600);

/// Where reading of a shard begins that the lake does not know yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StartPosition {
    /// The oldest record that the stream still holds.
    TrimHorizon,
    /// What arrives from now on.
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

/// Everything that can be set, checked and typed.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// A folder or an `s3://bucket/prefix` URL.
    pub(crate) lake: String,
    /// Folder of the contract's TOML files; the built-in contract when none.
    pub(crate) contract: Option<PathBuf>,
    /// The zone in which a report's day begins at midnight.
    pub(crate) time_zone: Tz,
    /// Name or ARN of the Kinesis stream for user events.
    pub(crate) user_events: String,
    /// Name or ARN of the Kinesis stream for transaction events.
    pub(crate) transaction_events: String,
    /// How a batch is bounded and where reading starts.
    pub(crate) ingest: IngestSettings,
    /// Which reports there are, and which are run on a schedule.
    pub(crate) reports: ReportSettings,
    /// Limits of a query.
    pub(crate) sql: SqlSettings,
    /// What is logged and how.
    pub(crate) log: LogSettings,
    /// The raw values with their origins, for `config show`.
    pub(crate) layers: Layers,
}

/// How a batch is bounded and where reading starts.
#[derive(Debug, Clone)]
pub(crate) struct IngestSettings {
    /// Memory that ingest may take.
    pub(crate) memory_budget: ByteSize,
    /// A batch is committed when its files come to this many bytes.
    pub(crate) file_size: ByteSize,
    /// A batch is committed when its rows come to this many bytes of memory.
    pub(crate) buffer_size: Option<ByteSize>,
    /// A batch is committed at this age.
    pub(crate) buffer_age: Duration,
    /// Where reading of a new shard begins.
    pub(crate) start: StartPosition,
    /// An event id seen within this time of a shard's arrivals is a duplicate; zero: none is.
    pub(crate) dedup_window: Duration,
    /// Time for the last commit once told to stop.
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

/// Which reports there are, and which are run on a schedule.
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
    /// Where results are spilled that do not fit into memory, if not in the system's place for temporary files.
    pub(crate) spill_directory: Option<PathBuf>,
    /// Disk that spilled results may take.
    pub(crate) spill_limit: ByteSize,
    /// Where the shell keeps what was typed.
    pub(crate) history: HistoryFile,
    /// The command through which the shell shows long results, if one was given.
    pub(crate) pager: Option<String>,
}

/// Where the shell keeps what was typed.
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
    /// Reads the file (`--config`, `BLUELAKE_CONFIG` or `bluelake.toml` if it exists) and the environment, lays the
    /// flags over them, and checks every value.
    ///
    /// # Errors
    /// [`WrongUsage`] for a file that is missing or not TOML, an unknown key or variable, or a value that does not fit.
    pub(crate) fn load(file: Option<&Path>, flags: Vec<Override>) -> Result<Self> {
        Self::resolve(Layers::load(file, std::env::vars_os(), flags)?)
    }

    /// Whether nobody said where the lake is.
    pub(crate) fn lake_is_default(&self) -> bool {
        self.layers.get("lake").is_some_and(|value| value.origin == layers::Origin::Default)
    }

    /// The stream's name or ARN as the Kinesis API takes it.
    pub(crate) fn stream(&self, stream: Stream) -> &str {
        match stream {
            Stream::UserEvents => &self.user_events,
            Stream::TransactionEvents => &self.transaction_events,
        }
    }

    /// The stream's name: what follows the last `/` of an ARN.
    pub(crate) fn stream_name(&self, stream: Stream) -> &str {
        let stream = self.stream(stream);
        stream.rsplit_once('/').map_or(stream, |(_, name)| name)
    }

    fn resolve(layers: Layers) -> Result<Self> {
        streams_differ(&layers)?;
        Ok(Self {
            lake: layers.read("lake", not_empty)?,
            contract: layers.read_optional("contract", |text| Ok(PathBuf::from(text)))?,
            time_zone: layers.read("time-zone", time_zone)?,
            user_events: layers.read("streams.user-events", not_empty)?,
            transaction_events: layers.read("streams.transaction-events", not_empty)?,
            ingest: IngestSettings {
                memory_budget: layers.read("ingest.memory-budget", memory_budget)?,
                file_size: layers.read("ingest.file-size", byte_size)?,
                buffer_size: layers.read_optional("ingest.buffer-size", byte_size)?,
                buffer_age: layers.read("ingest.buffer-age", duration)?,
                start: layers.read("ingest.start", start_position)?,
                dedup_window: layers.read("ingest.dedup-window", any_duration)?,
                shutdown_timeout: layers.read("ingest.shutdown-timeout", duration)?,
                worker_id: layers.read_optional("ingest.worker-id", worker_id)?,
                max_shards: layers.read_optional("ingest.max-shards", positive)?,
                on_gap: layers.read("ingest.on-gap", on_gap)?,
                shard_rate: layers.read("ingest.shard-rate", byte_size)?,
                fan_out: layers.read_optional("ingest.fan-out", consumer_name)?,
                listen: layers.read_optional("ingest.listen", address)?,
            },
            reports: ReportSettings {
                folder: layers.read_optional("reports.folder", |text| Ok(PathBuf::from(text)))?,
                destination: layers.read_optional("reports.destination", not_empty)?,
                scheduled: layers.scheduled().to_vec(),
            },
            sql: SqlSettings {
                memory_limit: layers.read("sql.memory-limit", query_memory)?,
                time_limit: layers.read("sql.time-limit", duration)?,
                spill_directory: layers.read_optional("sql.spill-directory", |text| Ok(PathBuf::from(text)))?,
                spill_limit: layers.read("sql.spill-limit", |text| at_least(text, ByteSize::mib(1)))?,
                history: layers.read_optional("sql.history-file", history_file)?.unwrap_or(HistoryFile::Usual),
                pager: layers.read_optional("sql.pager", not_empty)?,
            },
            log: LogSettings {
                filter: layers.read("log.level", str::parse)?,
                format: layers.read("log.format", log_format)?,
            },
            layers,
        })
    }
}

/// Turns a reader's complaint into an error that names the setting and where its value came from.
fn complaint(setting: &str, value: &Value, detail: impl Display) -> anyhow::Error {
    WrongUsage::new(format!("{setting} = {:?} ({}): {detail}", value.text, value.origin)).into()
}

/// One stream cannot be both: the events of one are bad events of the other. A name and an ARN that mean the same stream are
/// told apart when Kinesis is asked ([`crate::session::streams`]).
fn streams_differ(layers: &Layers) -> Result<()> {
    const KEYS: [&str; 2] = ["streams.user-events", "streams.transaction-events"];
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

fn not_empty(text: &str) -> Result<String> {
    anyhow::ensure!(!text.trim().is_empty(), "must not be empty");
    Ok(text.to_owned())
}

fn byte_size(text: &str) -> Result<ByteSize> {
    let size: ByteSize =
        text.parse().map_err(|_| anyhow::anyhow!("not a size; write for example 128MiB, 64MB or 1GiB"))?;
    anyhow::ensure!(size.as_u64() > 0, "must be more than nothing");
    anyhow::ensure!(size <= SIZE_MAX, "must be at most {}", SIZE_MAX.display().iec());
    Ok(size)
}

fn memory_budget(text: &str) -> Result<ByteSize> {
    at_least(text, ByteSize(u64::try_from(MemoryBudget::MINIMUM.0)?))
}

/// With less than this not even a short list can be sorted.
fn query_memory(text: &str) -> Result<ByteSize> {
    at_least(text, ByteSize::mib(16))
}

fn at_least(text: &str, least: ByteSize) -> Result<ByteSize> {
    let size = byte_size(text)?;
    anyhow::ensure!(size >= least, "must be at least {}; write for example 128MiB or 1GiB", least.display().iec());
    Ok(size)
}

/// As Kinesis takes it.
fn consumer_name(text: &str) -> Result<String> {
    let fits = |character: char| character.is_ascii_alphanumeric() || "_.-".contains(character);
    anyhow::ensure!(
        (1..=128).contains(&text.len()) && text.chars().all(fits),
        "not a name of 1 to 128 letters, digits, '_', '.' and '-'"
    );
    Ok(text.to_owned())
}

fn any_duration(text: &str) -> Result<Duration> {
    let span = humantime::parse_duration(text).context("not a duration; write for example 60s, 5m or 1h 30m")?;
    anyhow::ensure!(span <= SPAN_MAX, "must be at most {}", humantime::format_duration(SPAN_MAX));
    Ok(span)
}

pub(crate) fn duration(text: &str) -> Result<Duration> {
    let span = any_duration(text)?;
    anyhow::ensure!(!span.is_zero(), "must be longer than nothing");
    Ok(span)
}

#[expect(clippy::unnecessary_wraps, reason = "a reader of settings like the others")]
fn history_file(text: &str) -> Result<HistoryFile> {
    Ok(if text == "none" { HistoryFile::None } else { HistoryFile::File(PathBuf::from(text)) })
}

fn time_zone(text: &str) -> Result<Tz> {
    bluelake_queries::parse_time_zone(text).map_err(|error| match error {
        QueryError::UnknownTimeZone { suggestion: Some(meant), .. } => {
            anyhow::anyhow!("not a time zone; did you mean {meant}?")
        }
        _ => anyhow::anyhow!("not a time zone; write for example UTC or America/New_York"),
    })
}

fn start_position(text: &str) -> Result<StartPosition> {
    match text {
        "trim-horizon" => Ok(StartPosition::TrimHorizon),
        "latest" => Ok(StartPosition::Latest),
        time => DateTime::parse_from_rfc3339(time).map(|at| StartPosition::At(at.to_utc())).map_err(|_| {
            let hint = hint(text, ["trim-horizon", "latest"]);
            anyhow::anyhow!("neither trim-horizon, latest nor a time such as 2026-10-01T00:00:00Z{hint}")
        }),
    }
}

fn worker_id(text: &str) -> Result<String> {
    anyhow::ensure!(Heartbeats::is_valid_id(text), "not a name of 1 to 100 letters, digits, '.', '_' and '-'");
    Ok(text.to_owned())
}

fn positive(text: &str) -> Result<usize> {
    let number: usize = text.parse().map_err(|_| anyhow::anyhow!("not a whole number"))?;
    anyhow::ensure!(number > 0, "must be at least 1");
    Ok(number)
}

fn on_gap(text: &str) -> Result<OnGap> {
    match text {
        "stop" => Ok(OnGap::Stop),
        "continue" => Ok(OnGap::Continue),
        _ => anyhow::bail!("neither stop nor continue{}", hint(text, ["stop", "continue"])),
    }
}

fn address(text: &str) -> Result<SocketAddr> {
    text.parse().map_err(|_| anyhow::anyhow!("not an address and port; write for example 127.0.0.1:9464 or [::1]:9464"))
}

fn log_format(text: &str) -> Result<LogFormat> {
    match text {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => anyhow::bail!("neither text nor json{}", hint(text, ["text", "json"])),
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
    fn flags_win_over_the_environment_and_that_over_the_file() {
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
    fn unknown_keys_and_variables_are_named_with_the_nearest_known_one() {
        let message = format!("{:#}", resolve("[ingest]\nbufer-size = '1MiB'", &[], &[]).unwrap_err());
        assert!(message.contains("ingest.bufer-size") && message.contains("ingest.buffer-size"), "{message}");
        let message = format!("{:#}", resolve("", &[("BLUELAKE_LAEK", "x")], &[]).unwrap_err());
        assert!(message.contains("BLUELAKE_LAEK") && message.contains("BLUELAKE_LAKE"), "{message}");
    }

    #[test]
    fn an_empty_variable_is_not_set_and_a_foreign_one_is_left_alone() {
        let config = resolve("lake = 'here'", &[("BLUELAKE_LAKE", ""), ("BLUE", "x")], &[]).unwrap();
        assert_eq!(config.lake, "here");
    }

    #[test]
    fn a_start_time_is_kept_in_utc() {
        let config = resolve("", &[], &[("ingest.start", "2026-10-01T02:00:00+02:00", "--start")]).unwrap();
        assert_eq!(config.ingest.start, StartPosition::At("2026-10-01T00:00:00Z".parse().unwrap()));
    }
}

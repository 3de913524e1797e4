//! The list of settings.
//!
//! A new setting is
//! 1. an entry in this list: its type, key, default, reader and meaning, and its flag if it has one;
//! 2. a field of [`super::Config`] or of one of its sections, which reads the entry (with `read_optional` if its default is
//!    `Unset`); nothing reminds you of this step;
//! 3. its use, for ingest in `src/operate/ingestion.rs`;
//! 4. a run of the unit tests with `BLUELAKE_WRITE_DOCS=1`, which writes the table of `docs/configuration.md`.
//!
//! The key in the file, the variable, the flag, `--help` and `config show` follow from the entry. A new section is a
//! group of entries whose keys begin alike (`section.`), and a struct for its fields in [`super::Config`].

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bluelake_ingest::OnGap;
use bluelake_lake::TierClass;
use bytesize::ByteSize;
use chrono_tz::Tz;

use super::DefaultValue::{Text, Unset, Worked};
use super::readers::{
    address, any_duration, byte_size, care_memory, consumer_name, duration, history_file, log_format, memory_budget,
    not_empty, on_gap, orphan_age, path, positive, price, query_memory, retention, spill_limit, start_position,
    tier_class, time_zone, truth, worker_id,
};
use super::{About, HistoryFile, Retention, Setting, StartPosition, machine};
use crate::terminal::logging::{LogFilter, LogFormat};

/// The default place of the lake.
pub(crate) const DEFAULT_LAKE: &str = "./bluelake-data";

/// Commands that take a flag.
const ALL: &[&str] = &[];
const INGEST: &[&str] = &["ingest"];
const DELIVER: &[&str] = &["deliver"];
const QUERIES: &[&str] = &["sql", "report run", "report run-all", "report reconcile"];
const CATALOGUE: &[&str] = &["report run", "report run-all", "report list"];
const RUN_ALL: &[&str] = &["report run-all"];

/// Makes a constant of each entry, and the list of their descriptions.
macro_rules! settings {
    ($($name:ident: $type:ty = $setting:expr;)*) => {
        $(pub(super) const $name: Setting<$type> = $setting;)*

        /// Every setting, in the order of `config show`, `--help` and `docs/configuration.md`.
        pub(crate) const SETTINGS: &[About] = &[$($name.about),*];
    };
}

settings! {
    LAKE: String = Setting::new("lake", Text(DEFAULT_LAKE), not_empty, "folder or `s3://bucket/prefix` of the lake")
        .flag("--lake", "URL", ALL)
        .details("folder or `s3://bucket/prefix` of the lake, the prefix letter for letter as the keys have it \
                  (`docs/operating.md`)");
    CONTRACT: PathBuf = Setting::new("contract", Unset("the built-in one"), path,
        "folder of the event contract: `envelope.toml`, `user_events.toml` and `transaction_events.toml`")
        .flag("--contract", "DIR", ALL);
    TIME_ZONE: Tz = Setting::new("time-zone", Text("UTC"), time_zone,
        "zone in which a day begins at midnight, such as `America/Chicago`")
        .flag("--time-zone", "ZONE", QUERIES)
        .details("zone in which a report's day begins, and in which SQL reads and cuts times, such as \
                  `America/Chicago`");

    STREAMS_USER_EVENTS: String = Setting::new("streams.user-events", Text("user-events"), not_empty,
        "name or ARN of the stream of user events in Kinesis");
    STREAMS_TRANSACTION_EVENTS: String = Setting::new("streams.transaction-events", Text("transaction-events"),
        not_empty, "name or ARN of the stream of transaction events in Kinesis");

    INGEST_MEMORY_BUDGET: ByteSize = Setting::new("ingest.memory-budget", Text("1GiB"), memory_budget,
        "memory that ingest may take, at least `128MiB`; reading waits rather than take more")
        .flag("--memory-budget", "SIZE", INGEST)
        .details("memory that ingest may take, at least `128MiB`; reading waits rather than take more: see \
                  [Memory of ingest](#memory-of-ingest)");
    INGEST_FILE_SIZE: ByteSize = Setting::new("ingest.file-size", Text("128MiB"), byte_size,
        "commit a stream's batch when its files reach this size")
        .flag("--file-size", "SIZE", INGEST)
        .details("commit a stream's batch when its files reach this size, by an estimate learnt from the files before");
    INGEST_BUFFER_SIZE: ByteSize = Setting::new("ingest.buffer-size", Unset("no limit"), byte_size,
        "commit when the rows in memory reach this size, if that is sooner; the streams share it evenly")
        .flag("--buffer-size", "SIZE", INGEST);
    INGEST_BUFFER_AGE: Duration = Setting::new("ingest.buffer-age", Text("60s"), duration,
        "commit a stream's batch when it reaches this age, if that is sooner")
        .flag("--buffer-age", "TIME", INGEST)
        .details("commit a stream's batch when it reaches this age, or 2,000,000 rows, if that is sooner");
    INGEST_DEDUP_WINDOW: Duration = Setting::new("ingest.dedup-window", Text("15m"), any_duration,
        "an event id seen within this time of a shard's arrivals is a duplicate; with `0s` none is")
        .flag("--dedup-window", "TIME", INGEST)
        .details("an event id seen within this time of a shard's arrivals, on it or its ancestors, is a duplicate; \
                  with `0s` none is. `replay` and `lake verify` go by it too");
    INGEST_SHUTDOWN_TIMEOUT: Duration = Setting::new("ingest.shutdown-timeout", Text("90s"), duration,
        "time to commit what is buffered after a request to stop; uncommitted records are read again")
        .flag("--shutdown-timeout", "TIME", INGEST)
        .details("time to commit what is buffered after a request to stop; then the worker ends with exit code 1 and \
                  reports the step of each stream, and uncommitted records are read again");
    INGEST_START: StartPosition = Setting::new("ingest.start", Text("trim-horizon"), start_position,
        "where to start in a stream that is new to the lake: `trim-horizon`, `latest` or an RFC 3339 time")
        .flag("--start", "POSITION", INGEST);
    INGEST_SHARD_RATE: ByteSize = Setting::new("ingest.shard-rate", Text("2MB"), byte_size,
        "bytes a second that polling takes of a shard; Kinesis gives 2 MB to all that poll it together")
        .details("bytes a second that polling takes of a shard. Kinesis gives 2 MB to all that poll a shard together: \
                  set less to leave some to others, more for a server without the limit, such as `bluelake \
                  dev-kinesis`");
    INGEST_FAN_OUT: String = Setting::new("ingest.fan-out", Unset("polling"), consumer_name,
        "name of the registered consumer that reads by enhanced fan-out")
        .flag("--fan-out", "NAME", INGEST)
        .flag_alone("bluelake");
    INGEST_WORKER_ID: String = Setting::new("ingest.worker-id", Unset("the machine's name and process number"),
        worker_id, "name of this worker among those that share the lake's streams")
        .flag("--worker-id", "ID", INGEST)
        .details("name of the worker among those that share the lake's streams: 1 to 100 letters, digits, `.`, `_` \
                  and `-`");
    INGEST_MAX_SHARDS: usize = Setting::new("ingest.max-shards", Unset("an even share"), positive,
        "the most shards that this worker reads, over all streams")
        .flag("--max-shards", "NUMBER", INGEST);
    INGEST_ON_GAP: OnGap = Setting::new("ingest.on-gap", Text("stop"), on_gap,
        "what a shard does if Kinesis may have discarded unread records of it: `stop` or `continue`")
        .flag("--on-gap", "ACTION", INGEST);
    INGEST_LISTEN: SocketAddr = Setting::new("ingest.listen", Unset("none"), address,
        "address and port of `/metrics`, `/healthz` and `/readyz`, such as `127.0.0.1:9464`")
        .flag("--listen", "ADDRESS:PORT", INGEST);

    CARE_AUTO_COMPACT: bool = Setting::new("care.auto-compact", Text("true"), truth,
        "whether workers of ingest compact the tables beside it: `true` or `false`")
        .details("whether workers of `ingest` compact the tables beside it: `true` or `false`. Each takes the partitions \
                  that are its by rendezvous hashing, a task a minute and table at most, and none while rows wait to be \
                  committed; a run with `--once` compacts nothing");
    CARE_RATE: ByteSize = Setting::new("care.rate", Text("32MiB"), byte_size,
        "the most bytes of files that compaction beside ingest reads per second");
    CARE_TARGET_FILE_SIZE: ByteSize = Setting::new("care.target-file-size", Unset("by the table's size"), byte_size,
        "approximate size of the files that compaction makes; `256MiB` up to a table of 1 TB, then growing with it to `1GiB`");
    CARE_MEMORY: ByteSize = Setting::new("care.memory", Text("256MiB"), care_memory,
        "memory that compaction may take, at least `64MiB`");
    CARE_TIME_TRAVEL: Duration = Setting::new("care.time-travel", Text("7d"), duration,
        "`lake vacuum` keeps the files of versions that were the newest within this time")
        .details("`lake vacuum` keeps the files of versions that were the newest within this time: `--as-of` reaches back \
                  so far. At least `sql.time-limit` and an hour");
    CARE_ORPHAN_AGE: Duration = Setting::new("care.orphan-age", Text("7d"), orphan_age,
        "`lake vacuum` deletes uploaded files that nothing refers to at this age, at least `1d`");

    DELIVER_HOLD: Duration = Setting::new("deliver.hold", Text("7d"), any_duration,
        "how long `lake vacuum` keeps files for a target of delivery that has not read them")
        .details("how long `lake vacuum` keeps the files of versions that a target of delivery has not read, beyond \
                  `care.time-travel`; a target that falls behind further must be rebuilt ([delivery](delivery.md))");
    DELIVER_INTERVAL: Duration = Setting::new("deliver.interval", Text("5s"), duration,
        "how often `deliver` looks for new versions of the lake");
    DELIVER_LISTEN: SocketAddr = Setting::new("deliver.listen", Unset("none"), address,
        "address and port of `/metrics`, `/healthz` and `/readyz` of `deliver`, such as `127.0.0.1:9465`")
        .flag("--listen", "ADDRESS:PORT", DELIVER);

    PRICES_STORAGE: f64 = Setting::new("prices.storage", Text("0.023"), price,
        "dollars for a gigabyte (2^30 bytes) and month in the store, for the estimate of `lake status`")
        .details("dollars for a gigabyte (2^30 bytes) and month in the store, for the estimate of `lake status`. The \
                  defaults of `prices.*` are those of S3 Standard in us-east-1");
    PRICES_WRITES: f64 = Setting::new("prices.writes", Text("0.005"), price,
        "dollars for a thousand writes or listings, likewise");
    PRICES_READS: f64 = Setting::new("prices.reads", Text("0.0004"), price, "dollars for a thousand reads, likewise");

    RETENTION_REJECTED_EVENTS: Retention = Setting::new("retention.rejected-events", Text("30d"), retention,
        "days that `lake expire` keeps of `rejected_events`, such as `30d`, or `never`")
        .details("whole days that `lake expire --table rejected_events` keeps, by the day of arrival, or `never`; nothing \
                  leaves unless that command runs");
    RETENTION_TRANSACTIONS: Retention = Setting::new("retention.transactions", Text("never"), retention,
        "days that `lake expire` keeps of `transactions`, such as `1095d`, or `never`")
        .details("whole days that `lake expire --table transactions --accept-changed-balances` keeps, by the day on which \
                  events happened, or `never`; nothing leaves unless that command runs");

    TIERS_INFREQUENT_AFTER: Retention = Setting::new("tiers.infrequent-after", Text("90d"), retention,
        "age after which `lake tiers` lets the bucket move files to `tiers.class`, such as `90d`, or `never`")
        .details("whole days after which `lake tiers` lets the bucket move files to `tiers.class`, by the age of the file, \
                  which a compaction renews; `never` takes the rules of Bluelake away");
    TIERS_CLASS: TierClass = Setting::new("tiers.class", Text("STANDARD_IA"), tier_class,
        "class of storage of older files: `STANDARD_IA`, `INTELLIGENT_TIERING` or `GLACIER_IR`");

    REPORTS_FOLDER: PathBuf = Setting::new("reports.folder", Unset("none"), path,
        "folder with your own reports, one SQL file each, beside the built-in ones")
        .flag("--reports", "DIR", CATALOGUE);
    REPORTS_DESTINATION: String = Setting::new("reports.destination", Unset("none"), not_empty,
        "folder or `s3://bucket/prefix` that `report run-all` exports to, unless a report names another")
        .flag("--destination", "URL", RUN_ALL);

    SQL_MEMORY_LIMIT: ByteSize = Setting::new("sql.memory-limit",
        Worked { by: machine::query_memory, words: "a quarter of the memory, at least `1GiB`" }, query_memory,
        "memory that a query may hold, such as `1GiB`; beyond, it spills to disk")
        .flag("--memory-limit", "SIZE", QUERIES)
        .details("memory that a query may hold, at least `16MiB`; beyond, it spills to `sql.spill-directory`. The \
                  memory of the default is the machine's, or the least limit of the control groups (versions 1 and 2) \
                  of the process; `bluelake config show` says which");
    SQL_TIME_LIMIT: Duration = Setting::new("sql.time-limit", Text("5m"), duration,
        "time after which a query is stopped, such as `30s`")
        .flag("--time-limit", "TIME", QUERIES);
    SQL_SPILL_LIMIT: ByteSize = Setting::new("sql.spill-limit", Text("4GiB"), spill_limit,
        "disk space for spilled results of queries, which do not fit into memory");
    SQL_SPILL_DIRECTORY: PathBuf = Setting::new("sql.spill-directory", Unset("the system's temporary folder"), path,
        "folder for spilled results")
        .details("folder for spilled results; a private folder is made in it, and removed at the end");
    SQL_HISTORY_FILE: HistoryFile = Setting::new("sql.history-file",
        Unset("`$XDG_STATE_HOME/bluelake/history`, or `~/.local/state/bluelake/history`"), history_file,
        "file for the history of the SQL shell, or `none`");
    SQL_PAGER: String = Setting::new("sql.pager", Unset("`PAGER`, or `less -FRX -S`"), not_empty,
        "command that shows long results in the SQL shell");

    LOG_LEVEL: LogFilter = Setting::new("log.level", Text("warn"), str::parse,
        "what is logged: `off`, `error`, `warn`, `info`, `debug`, `trace` (libraries stay at `warn`), or a filter such \
         as `info,bluelake_ingest=debug`")
        .flag("--log-level", "LEVEL", ALL)
        .details("`off`, or `error` to `trace` for Bluelake, with its libraries at `warn`; or a filter: see \
                  [Logs](#logs)");
    LOG_FORMAT: LogFormat = Setting::new("log.format", Text("text"), log_format,
        "form of the log lines on standard error: `text` or `json`")
        .flag("--log-format", "FORMAT", ALL);
}

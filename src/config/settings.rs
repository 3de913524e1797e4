//! The list of settings: keys, defaults and what they mean.

/// One setting as it can be written in the file, the environment and (some) as a flag.
#[derive(Debug)]
pub(crate) struct Setting {
    /// Dotted key of the file, for example `ingest.buffer-size`.
    pub(crate) key: &'static str,
    /// Value when nobody sets it.
    pub(crate) default: Option<&'static str>,
    /// One line for people.
    pub(crate) meaning: &'static str,
}

impl Setting {
    /// The environment variable, for example `BLUELAKE_INGEST_BUFFER_SIZE`.
    pub(crate) fn variable(&self) -> String {
        format!("{VARIABLE_PREFIX}{}", self.key.replace(['.', '-'], "_").to_ascii_uppercase())
    }
}

/// Where the lake is when nobody says it.
pub(crate) const DEFAULT_LAKE: &str = "./bluelake-data";

/// What every environment variable of ours begins with.
pub(super) const VARIABLE_PREFIX: &str = "BLUELAKE_";

/// Every setting, in the order in which `config show` lists them.
pub(crate) const SETTINGS: &[Setting] = &[
    Setting { key: "lake", default: Some(DEFAULT_LAKE), meaning: "folder or s3://bucket/prefix of the lake" },
    Setting { key: "contract", default: None, meaning: "folder of the event contract; the built-in one if not set" },
    Setting { key: "time-zone", default: Some("UTC"), meaning: "zone in which a report's day begins at midnight" },
    Setting {
        key: "streams.user-events",
        default: Some("user-events"),
        meaning: "name or ARN of the stream of user events",
    },
    Setting {
        key: "streams.transaction-events",
        default: Some("transaction-events"),
        meaning: "name or ARN of the stream of transaction events",
    },
    Setting {
        key: "ingest.memory-budget",
        default: Some("1GiB"),
        meaning: "memory that ingest may take; reading waits rather than take more",
    },
    Setting {
        key: "ingest.file-size",
        default: Some("128MiB"),
        meaning: "commit a batch when its files come to so many bytes",
    },
    Setting {
        key: "ingest.buffer-size",
        default: None,
        meaning: "commit a batch when its rows come to so many bytes of memory, if that is sooner",
    },
    Setting {
        key: "ingest.shard-rate",
        default: Some("2MB"),
        meaning: "bytes a second that polling takes of a shard; Kinesis gives 2MB to all that poll it together",
    },
    Setting {
        key: "ingest.fan-out",
        default: None,
        meaning: "name of the consumer that reads by enhanced fan-out; polling if not set",
    },
    Setting { key: "ingest.buffer-age", default: Some("60s"), meaning: "commit a batch when it is so old" },
    Setting {
        key: "ingest.dedup-window",
        default: Some("15m"),
        meaning: "an event id seen within this time of a shard's arrivals is a duplicate; 0s: none is",
    },
    Setting {
        key: "ingest.shutdown-timeout",
        default: Some("90s"),
        meaning: "time to commit what is buffered when told to stop; what is not committed by then is read again",
    },
    Setting {
        key: "ingest.start",
        default: Some("trim-horizon"),
        meaning: "where a new shard is read from: trim-horizon, latest or an RFC 3339 time",
    },
    Setting {
        key: "ingest.worker-id",
        default: None,
        meaning: "name of this worker in the fleet; the machine's name and the process's number if not set",
    },
    Setting { key: "ingest.max-shards", default: None, meaning: "read at most so many shards in this worker" },
    Setting {
        key: "ingest.on-gap",
        default: Some("stop"),
        meaning: "what a shard does whose records Kinesis may have discarded unread: stop or continue",
    },
    Setting {
        key: "ingest.listen",
        default: None,
        meaning: "address and port of /metrics, /healthz and /readyz; none if not set",
    },
    Setting {
        key: "reports.folder",
        default: None,
        meaning: "folder with reports of your own, one SQL file each, beside those that are built in",
    },
    Setting {
        key: "reports.destination",
        default: None,
        meaning: "folder or s3://bucket/prefix that `report run-all` exports to, unless a report names another",
    },
    Setting {
        key: "sql.memory-limit",
        default: None,
        meaning: "memory that one query may hold; a quarter of what there is, at least 1GiB, if not set",
    },
    Setting { key: "sql.time-limit", default: Some("5m"), meaning: "time after which a query is stopped" },
    Setting {
        key: "sql.spill-limit",
        default: Some("4GiB"),
        meaning: "disk that results may take which do not fit into memory",
    },
    Setting {
        key: "sql.spill-directory",
        default: None,
        meaning: "where they go; the system's place for temporary files if not set",
    },
    Setting {
        key: "sql.history-file",
        default: None,
        meaning: "where the shell keeps what was typed; none: nowhere; the user's state folder if not set",
    },
    Setting {
        key: "sql.pager",
        default: None,
        meaning: "command that shows long results in the shell; PAGER, or less, if not set",
    },
    Setting {
        key: "log.level",
        default: Some("warn"),
        meaning: "off, error, warn, info, debug, trace (libraries stay at warn), or a filter",
    },
    Setting { key: "log.format", default: Some("text"), meaning: "log lines as text or json" },
];

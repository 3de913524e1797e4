//! `bluelake ingest`: both streams into the lake.

use std::time::Duration;

use anyhow::Result;
use bluelake_lake::ShardId;
use bluelake_schemas::Stream;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Session, overrides};
use crate::config::Override;
use crate::operate::ingestion::{IngestResult, Ingestion};
use crate::session::{aws, streams};
use crate::terminal::failure::Outcome;
use crate::terminal::{output, progress};

/// Arguments of `bluelake ingest`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct IngestArguments {
    /// Stop with exit code 0 when every shard has been read to its tip and committed, 3 when some have not
    #[arg(long)]
    once: bool,
    /// Make the lake's bucket or folder and its tables when they are missing
    #[arg(long)]
    init: bool,
    /// Exit with code 3 when events were rejected, although everything was read
    #[arg(long)]
    fail_on_rejected: bool,
    /// Read this stream only; may be repeated [default: both]
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<Stream>,
    /// Memory that ingest may take; reading waits rather than take more [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    memory_budget: Option<String>,
    /// Commit when the files of a stream's batch come to so many bytes [default: 128MiB]
    #[arg(long, value_name = "SIZE")]
    file_size: Option<String>,
    /// Commit at so many bytes of rows, as in memory, shared out over the streams [default: no such limit]
    #[arg(long, value_name = "SIZE")]
    buffer_size: Option<String>,
    /// Commit what a stream has buffered when it is so old [default: 60s]
    #[arg(long, value_name = "TIME")]
    buffer_age: Option<String>,
    /// Drop an event whose id a shard had within this time of arrivals; 0s drops none [default: 15m]
    #[arg(long, value_name = "TIME")]
    dedup_window: Option<String>,
    /// Where to start in a stream that the lake does not know yet: trim-horizon, latest, or an RFC 3339 time
    #[arg(long, value_name = "POSITION")]
    start: Option<String>,
    /// Once told to stop, commit what is buffered within this time; what is not is read again [default: 90s]
    #[arg(long, value_name = "TIME")]
    shutdown_timeout: Option<String>,
    /// Name of this worker among those that share the lake's streams [default: the machine's name and process number]
    #[arg(long, value_name = "ID")]
    worker_id: Option<String>,
    /// Read at most so many shards in this worker [default: its even share]
    #[arg(long, value_name = "NUMBER")]
    max_shards: Option<String>,
    /// What a shard does whose records Kinesis may have discarded unread: stop or continue [default: stop]
    #[arg(long, value_name = "ACTION")]
    on_gap: Option<String>,
    /// Read by enhanced fan-out, as the registered consumer of this name [default name: bluelake]
    #[arg(long, value_name = "CONSUMER", num_args = 0..=1, require_equals = true, default_missing_value = "bluelake")]
    fan_out: Option<String>,
    /// Serve /metrics, /healthz and /readyz here, such as 127.0.0.1:9464 [default: nowhere]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<String>,
}

const EXAMPLES: &str = "\
The lake itself says how far each shard has been read: run it again, or after a crash, and it goes on there.
Ctrl-C or SIGTERM commits what is buffered and ends with exit code 0; a second one ends at once.
Start as many workers as you like on one lake: they share the shards, and take over from one that dies within 15 s.
With --once a worker reads every shard by itself, unless it is given a --worker-id.

Examples:
  bluelake ingest --once --init
  bluelake --lake s3://bucket/lake ingest --memory-budget 512MiB --buffer-age 30s
  bluelake ingest --listen 127.0.0.1:9464 --log-format json     to be watched by Prometheus and Kubernetes
  bluelake ingest --stream transaction-events --start 2026-10-01T00:00:00Z
  bluelake ingest --once --fail-on-rejected --json     for a scheduled job";

/// Exit codes by the convention of shells: 128 and the signal's number.
const INTERRUPTED: i32 = 130;
const TERMINATED: i32 = 143;

impl IngestArguments {
    /// The settings that the flags change.
    pub(crate) fn overrides(&self) -> Vec<Override> {
        overrides([
            ("ingest.memory-budget", "--memory-budget", &self.memory_budget),
            ("ingest.file-size", "--file-size", &self.file_size),
            ("ingest.buffer-size", "--buffer-size", &self.buffer_size),
            ("ingest.buffer-age", "--buffer-age", &self.buffer_age),
            ("ingest.dedup-window", "--dedup-window", &self.dedup_window),
            ("ingest.shutdown-timeout", "--shutdown-timeout", &self.shutdown_timeout),
            ("ingest.start", "--start", &self.start),
            ("ingest.worker-id", "--worker-id", &self.worker_id),
            ("ingest.max-shards", "--max-shards", &self.max_shards),
            ("ingest.on-gap", "--on-gap", &self.on_gap),
            ("ingest.fan-out", "--fan-out", &self.fan_out),
            ("ingest.listen", "--listen", &self.listen),
        ])
    }
}

/// Ingests until done or told to stop.
pub(crate) async fn run(session: &Session, arguments: IngestArguments) -> Result<Outcome> {
    let contract = session.contract()?;
    let lake = session.lake().await?;
    let kinesis = aws::kinesis_client(&aws::sdk_config().await?)?;
    streams::ensure_two(&kinesis, &session.config).await?;
    let chosen = |stream: &Stream| arguments.streams.is_empty() || arguments.streams.contains(stream);
    let named = |stream: Stream| (stream, session.config.stream(stream).to_owned());
    let ingestion = Ingestion {
        kinesis,
        streams: Stream::ALL.into_iter().filter(chosen).map(named).collect(),
        lake,
        contract,
        settings: session.config.ingest.clone(),
        once: arguments.once,
        init: arguments.init,
    };
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(shutdown.clone()));
    let bar = progress::reading();
    let result = ingestion.run(shutdown, |received| bar.set_position(received)).await;
    bar.finish_and_clear();
    signals.abort();
    let result = result?;
    if session.json {
        output::json(&result)?;
    } else {
        output::line(describe(&result))?;
    }
    if result.streams.iter().any(|stream| stream.open_gaps > 0) {
        tracing::error!("shards stand still behind a gap; look at the log, then go on with --on-gap continue");
        return Ok(Outcome::Incomplete);
    }
    let unread: Vec<&str> = result.streams.iter().flat_map(|stream| &stream.unread).map(ShardId::as_str).collect();
    if !unread.is_empty() {
        tracing::error!(shards = ?unread, "nobody has read these shards to their tip; look at `bluelake status`, then run it again");
        return Ok(Outcome::Incomplete);
    }
    let rejected = result.total(|stream| stream.rejected);
    if arguments.fail_on_rejected && rejected > 0 {
        tracing::error!(rejected, "events were rejected; see the table rejected_events");
        return Ok(Outcome::Incomplete);
    }
    Ok(Outcome::Done)
}

/// Asks for an orderly end on the first SIGINT or SIGTERM. A second one ends the process as usual: what is not
/// committed then is read again.
async fn cancel_on_signal(shutdown: CancellationToken) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => TERMINATED,
            _ = interrupt.recv() => INTERRUPTED,
        }
    };
    next().await;
    tracing::info!("told to stop: committing what is buffered");
    shutdown.cancel();
    let code = next().await;
    std::process::exit(code)
}

/// What was read, as a table and a line about speed.
pub(crate) fn describe(result: &IngestResult) -> String {
    let header = ["stream", "received", "stored", "rejected", "duplicate", "commits", "files"];
    let rows = result.streams.iter().map(|stream| {
        let counts = [stream.received, stream.stored, stream.rejected, stream.duplicate, stream.commits, stream.files];
        [stream.stream.name().to_owned()].into_iter().chain(counts.map(output::grouped)).collect::<Vec<_>>()
    });
    let table = output::table(&header, &[1, 2, 3, 4, 5, 6], rows);
    let (received, bytes) = (result.total(|stream| stream.received), result.total(|stream| stream.bytes));
    let rates = output::rates(received, bytes, Duration::from_secs_f64(result.seconds));
    format!("{table}\nRead {rates}.")
}

//! `bluelake ingest`: both streams into the lake.

use std::time::Duration;

use anyhow::Result;
use bluelake_care::CompactionOptions;
use bluelake_lake::ShardId;
use bluelake_schemas::Stream;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::Session;
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

/// Ingests until it is done or is to stop.
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
        compaction: compaction(session, arguments.once),
        compacts: session.config.care.auto_compact,
    };
    let shutdown = CancellationToken::new();
    let signals = tokio::spawn(cancel_on_signal(shutdown.clone(), "committing what is buffered"));
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

/// How the tables are looked after beside it: a run that should end leaves that to others. Without compaction they are
/// looked at for the metrics.
fn compaction(session: &Session, once: bool) -> Option<CompactionOptions> {
    let care = &session.config.care;
    let is_wanted = care.auto_compact || session.config.ingest.listen.is_some();
    (is_wanted && !once).then(|| CompactionOptions { rate: Some(care.rate.as_u64()), ..care.compaction() })
}

/// Requests an orderly end on the first SIGINT or SIGTERM. A second one ends the process as usual: uncommitted records
/// are read again, and an uncommitted step of a delivery is taken again.
pub(crate) async fn cancel_on_signal(shutdown: CancellationToken, doing: &'static str) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut next = async || {
        tokio::select! {
            _ = terminate.recv() => TERMINATED,
            _ = interrupt.recv() => INTERRUPTED,
        }
    };
    next().await;
    tracing::info!("stopping: {doing}");
    shutdown.cancel();
    let code = next().await;
    std::process::exit(code)
}

/// Shows the counts as a table, and a line about speed.
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

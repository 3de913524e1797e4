//! `bluelake backfill`: archived records into the lake, each once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bluelake_ingest::{BackfillOptions, BackfillSummary, DamagedObject, MemoryBudget, backfill};
use bluelake_lake::{Archive, ControlTotals, Lake, LakeError, LakeLocation};
use bluelake_schemas::Stream;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use clap::Args;
use serde::Serialize;

use crate::cli::Session;
use crate::cli::status::look;
use crate::session::aws;
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::{output, progress};

/// The most that the clocks of the archive and of the stream may differ.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);
/// The most incomplete objects that are printed by name.
const DAMAGED_SHOWN: usize = 20;
/// How often progress is shown.
const TICK: Duration = Duration::from_millis(200);

/// Arguments of `bluelake backfill`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct BackfillArguments {
    /// The archive: s3://bucket/prefix, a folder, or one object or file
    #[arg(value_name = "ARCHIVE")]
    archive: String,
    /// The stream that the archived events came through: user-events or transaction-events
    #[arg(long, value_name = "NAME")]
    stream: Stream,
    /// Take the lake's word for how far ingest has got, and do not ask Kinesis
    #[arg(long)]
    offline: bool,
    /// Bring in objects that ingest has not got to as well; ingest must then never read the same events
    #[arg(long, conflicts_with = "offline")]
    ahead_of_ingest: bool,
}

const EXAMPLES: &str = "\
Reads objects of JSON events, one after another with line feeds, white space or nothing between them, plain or compressed with \
gzip or zstd, as Firehose leaves them; also the records in what it writes under an error prefix. Events go the way of the \
stream's own: into its table, into rejected_events, or among the duplicates, which here are events whose id the table has.

Each byte of an object is taken once: run it again, after it was killed or after more objects came, and it goes on from there.
Objects that ingest has not got to are left, because it would bring the same events again; the exit code is then 3, as it is \
when an object is damaged, denied or of a form that is not read (bzip2, ZIP, Snappy, Parquet, …). Run it again later.

Examples:
  bluelake backfill s3://archive/points/2026/ --stream transaction-events
  bluelake backfill ./export.ndjson.gz --stream user-events --json";

/// The result as JSON.
#[derive(Serialize)]
struct Backfilled {
    stream: Stream,
    table: &'static str,
    /// Objects written at this time or later were left.
    written_before: Option<DateTime<Utc>>,
    objects: usize,
    read: usize,
    present: usize,
    left: Vec<String>,
    damaged: Vec<Damaged>,
    bytes: u64,
    #[serde(flatten)]
    counts: ControlTotals,
    commits: u64,
    table_version: Option<u64>,
}

#[derive(Serialize)]
struct Damaged {
    object: String,
    offset: u64,
    reason: String,
}

/// Brings an archive in.
pub(crate) async fn run(session: &Session, arguments: BackfillArguments) -> Result<Outcome> {
    let location = arguments.archive.parse().map_err(|error: LakeError| {
        anyhow::Error::new(error).context(WrongUsage::new("the archive's URL cannot be used"))
    })?;
    let contract = session.contract()?;
    let lake = session.lake().await?;
    let written_before = written_before(session, &lake, &arguments).await?;
    let received = Arc::new(AtomicU64::new(0));
    let memory = usize::try_from(session.config.ingest.memory_budget.as_u64()).unwrap_or(usize::MAX);
    let options = BackfillOptions {
        written_before,
        kinesis: session.config.stream(arguments.stream).to_owned(),
        // Half of the memory for rows: rows of the next batch come while one is committed.
        buffer_bytes: MemoryBudget(memory).row_bytes(1) / 2,
        worker: format!("backfill-{}", std::process::id()),
        received: received.clone(),
    };
    let archive = open(&location).await?;
    let running = Box::pin(backfill(&archive, arguments.stream, &lake, &contract, options));
    let summary = shown(running, &received).await?;
    let complete = summary.left.is_empty() && summary.damaged.is_empty();
    let backfilled = backfilled(summary, written_before);
    if session.json {
        output::json(&backfilled)?;
    } else {
        output::line(describe(&backfilled))?;
    }
    Ok(if complete { Outcome::Done } else { Outcome::Incomplete })
}

async fn open(location: &LakeLocation) -> Result<Archive> {
    let aws = if location.is_bucket() { Some(aws::sdk_config().await?) } else { None };
    Ok(Archive::at(location, aws.as_ref())?)
}

/// The time up to which ingest has landed every event of the stream. `None` when it never ran, or does not matter.
async fn written_before(
    session: &Session,
    lake: &Lake,
    arguments: &BackfillArguments,
) -> Result<Option<DateTime<Utc>>> {
    if arguments.ahead_of_ingest {
        return Ok(None);
    }
    let stream = arguments.stream;
    let was_ingested = lake.inspect(stream).await?.document.is_some_and(|document| !document.shards.is_empty());
    if !was_ingested {
        return Ok(None);
    }
    let kinesis = if arguments.offline { None } else { Some(aws::kinesis_client(&aws::sdk_config().await?)?) };
    let status = look(session, lake, kinesis.as_ref(), stream).await?;
    if let Some(error) = status.kinesis_error {
        bail!(
            "cannot tell how far ingest is in {stream}, because Kinesis cannot be asked: {error}; give --offline to take the lake's word for it"
        );
    }
    if let Some(fault) = status.faults.first() {
        bail!("{fault}");
    }
    let complete_to = status.complete_to.unwrap_or(DateTime::UNIX_EPOCH);
    complete_to.checked_sub_signed(CLOCK_SKEW).map(Some).context("the time that ingest has got to is out of range")
}

/// Awaits while it shows a counter.
async fn shown<T>(running: impl Future<Output = T>, received: &AtomicU64) -> T {
    let bar = progress::reading();
    let mut ticks = tokio::time::interval(TICK);
    tokio::pin!(running);
    loop {
        tokio::select! {
            done = &mut running => {
                bar.finish_and_clear();
                return done;
            }
            _ = ticks.tick() => bar.set_position(received.load(Ordering::Relaxed)),
        }
    }
}

fn backfilled(summary: BackfillSummary, written_before: Option<DateTime<Utc>>) -> Backfilled {
    let damaged = |DamagedObject { object, offset, reason }| Damaged { object, offset, reason };
    Backfilled {
        stream: summary.stream,
        table: summary.stream.table(),
        written_before,
        objects: summary.objects,
        read: summary.read,
        present: summary.present,
        left: summary.left,
        damaged: summary.damaged.into_iter().map(damaged).collect(),
        bytes: summary.bytes,
        counts: summary.counts,
        commits: summary.commits,
        table_version: summary.table_version,
    }
}

fn describe(found: &Backfilled) -> String {
    let header = ["stream", "received", "stored", "rejected", "duplicate", "commits"];
    let ControlTotals { received, stored, rejected, duplicate, .. } = found.counts;
    let counts = [received, stored, rejected, duplicate, found.commits].map(output::grouped);
    let row: Vec<String> = [found.stream.name().to_owned()].into_iter().chain(counts).collect();
    let mut text = output::table(&header, &[1, 2, 3, 4, 5], [row]).to_string();
    text.push_str(&format!("\nRead {} of {} objects; {} were in already.", found.read, found.objects, found.present));
    if let Some(first) = found.left.first() {
        let time = found.written_before.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true));
        text.push_str(&format!(
            "\nLeft {} that were written at {} or later, where ingest is not yet complete: {}{}. Run it again later.",
            found.left.len(),
            time.unwrap_or_default(),
            output::printable(first),
            if found.left.len() > 1 { " and more" } else { "" },
        ));
    }
    for Damaged { object, offset, reason } in found.damaged.iter().take(DAMAGED_SHOWN) {
        let (object, reason) = (output::printable(object), output::printable(reason));
        text.push_str(&match offset {
            0 => format!("\nNot read: {object}: {reason}"),
            _ => format!("\nDamaged: {object}, read up to byte {offset} of its content: {reason}"),
        });
    }
    if let Some(more) = found.damaged.len().checked_sub(DAMAGED_SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!("\n… and {more} more that were not read, or not to their end; --json lists all."));
    }
    text
}

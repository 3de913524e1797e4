//! `bluelake replay`: reads a range of arrival times again and adds missing events.

use anyhow::Result;
use bluelake_ingest::{Clock, KinesisStream, ReplayOptions, ReplaySummary, replay};
use bluelake_lake::ShardId;
use bluelake_schemas::Stream;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::Args;
use serde::Serialize;

use crate::cli::Session;
use crate::session::{aws, streams};
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;

/// Missing rows are committed at this many bytes in memory.
const BUFFER_BYTES: usize = 64 << 20;

/// Arguments of `bluelake replay`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct ReplayArguments {
    /// The stream to read again: user-events or transaction-events
    #[arg(long, value_name = "NAME")]
    stream: Stream,
    /// Records that arrived at this RFC 3339 time or later …
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: DateTime<Utc>,
    /// … and before this one
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: DateTime<Utc>,
    /// Go on when Kinesis does not hold the start any more, from the oldest that it holds
    #[arg(long)]
    allow_partial: bool,
}

const EXAMPLES: &str = "\
Adds only events that no table holds and that are no duplicates; run it twice, and the second changes nothing.
It may run beside the workers: no shard's position moves, and what lies behind it is left to them.

Examples:
  bluelake replay --stream transaction-events --from 2026-11-01T10:00:00Z --to 2026-11-01T11:00:00Z
  bluelake replay --stream user-events --from 2026-10-01T00:00:00Z --to 2026-11-01T00:00:00Z --allow-partial --json";

pub(crate) fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    time.map_err(|_| "not an RFC 3339 time such as 2026-11-01T12:00:00Z".to_owned())
}

/// The result as JSON.
#[derive(Serialize)]
struct Replayed {
    stream: Stream,
    table: &'static str,
    read_from: DateTime<Utc>,
    read_to: DateTime<Utc>,
    /// `read_from` is later than requested: earlier records are gone.
    partial: bool,
    shards: usize,
    skipped_shards: Vec<ShardId>,
    records: u64,
    present: u64,
    undecided: u64,
    duplicate: u64,
    stored: u64,
    rejected: u64,
    commits: u64,
    table_version: Option<u64>,
}

/// Replays a range.
pub(crate) async fn run(session: &Session, arguments: ReplayArguments) -> Result<Outcome> {
    let ReplayArguments { stream, from, to, allow_partial } = arguments;
    if from >= to {
        return Err(WrongUsage::new("--from must be before --to").into());
    }
    let contract = session.contract()?;
    let lake = session.lake().await?;
    let kinesis = aws::kinesis_client(&aws::sdk_config().await?)?;
    streams::ensure_two(&kinesis, &session.config).await?;
    let source = KinesisStream::new(kinesis, session.config.stream(stream));
    let options = ReplayOptions {
        from,
        to,
        allow_partial,
        dedup_span: session.config.ingest.dedup_window,
        buffer_bytes: BUFFER_BYTES,
        worker: format!("replay-{}", std::process::id()),
        clock: Clock::system(),
    };
    let summary = replay(source, stream, &lake, &contract, options).await?;
    let replayed = replayed(summary, from);
    if session.json {
        output::json(&replayed)?;
    } else {
        output::line(describe(&replayed))?;
    }
    Ok(if replayed.undecided == 0 { Outcome::Done } else { Outcome::Incomplete })
}

fn replayed(summary: ReplaySummary, from: DateTime<Utc>) -> Replayed {
    Replayed {
        stream: summary.stream,
        table: summary.stream.table(),
        read_from: summary.read_from,
        read_to: summary.read_to,
        partial: summary.read_from > from,
        shards: summary.shards,
        skipped_shards: summary.skipped_shards,
        records: summary.records,
        present: summary.present,
        undecided: summary.undecided,
        duplicate: summary.duplicate,
        stored: summary.stored,
        rejected: summary.rejected,
        commits: summary.commits,
        table_version: summary.table_version,
    }
}

fn describe(replayed: &Replayed) -> String {
    let time = |time: &DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Millis, true);
    let header = ["stream", "records", "present", "duplicate", "stored", "rejected", "commits"];
    let counts =
        [replayed.records, replayed.present, replayed.duplicate, replayed.stored, replayed.rejected, replayed.commits];
    let row: Vec<String> = [replayed.stream.name().to_owned()].into_iter().chain(counts.map(output::grouped)).collect();
    let mut text = output::table(&header, &[1, 2, 3, 4, 5, 6], [row]).to_string();
    let (from, to) = (time(&replayed.read_from), time(&replayed.read_to));
    text.push_str(&format!("\nRead {} shards, arrivals from {from} to {to}.", replayed.shards));
    if replayed.partial {
        text.push_str(&format!("\nPartial: Kinesis holds nothing from before {from}."));
    }
    if replayed.undecided > 0 {
        let undecided = output::grouped(replayed.undecided);
        text.push_str(&format!(
            "\nNot added: {undecided} events that no table holds. They arrived on days of which rejected events expired, so \
             they may have been rejected then."
        ));
    }
    if !replayed.skipped_shards.is_empty() {
        let shards = replayed.skipped_shards.iter().map(ShardId::as_str).collect::<Vec<_>>().join(", ");
        text.push_str(&format!("\nLeft to the workers, because nothing of them is committed yet: {shards}."));
    }
    text
}

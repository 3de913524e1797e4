//! `bluelake status`: how each stream stands, for people and for monitors.

mod tables;

use std::time::Duration;

use anyhow::Result;
use aws_sdk_kinesis::Client;
use bluelake_ingest::status::{Asked, Limits, StatusReport, StreamStatus, TableFiles, WorkerStatus};
use bluelake_ingest::{Clock, KinesisStream, probe};
use bluelake_lake::{FoundHeartbeat, Heartbeat, Heartbeats, Lake, REJECTED_EVENTS, other_stream};
use bluelake_schemas::Stream;
use chrono::Utc;
use clap::Args;

use super::Session;
use super::lake;
use crate::config;
use crate::operate::files::table_files;
use crate::session::{aws, streams};
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;

/// Arguments of `bluelake status`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct StatusArguments {
    /// Look at this stream only; may be repeated [default: both]
    #[arg(long = "stream", value_name = "NAME")]
    streams: Vec<Stream>,
    /// Ask the lake alone, not Kinesis: without lag, headroom and new shards
    #[arg(long)]
    offline: bool,
    /// Exit with code 3 when a shard lags further behind than this, or its lag is not known
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "offline")]
    max_lag: Option<Duration>,
    /// Exit with code 3 when a shard has less time left before Kinesis discards records unread [default: a quarter of
    /// the stream's retention]
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "offline")]
    min_headroom: Option<Duration>,
}

const EXAMPLES: &str = "\
Changes nothing, and needs no worker to run. Asks each open shard for one record behind the lake's position.
Exit code 0 when all is well, 3 when there is a problem: a gap is open, a shard left Kinesis unread, a limit is passed, \
Kinesis cannot be asked, a check of the lake fails, or a table has too many files. 1 when the lake cannot be read.

Examples:
  bluelake status
  bluelake --lake s3://bucket/lake status --max-lag 10m --json
  bluelake status --offline --stream transaction-events";

fn time(text: &str) -> Result<Duration, String> {
    config::duration(text).map_err(|error| format!("{error:#}"))
}

/// Inspects the lake and Kinesis, and judges.
pub(crate) async fn run(session: &Session, arguments: StatusArguments) -> Result<Outcome> {
    let lake = session.lake().await?;
    // Without a region Kinesis cannot be queried, but the lake can.
    let kinesis = if arguments.offline { None } else { Some(aws::kinesis_client(&aws::sdk_config().await?)) };
    let client = kinesis.as_ref().and_then(|client| client.as_ref().ok());
    let unasked = kinesis.as_ref().and_then(|client| client.as_ref().err()).map(|error| format!("{error:#}"));
    if let Some(client) = client {
        is_one_for_both(streams::ensure_two(client, &session.config).await)?;
    }
    let chosen = |stream: &Stream| arguments.streams.is_empty() || arguments.streams.contains(stream);
    let looks = Stream::ALL.into_iter().filter(chosen).map(|stream| look(session, &lake, client, stream));
    let mut streams = futures::future::try_join_all(looks).await?;
    if let Some(reason) = &unasked {
        let reason = format!("{reason} (--offline asks the lake alone)");
        streams.iter_mut().for_each(|status| status.kinesis_error = Some(reason.clone()));
    }
    let limits = Limits { max_lag: arguments.max_lag, min_headroom: arguments.min_headroom };
    let report = StatusReport::new(&session.config.lake, streams, workers(&lake).await?, limits, Utc::now());
    let report = report.with_tables(files(session, &lake, &arguments.streams).await?);
    if session.json {
        output::json(&report)?;
    } else {
        output::line(tables::describe(&report))?;
    }
    Ok(if report.ok { Outcome::Done } else { Outcome::Incomplete })
}

/// The files of the tables of the streams, and of that of their rejected events.
async fn files(session: &Session, lake: &Lake, streams: &[Stream]) -> Result<Vec<TableFiles>> {
    let wanted = Stream::ALL.into_iter().filter(|stream| streams.is_empty() || streams.contains(stream));
    let wanted = wanted.map(Stream::table).chain([REJECTED_EVENTS]);
    let counts = lake::status::files(lake, wanted, &session.config.care.compaction()).await?;
    Ok(counts.iter().map(table_files).collect())
}

/// A failure of Kinesis is reported with each stream.
fn is_one_for_both(asked: Result<()>) -> Result<()> {
    asked.or_else(|error| if error.is::<WrongUsage>() { Err(error) } else { Ok(()) })
}

/// How one stream stands; by the lake alone without a client.
pub(crate) async fn look(
    session: &Session,
    lake: &Lake,
    kinesis: Option<&Client>,
    stream: Stream,
) -> Result<StreamStatus> {
    let mut found = lake.inspect(stream).await?;
    let name = session.config.stream(stream);
    let asked = match kinesis {
        None => Asked::Offline,
        Some(client) => {
            let source = KinesisStream::new(client.clone(), name);
            let start = session.config.ingest.start.into();
            match probe(&source, found.document.as_ref(), &start, &Clock::system()).await {
                Ok(probe) => Asked::Answered(probe),
                Err(error) => Asked::Failed(bluelake_lake::causes(&error)),
            }
        }
    };
    let other = match (&asked, &found.document) {
        (Asked::Answered(probe), Some(document)) => document.other_stream(&probe.arn, probe.created_at),
        (_, Some(document)) => document.other_stream_by_name(name),
        (_, None) => None,
    };
    // The shards of another stream say nothing about these.
    let asked = if other.is_some() { Asked::Offline } else { asked };
    found.faults.extend(other.map(|check| other_stream(stream.table(), check).to_string()));
    Ok(StreamStatus::new(name, found, asked, Utc::now().into()))
}

/// The workers with a heartbeat, also dead ones until the living remove them.
async fn workers(lake: &Lake) -> Result<Vec<WorkerStatus>> {
    let mut found: Vec<WorkerStatus> = Heartbeats::of(lake).list().await?.into_iter().map(worker).collect();
    found.sort_by(|left, right| left.worker.cmp(&right.worker));
    Ok(found)
}

fn worker(found: FoundHeartbeat) -> WorkerStatus {
    let Heartbeat { worker, version, holds, .. } = found.heartbeat;
    WorkerStatus {
        worker,
        heartbeat_at: found.written_at.time(),
        version,
        shards: holds.into_iter().map(|(stream, shards)| (stream, shards.len())).collect(),
    }
}

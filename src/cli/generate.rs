//! `bluelake generate`: made-up events into Kinesis, a file or standard output.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bluelake_generate::{
    Error, GeneratedEvent, Generator, GeneratorOptions, JournalWriter, Producer, PutOutcome, RetryPolicy, StreamNames,
    Truth, feed, write_ndjson,
};
use bluelake_schemas::Stream;
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::Args;
use serde::Serialize;

use super::Session;
use crate::session::{aws, streams};
use crate::terminal::failure::{Outcome, WrongUsage};
use crate::terminal::output;
use crate::terminal::progress;

/// Events that wait between the generator and the producer: two full PutRecords requests for each of its lanes.
pub(crate) const EVENTS_AHEAD: usize = 8_192;

/// Arguments of `bluelake generate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct GenerateArguments {
    /// How many events, bad ones and duplicates included
    #[arg(long, value_name = "N")]
    events: u64,
    /// Seed of everything random: the same options give the same bytes
    #[arg(long, value_name = "S", default_value_t = 1)]
    seed: u64,
    /// Length of the period in days
    #[arg(long, value_name = "DAYS", default_value_t = 30)]
    days: u32,
    /// End of the period, exclusive: a day or an RFC 3339 time [default: the last midnight, UTC]
    #[arg(long, value_name = "TIME", value_parser = end_of_period)]
    end: Option<DateTime<Utc>>,
    /// Share of bad events, from 0 to 1
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    bad_rate: f64,
    /// Share of repeated events, from 0 to 1
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    duplicate_rate: f64,
    /// Where to: kinesis, a file, or - for standard output
    #[arg(long, value_name = "kinesis|FILE|-")]
    to: Target,
    /// Write events of this stream only (not with --to kinesis, which needs both)
    #[arg(long, value_name = "STREAM")]
    stream: Option<Stream>,
    /// Put N events into each record, as the Kinesis Producer Library does (with --to kinesis)
    #[arg(long, value_name = "N")]
    aggregate: Option<NonZeroUsize>,
    /// Also write the truth as JSON: what the lake must say when everything has landed
    #[arg(long, value_name = "FILE")]
    truth: Option<PathBuf>,
    /// Also write a journal: one line for every answer of Kinesis
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Makes up the events of a community: members join, meet officers, give and spend points. Balances never go negative.

Examples:
  bluelake generate --events 1000 --seed 7 --to events.ndjson --truth truth.json
  bluelake generate --events 20 --stream transaction-events --to - | head
  bluelake generate --events 1000000 --bad-rate 0.01 --duplicate-rate 0.01 --to kinesis
  AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:4567 bluelake generate --events 10000 --to kinesis";

#[derive(Debug, Clone)]
enum Target {
    Kinesis,
    StandardOutput,
    File(PathBuf),
}

impl From<&str> for Target {
    fn from(text: &str) -> Self {
        match text {
            "kinesis" => Self::Kinesis,
            "-" => Self::StandardOutput,
            path => Self::File(PathBuf::from(path)),
        }
    }
}

fn end_of_period(text: &str) -> Result<DateTime<Utc>, String> {
    if let Ok(day) = text.parse::<NaiveDate>() {
        return Ok(day.and_time(NaiveTime::MIN).and_utc());
    }
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.to_utc())
        .map_err(|_| "neither a day such as 2026-11-01 nor a time such as 2026-11-01T12:00:00Z".to_owned())
}

/// Makes the events and sends them to their target.
pub(crate) async fn run(session: &Session, arguments: GenerateArguments) -> Result<Outcome> {
    check(&arguments)?;
    let generator = generator(&arguments)?;
    let truth = match &arguments.to {
        Target::Kinesis => put(session, &arguments, generator).await?,
        Target::StandardOutput => print(&arguments, generator)?,
        Target::File(path) => write(session, &arguments, generator, path)?,
    };
    if let Some(path) = &arguments.truth {
        let mut file = output::create(path)?;
        serde_json::to_writer_pretty(&mut file, &truth).with_context(|| format!("cannot write {}", path.display()))?;
        output::publish(file)?;
    }
    Ok(Outcome::Done)
}

fn check(arguments: &GenerateArguments) -> Result<()> {
    match (&arguments.to, arguments.stream, &arguments.journal) {
        (Target::Kinesis, Some(_), _) => Err(WrongUsage::new("--stream cannot be used with --to kinesis").into()),
        (Target::StandardOutput | Target::File(_), _, Some(_)) => {
            Err(WrongUsage::new("--journal needs --to kinesis: only Kinesis gives answers to write down").into())
        }
        (Target::StandardOutput | Target::File(_), ..) if arguments.aggregate.is_some() => {
            Err(WrongUsage::new("--aggregate needs --to kinesis: a file has no records").into())
        }
        _ => Ok(()),
    }
}

fn generator(arguments: &GenerateArguments) -> Result<Generator> {
    let options = GeneratorOptions {
        events: arguments.events,
        seed: arguments.seed,
        days: arguments.days,
        end: arguments.end.unwrap_or_else(|| Utc::now().date_naive().and_time(NaiveTime::MIN).and_utc()),
        bad_rate: arguments.bad_rate,
        duplicate_rate: arguments.duplicate_rate,
    };
    Generator::new(options).map_err(|error| match &error {
        Error::InvalidOption { option, problem } => {
            WrongUsage::new(format!("--{} {problem}", option.replace('_', "-"))).into()
        }
        _ => error.into(),
    })
}

fn print(arguments: &GenerateArguments, mut generator: Generator) -> Result<Truth> {
    let mut sink = BufWriter::new(std::io::stdout());
    write_ndjson(generator.by_ref(), arguments.stream, &mut sink).map_err(|error| output::or_closed(error.into()))?;
    Ok(generator.into_truth())
}

fn write(session: &Session, arguments: &GenerateArguments, mut generator: Generator, path: &Path) -> Result<Truth> {
    let started = Instant::now();
    let mut file = output::create(path)?;
    let bar = progress::events("writing", arguments.events);
    let mut bytes = 0;
    let events = generator.by_ref().inspect(|event| {
        if arguments.stream.is_none_or(|stream| stream == event.stream) {
            bytes += size_of(event);
        }
        bar.inc(1);
    });
    let events = write_ndjson(events, arguments.stream, &mut file)
        .with_context(|| format!("cannot write {}", path.display()))?;
    output::publish(file)?;
    bar.finish_and_clear();
    summary(session, Summary::new(path.display().to_string(), events, bytes, started.elapsed()))?;
    Ok(generator.into_truth())
}

async fn put(session: &Session, arguments: &GenerateArguments, generator: Generator) -> Result<Truth> {
    let client = aws::kinesis_client(&aws::sdk_config().await?)?;
    let config = &session.config;
    streams::ensure_two_names(config)?;
    let names = StreamNames::new(config.stream_name(Stream::UserEvents), config.stream_name(Stream::TransactionEvents));
    let mut journal = match &arguments.journal {
        Some(path) => {
            let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
            Some(JournalWriter::new(file))
        }
        None => None,
    };
    let on_answer = |event: &GeneratedEvent, answer: &PutOutcome| match &mut journal {
        Some(journal) => journal.record(event, answer),
        None => Ok(()),
    };
    let started = Instant::now();
    let bar = progress::events("putting into Kinesis", arguments.events);
    let producer = Producer::new(&client, names, RetryPolicy { seed: arguments.seed, ..RetryPolicy::default() })
        .aggregating(arguments.aggregate);
    let (events, truth) = feed(generator, EVENTS_AHEAD);
    let counts = producer.put(events, on_answer, |counts| bar.set_position(counts.stored)).await?;
    bar.finish_and_clear();
    if let Some(journal) = journal {
        journal.finish().and_then(|mut file| file.flush()).context("cannot complete the journal")?;
    }
    let streams = format!("{} and {}", config.user_events, config.transaction_events);
    let mut line = Summary::new(streams, counts.stored, counts.bytes, started.elapsed());
    (line.retried, line.unknown) = (counts.retried, counts.unknown);
    summary(session, line)?;
    truth.await.context("the generator did not come to its end")
}

fn size_of(event: &GeneratedEvent) -> u64 {
    u64::try_from(event.bytes.len()).unwrap_or(u64::MAX)
}

#[derive(Serialize)]
struct Summary {
    to: String,
    events: u64,
    bytes: u64,
    seconds: f64,
    /// Records put again because they were throttled or their answer was lost.
    retried: u64,
    /// Records that may be in the stream once more.
    unknown: u64,
}

impl Summary {
    fn new(to: String, events: u64, bytes: u64, elapsed: Duration) -> Self {
        Self { to, events, bytes, seconds: elapsed.as_secs_f64(), retried: 0, unknown: 0 }
    }
}

fn summary(session: &Session, summary: Summary) -> Result<()> {
    if session.json {
        return output::json(&summary);
    }
    let Summary { to, events, bytes, seconds, .. } = &summary;
    let rates = output::rates(*events, *bytes, Duration::from_secs_f64(*seconds));
    output::line(format!("{} events into {to}: {rates}", output::grouped(*events)))
}

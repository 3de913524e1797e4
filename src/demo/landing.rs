//! From the generator through the embedded Kinesis into the lake.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use bluelake_embedded_kinesis::{EmbeddedKinesis, Options, Shards};
use bluelake_generate::{EventKind, GeneratedEvent, Generator, Producer, RetryPolicy, StreamNames, feed};
use bluelake_lake::{AsOf, StreamTable, Writer};
use bluelake_schemas::Stream;
use bytesize::ByteSize;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{Demo, state};
use crate::cli::generate::EVENTS_AHEAD;
use crate::cli::ingest::describe;
use crate::config::IngestSettings;
use crate::operate::ingestion::{IngestResult, Ingestion};
use crate::session::query;
use crate::terminal::{output, progress};

const SHARDS: Shards = Shards { user_events: 2, transaction_events: 4 };

/// Streams, tables and queries share one small machine here.
const BUFFER_SIZE: ByteSize = ByteSize::mib(32);

/// The events that were put and ingested.
#[derive(Debug, Serialize)]
pub(crate) struct Landed {
    put: u64,
    bytes: u64,
    put_seconds: f64,
    /// Events that were skipped because an earlier run had landed them.
    pub(super) skipped: u64,
    /// What ingest read and stored.
    pub(super) ingested: IngestResult,
}

/// Puts missing events into new streams and ingests them. `again`: an earlier run may have landed some.
pub(super) async fn run(demo: &Demo<'_>, again: bool) -> Result<Landed> {
    let kinesis = EmbeddedKinesis::start(Options::default()).await?;
    kinesis.create_streams(SHARDS, |stream| stream.name().to_owned()).await?;
    let Shards { user_events, transaction_events } = SHARDS;
    demo.say(format!(
        "\nKinesis in this process, on {}: user-events ({user_events} shards), transaction-events ({transaction_events} shards)",
        kinesis.endpoint()
    ))?;
    let present = if again { Present::of(demo).await? } else { Present::default() };
    let (put, bytes, put_seconds, skipped) = put(demo, &kinesis, present).await?;
    let rates = output::rates(put, bytes, Duration::from_secs_f64(put_seconds));
    demo.say(format!("Put {} events: {rates}", output::grouped(put)))?;
    if skipped > 0 {
        demo.say(format!("Not put, because they had landed: {} events", output::grouped(skipped)))?;
    }
    let ingested = ingest(demo, &kinesis, put).await?;
    demo.say(format!("\n{}", describe(&ingested)))?;
    Ok(Landed { put, bytes, put_seconds, skipped, ingested })
}

async fn put(demo: &Demo<'_>, kinesis: &EmbeddedKinesis, present: Present) -> Result<(u64, u64, f64, u64)> {
    let producer = Producer::new(&kinesis.client(), StreamNames::default(), RetryPolicy::default());
    let started = Instant::now();
    let (made, truth) = feed(Generator::new(demo.state.options())?, EVENTS_AHEAD);
    let (missing, receiver) = mpsc::channel(EVENTS_AHEAD);
    let skipped = tokio::spawn(present.pass_missing(made, missing));
    let bar = progress::events("putting into Kinesis", demo.state.events);
    let counts = producer.put(receiver, |_, _| Ok(()), |counts| bar.set_position(counts.stored)).await?;
    bar.finish_and_clear();
    let seconds = started.elapsed().as_secs_f64();
    let truth = truth.await.context("the generator did not come to its end")?;
    state::save_truth(demo.folder, &truth)?;
    let skipped = skipped.await.context("the events were not passed on to their end")?;
    Ok((counts.stored, counts.bytes, seconds, skipped))
}

async fn ingest(demo: &Demo<'_>, kinesis: &EmbeddedKinesis, events: u64) -> Result<IngestResult> {
    let settings = demo.session.config.ingest.clone();
    let ingestion = Ingestion {
        kinesis: kinesis.client(),
        streams: Stream::ALL.map(|stream| (stream, stream.name().to_owned())).to_vec(),
        lake: demo.lake.clone(),
        contract: demo.contract.clone(),
        settings: IngestSettings {
            buffer_size: Some(settings.buffer_size.map_or(BUFFER_SIZE, |size| size.min(BUFFER_SIZE))),
            listen: None,
            worker_id: None,
            // The embedded Kinesis has no such limit.
            shard_rate: ByteSize::gb(1),
            ..settings
        },
        once: true,
        init: true,
        compaction: None,
        compacts: false,
    };
    let bar = progress::events("ingesting", events);
    let result = ingestion.run(CancellationToken::new(), |received| bar.set_position(received)).await;
    bar.finish_and_clear();
    result
}

/// The events landed by an earlier run.
#[derive(Debug, Default)]
struct Present {
    /// Ids of the rows.
    rows: HashSet<Uuid>,
    /// The number of each rejected event of a stream; bad events may have equal bytes, and may lack an id.
    rejected: HashMap<(Stream, Vec<u8>), u64>,
}

impl Present {
    async fn of(demo: &Demo<'_>) -> Result<Self> {
        let mut present = Self::default();
        // The interruption may have come before the tables were made.
        demo.lake.init(&demo.contract).await?;
        for stream in Stream::ALL {
            // Opening updates `rejected_events`: the kill may have come between the commit of an event table and that
            // update.
            let writer = Writer {
                worker: "demo".to_owned(),
                stream_arn: String::new(),
                stream_created_at: None,
                contract_version: demo.contract.version(),
            };
            StreamTable::open(&demo.lake, &demo.contract, stream, writer).await?;
        }
        let queries = query::open(&demo.lake, &demo.session.config, &AsOf::Newest).await?;
        for stream in Stream::ALL {
            let mut ids = queries.query(&format!("SELECT event_id FROM {}", stream.table())).await?;
            while let Some(batch) = ids.next().await? {
                present.rows.extend(texts(&batch)?.filter_map(|id| Uuid::parse_str(id).ok()));
            }
            let of_stream = format!("SELECT event_bytes FROM rejected_events WHERE stream = '{stream}'");
            let mut rejected = queries.query(&of_stream).await?;
            while let Some(batch) = rejected.next().await? {
                for bytes in binaries(&batch)? {
                    *present.rejected.entry((stream, bytes.to_owned())).or_default() += 1;
                }
            }
        }
        Ok(present)
    }

    /// Passes missing events on, and gives the number of the others.
    async fn pass_missing(
        mut self,
        mut made: mpsc::Receiver<GeneratedEvent>,
        missing: mpsc::Sender<GeneratedEvent>,
    ) -> u64 {
        let mut skipped = 0;
        while let Some(event) = made.recv().await {
            if self.has(&event) {
                skipped += 1;
            } else if missing.send(event).await.is_err() {
                break;
            }
        }
        skipped
    }

    fn has(&mut self, event: &GeneratedEvent) -> bool {
        match event.kind {
            EventKind::Bad(_) => match self.rejected.get_mut(&(event.stream, event.bytes.clone())) {
                Some(left) if *left > 0 => {
                    *left -= 1;
                    true
                }
                _ => false,
            },
            EventKind::Good | EventKind::Duplicate => {
                Uuid::parse_str(&event.event_id).is_ok_and(|id| self.rows.contains(&id))
            }
        }
    }
}

/// The first column as texts, in any layout of the engine.
fn texts(batch: &RecordBatch) -> Result<Box<dyn Iterator<Item = &str> + '_>> {
    let column = batch.columns().first().context("the query gave no column")?;
    if let Some(texts) = column.as_string_opt::<i32>() {
        return Ok(Box::new(texts.iter().flatten()));
    }
    let texts = column.as_string_view_opt().with_context(|| unexpected(column))?;
    Ok(Box::new(texts.iter().flatten()))
}

/// The first column as bytes, in any layout of the engine.
fn binaries(batch: &RecordBatch) -> Result<Box<dyn Iterator<Item = &[u8]> + '_>> {
    let column = batch.columns().first().context("the query gave no column")?;
    if let Some(bytes) = column.as_binary_opt::<i32>() {
        return Ok(Box::new(bytes.iter().flatten()));
    }
    let bytes = column.as_binary_view_opt().with_context(|| unexpected(column))?;
    Ok(Box::new(bytes.iter().flatten()))
}

fn unexpected(column: &dyn Array) -> String {
    format!("the query gave a column of type {}", column.data_type())
}

//! Reads the objects of an archive, two at a time. For each, a thread decompresses the bytes as they come and cuts them
//! into blocks of records (`blocks.rs`); the blocks are decoded on all cores (`decoding.rs`). It gives rows in order,
//! together with the part of the object that they came from.

use std::{
    num::NonZero,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use bluelake_lake::{Archive, ArchivedObject, Chance, LakeError, causes};
use bluelake_schemas::Stream;
use bluelake_transform::{Counts, DecodedBatch, Decoder};
use futures::StreamExt as _;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::{
    blocks::{Block, Body, Cutter},
    decoding::{BlockDecoder, Turn},
    plan::ObjectTask,
};
use crate::{
    error::IngestError,
    landing::retry::{self, Patience},
    memory::admission::{Admission, RowRoom},
};

/// Objects read at once: each takes a thread as long as it is read.
const OBJECTS_AT_ONCE: usize = 2;
/// Parts of a body that wait for its thread; each is up to a MiB.
const PARTS_AHEAD: usize = 4;
/// Blocks of an object that wait to be decoded.
const BLOCKS_AHEAD: usize = 1;
/// The most blocks of an object that are decoded at once, or wait for those before them: one for each core, and no more
/// than this.
const MOST_BLOCKS_AT_ONCE: usize = 4;

/// Part of an object, decoded.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) object: Arc<ArchivedObject>,
    /// The first byte in the decompressed content, and the one after the last.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The object was read to its end.
    pub(crate) ended: bool,
    pub(crate) counts: Counts,
    pub(crate) rows: DecodedBatch,
    /// The id of each of the events.
    pub(crate) ids: Vec<Uuid>,
    /// The room that heavy rows hold until they are written.
    pub(crate) room: Option<RowRoom>,
}

/// What comes of reading.
#[derive(Debug)]
pub(crate) enum Message {
    Chunk(Box<Chunk>),
    Fault(Fault),
}

/// What stands against reading on.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The object cannot be read beyond this byte of its content.
    Damaged {
        object: String,
        offset: u64,
        reason: String,
    },
    Failed(IngestError),
}

/// Where objects are read from, and for which table.
#[derive(Clone, Debug)]
pub(crate) struct ObjectSource {
    pub(crate) archive: Archive,
    pub(crate) stream: Stream,
    pub(crate) decoder: Arc<Decoder>,
    /// Bounds the rows of records that unpack to far more than they weigh.
    pub(crate) admission: Admission,
    /// The randomness of the pauses between tries.
    pub(crate) chance: Chance,
}

/// Why reading an object ended before its end.
#[derive(Debug)]
pub(crate) enum ReadEnd {
    /// Its bytes are damaged from this byte of the content on.
    Damaged {
        offset: u64,
        reason: String,
    },
    /// The receiver is gone.
    Unwanted,
    Failed(IngestError),
}

impl ObjectSource {
    /// Reads all objects in their order, two at a time. The chunks of one object follow each other.
    pub(crate) async fn read_all(self, tasks: Vec<ObjectTask>, messages: mpsc::Sender<Message>) {
        let reads = futures::stream::iter(tasks).map(|task| self.read(task, &messages));
        let mut reads = reads.buffer_unordered(OBJECTS_AT_ONCE);
        while let Some(read) = reads.next().await {
            if let Err(error) = read {
                // A receiver that is gone has an error of its own.
                let _ = messages.send(Message::Fault(Fault::Failed(error))).await;
                return;
            }
        }
    }

    async fn read(&self, task: ObjectTask, messages: &mpsc::Sender<Message>) -> Result<(), IngestError> {
        let reached = Arc::new(AtomicU64::new(task.from));
        let read = || async {
            let damaged =
                |offset, reason| Message::Fault(Fault::Damaged { object: task.object.name.clone(), offset, reason });
            let damage = match self.attempt(&task, &reached, messages).await {
                Ok(()) | Err(ReadEnd::Unwanted) => return Ok(()),
                Err(ReadEnd::Damaged { offset, reason }) => damaged(offset, reason),
                // It is gone, was written anew, or may not be read by this role: the others may be fine.
                Err(ReadEnd::Failed(IngestError::Lake(error))) if error.is_of_one_object() => {
                    damaged(reached.load(Ordering::Relaxed), causes(&error))
                }
                Err(ReadEnd::Failed(error)) => return Err(error),
            };
            // A receiver that is gone has an error of its own.
            let _ = messages.send(damage).await;
            Ok(())
        };
        retry::until("read an archived object", &Patience::few(&self.chance), read).await
    }

    /// Reads on from the part that was `reached`.
    async fn attempt(
        &self,
        task: &ObjectTask,
        reached: &Arc<AtomicU64>,
        messages: &mpsc::Sender<Message>,
    ) -> Result<(), ReadEnd> {
        let failed = |error: LakeError| ReadEnd::Failed(error.into());
        let mut body = self.archive.read(&task.object).await.map_err(failed)?;
        let (parts, received) = mpsc::channel(PARTS_AHEAD);
        let (sender, blocks) = mpsc::channel(BLOCKS_AHEAD);
        let cutter = Cutter::new(reached.load(Ordering::Relaxed), sender);
        let cutting = tokio::task::spawn_blocking(move || cutter.run(Body::new(received)));
        let feeding = async {
            while let Some(part) = body.next().await {
                if parts.send(part).await.is_err() {
                    break;
                }
            }
            drop(parts);
        };
        let ((), decoded) = futures::join!(feeding, self.decode_all(task, blocks, reached, messages));
        decoded?;
        let stream = self.stream;
        cutting.await.map_err(|error| ReadEnd::Failed(IngestError::task(stream, &error)))?
    }

    /// Decodes blocks, some at once, and hands their rows on in order.
    async fn decode_all(
        &self,
        task: &ObjectTask,
        blocks: mpsc::Receiver<Block>,
        reached: &Arc<AtomicU64>,
        messages: &mpsc::Sender<Message>,
    ) -> Result<(), ReadEnd> {
        let decoder = Arc::new(BlockDecoder {
            object: Arc::new(task.object.clone()),
            shard: task.shard.clone(),
            arrived_at: task.arrived_at,
            stream: self.stream,
            decoder: self.decoder.clone(),
            admission: self.admission.clone(),
        });
        let decode = |block, turn| {
            let decoder = decoder.clone();
            let decoding = tokio::task::spawn_blocking(move || decoder.decode(block, turn));
            let stream = self.stream;
            async move { decoding.await.map_err(|error| IngestError::task(stream, &error))? }
        };
        let blocks = futures::stream::unfold(blocks, |mut blocks| async { Some((blocks.recv().await?, blocks)) });
        let at_once = thread::available_parallelism().map_or(1, NonZero::get).min(MOST_BLOCKS_AT_ONCE);
        let decoded = blocks.map(|block| decode(block, Turn::Early)).buffered(at_once);
        let mut decoded = pin!(decoded);
        while let Some(found) = decoded.next().await {
            let mut found = found.map_err(ReadEnd::Failed)?;
            loop {
                if let Some(chunk) = found.chunk {
                    let to = chunk.to;
                    messages.send(Message::Chunk(Box::new(chunk))).await.map_err(|_| ReadEnd::Unwanted)?;
                    reached.store(to, Ordering::Relaxed);
                }
                let Some(rest) = found.rest else { break };
                found = decode(rest, Turn::Next).await.map_err(ReadEnd::Failed)?;
            }
        }
        Ok(())
    }
}

//! Reads the objects of an archive, two at a time. For each, a thread decompresses the bytes as they come, splits them
//! into records and decodes these. It gives rows together with the part of the object that they came from.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bluelake_lake::{Archive, ArchivedObject, Chance, LakeError, ShardId, causes};
use bluelake_schemas::{Micros, Millis, Stream};
use bluelake_transform::{
    BatchBuilder, Counts, DecodedBatch, Decoder, FailedRecord, LineIndent, OpenedRecord, Piece, RecordPosition,
    Splitter, UnreadFormat, WindowEnd, decompressing, is_binary,
};
use bytes::{Buf as _, Bytes};
use futures::StreamExt as _;
use tokio::{runtime::Handle, sync::mpsc};

use super::plan::ObjectTask;
use crate::{
    error::IngestError,
    landing::retry::{self, Patience},
    memory::admission::{Admission, RowRoom},
    reading::decoder::{HEAVY_BYTES, kept},
};

/// Objects read at once: threads are needed for encoding and the file system too.
const OBJECTS_AT_ONCE: usize = 2;
/// Parts of a body that wait for its thread.
const PARTS_AHEAD: usize = 4;
/// Approximate bytes of rows of one chunk.
const CHUNK_BYTES: usize = 4 << 20;
/// Bytes of text that are looked at together.
const WINDOW: usize = 256 << 10;
/// A longer record is taken for broken; Kinesis allows 10 MiB.
const MAX_RECORD: usize = 16 << 20;

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
enum ReadEnd {
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
        let decoding = Decoding {
            object: Arc::new(task.object.clone()),
            shard: task.shard.clone(),
            arrived_at: task.arrived_at,
            stream: self.stream,
            builder: self.decoder.batch(),
            counts: Counts::default(),
            from: reached.load(Ordering::Relaxed),
            indent: LineIndent::default(),
            reached: reached.clone(),
            messages: messages.clone(),
            admission: self.admission.clone(),
            room: None,
        };
        let decoding = tokio::task::spawn_blocking(move || decoding.run(Body { parts: received, part: Bytes::new() }));
        while let Some(part) = body.next().await {
            if parts.send(part).await.is_err() {
                break;
            }
        }
        drop(parts);
        let stream = self.stream;
        decoding.await.map_err(|error| ReadEnd::Failed(IngestError::task(stream, &error)))?
    }
}

/// A body that comes in parts, for a thread that may wait.
struct Body {
    parts: mpsc::Receiver<Result<Bytes, LakeError>>,
    part: Bytes,
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.parts.blocking_recv() {
                Some(Ok(part)) => self.part = part,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.part.len());
        self.part.copy_to_slice(buffer.get_mut(..length).unwrap_or_default());
        Ok(length)
    }
}

/// The decoding of one object.
struct Decoding {
    object: Arc<ArchivedObject>,
    shard: ShardId,
    arrived_at: Micros,
    stream: Stream,
    builder: BatchBuilder,
    counts: Counts,
    /// The start of the current chunk.
    from: u64,
    /// The indent of the line on which the next window begins.
    indent: LineIndent,
    reached: Arc<AtomicU64>,
    messages: mpsc::Sender<Message>,
    admission: Admission,
    /// The room of the current chunk.
    room: Option<RowRoom>,
}

impl Decoding {
    fn run(mut self, body: impl Read + Send) -> Result<(), ReadEnd> {
        let mut base = self.from;
        let mut window = Vec::new();
        let mut content = match self.skip(decompressing(body)) {
            Ok(content) => content,
            Err(error) => return Err(self.read_fault(error, base)),
        };
        loop {
            let wanted = WINDOW.max(window.len());
            let read = content.by_ref().take(u64::try_from(wanted).unwrap_or(u64::MAX)).read_to_end(&mut window);
            // Content before a fault counts as read: `read_to_end` keeps it.
            let end = if matches!(read, Ok(0)) { WindowEnd::Final } else { WindowEnd::GoesOn };
            if base == 0 && is_binary(&window) {
                return Err(ReadEnd::Damaged { offset: 0, reason: UnreadFormat::BINARY.to_string() });
            }
            let mut taken = self.take(&window, base, end)?;
            if taken == 0 && window.len() >= MAX_RECORD {
                taken = self.take_one(&window, base)?;
            }
            base += u64::try_from(taken).unwrap_or(u64::MAX);
            window.drain(..taken);
            match read {
                Ok(0) => return self.hand_on(base, true),
                Ok(_) => {}
                Err(error) => {
                    self.hand_on(base, false)?;
                    return Err(self.read_fault(error, base));
                }
            }
        }
    }

    /// Skips the content that was read before.
    fn skip<'a>(&self, mut content: Box<dyn Read + Send + 'a>) -> io::Result<Box<dyn Read + Send + 'a>> {
        let skipped = io::copy(&mut content.by_ref().take(self.from), &mut io::sink())?;
        if skipped < self.from {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than what was read of it before"));
        }
        Ok(content)
    }

    /// Decodes the records of a window that begins at `base`; gives their bytes.
    fn take(&mut self, window: &[u8], base: u64, end: WindowEnd) -> Result<usize, ReadEnd> {
        let mut splitter = Splitter::new(window, end).on_line(self.indent);
        while self.take_piece(&mut splitter, window, base)? {}
        self.indent = splitter.line_indent();
        Ok(splitter.position())
    }

    /// Takes the start of the window as a record, although its end was not found.
    fn take_one(&mut self, window: &[u8], base: u64) -> Result<usize, ReadEnd> {
        let mut splitter = Splitter::new(window, WindowEnd::Final).on_line(self.indent);
        self.take_piece(&mut splitter, window, base)?;
        self.indent = splitter.line_indent();
        Ok(splitter.position())
    }

    /// Decodes the next record, if there is one.
    fn take_piece(&mut self, splitter: &mut Splitter<'_>, window: &[u8], base: u64) -> Result<bool, ReadEnd> {
        let Piece::Record(range) = splitter.next_piece() else { return Ok(false) };
        let offset = |at: usize| base + u64::try_from(at).unwrap_or(u64::MAX);
        self.push(offset(range.start), window.get(range).unwrap_or_default());
        if self.builder.buffered_bytes() >= CHUNK_BYTES || self.room.is_some() {
            self.hand_on(offset(splitter.position()), false)?;
        }
        Ok(true)
    }

    fn push(&mut self, start: u64, record: &[u8]) {
        let sequence = start.to_string();
        let failed = FailedRecord::of(record);
        let arrived = failed.as_ref().and_then(|failed| failed.arrived_at).map(Millis::micros);
        let position = RecordPosition {
            shard: &self.shard,
            sequence: &sequence,
            arrived_at: arrived.unwrap_or(self.arrived_at),
            hash_keys: None,
        };
        let data = failed.as_ref().map_or(record, |failed| &failed.data);
        let opened = OpenedRecord::open(data, HEAVY_BYTES);
        let room = match opened.most_row_bytes() {
            bytes if bytes > HEAVY_BYTES => Handle::current().block_on(self.admission.admit_rows(bytes)),
            _ => None,
        };
        let before = self.builder.buffered_bytes();
        // The table is asked for many events at once whether it has them.
        self.counts += self.builder.push_opened(&position, opened, &mut |_, _| false);
        self.room = kept(room, self.builder.buffered_bytes() - before, data.len());
    }

    /// Hands on the rows decoded up to byte `to`.
    fn hand_on(&mut self, to: u64, ended: bool) -> Result<(), ReadEnd> {
        if to == self.from && !ended {
            return Ok(());
        }
        let rows = self
            .builder
            .finish()
            .map_err(|source| ReadEnd::Failed(IngestError::Transform { stream: self.stream, source }))?;
        let chunk = Chunk {
            object: self.object.clone(),
            from: self.from,
            to,
            ended,
            counts: std::mem::take(&mut self.counts),
            rows,
            room: self.room.take(),
        };
        self.from = to;
        self.messages.blocking_send(Message::Chunk(Box::new(chunk))).map_err(|_| ReadEnd::Unwanted)?;
        self.reached.store(to, Ordering::Relaxed);
        Ok(())
    }

    /// An error of the store passes or is reported as such; any other is the object's own.
    fn read_fault(&self, error: io::Error, offset: u64) -> ReadEnd {
        match error.downcast::<LakeError>() {
            Ok(error) => ReadEnd::Failed(error.into()),
            Err(error) => ReadEnd::Damaged { offset, reason: error.to_string() },
        }
    }
}

//! Cuts the content of an object into blocks of whole records, which can be decoded beside each other. It reads and
//! decompresses on a thread that may wait.

use std::{
    io::{self, Read},
    ops::Range,
};

use bluelake_lake::LakeError;
use bluelake_transform::{LineIndent, Piece, Splitter, UnreadFormat, WindowEnd, decompressing, is_binary};
use bytes::{Buf as _, Bytes};
use tokio::sync::mpsc;

use super::object::ReadEnd;

/// Bytes of text that are looked at together, and so of a block: its rows are well below a chunk's bytes.
const WINDOW: usize = 2 << 20;
/// A longer record is taken for broken; Kinesis allows 10 MiB.
const MAX_RECORD: usize = 16 << 20;

/// Whole records of an object, in order.
#[derive(Debug)]
pub(crate) struct Block {
    /// The first byte in the decompressed content that no block before covers, and the one after the last.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// The content ends here.
    pub(crate) ended: bool,
    /// Where the text begins in the content.
    pub(crate) base: u64,
    pub(crate) text: Vec<u8>,
    /// The places of the records in the text.
    pub(crate) records: Vec<Range<usize>>,
}

/// A body that comes in parts, for a thread that may wait.
pub(crate) struct Body {
    parts: mpsc::Receiver<Result<Bytes, LakeError>>,
    part: Bytes,
}

impl Body {
    pub(crate) fn new(parts: mpsc::Receiver<Result<Bytes, LakeError>>) -> Self {
        Self { parts, part: Bytes::new() }
    }
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

/// The cutting of one object.
pub(crate) struct Cutter {
    /// The first byte of the next block.
    from: u64,
    /// The indent of the line on which the next window begins.
    indent: LineIndent,
    window: Vec<u8>,
    blocks: mpsc::Sender<Block>,
}

impl Cutter {
    /// Cuts the content from byte `from` on.
    pub(crate) fn new(from: u64, blocks: mpsc::Sender<Block>) -> Self {
        Self { from, indent: LineIndent::default(), window: Vec::new(), blocks }
    }

    /// Cuts until the content ends, fails, or is not wanted any more. What precedes a failure is a block.
    pub(crate) fn run(mut self, body: impl Read + Send) -> Result<(), ReadEnd> {
        let mut base = self.from;
        let mut content = match skip(decompressing(body), self.from) {
            Ok(content) => content,
            Err(error) => return Err(fault(error, base)),
        };
        loop {
            let wanted = WINDOW.max(self.window.len());
            self.window.reserve(wanted);
            let read = content.by_ref().take(u64::try_from(wanted).unwrap_or(u64::MAX)).read_to_end(&mut self.window);
            // Content before a fault counts as read: `read_to_end` keeps it.
            let is_end = matches!(read, Ok(0));
            if base == 0 && is_binary(&self.window) {
                return Err(ReadEnd::Damaged { offset: 0, reason: UnreadFormat::BINARY.to_string() });
            }
            let mut found = self.records(if is_end { WindowEnd::Final } else { WindowEnd::GoesOn }, usize::MAX);
            if found.end == 0 && self.window.len() >= MAX_RECORD {
                // Its start is taken as a record, although its end was not found.
                found = self.records(WindowEnd::Final, 1);
            }
            base = self.hand_on(found, base, is_end)?;
            match read {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(fault(error, base)),
            }
        }
    }

    /// The records at the start of the window, at most so many.
    fn records(&mut self, end: WindowEnd, most: usize) -> Found {
        let mut splitter = Splitter::new(&self.window, end).on_line(self.indent);
        let mut records = Vec::new();
        while records.len() < most {
            let Piece::Record(range) = splitter.next_piece() else { break };
            records.push(range);
        }
        self.indent = splitter.line_indent();
        Found { records, end: splitter.position() }
    }

    /// Hands on what was found at the start of the window, which is at byte `base`; gives the byte after it.
    fn hand_on(&mut self, found: Found, base: u64, ended: bool) -> Result<u64, ReadEnd> {
        let to = base + u64::try_from(found.end).unwrap_or(u64::MAX);
        let rest = self.window.get(found.end..).unwrap_or_default().to_vec();
        let text = std::mem::replace(&mut self.window, rest);
        if !found.records.is_empty() || ended {
            let block = Block { from: self.from, to, ended, base, text, records: found.records };
            self.from = to;
            // A receiver that is gone has an error of its own.
            self.blocks.blocking_send(block).map_err(|_| ReadEnd::Unwanted)?;
        }
        Ok(to)
    }
}

/// Records at the start of a window, and where what follows them begins.
struct Found {
    records: Vec<Range<usize>>,
    end: usize,
}

/// Skips the content that was read before.
fn skip<'a>(mut content: Box<dyn Read + Send + 'a>, from: u64) -> io::Result<Box<dyn Read + Send + 'a>> {
    let skipped = io::copy(&mut content.by_ref().take(from), &mut io::sink())?;
    if skipped < from {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it is shorter than what was read of it before"));
    }
    Ok(content)
}

/// An error of the store passes or is reported as such; any other is the object's own.
fn fault(error: io::Error, offset: u64) -> ReadEnd {
    match error.downcast::<LakeError>() {
        Ok(error) => ReadEnd::Failed(error.into()),
        Err(error) => ReadEnd::Damaged { offset, reason: error.to_string() },
    }
}

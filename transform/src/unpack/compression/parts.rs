//! Reads compressed and plain parts in order: members of gzip, frames of zstd, and text between them.
//!
//! Firehose joins records of which each may be compressed by its producer; tools pad gzip with zeros and begin zstd
//! with a skippable frame. JSON cannot hold the bytes that begin a compressed part, so each part is found wherever it
//! is.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use memchr::memchr3_iter;

use crate::unpack::archive::is_binary;

use super::format::{LOOKED_AT, UnreadFormat};
use super::{Compression, MAX_WINDOW_LOG, ZSTD, ZSTD_SKIPPABLE};

/// Bytes that are read from the source at once.
const READ_AT_ONCE: usize = 256 << 10;
/// The beginning of a member of gzip within text, with its only method of compression.
const GZIP_WITHIN: &[u8] = &[0x1F, 0x8B, 0x08];
/// Longest beginning of a compressed part.
const BEGINNING: usize = 4;

/// The content allowed beside compressed parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// Text, and other compression.
    Anything,
    /// Only more of the same compression.
    TheSame(Compression),
    /// Nothing is decompressed: it must be text already.
    Text,
}

/// A source whose next bytes can be seen before they are taken. Bytes read before a failure come first.
struct Ahead<R> {
    source: R,
    /// Its bytes from `from` to `to` are held.
    buffer: Vec<u8>,
    from: usize,
    to: usize,
    failed: Option<io::Error>,
}

impl<R: Read> Ahead<R> {
    fn held(&self) -> &[u8] {
        self.buffer.get(self.from..self.to).unwrap_or_default()
    }

    /// The next bytes: at least `bytes`, unless fewer are left.
    fn look(&mut self, bytes: usize) -> io::Result<&[u8]> {
        if self.held().len() < bytes {
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        while self.failed.is_none() && self.held().len() < bytes {
            // The room stays for the next read.
            self.buffer.resize(self.buffer.len().max(self.to + READ_AT_ONCE), 0);
            match read_once(&mut self.source, self.buffer.get_mut(self.to..).unwrap_or_default()) {
                Ok(0) => break,
                Ok(read) => self.to += read,
                Err(error) => self.failed = Some(error),
            }
        }
        match self.failed.take() {
            Some(error) if self.held().is_empty() => return Err(error),
            failed => self.failed = failed,
        }
        Ok(self.held())
    }
}

/// What one read gives.
fn read_once(source: &mut impl Read, into: &mut [u8]) -> io::Result<usize> {
    loop {
        match source.read(into) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            read => return read,
        }
    }
}

impl<R: Read> Read for Ahead<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.fill_buf()?.len().min(into.len());
        let (taken, held) = (into.get_mut(..length).unwrap_or_default(), self.held().get(..length).unwrap_or_default());
        taken.copy_from_slice(held);
        self.consume(length);
        Ok(length)
    }
}

impl<R: Read> BufRead for Ahead<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.look(1)
    }

    fn consume(&mut self, bytes: usize) {
        self.from = self.to.min(self.from + bytes);
    }
}

/// The state of reading.
enum State<R: Read> {
    /// At the beginning, or behind a part.
    Between(Ahead<R>),
    Plain(Ahead<R>),
    Gzip(Box<GzDecoder<Ahead<R>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, Ahead<R>>>),
}

/// The content of all parts of a source, one after another.
pub(super) struct Parts<R: Read> {
    /// `None` after an error.
    state: Option<State<R>>,
    beside: Beside,
    is_begun: bool,
}

impl<R: Read> Parts<R> {
    pub(super) fn new(source: R, beside: Beside) -> Self {
        let ahead = Ahead { source, buffer: Vec::new(), from: 0, to: 0, failed: None };
        Self { state: Some(State::Between(ahead)), beside, is_begun: false }
    }

    /// The part that begins here; `None` at the end.
    fn next_part(&mut self, mut source: Ahead<R>) -> io::Result<Option<State<R>>> {
        let is_first = !std::mem::replace(&mut self.is_begun, true);
        if !is_first {
            pass_zeros(&mut source)?;
        }
        let beginning = source.look(LOOKED_AT)?;
        if beginning.is_empty() {
            return Ok(None);
        }
        let found = Compression::of(beginning);
        match (self.beside, found) {
            (Beside::Anything, Some(_)) => {}
            (Beside::TheSame(wanted), Some(compression)) if wanted == compression => {}
            (Beside::TheSame(_), _) => return Err(invalid("something else follows what is compressed")),
            (Beside::Text, Some(_)) => return Err(UnreadFormat::NESTED.into()),
            (Beside::Anything | Beside::Text, None) => {
                if let Some(format) = UnreadFormat::of(beginning).filter(|_| is_first) {
                    return Err(format.into());
                }
                let text = beginning.get(..beginning.len().min(LOOKED_AT)).unwrap_or_default();
                let text = text.get(..next_compressed(text).unwrap_or(text.len())).unwrap_or_default();
                if !is_first && is_binary(text) {
                    return Err(invalid("what follows a compressed part is not compressed, and no text either"));
                }
                return Ok(Some(State::Plain(source)));
            }
        }
        match found {
            Some(Compression::Gzip) => Ok(Some(State::Gzip(Box::new(GzDecoder::new(source))))),
            _ => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?.single_frame();
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Ok(Some(State::Zstd(Box::new(decoder))))
            }
        }
    }

    /// Reads on in the state; gives the bytes read, and the next state, `None` at the end.
    fn step(&mut self, state: State<R>, into: &mut [u8]) -> io::Result<(usize, Option<State<R>>)> {
        Ok(match state {
            State::Between(source) => (0, self.next_part(source)?),
            State::Plain(mut source) => {
                let scans = self.beside == Beside::Anything;
                let length = plain_length(&mut source, scans)?.min(into.len());
                let read = source.read(into.get_mut(..length).unwrap_or_default())?;
                let is_over = read == 0;
                (read, Some(if is_over { State::Between(source) } else { State::Plain(source) }))
            }
            State::Gzip(mut decoder) => match decoder.read(into)? {
                0 => (0, Some(State::Between(decoder.into_inner()))),
                read => (read, Some(State::Gzip(decoder))),
            },
            State::Zstd(mut decoder) => match decoder.read(into)? {
                0 => (0, Some(State::Between(decoder.finish()))),
                read => (read, Some(State::Zstd(decoder))),
            },
        })
    }
}

impl<R: Read> Read for Parts<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        while let Some(state) = self.state.take() {
            let (read, state) = self.step(state, into)?;
            self.state = state;
            if read > 0 {
                return Ok(read);
            }
        }
        Ok(0)
    }
}

/// Skips the zeros of a padded compressed part, as gzip itself does.
fn pass_zeros(source: &mut Ahead<impl Read>) -> io::Result<()> {
    loop {
        let held = source.look(1)?;
        let zeros = held.iter().take_while(|byte| **byte == 0).count();
        if zeros == 0 {
            return Ok(());
        }
        source.consume(zeros);
    }
}

/// The bytes of text before the next compressed part or the end; 0 there.
fn plain_length(source: &mut Ahead<impl Read>, scans: bool) -> io::Result<usize> {
    let held = source.look(BEGINNING)?;
    if !scans {
        return Ok(held.len());
    }
    let is_end = held.len() < BEGINNING;
    match next_compressed(held) {
        Some(length) => Ok(length),
        None if is_end => Ok(held.len()),
        // The beginning of a part may cross the end of the held bytes.
        None => Ok(held.len() - (BEGINNING - 1)),
    }
}

/// The beginning of the first compressed part. One pass looks for a byte of each kind of beginning that texts rarely
/// hold. No two beginnings overlap, so the first that is found is the first.
fn next_compressed(text: &[u8]) -> Option<usize> {
    const GZIP_RARE: u8 = 0x8B;
    const ZSTD_RARE: u8 = 0xB5;
    const SKIPPABLE_RARE: u8 = 0x18;
    let begins = |at: usize, with: &[u8]| text.get(at..).is_some_and(|rest| rest.starts_with(with));
    memchr3_iter(GZIP_RARE, ZSTD_RARE, SKIPPABLE_RARE, text).find_map(|rare| match text.get(rare) {
        Some(&GZIP_RARE) => rare.checked_sub(1).filter(|at| begins(*at, GZIP_WITHIN)),
        Some(&ZSTD_RARE) => rare.checked_sub(1).filter(|at| begins(*at, ZSTD)),
        _ => {
            let at = rare.checked_sub(3)?;
            let is_skippable = text.get(at).is_some_and(|first| (0x50..=0x5F).contains(first));
            (is_skippable && begins(at + 1, ZSTD_SKIPPABLE)).then_some(at)
        }
    })
}

fn invalid(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

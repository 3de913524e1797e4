//! The bytes of a file until they are taken, in parts of one size.

use std::{io, mem};

use bytes::Bytes;

/// The bytes of a file that were written and not taken.
#[derive(Debug)]
pub(crate) struct PartBuffer {
    part_bytes: usize,
    filling: Vec<u8>,
    complete: Vec<Bytes>,
    written: u64,
}

impl PartBuffer {
    /// An empty buffer with parts of this size, at least 1; `first` is the expected size of the first part.
    pub(crate) fn new(part_bytes: usize, first: usize) -> Self {
        let part_bytes = part_bytes.max(1);
        Self { part_bytes, filling: Vec::with_capacity(first.min(part_bytes)), complete: Vec::new(), written: 0 }
    }

    /// The complete parts that were not taken before, in order. Each has the full size.
    pub(crate) fn take_complete(&mut self) -> Vec<Bytes> {
        mem::take(&mut self.complete)
    }

    /// All parts that were not taken, in order; the last may be shorter.
    pub(crate) fn into_rest(mut self) -> Vec<Bytes> {
        if !self.filling.is_empty() {
            self.complete.push(Bytes::from(self.filling));
        }
        self.complete
    }

    /// Bytes that were not taken yet.
    pub(crate) fn held(&self) -> usize {
        self.complete.iter().map(Bytes::len).sum::<usize>() + self.filling.len()
    }

    /// Bytes of the file so far, taken ones included.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }
}

impl io::Write for PartBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.part_bytes - self.filling.len();
        let (fits, _) = bytes.split_at(bytes.len().min(room));
        self.filling.extend_from_slice(fits);
        self.written = self.written.saturating_add(u64::try_from(fits.len()).unwrap_or(u64::MAX));
        if self.filling.len() == self.part_bytes {
            let next = Vec::with_capacity(self.part_bytes);
            self.complete.push(Bytes::from(mem::replace(&mut self.filling, next)));
        }
        Ok(fits.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn parts_are_full_but_for_the_last() {
        let bytes: Vec<u8> = (0..=255).cycle().take(1_003).collect();
        for (part, chunk) in [(1, 7), (10, 1), (10, 10), (10, 33), (100, 1_003), (1_003, 5), (usize::MAX, 64)] {
            let mut buffer = PartBuffer::new(part, 0);
            let mut parts = Vec::new();
            for chunk in bytes.chunks(chunk) {
                buffer.write_all(chunk).unwrap();
                parts.extend(buffer.take_complete());
                assert!(buffer.held() < part, "what is complete was taken");
            }
            assert_eq!(buffer.written(), 1_003);
            assert!(parts.iter().all(|taken| taken.len() == part));
            parts.extend(buffer.into_rest());
            assert!(parts.iter().all(|part| !part.is_empty()));
            assert_eq!(parts.concat(), bytes, "{part} {chunk}");
        }
    }
}

//! Forms of files that hold records elsewhere and are not read here, by their first bytes. An object of such a form is
//! reported by the form's name, and not taken for damaged events.

use std::io;

/// The bytes that are looked at: a tar file has its form's name behind its first header.
pub(super) const LOOKED_AT: usize = 512;

/// Names by the bytes that a form begins with.
const MAGIC: &[(&[u8], &str)] = &[
    (b"BZh1", "bzip2"),
    (b"BZh2", "bzip2"),
    (b"BZh3", "bzip2"),
    (b"BZh4", "bzip2"),
    (b"BZh5", "bzip2"),
    (b"BZh6", "bzip2"),
    (b"BZh7", "bzip2"),
    (b"BZh8", "bzip2"),
    (b"BZh9", "bzip2"),
    (b"\xFD7zXZ\0", "xz"),
    (b"\x5D\0\0", "LZMA"),
    (b"LZIP\x01", "lzip"),
    (b"\x89LZO\0", "lzop"),
    (b"\x04\x22\x4D\x18", "LZ4"),
    (b"\x02\x21\x4C\x18", "LZ4"),
    (b"\x1F\x9D", "compress (.Z)"),
    (b"\x78\x01", "zlib"),
    (b"\x78\x9C", "zlib"),
    (b"\x78\xDA", "zlib"),
    (b"\xFF\x06\0\0sNaPpY", "framed Snappy"),
    (b"PK\x03\x04", "ZIP"),
    (b"PK\x05\x06", "ZIP"),
    (b"7z\xBC\xAF\x27\x1C", "7-Zip"),
    (b"Rar!\x1A\x07", "RAR"),
    (b"PAR1", "Parquet"),
    (b"PARE", "encrypted Parquet"),
    (b"ORC", "ORC"),
    (b"Obj\x01", "Avro"),
    (b"ARROW1\0\0", "Arrow"),
    (b"FEA1", "Feather"),
    (b"SEQ\x04", "Hadoop sequence file"),
    (b"SEQ\x05", "Hadoop sequence file"),
    (b"SEQ\x06", "Hadoop sequence file"),
    (b"RCF\x01", "RCFile"),
    (b"\xE0\x01\0\xEA", "Amazon Ion"),
    (b"SQLite format 3\0", "SQLite"),
    (b"\xD0\xCF\x11\xE0\xA1\xB1\x1A\xE1", "Microsoft Office"),
    (b"%PDF-", "PDF"),
    (b"\xF3\x89\x9A\xC2", "aggregated records of the Kinesis Producer Library"),
    (b"\xFF\xFE", "UTF-16"),
    (b"\xFE\xFF", "UTF-16"),
];

/// An object of a form that is not read.
#[derive(Debug, thiserror::Error)]
#[error("its form is {0}, which is not read: JSON text is, plain or compressed with gzip or zstd")]
pub struct UnreadFormat(&'static str);

impl From<UnreadFormat> for io::Error {
    fn from(format: UnreadFormat) -> Self {
        Self::new(io::ErrorKind::Unsupported, format)
    }
}

impl UnreadFormat {
    /// Binary content of an unknown form.
    pub const BINARY: Self = Self("none that is known and no text");
    /// Compression within compression within compression.
    pub(super) const NESTED: Self = Self("compression around compression around compression");

    /// The form that begins with these bytes, if it is one of them. Takes at least [`LOOKED_AT`] bytes, unless the
    /// object has fewer.
    pub(super) fn of(beginning: &[u8]) -> Option<Self> {
        let by_magic = MAGIC.iter().find(|(magic, _)| beginning.starts_with(magic)).map(|(_, name)| *name);
        let is_tar = || beginning.get(257..262) == Some(b"ustar");
        let found = by_magic
            .or_else(|| is_tar().then_some("tar"))
            .or_else(|| is_hadoop_snappy(beginning).then_some("Snappy as Hadoop writes it"))
            .or_else(|| is_bare_snappy(beginning).then_some("Snappy"));
        found.map(Self)
    }
}

/// Blocks of Hadoop's `BlockCompressorStream`: the size of a block and of its first compressed part, both big-endian,
/// then that part with its own size in front. The first block is not empty and smaller than 16 MiB.
fn is_hadoop_snappy(bytes: &[u8]) -> bool {
    let number = |at: usize| {
        let bytes = bytes.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
        bytes.map(|bytes| u32::from_be_bytes(*bytes))
    };
    let (Some(block), Some(part)) = (number(0), number(4)) else { return false };
    let Some((size, _)) = bytes.get(8..).and_then(snappy_size) else { return false };
    // Snappy makes incompressible data at most a sixth longer.
    (1..1 << 24).contains(&block) && size > 0 && size <= block && part > 0 && part <= 32 + size + size / 6
}

/// The size in front of a Snappy block, and its first element, which must be a literal.
fn snappy_size(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let length = 1 + bytes.iter().take(4).take_while(|byte| **byte >= 0x80).count();
    let digits = bytes.get(..length)?.iter().rev();
    let size = digits.fold(0_u64, |size, byte| size << 7 | u64::from(byte & 0x7F));
    let tag = *bytes.get(length)?;
    // Lengths above 59 are written behind the tag.
    let behind = match tag >> 2 {
        long @ 60..=63 => usize::from(long) - 59,
        _ => 0,
    };
    let literal = bytes.get(length + 1 + behind..)?;
    (tag & 3 == 0).then_some((u32::try_from(size).ok()?, literal))
}

/// A bare Snappy block whose text begins as JSON does: the sizes in front of it are no text.
fn is_bare_snappy(bytes: &[u8]) -> bool {
    let begins = snappy_size(bytes).is_some_and(|(_, literal)| matches!(literal.first(), Some(b'{' | b'[')));
    let is_text = std::str::from_utf8(bytes.get(..3).unwrap_or_default()).is_ok();
    begins && !is_text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn name(bytes: &[u8]) -> Option<&'static str> {
        UnreadFormat::of(bytes).map(|format| format.0)
    }

    #[test]
    fn text_is_of_no_other_form() {
        for text in
            ["", "{", "{\"a\":1}\n", "[1]", "\u{feff}{\"a\":1}", "hello", "Object", "BZ", "PK", "]", "x^2", "12 {}"]
        {
            assert_eq!(name(text.as_bytes()), None, "{text}");
        }
        assert_eq!(name(b"\x00{\x00\"\x00a\x00\"\x00:\x001\x00}"), None, "UTF-16");
        assert_eq!(name("{\"name\":\"é\"}".as_bytes()), None);
    }

    #[test]
    fn forms_are_known_by_their_first_bytes() {
        let mut tar = vec![0_u8; 512];
        tar.get_mut(257..262).unwrap().copy_from_slice(b"ustar");
        for (bytes, expected) in [
            (&b"BZh91AY&SY"[..], "bzip2"),
            (b"Obj\x01\x04\x14avro.codec", "Avro"),
            (b"PAR1\x15\x04", "Parquet"),
            (b"ORC\x08\x03", "ORC"),
            (b"PK\x03\x04\x14\0", "ZIP"),
            (b"\xFF\x06\0\0sNaPpY\0", "framed Snappy"),
            (&tar, "tar"),
            (b"\0\0\x01\xD4\0\0\0\xC6\xD4\x03\x40{\"event_id", "Snappy as Hadoop writes it"),
            (b"\0\0\x80\0\0\0\x12\x34\x80\x80\x02\xF4\xFF\x01{\"event_id", "Snappy as Hadoop writes it"),
            (b"\xD4\x03\x40{\"event_id", "Snappy"),
            (b"\xFF\xFE{\0", "UTF-16"),
        ] {
            assert_eq!(name(bytes), Some(expected));
        }
    }
}

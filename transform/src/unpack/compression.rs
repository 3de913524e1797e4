//! Compressed payloads, by their magic bytes: gzip and zstd, one level, into bounded memory. Also archived objects that
//! are compressed as a whole or in parts.

mod format;
mod parts;

use std::io::Read;

use self::parts::{Beside, Parts};
use crate::decode::reason::ReasonCode;

pub use format::UnreadFormat;

/// The most bytes that all compressed payloads of one Kinesis record may become together.
pub(crate) const MAX_DECOMPRESSED_BYTES: usize = 64 << 20;
/// The largest window of a zstd frame, a power of two: frames within the limit need no more.
const MAX_WINDOW_LOG: u32 = 26;

const GZIP: &[u8] = &[0x1F, 0x8B];
const ZSTD: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];
/// The bytes after the first one, 0x50 to 0x5F, of a zstd frame without content (RFC 8878 §3.1.2); pzstd begins so.
const ZSTD_SKIPPABLE: &[u8] = &[0x2A, 0x4D, 0x18];

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first bytes; `None` for a payload that is not compressed.
    pub(crate) fn of(data: &[u8]) -> Option<Self> {
        match data.split_first()? {
            (0x1F, _) if data.starts_with(GZIP) => Some(Self::Gzip),
            (0x28, _) if data.starts_with(ZSTD) => Some(Self::Zstd),
            (0x50..=0x5F, rest) if rest.starts_with(ZSTD_SKIPPABLE) => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Decompresses all members or frames, and skips zeros behind them. The bytes made, also of a failure, are taken
    /// off `budget`, the bytes left for the Kinesis record.
    pub(crate) fn decompress(self, data: &[u8], budget: &mut usize) -> Result<Vec<u8>, ReasonCode> {
        bounded(Parts::new(data, Beside::TheSame(self)), budget)
    }
}

/// Reads the content of an archived object. The first bytes of each part decide its compression: gzip, zstd or none.
/// Two compressions may be nested: Firehose compresses objects of records that their producer compressed.
///
/// Reads fail with an error of `source`, with an [`UnreadFormat`], or when compressed bytes are cut off or have a bad
/// checksum.
pub fn decompressing<'a>(source: impl Read + Send + 'a) -> Box<dyn Read + Send + 'a> {
    let outer = Parts::new(source, Beside::Anything);
    let inner = Parts::new(outer, Beside::Anything);
    Box::new(Parts::new(inner, Beside::Text))
}

fn bounded(decoder: impl Read, budget: &mut usize) -> Result<Vec<u8>, ReasonCode> {
    let limit = *budget;
    let mut decompressed = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = decoder.take(most).read_to_end(&mut decompressed);
    *budget = limit.saturating_sub(decompressed.len());
    match read {
        _ if decompressed.len() > limit => Err(ReasonCode::DecompressionLimit),
        Ok(_) => Ok(decompressed),
        Err(_) => Err(ReasonCode::DecompressionFailed),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::io::Write as _;

    use flate2::write::GzEncoder;
    use proptest::prelude::*;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd_of(data: &[u8]) -> Vec<u8> {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.include_checksum(true).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn open(data: &[u8]) -> Result<Vec<u8>, ReasonCode> {
        let mut budget = MAX_DECOMPRESSED_BYTES;
        Compression::of(data).unwrap().decompress(data, &mut budget)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn what_was_compressed_comes_back(data in proptest::collection::vec(any::<u8>(), 0..2000)) {
            prop_assert_eq!(open(&gzip(&data)).unwrap(), data.clone());
            prop_assert_eq!(open(&zstd_of(&data)).unwrap(), data.clone());
            let twice = [gzip(&data), gzip(&data)].concat();
            prop_assert_eq!(open(&twice).unwrap(), [data.clone(), data.clone()].concat());
            let twice = [zstd_of(&data), zstd_of(&data)].concat();
            prop_assert_eq!(open(&twice).unwrap(), [data.clone(), data].concat());
        }

        #[test]
        fn any_bytes_after_the_magic_never_panic(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = open(&[GZIP, &[8][..], &data].concat());
            let _ = open(&[ZSTD, &data].concat());
        }
    }

    #[test]
    fn truncated_payloads_and_wrong_checksums_fail() {
        let text = b"{\"event_id\": \"3f3c1b7e-0000-4000-8000-000000000001\"}".repeat(20);
        for (compressed, checksum_from_end) in [(gzip(&text), 8), (zstd_of(&text), 1)] {
            for end in 4..compressed.len() {
                assert_eq!(open(&compressed[..end]), Err(ReasonCode::DecompressionFailed), "{end}");
            }
            let mut wrong = compressed.clone();
            let at = wrong.len() - checksum_from_end;
            wrong[at] ^= 1;
            assert_eq!(open(&wrong), Err(ReasonCode::DecompressionFailed));
            let followed = [compressed, b"not a frame".to_vec()].concat();
            assert_eq!(open(&followed), Err(ReasonCode::DecompressionFailed));
        }
    }

    #[test]
    fn an_object_is_read_through_any_compression() {
        let text = b"{\"a\":1}\n".repeat(1_000);
        let whole = [text.clone(), gzip(&text), zstd_of(&text), gzip(&gzip(&text)), zstd_of(&gzip(&text))];
        for object in whole {
            assert_eq!(read(&object).unwrap(), text);
        }
        assert_eq!(read(b"").unwrap(), b"");
        assert_eq!(read(b"{").unwrap(), b"{");
        for object in [gzip(&text), zstd_of(&text)] {
            assert!(read(&object[..object.len() - 5]).is_err(), "cut off");
        }
    }

    fn skippable(content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_le_bytes();
        [&[0x50, 0x2A, 0x4D, 0x18], length.as_slice(), content].concat()
    }

    fn read(object: &[u8]) -> Result<Vec<u8>, String> {
        let mut content = Vec::new();
        decompressing(object).read_to_end(&mut content).map(|_| content).map_err(|error| error.to_string())
    }

    #[test]
    fn trailing_zeros_are_padding_everywhere() {
        let text = b"{\"a\":1}\n".repeat(100);
        for compressed in [gzip(&text), zstd_of(&text)] {
            for zeros in [1, 3, 512, 100_000] {
                let padded = [compressed.clone(), vec![0; zeros]].concat();
                assert_eq!(open(&padded).unwrap(), text);
                assert_eq!(read(&padded).unwrap(), text);
                let twice = [padded.clone(), padded.clone()].concat();
                assert_eq!(open(&twice).unwrap(), [text.clone(), text.clone()].concat());
                let followed = [padded, b"{}".to_vec()].concat();
                assert_eq!(open(&followed), Err(ReasonCode::DecompressionFailed));
            }
        }
    }

    #[test]
    fn skippable_frames_are_skipped_everywhere() {
        let text = b"{\"a\":1}\n".to_vec();
        let frame = zstd_of(&text);
        let pzstd =
            [skippable(&[1, 2, 3, 4]), frame.clone(), skippable(b""), frame.clone(), skippable(b"end")].concat();
        assert_eq!(open(&pzstd).unwrap(), [text.clone(), text.clone()].concat());
        assert_eq!(read(&pzstd).unwrap(), [text.clone(), text].concat());
        assert_eq!(open(&skippable(b"nothing else")).unwrap(), b"");
        assert_eq!(open(&skippable(b"cut off")[..12]), Err(ReasonCode::DecompressionFailed));
        let lz4 = [skippable(b"x"), vec![0x04, 0x22, 0x4D, 0x18]].concat();
        assert_eq!(open(&lz4), Err(ReasonCode::DecompressionFailed));
    }

    #[test]
    fn an_object_may_be_compressed_in_parts() {
        let line = |n: usize| format!("{{\"n\":{n},\"text\":\"{}\"}}\n", "é".repeat(n * 700)).into_bytes();
        let lines: Vec<Vec<u8>> = (0..60).map(line).collect();
        let parts: Vec<Vec<u8>> = lines
            .iter()
            .enumerate()
            .map(|(at, line)| match at % 4 {
                0 => line.clone(),
                1 => gzip(line),
                2 => zstd_of(line),
                _ => [gzip(line), vec![0; at]].concat(),
            })
            .collect();
        assert_eq!(read(&parts.concat()).unwrap(), lines.concat());
        assert_eq!(read(&gzip(&parts.concat())).unwrap(), lines.concat());
        // As Firehose joins records, with a line feed between them.
        let joined = [parts[1].clone(), b"\n".to_vec(), parts[2].clone(), b"\n".to_vec(), lines[0].clone()].concat();
        let expected = [&lines[1][..], b"\n", &lines[2], b"\n", &lines[0]].concat();
        assert_eq!(read(&joined).unwrap(), expected);
    }

    #[test]
    fn the_source_may_give_single_bytes() {
        struct Drip<'a>(&'a [u8]);
        impl Read for Drip<'_> {
            fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
                let length = into.len().min(1).min(self.0.len());
                into[..length].copy_from_slice(&self.0[..length]);
                self.0 = &self.0[length..];
                Ok(length)
            }
        }
        let text = b"{\"a\":1}\n".repeat(20);
        let object = [text.clone(), gzip(&text), vec![0; 9], zstd_of(&text), text.clone()].concat();
        let mut content = Vec::new();
        decompressing(Drip(&object)).read_to_end(&mut content).unwrap();
        assert_eq!(content, text.repeat(4));
    }

    #[test]
    fn an_object_of_another_form_is_named_first() {
        let text = b"{\"a\":1}\n".repeat(20);
        for (object, name) in [
            (b"BZh91AY&SY\0\0".to_vec(), "bzip2"),
            (gzip(b"PAR1\x15\x04"), "Parquet"),
            (gzip(&zstd_of(b"Obj\x01")), "Avro"),
            (gzip(&gzip(&gzip(&text))), "compression around compression"),
        ] {
            let error = read(&object).unwrap_err();
            assert!(error.contains(name) && error.contains("not read"), "{error}");
        }
        let error = read(&[gzip(&text), b"\x01\x02 no text".to_vec()].concat()).unwrap_err();
        assert!(error.contains("follows a compressed part"), "{error}");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let zeros = vec![0; MAX_DECOMPRESSED_BYTES + 1];
        for bomb in [gzip(&zeros), zstd_of(&zeros)] {
            let mut budget = MAX_DECOMPRESSED_BYTES;
            let compression = Compression::of(&bomb).unwrap();
            assert_eq!(compression.decompress(&bomb, &mut budget), Err(ReasonCode::DecompressionLimit));
            assert_eq!(budget, 0);
            assert_eq!(compression.decompress(&bomb, &mut budget), Err(ReasonCode::DecompressionLimit));
        }
        assert_eq!(open(&gzip(&zeros[1..])).unwrap().len(), MAX_DECOMPRESSED_BYTES);
        assert_eq!(open(&zstd_of(&zeros[1..])).unwrap().len(), MAX_DECOMPRESSED_BYTES);
    }

    #[test]
    fn a_zstd_window_beyond_the_limit_is_refused() {
        let with_window = |log: u32| {
            let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
            encoder.window_log(log).unwrap();
            encoder.write_all(b"{}").unwrap();
            encoder.flush().unwrap();
            encoder.finish().unwrap()
        };
        assert_eq!(open(&with_window(27)), Err(ReasonCode::DecompressionFailed));
        assert_eq!(open(&with_window(26)).unwrap(), b"{}");
    }
}

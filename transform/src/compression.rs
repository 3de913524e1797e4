//! Payloads that are compressed, by their magic bytes: gzip and zstd, one level, into bounded memory.

use std::io::{self, Read};

use flate2::read::MultiGzDecoder;

use crate::reason::ReasonCode;

/// Most bytes that the compressed payloads of one Kinesis record may become, together.
pub(crate) const MAX_DECOMPRESSED_BYTES: usize = 64 << 20;
/// Largest window of a zstd frame, a power of two: none that fits the limit needs more.
const MAX_WINDOW_LOG: u32 = 26;

const GZIP: &[u8] = &[0x1F, 0x8B];
const ZSTD: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];

/// How a payload is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// By the first bytes; `None` for a payload that is not compressed.
    pub(crate) fn of(data: &[u8]) -> Option<Self> {
        match data.first()? {
            0x1F if data.starts_with(GZIP) => Some(Self::Gzip),
            0x28 if data.starts_with(ZSTD) => Some(Self::Zstd),
            _ => None,
        }
    }

    /// Decompresses all members or frames. What was made, also in vain, is taken off `budget`, the bytes that are left
    /// for the Kinesis record.
    pub(crate) fn decompress(self, data: &[u8], budget: &mut usize) -> Result<Vec<u8>, ReasonCode> {
        match self {
            Self::Gzip => bounded(MultiGzDecoder::new(data), budget),
            Self::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(data).map_err(|_| ReasonCode::DecompressionFailed)?;
                decoder.window_log_max(MAX_WINDOW_LOG).map_err(|_| ReasonCode::DecompressionFailed)?;
                bounded(decoder, budget)
            }
        }
    }
}

/// Most compressions around each other that an archived object may have: Firehose compresses objects of records that
/// their producer compressed.
const MAX_LAYERS: usize = 2;

/// Reads what an archived object holds, whatever it is compressed with, gzip or zstd, by its first bytes.
///
/// # Errors
/// Those of `source`; later reads also fail when what is compressed is cut off or has a bad checksum.
pub fn decompressing<'a>(source: impl Read + Send + 'a) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut source: Box<dyn Read + Send + 'a> = Box::new(source);
    for _ in 0..MAX_LAYERS {
        let mut magic = Vec::with_capacity(ZSTD.len());
        source.by_ref().take(4).read_to_end(&mut magic)?;
        let compression = Compression::of(&magic);
        let whole = io::Cursor::new(magic).chain(source);
        source = match compression {
            None => return Ok(Box::new(whole)),
            Some(Compression::Gzip) => Box::new(MultiGzDecoder::new(whole)),
            Some(Compression::Zstd) => {
                let mut decoder = zstd::stream::read::Decoder::new(whole)?;
                decoder.window_log_max(MAX_WINDOW_LOG)?;
                Box::new(decoder)
            }
        };
    }
    Ok(source)
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
    fn an_object_is_read_through_whatever_it_is_compressed_with() {
        let text = b"{\"a\":1}\n".repeat(1_000);
        let read = |object: &[u8]| {
            let mut content = Vec::new();
            decompressing(object)?.read_to_end(&mut content).map(|_| content)
        };
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

    #[test]
    fn a_bomb_is_stopped_at_the_limit_and_uses_up_the_budget() {
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

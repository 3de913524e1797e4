//! Aggregated records of the Kinesis Producer Library: many user records in one Kinesis record.
//!
//! Format: four bytes of magic, a protobuf message, the MD5 of the message. An aggregate is opened whole or not at all.
//! Claimed lengths cause no allocation: entries are counted before the message is decoded, and the data of the
//! sub-records are slices of one copy. Tags are not used and skipped.

use std::collections::HashMap;

use bytes::{Buf, Bytes};
use md5::{Digest, Md5};
use prost::Message;
use prost::encoding::{DecodeContext, WireType, decode_key, encoded_len_varint, skip_field};

use crate::decode::reason::ReasonCode;

/// First bytes of an aggregated record.
const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
const DIGEST_BYTES: usize = 16;
/// The most sub-records, and the most entries of a table of keys.
const MAX_SUB_RECORDS: usize = 50_000;
/// Most bytes of the sub-records' data for each byte of the record.
const MAX_EXPANSION: usize = 4;

#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<SubRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct SubRecord {
    #[prost(uint64, required, tag = "1")]
    partition_key_index: u64,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", required, tag = "3")]
    data: Bytes,
}

/// Whether a record says that it is aggregated.
pub(crate) fn is_aggregated(data: &[u8]) -> bool {
    data.starts_with(&MAGIC)
}

/// An aggregated record whose sub-records are all sound.
#[derive(Debug)]
pub(crate) struct Aggregate(AggregatedRecord);

impl Aggregate {
    /// Opens a record that [`is_aggregated`]; gives the reason when any part of it is at fault.
    pub(crate) fn open(data: &[u8]) -> Result<Self, ReasonCode> {
        let body = data.get(MAGIC.len()..).unwrap_or_default();
        let (message, digest) = body.split_last_chunk::<DIGEST_BYTES>().ok_or(ReasonCode::AggregationCorrupt)?;
        if Md5::digest(message).as_slice() != digest.as_slice() {
            return Err(ReasonCode::AggregationCorrupt);
        }
        check_counts(message)?;
        let message = Bytes::copy_from_slice(message);
        let aggregate = AggregatedRecord::decode(message).map_err(|_| ReasonCode::AggregationCorrupt)?;
        let data_bytes = aggregate.records.iter().map(|record| record.data.len()).sum();
        check_limits(aggregate.records.len(), data_bytes, data.len())?;
        if aggregate.records.iter().all(|record| is_sound(&aggregate, record)) {
            Ok(Self(aggregate))
        } else {
            Err(ReasonCode::AggregationCorrupt)
        }
    }

    /// The data of each sub-record, in order.
    pub(crate) fn data(&self) -> impl Iterator<Item = &[u8]> {
        self.0.records.iter().map(|record| record.data.as_ref())
    }

    /// The number of sub-records that hash outside of a shard's keys, both ends included.
    pub(crate) fn misrouted(&self, hash_keys: (u128, u128)) -> u64 {
        let mut hashes: HashMap<u64, u128> = HashMap::new();
        let mut misrouted = 0;
        for record in &self.0.records {
            let hash = match record.explicit_hash_key_index {
                Some(index) => entry(&self.0.explicit_hash_key_table, index).and_then(|key| key.parse().ok()),
                None => entry(&self.0.partition_key_table, record.partition_key_index)
                    .map(|key| *hashes.entry(record.partition_key_index).or_insert_with(|| hash_key(key))),
            };
            misrouted += u64::from(!hash.is_some_and(|hash| (hash_keys.0..=hash_keys.1).contains(&hash)));
        }
        misrouted
    }
}

/// Where Kinesis routes a partition key: its MD5 as a number, highest byte first.
pub fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}

fn entry(table: &[String], index: u64) -> Option<&str> {
    table.get(usize::try_from(index).ok()?).map(String::as_str)
}

/// Its keys are there, and it is not an aggregate itself.
fn is_sound(aggregate: &AggregatedRecord, record: &SubRecord) -> bool {
    let has_hash_key =
        record.explicit_hash_key_index.is_none_or(|index| entry(&aggregate.explicit_hash_key_table, index).is_some());
    has_hash_key
        && entry(&aggregate.partition_key_table, record.partition_key_index).is_some()
        && !is_aggregated(&record.data)
}

/// Counts the entries of the message without keeping any of them.
fn check_counts(mut message: &[u8]) -> Result<(), ReasonCode> {
    let (mut sub_records, mut keys) = (0_usize, 0_usize);
    while message.has_remaining() {
        let (tag, wire_type) = decode_key(&mut message).map_err(|_| ReasonCode::AggregationCorrupt)?;
        match tag {
            1 | 2 => keys += 1,
            3 => sub_records += 1,
            _ => {}
        }
        if matches!(tag, 1..=3) && wire_type != WireType::LengthDelimited {
            return Err(ReasonCode::AggregationCorrupt);
        }
        if sub_records > MAX_SUB_RECORDS || keys > 2 * MAX_SUB_RECORDS {
            return Err(ReasonCode::AggregationLimit);
        }
        skip_field(wire_type, tag, &mut message, DecodeContext::default())
            .map_err(|_| ReasonCode::AggregationCorrupt)?;
    }
    Ok(())
}

fn check_limits(sub_records: usize, data_bytes: usize, record_bytes: usize) -> Result<(), ReasonCode> {
    let is_over = sub_records > MAX_SUB_RECORDS || data_bytes > record_bytes.saturating_mul(MAX_EXPANSION);
    if is_over { Err(ReasonCode::AggregationLimit) } else { Ok(()) }
}

/// Writes aggregated records as the Kinesis Producer Library does.
///
/// Kinesis routes the record by its own key: give each writer only events of one shard, or they lose their order and
/// shard.
#[derive(Debug)]
pub struct AggregatedRecordWriter {
    message: AggregatedRecord,
    partition_keys: HashMap<String, u64>,
    explicit_hash_keys: HashMap<String, u64>,
    encoded_bytes: usize,
}

impl Default for AggregatedRecordWriter {
    fn default() -> Self {
        Self {
            message: AggregatedRecord::default(),
            partition_keys: HashMap::new(),
            explicit_hash_keys: HashMap::new(),
            encoded_bytes: MAGIC.len() + DIGEST_BYTES,
        }
    }
}

impl AggregatedRecordWriter {
    /// Adds one user record; `explicit_hash_key` is a decimal number of at most 128 bits.
    pub fn push(&mut self, partition_key: &str, explicit_hash_key: Option<&str>, data: &[u8]) {
        let table = &mut self.message.partition_key_table;
        let (partition_key_index, added) = index_of(&mut self.partition_keys, table, partition_key);
        self.encoded_bytes += added;
        let explicit_hash_key_index = explicit_hash_key.map(|key| {
            let table = &mut self.message.explicit_hash_key_table;
            let (index, added) = index_of(&mut self.explicit_hash_keys, table, key);
            self.encoded_bytes += added;
            index
        });
        let record = SubRecord { partition_key_index, explicit_hash_key_index, data: Bytes::copy_from_slice(data) };
        self.encoded_bytes += length_delimited(record.encoded_len());
        self.message.records.push(record);
    }

    /// User records so far.
    pub fn records(&self) -> usize {
        self.message.records.len()
    }

    /// Bytes of the record, were it finished now.
    pub fn encoded_bytes(&self) -> usize {
        self.encoded_bytes
    }

    /// The record's bytes.
    pub fn finish(self) -> Vec<u8> {
        let message = self.message.encode_to_vec();
        let mut bytes = Vec::with_capacity(self.encoded_bytes);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&message);
        bytes.extend_from_slice(&Md5::digest(&message));
        bytes
    }
}

/// The index of a key in its table, and the bytes that it adds to the message.
fn index_of(indexes: &mut HashMap<String, u64>, table: &mut Vec<String>, key: &str) -> (u64, usize) {
    if let Some(index) = indexes.get(key) {
        return (*index, 0);
    }
    let index = u64::try_from(table.len()).unwrap_or(u64::MAX);
    indexes.insert(key.to_owned(), index);
    table.push(key.to_owned());
    (index, length_delimited(key.len()))
}

/// The size of a field of `bytes` with its key and length.
fn length_delimited(bytes: usize) -> usize {
    1 + encoded_len_varint(u64::try_from(bytes).unwrap_or(u64::MAX)) + bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(message: &[u8]) -> Vec<u8> {
        [&MAGIC[..], message, &Md5::digest(message)[..]].concat()
    }

    fn written(data: &[&[u8]]) -> Vec<u8> {
        let mut writer = AggregatedRecordWriter::default();
        for (number, data) in data.iter().enumerate() {
            writer.push(&format!("key-{}", number % 3), None, data);
        }
        writer.finish()
    }

    fn fault(data: &[u8]) -> ReasonCode {
        Aggregate::open(data).map(|_| ()).unwrap_err()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_back_in_order(
            records in proptest::collection::vec(("[a-c]{1,2}", proptest::option::of(any::<u128>()),
                proptest::collection::vec(0_u8..0xF3, 0..200)), 0..60)
        ) {
            let mut writer = AggregatedRecordWriter::default();
            for (key, hash, data) in &records {
                writer.push(key, hash.map(|hash| hash.to_string()).as_deref(), data);
            }
            let size = writer.encoded_bytes();
            let bytes = writer.finish();
            prop_assert_eq!(size, bytes.len());
            let aggregate = Aggregate::open(&bytes).unwrap();
            let read: Vec<&[u8]> = aggregate.data().collect();
            let put: Vec<&[u8]> = records.iter().map(|(_, _, data)| data.as_slice()).collect();
            prop_assert_eq!(read, put);
            let outside = records.iter().filter(|(key, hash, _)| hash.unwrap_or_else(|| hash_key(key)) >= 1 << 127);
            prop_assert_eq!(aggregate.misrouted((0, (1 << 127) - 1)), outside.count() as u64);
        }

        #[test]
        fn bytes_after_the_magic_never_panic(message in proptest::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(Aggregate::open(&[&MAGIC[..], &message].concat()).is_err());
            // With a correct digest, every decoded message has keys for all.
            let _ = Aggregate::open(&sealed(&message));
        }

        #[test]
        fn a_changed_byte_spoils_the_whole(at in 4_usize..80, with in 1_u8..) {
            let mut bytes = written(&[&b"{\"a\":1}"[..]; 8]);
            let at = at % (bytes.len() - 4) + 4;
            bytes[at] ^= with;
            prop_assert_eq!(fault(&bytes), ReasonCode::AggregationCorrupt);
        }
    }

    #[test]
    fn a_record_that_is_cut_anywhere_is_corrupt() {
        let bytes = written(&[b"one", b"two"]);
        for end in 4..bytes.len() {
            assert_eq!(fault(&bytes[..end]), ReasonCode::AggregationCorrupt, "{end}");
        }
    }

    #[test]
    fn a_bad_index_or_nesting_is_corrupt() {
        let record = |index, hash, data: &[u8]| AggregatedRecord {
            partition_key_table: vec!["key".to_owned()],
            explicit_hash_key_table: vec![],
            records: vec![SubRecord {
                partition_key_index: index,
                explicit_hash_key_index: hash,
                data: Bytes::copy_from_slice(data),
            }],
        };
        let inner = written(&[b"{}"]);
        for bad in
            [record(1, None, b"{}"), record(u64::MAX, None, b"{}"), record(0, Some(0), b"{}"), record(0, None, &inner)]
        {
            assert_eq!(fault(&sealed(&bad.encode_to_vec())), ReasonCode::AggregationCorrupt);
        }
        assert!(Aggregate::open(&sealed(&record(0, None, b"{}").encode_to_vec())).is_ok());
    }

    #[test]
    fn a_length_beyond_the_bytes_is_corrupt() {
        for claim in
            [&[0x1A, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F][..], &[0x0A, 0x80], &[0x18, 0x01], &[0x1A, 0x02, 0x1A, 0x7F]]
        {
            assert_eq!(fault(&sealed(claim)), ReasonCode::AggregationCorrupt, "{claim:?}");
        }
    }

    #[test]
    fn sub_records_are_limited_before_they_are_decoded() {
        let many = |count: usize| {
            let message = AggregatedRecord {
                partition_key_table: vec!["key".to_owned()],
                explicit_hash_key_table: vec![],
                records: vec![SubRecord::default(); count],
            };
            sealed(&message.encode_to_vec())
        };
        assert_eq!(Aggregate::open(&many(50_000)).unwrap().data().count(), 50_000);
        assert_eq!(fault(&many(50_001)), ReasonCode::AggregationLimit);
        assert_eq!(fault(&sealed(&[0x0A, 0x00].repeat(1 << 20))), ReasonCode::AggregationLimit);
    }

    #[test]
    fn data_over_four_times_the_record_is_refused() {
        assert_eq!(check_limits(1, 400, 100), Ok(()));
        assert_eq!(check_limits(1, 401, 100), Err(ReasonCode::AggregationLimit));
        assert_eq!(check_limits(50_001, 1, 100), Err(ReasonCode::AggregationLimit));
    }

    #[test]
    fn a_non_numeric_hash_key_is_misrouted() {
        let mut writer = AggregatedRecordWriter::default();
        writer.push("key", Some("nine"), b"{}");
        writer.push("key", Some("9"), b"{}");
        assert_eq!(Aggregate::open(&writer.finish()).unwrap().misrouted((9, 9)), 1);
    }
}

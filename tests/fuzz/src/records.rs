//! Bytes of a Kinesis record to rows.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::sync::{Arc, LazyLock};

use bluelake_schemas::{Contract, Micros, Stream};
use bluelake_transform::{AggregatedRecordWriter, Decoder, RecordPosition};
use md5::{Digest as _, Md5};

const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];
/// 2026-11-23T17:05:00Z in microseconds.
const ARRIVED_AT: i64 = 1_795_453_500_000_000;
const SEQUENCE: &str = "49590338271490256608559692538361571095921575989136588898";

static DECODERS: LazyLock<[Arc<Decoder>; 2]> = LazyLock::new(|| {
    let contract = Contract::embedded().expect("the built-in contract is sound");
    Stream::ALL.map(|stream| Arc::new(Decoder::new(&contract, stream).expect("it decodes")))
});

/// Decodes a record for both streams. Every event is counted once, as a row, a rejected event or a duplicate, under a
/// sub-sequence number of its own, and the same bytes give the same rows.
///
/// # Panics
/// When one of these rules does not hold.
pub fn records(data: &[u8]) {
    for decoder in DECODERS.iter() {
        let first = decode(decoder, data);
        assert_eq!(first, decode(decoder, data), "the same bytes give other rows");
    }
}

/// The same for an aggregated record: `data` is its protobuf message, to which the magic and the digest are added.
///
/// # Panics
/// As [`records`].
pub fn aggregated(data: &[u8]) {
    records(&[&MAGIC[..], data, Md5::digest(data).as_slice()].concat());
}

fn decode(decoder: &Arc<Decoder>, data: &[u8]) -> String {
    let mut builder = decoder.batch();
    let position = RecordPosition {
        shard: "shardId-000000000007",
        sequence: SEQUENCE,
        arrived_at: Micros::new(ARRIVED_AT),
        hash_keys: Some((0, u128::MAX / 2)),
    };
    let mut seen = BTreeSet::new();
    let counts = builder.push(&position, data, &mut |_, sub_sequence| {
        assert!(seen.insert(sub_sequence), "two events of one record have one place");
        sub_sequence % 7 == 6
    });
    assert!(counts.received > 0, "a record came to nothing");
    assert_eq!(counts.received, counts.stored + counts.rejected + counts.duplicate, "an event is lost or doubled");
    let batch = builder.finish().expect("rows can be built");
    let rows = [&batch.events, &batch.rejected].map(|rows| u64::try_from(rows.num_rows()).expect("a count"));
    assert_eq!(rows, [counts.stored, counts.rejected]);
    format!("{counts:?} {:?} {:?}", batch.events, batch.rejected)
}

const EVENTS: [&str; 7] = [
    r#"{"event_id":"0198c1a2-5b1e-7c3d-9f00-0123456789ab","event_type":"user_created","occurred_at":"2026-11-23T12:00:00-05:00","source":"onboarding","channel":"mobile","user_id":"u-1","user_kind":"civilian","zip_code":"60601","display_name":"Ann","email":"ann@example.org"}"#,
    r#"{"event_id":"0198c1a2-5b1e-7c3d-9f00-0123456789ac","event_type":"user_deactivated","occurred_at":1795449600000,"user_id":"u-1","user_kind":"civilian"}"#,
    r#"{"event_id":"0198c1a2-5b1e-7c3d-9f00-0123456789ad","event_type":"interaction","schema_version":1,"occurred_at":"2026-11-23T17:00:00Z","civilian_id":"u-1","officer_id":"u-2","method":"qr","points_civilian":10,"points_officer":5,"zip_code":"60601","distance_ft":12.5,"latitude":41.88,"longitude":-87.62}"#,
    r#"{"event_id":"0198c1a2-5b1e-7c3d-9f00-0123456789ae","event_type":"donation","occurred_at":"2026-11-23T17:00:00.123456Z","donor_id":"u-1","donor_kind":"civilian","recipient_id":"u-3","recipient_kind":"charity","points":5,"a_new_field":{"a":[1,2,{"b":null}]}}"#,
    r#"{"event_id":"0198c1a2-5b1e-7c3d-9f00-0123456789af","event_type":"redemption","occurred_at":"2026-11-23T17:00:00Z","redeemer_id":"u-1","redeemer_kind":"civilian","provider_id":"u-4","provider_kind":"merchant","purpose":"goods","points":9007199254740993,"amount_cents":500,"currency":"USD","items":[{"sku":"s","name":"caf\u00e9 \ud83c\udf89","quantity":2,"points":3}]}"#,
    r#"{"event_id":"0198c1a2-5b1e-7c3d-9f00-0123456789b0","event_type":"transfer","occurred_at":"2026-11-23T17:00:00Z","from_officer_id":"u-2","to_officer_id":"u-5","points":1}"#,
    r#"{"event_type":"transfer","points":-1,"x":01}"#,
];

pub(crate) fn record_seeds() -> Vec<Vec<u8>> {
    let mut seeds: Vec<Vec<u8>> = EVENTS.map(|event| event.as_bytes().to_vec()).to_vec();
    seeds.push(EVENTS.join("\n").into_bytes());
    seeds.push([b"\xef\xbb\xbf", EVENTS.concat().as_bytes()].concat());
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(EVENTS.join(" ").as_bytes()).expect("memory can be written");
    seeds.push(packed.finish().expect("memory can be written"));
    seeds.push(writer().finish());
    seeds.push(b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[".to_vec());
    seeds
}

pub(crate) fn aggregated_seeds() -> Vec<Vec<u8>> {
    let record = writer().finish();
    let message = record.get(MAGIC.len()..record.len().saturating_sub(16)).unwrap_or_default();
    vec![message.to_vec(), Vec::new(), vec![0x0a, 0x01, b'k', 0x1a, 0x04, 0x08, 0x00, 0x1a, 0x00]]
}

fn writer() -> AggregatedRecordWriter {
    let mut writer = AggregatedRecordWriter::default();
    for (number, event) in EVENTS.iter().enumerate() {
        let hash_key = (number % 2 == 0).then_some("170141183460469231731687303715884105728");
        writer.push(&format!("key-{}", number % 3), hash_key, event.as_bytes());
    }
    writer
}

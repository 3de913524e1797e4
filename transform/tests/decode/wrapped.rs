//! Aggregated and compressed records give the rows of plain ones, as a whole or not at all.

use std::io::Write as _;

use bluelake_transform::AggregatedRecordWriter;
use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const STREAM: Stream = Stream::TransactionEvents;

fn aggregated(payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut writer = AggregatedRecordWriter::default();
    for payload in payloads {
        writer.push("key", None, payload);
    }
    writer.finish()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd_of(data: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(data, 1).unwrap()
}

/// The record is one rejected event with all its bytes.
fn assert_whole(data: &[u8], reason: &str) {
    let (counts, batch) = decode(STREAM, data);
    assert_eq!((counts.received, counts.rejected), (1, 1));
    assert_eq!(rejections(&batch), [(reason.to_owned(), None, data.to_vec())]);
    assert_eq!(sub_sequences(&batch.rejected), [0]);
}

#[test]
fn sub_records_of_every_form_are_numbered_through() {
    let transfer = Sample::transfer().json();
    let bad = Sample::transfer().with("points", "-1").json();
    let broken = b"\x1f\x8b\x08broken".to_vec();
    let payloads = [
        transfer.clone().into_bytes(),
        bad.clone().into_bytes(),
        gzip(format!("{transfer}\n{bad}{transfer}").as_bytes()),
        zstd_of(transfer.as_bytes()),
        broken.clone(),
        format!("{transfer} oops").into_bytes(),
        Vec::new(),
    ];
    let (counts, batch) = decode(STREAM, aggregated(&payloads));
    assert_eq!(counts, Counts { received: 10, stored: 5, rejected: 5, duplicate: 0, misrouted: 0 });
    assert_eq!(sub_sequences(&batch.events), [0, 2, 4, 5, 7]);
    assert_eq!(sub_sequences(&batch.rejected), [1, 3, 6, 8, 9]);
    let points = || ("out_of_range".to_owned(), Some("points".to_owned()), bad.clone().into_bytes());
    let whole = |reason: &str, bytes: &[u8]| (reason.to_owned(), None, bytes.to_vec());
    let expected =
        [points(), points(), whole("decompression_failed", &broken), whole("not_json", b"oops"), whole("empty", b"")];
    assert_eq!(rejections(&batch), expected);
}

#[test]
fn a_compressed_record_holds_events_like_others() {
    let text = format!("{}{}", Sample::transfer().json(), Sample::donation().json());
    for data in [gzip(text.as_bytes()), zstd_of(text.as_bytes())] {
        let (counts, batch) = decode(STREAM, data);
        assert_eq!((counts.received, counts.stored), (2, 2));
        assert_eq!(sub_sequences(&batch.events), [0, 1]);
    }
}

#[test]
fn a_second_level_is_refused_as_it_arrived() {
    let text = Sample::transfer().json().into_bytes();
    for inner in [gzip(&text), zstd_of(&text), aggregated(&[text])] {
        assert_whole(&gzip(&inner), "decompression_failed");
        assert_whole(&zstd_of(&inner), "decompression_failed");
    }
}

#[test]
fn damage_and_bombs_reject_the_whole_record() {
    let text = Sample::transfer().json().into_bytes();
    let good = aggregated(&[text.clone(), text.clone()]);
    assert_whole(&good[..good.len() - 1], "aggregation_corrupt");
    assert_whole(&good[..4], "aggregation_corrupt");
    assert_whole(&aggregated(&[text.clone(), good]), "aggregation_corrupt");
    assert_whole(&aggregated(&vec![Vec::new(); 50_001]), "aggregation_limit");
    assert_whole(&aggregated(&[]), "empty");
    let compressed = gzip(&text);
    assert_whole(&compressed[..compressed.len() - 1], "decompression_failed");
    let zeros = vec![b' '; (64 << 20) + 1];
    assert_whole(&gzip(&zeros), "decompression_limit");
    assert_whole(&zstd_of(&zeros), "decompression_limit");
}

#[test]
fn the_limits_hold_for_all_sub_records_together() {
    let spaces = vec![b' '; 40 << 20];
    let (counts, batch) = decode(STREAM, aggregated(&[gzip(&spaces), gzip(&spaces), b"{}".to_vec()]));
    assert_eq!(counts.rejected, 3);
    let reasons: Vec<String> = rejections(&batch).into_iter().map(|(reason, ..)| reason).collect();
    assert_eq!(reasons, ["empty", "decompression_limit", "missing_field"]);

    let many = gzip("0 ".repeat(60_000).as_bytes());
    let (counts, batch) = decode(STREAM, aggregated(&[many.clone(), many, b"0".to_vec()]));
    assert_eq!(counts.received, 100_002);
    let reasons = rejections(&batch);
    assert_eq!(reasons[99_999].0, "not_object");
    assert_eq!((reasons[100_000].0.as_str(), reasons[100_000].2.len()), ("too_large", 40_000));
    assert_eq!((reasons[100_001].0.as_str(), reasons[100_001].2.as_slice()), ("too_large", &b"0"[..]));
}

#[test]
fn sub_records_of_another_shard_are_counted() {
    let mut writer = AggregatedRecordWriter::default();
    let event = Sample::transfer().json();
    for (key, hash) in [("a", None), ("b", Some("0")), ("b", Some("340282366920938463463374607431768211455"))] {
        writer.push(key, hash, event.as_bytes());
    }
    let data = writer.finish();
    // MD5 of "a" is 0cc175b9c0f1b6a831c399e269772661.
    let of_a = 0x0cc1_75b9_c0f1_b6a8_31c3_99e2_6977_2661;
    for (hash_keys, misrouted) in
        [(None, 0), (Some((0, u128::MAX)), 0), (Some((0, of_a)), 1), (Some((0, of_a - 1)), 2), (Some((1, 2)), 3)]
    {
        let mut builder = builder(STREAM);
        let counts = builder.push(&RecordPosition { hash_keys, ..position("1") }, &data, &mut |_, _| false);
        assert_eq!(counts, Counts { received: 3, stored: 3, rejected: 0, duplicate: 0, misrouted });
    }
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        Just(Sample::transfer().json().into_bytes()),
        Just(Sample::donation().with("points", "-1").json().into_bytes()),
        vec(0_u8..0xF3, 0..30),
    ];
    (text, 0..4).prop_map(|(text, wrapping)| match wrapping {
        0 => gzip(&text),
        1 => zstd_of(&text),
        _ => text,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// `decode` checks that rows and rejected rows add up to the received events.
    #[test]
    fn an_aggregate_is_its_sub_records_sum(payloads in vec(payload(), 1..12)) {
        let mut sum = Counts::default();
        let mut rejected = Vec::new();
        for payload in &payloads {
            let (counts, batch) = decode(STREAM, payload);
            sum += counts;
            rejected.extend(rejections(&batch));
        }
        let (counts, batch) = decode(STREAM, aggregated(&payloads));
        prop_assert_eq!(counts, sum);
        prop_assert_eq!(rejections(&batch), rejected);
        let mut places = [sub_sequences(&batch.events), sub_sequences(&batch.rejected)].concat();
        places.sort();
        prop_assert_eq!(places, (0..i32::try_from(counts.received).unwrap()).collect::<Vec<_>>());
    }

    #[test]
    fn a_mutated_aggregate_gives_no_rows(
        payloads in vec(payload(), 1..6), at in any::<prop::sample::Index>(), change in 1_u8..
    ) {
        let mut data = aggregated(&payloads);
        let at = 4 + at.index(data.len() - 4);
        data[at] ^= change;
        assert_whole(&data, "aggregation_corrupt");
    }

    #[test]
    fn bytes_after_a_magic_are_rows_or_rejected(
        magic in proptest::sample::select(vec![&b"\xF3\x89\x9A\xC2"[..], b"\x1F\x8B\x08\x00", b"\x28\xB5\x2F\xFD"]),
        rest in vec(any::<u8>(), 0..200)
    ) {
        let (counts, _) = decode(STREAM, [magic, &rest].concat());
        prop_assert!(counts.received >= 1);
    }
}

use bluelake_schemas::Millis;
use proptest::prelude::*;

use sha2::{Digest as _, Sha256};

use super::*;

/// A document of a version with format 1, without its digest.
const FORMAT_1: &str = concat!(
    r#"{"format":1,"digest":"DIGEST","number":3,"previous":{"number":2,"digest":"ab"},"#,
    r#""batch_id":"018f0000-0000-7000-8000-000000000001","worker":"w","bluelake_version":"0.1.0","#,
    r#""contract_version":1,"stream_arn":"arn","erasure_epoch":0,"shards":{"shardId-0":{"starting_sequence":"1","#,
    r#""parents":[],"position":{"after":"9"},"ended":false,"arrived_at":5,"drained_at":null,"#,
    r#""totals":{"received":3,"stored":2,"rejected":1,"duplicate":0}}},"ranges":[],"#,
    r#""retired":{"received":0,"stored":0,"rejected":0,"duplicate":0},"erased":0,"expired":0,"#,
    r#""rejected_files":[],"last_rejected":null}"#
);

fn with_digest(text: &str) -> String {
    let hash = Sha256::digest(text.replace("DIGEST", "").as_bytes());
    text.replace("DIGEST", &hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[test]
fn format_1_is_read_with_its_digest() {
    let document = CheckpointDocument::read(with_digest(FORMAT_1).as_bytes(), 3).unwrap();
    assert_eq!(document.expected_rows(), Some(2));
    assert_eq!((document.gaps.len(), document.tally.supplements, document.links.last_archive), (0, 0, None));
}

#[test]
fn stream_creation_is_learnt_from_format_4_on() {
    let text = FORMAT_1.replace(r#""format":1"#, r#""format":3"#);
    let document = CheckpointDocument::read(with_digest(&text).as_bytes(), 3).unwrap();
    assert_eq!((document.head.stream_arn.as_str(), document.head.stream_created_at), ("arn", None));
    assert_eq!(document.other_stream("arn", Some(Millis::new(1))), None);
    let writer = crate::checkpoint::advance::Writer {
        worker: "w".to_owned(),
        stream_arn: "arn".to_owned(),
        stream_created_at: Some(Millis::new(1_700_000_000_000)),
        contract_version: 1,
    };
    let batch = crate::checkpoint::advance::Batch {
        id: Uuid::now_v7(),
        base: 3,
        erasure_epoch: 0,
        shards: Vec::new(),
        retire: Vec::new(),
        supplement: None,
        files: Vec::new(),
        rejected_files: Vec::new(),
    };
    let mut next = crate::checkpoint::advance::advance(Some(&document), 4, &batch, &writer).unwrap();
    let bytes = next.seal().unwrap();
    let next = CheckpointDocument::read(&bytes, 4).unwrap();
    assert_eq!((next.head.format, next.head.stream_created_at), (5, Some(Millis::new(1_700_000_000_000))));
    // A server that does not say so removes nothing.
    let silent = crate::checkpoint::advance::Writer { stream_created_at: None, ..writer };
    let after = crate::checkpoint::advance::advance(Some(&next), 5, &batch, &silent).unwrap();
    assert_eq!(after.head.stream_created_at, next.head.stream_created_at);
}

/// A document of a version with format 4, with every field of that format.
const FORMAT_4: &str = concat!(
    r#"{"format":4,"digest":"DIGEST","number":3,"previous":{"number":2,"digest":"ab"},"#,
    r#""batch_id":"018f0000-0000-7000-8000-000000000001","worker":"w","bluelake_version":"0.1.0","#,
    r#""contract_version":1,"stream_arn":"arn","stream_created_at":7,"erasure_epoch":0,"shards":{},"ranges":[],"#,
    r#""retired":{"received":3,"stored":2,"rejected":1,"duplicate":0},"erased":0,"expired":0,"rejected_files":[],"#,
    r#""last_rejected":null,"supplemented":{"received":1,"stored":0,"rejected":0,"duplicate":1},"supplements":1,"#,
    r#""archive_ranges":[{"object":"o","version":"v","from":0,"to":9,"ended":true,"#,
    r#""counts":{"received":1,"stored":0,"rejected":0,"duplicate":1}}],"last_archive":3}"#
);

#[test]
fn format_4_keeps_its_bytes_and_fields() {
    let text = with_digest(FORMAT_4);
    let document = CheckpointDocument::read(text.as_bytes(), 3).unwrap();
    assert_eq!(serde_json::to_string(&document).unwrap(), text);
    assert_eq!(
        (document.commit.archived.len(), &document.commit.repair, &document.commit.maintenance),
        (0, &None, &None)
    );
    assert_eq!((document.tally.repaired, document.tally.expired_before), (Repaired::default(), None));
    assert_eq!((document.head.erasure_registry, document.links.last_repair), (0, None));
    assert_eq!((document.totals().suppressed, document.expected_rows()), (0, Some(2)));
}

#[test]
fn repaired_events_count_as_what_they_became() {
    let mut document = CheckpointDocument::read(with_digest(FORMAT_4).as_bytes(), 3).unwrap();
    document.tally.retired = ControlTotals { received: 10, stored: 4, rejected: 5, duplicate: 0, suppressed: 1 };
    document.tally.repaired = Repaired { stored: 3, duplicate: 1 };
    let totals = document.totals();
    assert!(totals.balance());
    assert_eq!((totals.stored, totals.rejected, totals.duplicate, totals.suppressed), (7, 1, 2, 1));
    assert_eq!(document.expected_rows(), Some(7));
}

#[test]
fn a_renumbered_document_still_points_at_itself() {
    let mut document = CheckpointDocument::read(with_digest(FORMAT_4).as_bytes(), 3).unwrap();
    document.links = Links { last_rejected: Some(3), last_archive: Some(2), last_repair: Some(3), ..document.links };
    document.renumber(8);
    let Links { last_rejected, last_archive, last_repair, .. } = document.links;
    assert_eq!((document.head.number, last_rejected, last_archive, last_repair), (8, Some(8), Some(2), Some(8)));
}

#[test]
fn an_altered_document_of_format_1_is_refused() {
    let altered = with_digest(FORMAT_1).replace(r#""stored":2,"rejected":1"#, r#""stored":3,"rejected":0"#);
    assert_eq!(CheckpointDocument::read(altered.as_bytes(), 3), Err(DocumentFault::Altered));
}

#[test]
fn unknown_formats_are_refused_first() {
    for format in [0, DOCUMENT_FORMAT + 1, 1_000] {
        let text = format!(r#"{{"format":{format},"what":"ever"}}"#);
        let fault = DocumentFault::UnknownFormat { found: u64::from(format), known: 5 };
        assert_eq!(CheckpointDocument::read(text.as_bytes(), 3), Err(fault));
    }
}

fn totals() -> impl Strategy<Value = ControlTotals> {
    let count = || 0..1_000_u64;
    (count(), count(), count(), 0..2_u64).prop_map(|(stored, rejected, duplicate, suppressed)| ControlTotals {
        received: stored + rejected + duplicate + suppressed,
        stored,
        rejected,
        duplicate,
        suppressed,
    })
}

fn position() -> impl Strategy<Value = Position> {
    prop_oneof![
        Just(Position::TrimHorizon),
        any::<i64>().prop_map(|millis| Position::AtTimestamp(Millis::new(millis))),
        "[1-9][0-9]{0,55}".prop_map(|text| Position::After(SequenceNumber::parse(&text).unwrap())),
    ]
}

fn gaps() -> impl Strategy<Value = Vec<Gap>> {
    let gap = (position(), any::<Option<i64>>(), any::<bool>()).prop_map(|(after, from, accepted)| Gap {
        shard: "shardId-0".into(),
        starting_sequence: SequenceNumber::parse("1").unwrap(),
        after,
        from: from.map(Millis::new),
        until: None,
        found_at: Millis::new(1),
        cause: if accepted { GapCause::Vanished } else { GapCause::Retention },
        accepted,
    });
    proptest::collection::vec(gap, 0..3)
}

fn archive_ranges() -> impl Strategy<Value = Vec<ArchiveRange>> {
    let range = ("\\PC{0,20}", any::<u64>(), any::<bool>(), totals()).prop_map(|(object, to, ended, counts)| {
        ArchiveRange { object, version: "v".to_owned(), from: 0, to, ended, counts }
    });
    proptest::collection::vec(range, 0..3)
}

/// Facts of a commit that exist only since format 5.
fn commits() -> impl Strategy<Value = Commit> {
    let object = ("\\PC{0,20}", any::<u64>(), position()).prop_map(|(path, size, to_inclusive)| RawObject {
        path,
        size,
        sha256: "00".to_owned(),
        ranges: vec![RawRange { shard: "shardId-0".into(), from_exclusive: None, to_inclusive }],
    });
    let named = (proptest::collection::vec(object, 0..3), any::<bool>(), any::<Option<u64>>());
    (named, archive_ranges()).prop_map(|((archived, repairs, record), archive_ranges)| Commit {
        archive_ranges,
        archived,
        repair: repairs.then(|| RepairSidecar { path: "repairs/x.parquet".to_owned(), sha256: "11".to_owned() }),
        maintenance: record.map(|number| Predecessor { number, digest: "22".to_owned() }),
        ..Commit::default()
    })
}

fn documents() -> impl Strategy<Value = CheckpointDocument> {
    let links = (any::<Option<u64>>(), any::<Option<u64>>(), any::<u64>());
    let tally = (totals(), any::<u64>(), 0..100_000_i32);
    (position(), tally, gaps(), commits(), links).prop_map(
        |(position, (supplemented, count, day), gaps, commit, links)| {
            let base = CheckpointDocument::read(with_digest(FORMAT_1).as_bytes(), 3).unwrap();
            let mut shards = base.shards.clone();
            shards.get_mut("shardId-0").unwrap().position = position;
            let (last_archive, previous_archive, supplements) = links;
            let repaired = Repaired { stored: count, duplicate: day.unsigned_abs().into() };
            let expired_before = NaiveDate::from_num_days_from_ce_opt(day).filter(|_| day > 0);
            CheckpointDocument {
                head: Head { format: DOCUMENT_FORMAT, erasure_registry: count, ..base.head },
                shards,
                commit,
                tally: Tally { supplemented, supplements, repaired, expired_before, ..base.tally },
                gaps,
                links: Links { last_archive, previous_archive, last_repair: last_archive, ..base.links },
            }
        },
    )
}

proptest! {
    #[test]
    fn what_is_sealed_is_read_back(mut document in documents()) {
        let bytes = document.seal().unwrap();
        prop_assert_eq!(CheckpointDocument::read(&bytes, document.head.number), Ok(document));
    }
}

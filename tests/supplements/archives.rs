//! Archives in the wild: pretty-printed, padded, in parts, in other forms, with odd names, some of them denied.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::support::command::Machine;
use crate::support::servers::{Objects, TRANSACTION_EVENTS};

fn donation(points: u32) -> Value {
    json!({
        "event_id": format!("0d000000-0000-4000-8000-{points:012}"), "event_type": "donation",
        "occurred_at": "2026-11-03T10:00:00Z", "donor_id": "civ-1", "donor_kind": "civilian",
        "recipient_id": "char-1", "recipient_kind": "charity", "points": points,
    })
}

fn line(points: u32) -> Vec<u8> {
    format!("{}\n", donation(points)).into_bytes()
}

fn pretty(points: u32) -> Vec<u8> {
    serde_json::to_vec_pretty(&donation(points)).unwrap()
}

fn gzip(data: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

fn zstd(data: &[u8]) -> Vec<u8> {
    zstd::encode_all(data, 1).unwrap()
}

async fn backfill(machine: &Machine, archive: &str, code: i32) -> Value {
    let arguments = ["backfill", archive, "--stream", TRANSACTION_EVENTS, "--json"];
    machine.run(&arguments).await.expect_code(code).json()
}

async fn points(machine: &Machine) -> Vec<i64> {
    let rows = machine.query("./bluelake-data", "SELECT points FROM transactions ORDER BY points").await;
    rows.iter().map(|row| row["points"].as_i64().unwrap()).collect()
}

async fn with_lake() -> Machine {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    machine
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_object_is_one_rejected_event() {
    let machine = with_lake().await;
    let malformed = b"{\n  \"event_type\": \"donation\",\n}".to_vec();
    let archive = [pretty(1), malformed.clone(), pretty(2), pretty(3)].concat();
    std::fs::write(machine.path("archive"), &archive).unwrap();
    let found = backfill(&machine, "archive", 0).await;
    assert_eq!((&found["stored"], &found["rejected"]), (&3.into(), &1.into()), "{found}");
    assert_eq!(points(&machine).await, [1, 2, 3]);
    let rejected = machine
        .query("./bluelake-data", "SELECT reason, CAST(event_bytes AS VARCHAR) AS text FROM rejected_events")
        .await;
    assert_eq!(rejected, [json!({ "reason": "not_json", "text": String::from_utf8(malformed).unwrap() })]);
    machine.succeed(&["lake", "verify"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn padding_around_compressed_parts_is_skipped() {
    let machine = with_lake().await;
    let skippable = [&[0x50, 0x2A, 0x4D, 0x18, 4, 0, 0, 0][..], &[1, 2, 3, 4]].concat();
    let objects = [
        ("padded.gz", [gzip(&line(1)), vec![0; 400]].concat()),
        ("pzstd.zst", [skippable.clone(), zstd(&line(2)), skippable, zstd(&line(3))].concat()),
        ("mixed", [line(4), gzip(&line(5)), line(6), zstd(&line(7)), b"\n".to_vec(), gzip(&line(8)), line(9)].concat()),
        ("mixed.gz", gzip(&[gzip(&line(10)), b"\n".to_vec(), line(11)].concat())),
    ];
    std::fs::create_dir(machine.path("archive")).unwrap();
    for (name, bytes) in objects {
        std::fs::write(machine.path("archive").join(name), bytes).unwrap();
    }
    let first = backfill(&machine, "archive", 0).await;
    assert_eq!((&first["stored"], &first["rejected"], &first["read"]), (&11.into(), &0.into(), &4.into()), "{first}");
    let again = backfill(&machine, "archive", 0).await;
    assert_eq!((&again["read"], &again["present"]), (&0.into(), &4.into()), "{again}");
    assert_eq!(points(&machine).await, (1..12).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_object_is_named_without_rows() {
    let machine = with_lake().await;
    let utf16: Vec<u8> = String::from_utf8(line(1)).unwrap().encode_utf16().flat_map(u16::to_le_bytes).collect();
    let mut tar = vec![0; 512];
    tar[..6].copy_from_slice(b"a.json");
    tar[257..262].copy_from_slice(b"ustar");
    tar.extend(line(1));
    let forms: &[(&str, Vec<u8>, &str)] = &[
        ("a.bz2", b"BZh91AY&SY\xde\xad\xbe\xef".to_vec(), "bzip2"),
        ("b.zip", b"PK\x03\x04\x14\0\0\0\x08\0".to_vec(), "ZIP"),
        ("c.xz", b"\xFD7zXZ\0\0\x04".to_vec(), "xz"),
        ("d.parquet", b"PAR1\x15\x04\x15\x10".to_vec(), "Parquet"),
        ("e.orc", b"ORC\x08\x03".to_vec(), "ORC"),
        ("f.avro", b"Obj\x01\x04\x14avro.codec".to_vec(), "Avro"),
        ("g.sz", b"\xFF\x06\0\0sNaPpY\0\0\0\0".to_vec(), "framed Snappy"),
        ("h.snappy", b"\0\0\x01\xD4\0\0\0\xC6\xD4\x03\x40{\"event_id\": \"0d\x05\x01".to_vec(), "Snappy as Hadoop"),
        ("i.lz4", b"\x04\x22\x4D\x18\x60\x40".to_vec(), "LZ4"),
        ("j.tar.gz", gzip(&tar), "tar"),
        ("k.txt", [b"\xFF\xFE".to_vec(), utf16.clone()].concat(), "UTF-16"),
        ("l.txt", utf16, "no text"),
        ("m.bin", (0..=255).cycle().take(9_000).collect(), "no text"),
        ("n.gz", gzip(b"PAR1\x15\x04"), "Parquet"),
    ];
    std::fs::create_dir(machine.path("archive")).unwrap();
    for (name, bytes, _) in forms {
        std::fs::write(machine.path("archive").join(name), bytes).unwrap();
    }
    std::fs::write(machine.path("archive/z.ndjson"), line(7)).unwrap();
    let found = backfill(&machine, "archive", 3).await;
    assert_eq!((&found["stored"], &found["rejected"], &found["read"]), (&1.into(), &0.into(), &1.into()), "{found}");
    let damaged = found["damaged"].as_array().unwrap();
    assert_eq!(damaged.len(), forms.len(), "{found}");
    for (name, _, form) in forms {
        let object = damaged.iter().find(|object| object["object"].as_str().unwrap().ends_with(name)).unwrap();
        assert!(object["reason"].as_str().unwrap().contains(form) && object["offset"] == 0, "{object}");
    }
    let text = machine.run(&["backfill", "archive", "--stream", TRANSACTION_EVENTS]).await.expect_code(3).stdout;
    assert!(text.contains("Not read: ") && text.contains("f.avro: its form is Avro, which is not read"), "{text}");
    assert_eq!(machine.number("./bluelake-data", "SELECT count(*) FROM rejected_events").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn firehose_lines_with_text_times_are_read() {
    let machine = with_lake().await;
    let failed = |points: u32, arrived: Value| {
        let raw = STANDARD.encode(donation(points).to_string());
        format!("{}\n", json!({ "rawData": raw, "errorCode": "x", "attemptsMade": "1", "arrivalTimestamp": arrived }))
    };
    let text = [
        failed(1, json!(1_793_700_000_448_i64)),
        failed(2, json!("2026-11-03T10:00:00Z")),
        failed(3, json!("1793700000448")),
        failed(4, json!("timestamp")),
    ];
    std::fs::write(machine.path("failed"), text.concat()).unwrap();
    let found = backfill(&machine, "failed", 0).await;
    assert_eq!((&found["stored"], &found["rejected"]), (&4.into(), &0.into()), "{found}");
    let arrived =
        machine.query("./bluelake-data", "SELECT points, arrived_at FROM transactions ORDER BY points LIMIT 3").await;
    let arrived: Vec<&str> = arrived.iter().map(|row| &row["arrived_at"].as_str().unwrap()[..16]).collect();
    let (number, rfc3339) = ("2026-11-03T", "2026-11-03T10:00");
    assert!(arrived[0].starts_with(number) && arrived[1] == rfc3339 && arrived[2] == arrived[0], "{arrived:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_file_name_hides_no_other_files() {
    let machine = with_lake().await;
    let folder = machine.path("archive");
    std::fs::create_dir(&folder).unwrap();
    for (number, name) in ["a b%20.json", "line\nfeed", "tail#1", "\u{1b}[31m"].into_iter().enumerate() {
        std::fs::write(folder.join(name), line(number as u32 + 1)).unwrap();
    }
    std::fs::write(folder.join(OsStr::from_bytes(b"\xff.json")), line(9)).unwrap();
    symlink("nowhere", folder.join("dangling")).unwrap();
    let found = machine.run(&["backfill", "archive", "--stream", TRANSACTION_EVENTS]).await.expect_code(3);
    assert!(found.stdout.contains("its name is not UTF-8") && found.stdout.contains("dangling"), "{}", found.stdout);
    assert!(!found.stdout.contains('\u{1b}'), "{:?}", found.stdout);
    assert_eq!(points(&machine).await, [1, 2, 3, 4]);
    let again = backfill(&machine, "archive", 3).await;
    assert_eq!((&again["present"], &again["objects"]), (&4.into(), &6.into()), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_odd_or_denied_key_hides_no_others() {
    let objects: &[(&str, Option<Vec<u8>>)] = &[
        ("p/a.json", Some(line(1))),
        ("p//b.json", Some(line(2))),
        ("p/../c.json", Some(line(3))),
        ("p/./d e%20+#?.json", Some(line(4))),
        ("p/denied.json", None),
        ("p/folder/", Some(line(5))),
        ("p/tab\there", Some(line(6))),
        ("p/ünï &<>\"'.json", Some(line(7))),
        ("p//denied.json", None),
    ];
    let server = Objects::start("odd", objects).await;
    let machine = Machine::new().with("AWS_ENDPOINT_URL_S3", &server.endpoint);
    machine.succeed(&["lake", "init"]).await;
    let found = backfill(&machine, "s3://odd/p", 3).await;
    assert_eq!((&found["stored"], &found["rejected"], &found["objects"]), (&7.into(), &0.into(), &9.into()), "{found}");
    let damaged: Vec<&str> =
        found["damaged"].as_array().unwrap().iter().map(|object| object["object"].as_str().unwrap()).collect();
    assert_eq!(damaged.len(), 2, "{found}");
    assert!(damaged.contains(&"s3://odd/p/denied.json") && damaged.contains(&"s3://odd/p//denied.json"), "{found}");
    assert!(found["damaged"].to_string().to_lowercase().contains("denied"), "{found}");
    assert_eq!(points(&machine).await, [1, 2, 3, 4, 5, 6, 7]);
    let again = backfill(&machine, "s3://odd/p/", 3).await;
    assert_eq!((&again["present"], &again["read"]), (&7.into(), &0.into()), "{again}");
}

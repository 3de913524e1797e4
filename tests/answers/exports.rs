//! Reports as files in folders and buckets: complete, true to their manifest, reproducible, and safe to open.

use std::collections::BTreeMap;
use std::path::Path;

use calamine::{Data, DataType as _, Reader as _, Xlsx, open_workbook};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::command::Machine;
use crate::support::oracle::Workload;
use crate::support::servers::{Kinesis, Refusing, S3};
use crate::support::stage::Disk;

const WORKLOAD: Workload = Workload { events: 3_000, seed: 71, bad_rate: 0.01, duplicate_rate: 0.01, days: 20 };
const BUCKET: &str = "exports-test";
const FORMATS: &str = "csv,json,ndjson,parquet,xlsx,md,html";
const EXPORT: &[&str] = &["report", "run", "donations", "--by", "day", "--format", FORMATS, "--destination"];
/// The folder of a report without a period.
const FOLDER: &str = "donations/from=first_to=last_by=day";

/// A machine with a lake of some days, and an existing bucket for the exports.
async fn with_lake(s3: &S3) -> (Machine, Kinesis) {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis).with_s3(s3);
    WORKLOAD.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    std::fs::create_dir(s3.bucket(BUCKET)).unwrap();
    (machine, kinesis)
}

fn export<'a>(destination: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [EXPORT, &[destination], more].concat()
}

/// The files of a folder; hidden or incomplete ones fail the test.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let files = entries.map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()));
    let files: BTreeMap<_, _> = files.collect();
    assert!(files.keys().all(|name| !name.starts_with('.') && !name.contains("partial")), "{:?}", files.keys());
    files
}

fn manifest(files: &BTreeMap<String, Vec<u8>>) -> Value {
    serde_json::from_slice(&files["_manifest.json"]).unwrap()
}

#[track_caller]
fn assert_true(files: &BTreeMap<String, Vec<u8>>) {
    let manifest = manifest(files);
    let listed = manifest["files"].as_array().unwrap();
    assert_eq!(listed.len() + 1, files.len(), "{manifest}");
    for file in listed {
        let content = &files[file["name"].as_str().unwrap()];
        let digest: String = Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!((&file["sha256"], file["bytes"].as_u64()), (&Value::from(digest), Some(content.len() as u64)));
        assert_eq!(file["rows"], manifest["rows"], "{file}");
    }
    assert_eq!((&manifest["report"], &manifest["provenance"]["time_zone"]), (&"donations".into(), &"UTC".into()));
}

#[tokio::test(flavor = "multi_thread")]
async fn folders_and_buckets_get_the_same_files() {
    let s3 = S3::start().await;
    let (machine, _kinesis) = with_lake(&s3).await;
    machine.succeed(&export("out", &[])).await;
    let first = files(&machine.path("out").join(FOLDER));
    assert_eq!(first.len(), 8);
    assert_true(&first);
    let json = machine.run(&export("out", &["--json"])).await.expect_code(0).json();
    assert_eq!(json["manifest"], manifest(&first));
    assert_eq!(files(&machine.path("out").join(FOLDER)), first, "the second export has the same bytes");

    let url = format!("s3://{BUCKET}/some/prefix");
    machine.succeed(&export(&url, &[])).await;
    let objects = s3.bucket(BUCKET).join("some/prefix").join(FOLDER);
    assert_eq!(files(&objects), first, "a bucket has the bytes of a folder");
    machine.succeed(&export(&url, &[])).await;
    assert_eq!(files(&objects), first);

    let alone = machine.succeed(&["report", "run", "donations", "--by", "day", "--format", "csv"]).await;
    assert_eq!(alone.as_bytes(), first["donations.csv"], "one format to standard output is the same file");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_period_has_its_own_folder() {
    let s3 = S3::start().await;
    let (machine, _kinesis) = with_lake(&s3).await;
    machine.succeed(&export("out", &["--from", "2026-01-01", "--time-zone", "America/Chicago"])).await;
    machine.succeed(&export("out", &[])).await;
    let mut folders: Vec<_> = std::fs::read_dir(machine.path("out/donations"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    assert_eq!(folders, ["from=2026-01-01_to=last_by=day_time-zone=America.Chicago", "from=first_to=last_by=day"]);
    for destination in ["out".to_owned(), format!("s3://{BUCKET}")] {
        machine.succeed(&export(&destination, &[])).await;
        let fewer = ["report", "run", "donations", "--by", "day", "--format", "md", "--destination", &destination];
        machine.succeed(&fewer).await;
    }
    for folder in [machine.path("out").join(FOLDER), s3.bucket(BUCKET).join(FOLDER)] {
        let left = files(&folder);
        assert_eq!(left.keys().collect::<Vec<_>>(), ["_manifest.json", "donations.md"]);
        assert_true(&left);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workbook_and_page_hold_the_lakes_numbers() {
    let s3 = S3::start().await;
    let (machine, _kinesis) = with_lake(&s3).await;
    machine.succeed(&export("out", &[])).await;
    let folder = machine.path("out").join(FOLDER);
    let points = machine.number("./bluelake-data", "SELECT CAST(sum(points) AS BIGINT) AS points FROM donations").await;

    let mut workbook: Xlsx<_> = open_workbook(folder.join("donations.xlsx")).unwrap();
    assert_eq!(workbook.sheet_names(), ["Donations", "Chart", "Provenance"]);
    let sheet = workbook.worksheet_range("Donations").unwrap();
    let headings: Vec<String> = sheet.rows().next().unwrap().iter().map(Data::to_string).collect();
    let at = headings.iter().position(|heading| heading == "Points").unwrap();
    let (total, rows): (Vec<_>, Vec<_>) = sheet.rows().skip(1).partition(|row| row[0].get_string() == Some("Total"));
    let sum: f64 = rows.iter().map(|row| row[at].get_float().unwrap()).sum();
    assert_eq!(sum as i64, points);
    assert_eq!(total.iter().map(|row| row[at].get_float().unwrap() as i64).collect::<Vec<_>>(), [points]);
    assert!(rows.iter().all(|row| row[0].is_datetime()), "days are days");

    let page = std::fs::read_to_string(folder.join("donations.html")).unwrap();
    for forbidden in ["http:", "https:", " src=", "<script", "url(", "@import", "<link"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    assert!(
        page.contains("<svg") && page.contains("role=\"img\"") && page.contains("Who gives how many points to whom")
    );
    assert!(balanced(&page), "every element is closed");
    let rows = page.matches("<tr>").count();
    assert_eq!(rows, sheet.height());
}

/// Whether the elements of a page are properly nested.
fn balanced(page: &str) -> bool {
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let tag = tag.split('>').next().unwrap();
        let name = tag.trim_start_matches('/').split([' ', '/', '\n']).next().unwrap();
        if tag.starts_with('!') || tag.ends_with('/') || ["meta", "br"].contains(&name) {
            continue;
        }
        if tag.starts_with('/') {
            if open.pop() != Some(name) {
                return false;
            }
        } else {
            open.push(name);
        }
    }
    open.is_empty()
}

/// The head and body of a link's answer.
pub(crate) async fn fetch(url: &str) -> (String, Vec<u8>) {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut socket = TcpStream::connect(host).await.unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    (String::from_utf8_lossy(&answer[..end]).to_lowercase(), answer[end + 4..].to_vec())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_gives_the_file_to_anybody() {
    let s3 = S3::start().await;
    let (machine, _kinesis) = with_lake(&s3).await;
    let url = format!("s3://{BUCKET}/links");
    let json = machine.run(&export(&url, &["--presign", "7d", "--json"])).await.expect_code(0).json();
    let stored = files(&s3.bucket(BUCKET).join("links").join(FOLDER));
    let links = json["links"].as_array().unwrap();
    assert_eq!(links.len(), 8);
    for link in links {
        let (head, body) = fetch(link["url"].as_str().unwrap()).await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        assert_eq!(body, stored[link["name"].as_str().unwrap()]);
    }
    let of_page = links.iter().find(|link| link["name"] == "donations.html").unwrap()["url"].as_str().unwrap();
    assert!(of_page.contains("X-Amz-Expires=604800"), "{of_page}");
    let (head, _) = fetch(of_page).await;
    assert!(head.contains("content-type: text/html; charset=utf-8"), "{head}");
    assert!(!String::from_utf8_lossy(&stored["_manifest.json"]).contains("X-Amz"), "links are not in the manifest");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_impossible_is_refused_before_writing() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    let cases: &[(&[&str], &[&str])] = &[
        (&["--destination", "out", "--format", "xls"], &["xls", "xlsx"]),
        (&["--destination", "out", "--format", "csv,table"], &["table", "md"]),
        (&["--format", "csv,json"], &["--destination"]),
        (&["--destination", "out", "--output", "x.csv"], &["--output", "--destination"]),
        (&["--destination", "out", "--presign", "1d"], &["--presign", "bucket"]),
        (&["--destination", "s3://bucket/x", "--presign", "8d"], &["--presign", "7d"]),
        (&["--destination", "s3://bucket/x", "--presign", "soon"], &["--presign", "soon", "12h"]),
        (&["--presign", "1d"], &["--destination"]),
        (&["--destination", "gs://bucket/x"], &["gs://bucket/x", "s3://"]),
        (&["--destination", "bluelake-data/exports"], &["bluelake-data/exports", "in the lake"]),
    ];
    for (arguments, parts) in cases {
        let command = [&["report", "run", "donations"], *arguments].concat();
        machine.run(&command).await.expect_code(2).expect_message(parts);
    }
    assert_eq!(std::fs::read_dir(machine.folder()).unwrap().count(), 1, "only the lake is there");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unwritable_place_is_named_and_clean() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    machine.write("file", "mine");
    machine.run(&export("file/below", &[])).await.expect_code(1).expect_message(&["file/below", "cannot write"]);
    assert_eq!(std::fs::read_to_string(machine.path("file")).unwrap(), "mine");
    for (status, code, reason) in [(404, "NoSuchBucket", "does not exist"), (403, "AccessDenied", "access denied")] {
        let refusing = Refusing::s3(status, code, "no").await;
        let machine = Machine::new().with("AWS_ENDPOINT_URL_S3", &refusing.endpoint);
        machine.succeed(&["lake", "init"]).await;
        let parts = ["was not exported to s3://not-ours/x", "s3://not-ours/x/donations/", reason];
        machine.run(&export("s3://not-ours/x", &[])).await.expect_code(1).expect_message(&parts);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_the_earlier_export() {
    let s3 = S3::start().await;
    let (machine, _kinesis) = with_lake(&s3).await;
    let Some(_disk) = Disk::mount(machine.path("disk"), "512k") else {
        eprintln!("NOT RUN: this process may not mount a disk");
        return;
    };
    let small = ["report", "run", "donations", "--by", "day", "--format", "csv", "--destination", "disk/out"];
    machine.succeed(&small).await;
    let folder = machine.path("disk/out").join(FOLDER);
    let before = files(&folder);
    let _ = std::fs::write(machine.path("disk/filler"), vec![0_u8; 512 << 10]);
    let free = 8 << 10;
    let filler = std::fs::metadata(machine.path("disk/filler")).unwrap().len();
    std::fs::File::options().write(true).open(machine.path("disk/filler")).unwrap().set_len(filler - free).unwrap();
    machine.run(&export("disk/out", &[])).await.expect_code(1).expect_message(&[
        "was not exported",
        "cannot write",
        "No space left on device",
    ]);
    assert_eq!(files(&folder), before);
    machine.run(&export("disk/new", &[])).await.expect_code(1).expect_message(&["No space left on device"]);
    assert!(!machine.path("disk/new").exists(), "not even the folders stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_is_safe_in_a_spreadsheet() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    let sql = "SELECT '=1+1' AS a, -1 AS b, '|<b>' AS c, '+1' AS \"@d\"";
    let csv = machine.succeed(&["sql", sql, "--format", "csv"]).await;
    assert_eq!(csv, "a,b,c,'@d\n'=1+1,-1,|<b>,'+1\n");
    let json = machine.succeed(&["sql", sql, "--format", "ndjson"]).await;
    assert_eq!(json, "{\"a\":\"=1+1\",\"b\":-1,\"c\":\"|<b>\",\"@d\":\"+1\"}\n");
    let markdown = machine.succeed(&["sql", sql, "--format", "md"]).await;
    assert!(markdown.contains("| =1+1 | -1 | \\|\\<b\\> | +1 |"), "{markdown}");
    machine.succeed(&["sql", sql, "--output", "answer.xlsx"]).await;
    let mut workbook: Xlsx<_> = open_workbook(machine.path("answer.xlsx")).unwrap();
    assert!(workbook.worksheet_formula("Result").unwrap().is_empty());
    machine.succeed(&["sql", sql, "--output", "answer.html"]).await;
    assert!(
        std::fs::read_to_string(machine.path("answer.html")).unwrap().contains("<td class=\"whole\">|&lt;b&gt;</td>")
    );
}

//! Places whose names have characters that URLs encode: a prefix is the key letter for letter, and a folder is itself.

use bluelake_lake::Lake;
use serde_json::json;

use crate::answers::exports::fetch;
use crate::support::command::Machine;
use crate::support::servers::{S3, TRANSACTION_EVENTS};

const ODD: &str = "sp ace/ünï/{b}\"q'#a+b&c;d=e,/what?/🚓/x";

fn donation(number: u32) -> String {
    let event = json!({
        "event_id": format!("0d000000-0000-4000-8000-{number:012}"), "event_type": "donation",
        "occurred_at": "2026-11-03T10:00:00Z", "donor_id": "civ-1", "donor_kind": "civilian",
        "recipient_id": "char-1", "recipient_kind": "charity", "points": 10,
    });
    format!("{event}\n")
}

async fn backfill(machine: &Machine, lake: &str, archive: &str) -> serde_json::Value {
    let arguments = ["--lake", lake, "backfill", archive, "--stream", TRANSACTION_EVENTS, "--json"];
    machine.run(&arguments).await.expect_code(0).json()
}

/// Uses a lake, an archive and a destination of these names. `folder` is where `root` keeps its files.
async fn live_at(machine: &Machine, root: &str, folder: &std::path::Path) {
    let lake = format!("{root}/{ODD}");
    for tables in [3, 0] {
        let made = machine.run(&["--lake", &lake, "lake", "init", "--json"]).await.expect_code(0).json();
        assert_eq!(made["tables_created"].as_array().unwrap().len(), tables, "{made}");
    }
    assert!(folder.join(ODD).join("transactions/_delta_log/00000000000000000000.json").exists());

    let archived = "Firehose Backup%20/ünï [1]/100% {sure}#1/a b?.json";
    let file = folder.join(archived);
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, donation(1)).unwrap();
    let first = backfill(machine, &lake, &format!("{root}/Firehose Backup%20")).await;
    assert_eq!((&first["stored"], &first["read"]), (&1.into(), &1.into()), "{first}");
    let again = backfill(machine, &lake, &format!("{root}/{archived}")).await;
    assert_eq!((&again["present"], &again["commits"]), (&1.into(), &0.into()), "{again}");
    // Enough commits for a log checkpoint, which has a name of its own.
    for number in 2..24 {
        if number == 20 {
            let same = folder.join(ODD).to_str().unwrap().parse().unwrap();
            let table = Lake::at(&same, None).unwrap().table("transactions").await.unwrap();
            deltalake::checkpoints::create_checkpoint(&table, None).await.unwrap();
        }
        std::fs::write(&file, donation(number)).unwrap();
        assert_eq!(backfill(machine, &lake, &format!("{root}/Firehose Backup%20/")).await["stored"], 1);
    }
    let log = folder.join(ODD).join("transactions/_delta_log");
    assert!(log.join("_last_checkpoint").exists());
    std::fs::remove_file(log.join(format!("{:020}.json", 5))).unwrap();
    assert_eq!(machine.number(&lake, "SELECT sum(points) FROM donations").await, 230);
    let shards = machine
        .query(&lake, "SELECT DISTINCT stream_shard LIKE '%/Firehose Backup\\%20/ünï%' AS is FROM transactions")
        .await;
    assert_eq!(shards, [json!({ "is": true })]);
    machine.succeed(&["--lake", &lake, "lake", "verify"]).await;
    machine.succeed(&["--lake", &lake, "status", "--offline"]).await;

    let destination = format!("{root}/ex port%41/ü{{}}#");
    let mut export =
        vec!["--lake", &lake, "report", "run", "donations", "--by", "day", "--destination", &destination, "--json"];
    if root.starts_with("s3://") {
        export.extend(["--presign", "1h"]);
    }
    let exported = machine.run(&export).await.expect_code(0).json();
    let below = "donations/from=first_to=last_by=day";
    let exported_to = exported["folder"].as_str().unwrap();
    assert!(exported_to.ends_with(&format!("/ex port%41/ü{{}}#/{below}")), "{exported_to}");
    for name in ["donations.csv", "_manifest.json"] {
        assert!(folder.join("ex port%41/ü{}#").join(below).join(name).exists(), "{name}");
    }
    for link in exported["links"].as_array().into_iter().flatten() {
        let (head, body) = fetch(link["url"].as_str().unwrap()).await;
        assert!(head.starts_with("http/1.1 200") && !body.is_empty(), "{head}");
    }
    let inside = format!("{lake}/exports");
    let refused = ["--lake", &lake, "report", "run", "donations", "--destination", &inside];
    machine.run(&refused).await.expect_code(2).expect_message(&["in the lake"]);

    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    assert_eq!(names, ["Firehose Backup%20", "ex port%41", "sp ace"], "nothing was written under another name");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prefix_is_the_key_letter_for_letter() {
    let s3 = S3::start().await;
    let machine = Machine::new().with_s3(&s3);
    std::fs::create_dir(s3.bucket("names")).unwrap();
    live_at(&machine, "s3://names", &s3.bucket("names")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_equal_names_holds_the_same() {
    let machine = Machine::new();
    std::fs::create_dir(machine.path("names")).unwrap();
    live_at(&machine, "./names", &machine.path("names")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn parameter_values_name_one_folder_everywhere() {
    let s3 = S3::start().await;
    let machine = Machine::new().with_s3(&s3);
    std::fs::create_dir(s3.bucket("names")).unwrap();
    machine.succeed(&["lake", "init"]).await;
    let user = r#"{"event_id": "0d000000-0000-4000-8000-000000000041", "event_type": "user_created", "occurred_at": "2026-11-01T10:00:00Z", "user_id": "Üser 1", "user_kind": "civilian"}"#;
    machine.write("archive/users.ndjson", user);
    machine.succeed(&["backfill", "archive", "--stream", "user-events", "--ahead-of-ingest"]).await;
    for destination in ["s3://names/x", "./x"] {
        let report = ["report", "run", "user_statement", "--parameter", "user=Üser 1", "--destination", destination];
        machine.succeed(&report).await;
    }
    let names = |folder: std::path::PathBuf| {
        let entries = std::fs::read_dir(folder.join("user_statement")).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let on_disk = names(machine.path("x"));
    assert!(on_disk[0].contains('~'), "{on_disk:?}");
    assert_eq!(names(s3.bucket("names").join("x")), on_disk);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistaken_place_is_refused_before_writing() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    for (place, part) in [
        ("s3:/x", "two slashes"),
        ("s3:x", "two slashes"),
        ("S3://bucket/x", "write s3://"),
        ("s3a://bucket/x", "write s3://"),
        ("file:x", "absolute path"),
        ("file:/x", "absolute path"),
        ("http:x", "'http'"),
        ("https://bucket.s3.amazonaws.com/x", "'https'"),
        ("s3://bucket:9000/x", "AWS_ENDPOINT_URL_S3"),
        ("s3://user@bucket/x", "AWS_PROFILE"),
        ("s3://bucket//x", "two slashes"),
        ("s3://bucket/a/../x", "'..'"),
        ("s3://bucket/x?region=eu-west-1", "no query"),
        (" s3://bucket/x", "white space"),
    ] {
        let commands: [&[&str]; 5] = [
            &["--lake", place, "lake", "init"],
            &["--lake", place, "sql", "SELECT 1"],
            &["--lake", place, "ingest", "--once", "--init"],
            &["backfill", place, "--stream", TRANSACTION_EVENTS],
            &["report", "run", "donations", "--destination", place],
        ];
        for command in commands {
            machine.run(command).await.expect_code(2).expect_message(&[part]);
        }
    }
    for lake in ["s3://bucket/a%20b", "./a%20b"] {
        machine.run(&["--lake", lake, "lake", "init"]).await.expect_code(2).expect_message(&["'%'", "another place"]);
    }
    assert_eq!(std::fs::read_dir(machine.folder()).unwrap().count(), 1, "only the lake is there");
}

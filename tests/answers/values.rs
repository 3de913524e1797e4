//! Invalid values are refused with the valid ones, and rare values come out unchanged.

use calamine::{Data, DataType as _, Reader as _, Xlsx, open_workbook};
use serde_json::json;

use crate::support::command::Machine;

/// A lake of a few events that were archived.
async fn lake(stream: &str, events: &[serde_json::Value]) -> Machine {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
    machine.write("archive/events.ndjson", &lines);
    machine.succeed(&["backfill", "archive", "--stream", stream, "--ahead-of-ingest"]).await;
    machine
}

async fn lake_of_one_gift() -> Machine {
    let gift = json!({"event_id": "0d000000-0000-4000-8000-000000000032", "event_type": "donation",
        "occurred_at": "2026-11-03T10:00:00Z", "donor_id": "civ-1", "donor_kind": "civilian", "recipient_id": "char-1",
        "recipient_kind": "charity", "points": 10, "note": "😀".repeat(16_380)});
    lake("transaction-events", &[gift]).await
}

#[tokio::test]
async fn an_impossible_parameter_is_refused_with_its_range() {
    let machine = lake_of_one_gift().await;
    let cases: &[(&str, &[&str], &[&str])] = &[
        ("cohort_retention", &["--parameter", "weeks=80000"], &["parameter weeks", "80000 is not from 0 to 520"]),
        ("cohort_retention", &["--parameter", "weeks=-1"], &["-1 is not from 0 to 520"]),
        ("top_items", &["--parameter", "top=-3"], &["-3 is not from 1 to 100000"]),
        ("top_recipients", &["--parameter", "top=0"], &["0 is not from 1 to 100000"]),
        ("officer_connections", &["--parameter", "top=99999999999999999999"], &["is not a whole number"]),
        ("media_summary", &["--min-group", "9"], &["parameter min_group", "9 is not from 10 to 1000000"]),
        ("media_summary", &["--min-group=-1"], &["-1 is not from 10 to 1000000"]),
        ("repeat_connections", &["--parameter", "least=1"], &["1 is not from 2 to 1000000"]),
        (
            "onboarding_funnel",
            &["--parameter", "kind=Civilian"],
            &["\"Civilian\" is not one of civilian, police_officer"],
        ),
        ("user_statement", &["--parameter", "user=nobody"], &["the lake has no user \"nobody\""]),
        ("user_statement", &[], &["--parameter user=…"]),
        ("donations", &["--from", "0001-01-01"], &["0001-01-01 is not from 1970-01-01 to 9999-12-30"]),
        ("donations", &["--to", "9999-12-31"], &["9999-12-31 is not from"]),
        ("donations", &["--by", "week", "--parameter", "by=month"], &["by is set by --by and by --parameter"]),
        ("donations", &["--parameter", "by=week", "--parameter", "by=week"], &["by is set twice by --parameter"]),
        ("donations", &["--output", "a.docx"], &["a.docx", ".csv", ".xlsx"]),
        ("donations", &["--output", "a.xlsx", "--format", "csv"], &["--format says csv and a.xlsx says xlsx"]),
        ("donations", &["--memory-limit", "10"], &["--memory-limit", "at least 16"]),
    ];
    for (report, more, parts) in cases {
        let command = [&["report", "run", report], *more].concat();
        machine.run(&command).await.expect_code(2).expect_message(parts);
    }
    machine.run(&["sql", "SELECT 1", "--output", "a.docx"]).await.expect_code(2).expect_message(&["a.docx", ".csv"]);
    machine.write("bluelake.toml", "[[report]]\nname = 'donations'\nparameters = { from = '2026-01-01' }\n");
    let all = ["report", "run-all", "--for", "2026-11", "--destination", "out"];
    machine.run(&all).await.expect_code(2).expect_message(&["donations sets from, and so does --for"]);
    assert!(!machine.path("a.docx").exists() && !machine.path("a.xlsx").exists() && !machine.path("out").exists());
}

#[tokio::test]
async fn parameters_are_answered_up_to_their_bounds() {
    let machine = lake_of_one_gift().await;
    for (report, parameter) in [
        ("cohort_retention", "weeks=520"),
        ("cohort_retention", "weeks=0"),
        ("top_recipients", "top=100000"),
        ("user_statement", "user=char-1"),
    ] {
        let run = ["report", "run", report, "--parameter", parameter, "--format", "csv"];
        assert!(machine.succeed(&run).await.lines().count() > 1, "{report} {parameter}");
    }
    for report in ["donations", "points_liability", "cohort_retention"] {
        machine.succeed(&["report", "run", report, "--from", "1970-01-01", "--format", "csv"]).await;
    }
}

#[tokio::test]
async fn unfollowed_lakes_and_earlier_days_are_incomplete() {
    let machine = lake_of_one_gift().await;
    let all = machine.succeed(&["report", "run", "donations"]).await;
    assert!(all.starts_with("Donations (2026-11-03 to 2026-11-03 (all of the lake), by day, days in"), "{all}");
    assert!(all.contains("Period complete: not known: no worker has told how far transaction-events is"), "{all}");
    let before = ["report", "run", "donations", "--from", "2019-01-01", "--to", "2019-12-31"];
    let text = machine.succeed(&before).await;
    assert!(text.contains("Period complete: not known: the lake begins on 2026-11-03"), "{text}");
    let required = [&before[..], &["--require-complete"]].concat();
    machine.run(&required).await.expect_code(4).expect_message(&["the lake begins on 2026-11-03"]);
    let markdown = machine.succeed(&["report", "run", "donations", "--format", "md"]).await;
    assert!(markdown.contains("2026-11-03 to 2026-11-03 (all of the lake)"), "{markdown}");
}

#[tokio::test]
async fn a_state_before_the_lake_is_a_message() {
    let machine = lake_of_one_gift().await;
    for _ in 0..8 {
        let as_of = ["report", "run", "donations", "--as-of", "2020-01-01T00:00:00Z"];
        let finished = machine.run(&as_of).await.expect_code(1).expect_message(&["there is no version of 2020-01-01"]);
        assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    }
}

#[tokio::test]
async fn a_long_emoji_text_fits_a_workbook() {
    let machine = lake_of_one_gift().await;
    let notes = "-- title: Notes\n-- question: What unknown fields came in?\n-- audience: operators\n\
                 -- column: event_id (text) Event.\n-- column: extras (text) Unknown fields.\n\n\
                 SELECT event_id, extras FROM transactions ORDER BY 1\n";
    // As editors of Windows write it.
    machine.write("ours/notes.sql", &format!("\u{feff}{notes}"));
    let run = ["report", "run", "notes", "--reports", "ours", "--output", "notes.xlsx"];
    machine.succeed(&run).await;
    let mut workbook: Xlsx<_> = open_workbook(machine.path("notes.xlsx")).unwrap();
    let sheet = workbook.worksheet_range("Notes").unwrap();
    let Some(Data::String(extras)) = sheet.get_value((1, 1)) else { panic!("no text") };
    assert!(extras.starts_with("{\"note\":\"😀") && extras.ends_with("😀…"), "{}", extras.len());
    assert!(extras.encode_utf16().count() <= 32_000);
    let about = workbook.worksheet_range("Provenance").unwrap();
    assert!(about.rows().any(|row| row[0].get_string() == Some("Long texts")));
}

#[tokio::test]
async fn no_part_of_a_csv_field_becomes_formula() {
    let user = |number: u32, name: &str| {
        json!({"event_id": format!("0d000000-0000-4000-8000-0000000000{number}"), "event_type": "user_created",
            "occurred_at": "2026-11-01T10:00:00Z", "user_id": format!("civ-{number}"), "user_kind": "civilian",
            "display_name": name})
    };
    let machine = lake("user-events", &[user(30, "x;=1+1"), user(31, "x\t=1+1"), user(32, "x\n=1+1")]).await;
    let sql = "SELECT display_name FROM users ORDER BY user_id";
    let csv = machine.succeed(&["sql", sql, "--format", "csv"]).await;
    assert_eq!(csv, "display_name\nx;'=1+1\nx\t'=1+1\n\"x\n'=1+1\"\n");
}

#[tokio::test]
async fn json_distinguishes_nan_and_infinity_from_null() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    let sql = "SELECT CAST('NaN' AS DOUBLE) AS a, CAST('inf' AS REAL) AS b, -CAST('inf' AS DOUBLE) AS c, \
               CAST(NULL AS DOUBLE) AS d, 1.5::DOUBLE AS e, [CAST('NaN' AS DOUBLE), 2::DOUBLE, NULL] AS f";
    let expected =
        "{\"a\":\"NaN\",\"b\":\"Infinity\",\"c\":\"-Infinity\",\"d\":null,\"e\":1.5,\"f\":[\"NaN\",2.0,null]}";
    assert_eq!(machine.succeed(&["sql", sql, "--format", "ndjson"]).await, format!("{expected}\n"));
    assert_eq!(machine.succeed(&["sql", sql, "--format", "json"]).await, format!("[\n{expected}\n]\n"));
    let csv = machine.succeed(&["sql", sql, "--format", "csv"]).await;
    assert!(csv.contains("\"[\"\"NaN\"\",2.0,null]\""), "{csv}");
}

#[tokio::test]
async fn a_byte_order_mark_before_sql_is_skipped() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    machine.write("one.sql", "\u{feff}SELECT 42 AS answer");
    let csv = ["sql", "--format", "csv"];
    assert_eq!(machine.succeed(&[&csv[..], &["--file", "one.sql"]].concat()).await, "answer\n42\n");
    let script = machine.run_with_input(&csv, "\u{feff}SELECT 41 AS answer;\n\\i one.sql\n").await.expect_code(0);
    assert_eq!(script.stdout, "answer\n41\nanswer\n42\n");
    let script = machine.run_with_input(&csv, "\u{feff}\\format json\nSELECT 1 AS n;\n").await.expect_code(0);
    assert!(script.stdout.ends_with("[\n{\"n\":1}\n]\n"), "{}", script.stdout);
}

#[tokio::test]
async fn a_plan_has_its_lines() {
    let machine = Machine::new();
    machine.succeed(&["lake", "init"]).await;
    let plan = machine.succeed(&["sql", "EXPLAIN SELECT count(*) FROM donations"]).await;
    assert!(plan.starts_with("logical_plan\n  ") && plan.contains("\nphysical_plan\n  "), "{plan}");
    assert!(!plan.contains("\\n") && !plan.contains('│'), "{plan}");
    let expanded = machine.run_with_input(&["sql"], "\\x on\nEXPLAIN SELECT 1;\n").await.expect_code(0);
    assert!(expanded.stdout.contains("logical_plan\n  ") && !expanded.stdout.contains("\\n"), "{}", expanded.stdout);
}

#[tokio::test]
async fn a_query_gets_part_of_the_memory() {
    let machine = Machine::new();
    let shown = machine.run(&["config", "show", "--json"]).await.expect_code(0).json();
    let settings = shown.as_array().unwrap();
    let limit = settings.iter().find(|setting| setting["key"] == "sql.memory-limit").unwrap();
    let origin = limit["origin"].as_str().unwrap();
    assert!(origin.starts_with("default: a quarter of the ") || origin.starts_with("default: the least"), "{limit}");
    let mebibytes: u64 = limit["value"].as_str().unwrap().strip_suffix("MiB").unwrap().parse().unwrap();
    assert!(mebibytes >= 1_024, "{limit}");
}

#[tokio::test]
async fn status_without_a_region_reports_the_lake() {
    let machine = lake_of_one_gift().await.with("AWS_EC2_METADATA_DISABLED", "true").without("AWS_REGION");
    let status = machine.run(&["status"]).await.expect_code(3);
    assert!(status.stdout.contains("Kinesis cannot be asked: no AWS region"), "{}", status.stdout);
    assert!(status.stdout.contains("--offline asks the lake alone") && status.stdout.contains("transaction-events"));
}

//! What can be asked of a report beside its own parameters: other days to compare with, a word for the days, each value of a
//! parameter; and what its results say above and below their rows.

use std::collections::BTreeSet;

use serde_json::Value;

use super::reports::with_lake;
use crate::support::command::Machine;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn points(row: &Value, column: &str) -> i64 {
    match &row[column] {
        Value::String(text) => text.parse().unwrap(),
        other => other.as_i64().unwrap_or_default(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_is_compared_with_the_days_before() {
    let (machine, _kinesis) = with_lake().await;
    let all = json(&machine.succeed(&["report", "run", "donations", "--json"]).await);
    let days: BTreeSet<&str> =
        all["rows"].as_array().unwrap().iter().map(|row| row["period"].as_str().unwrap()).collect();
    let [before, day] = [days.iter().nth(1).unwrap(), days.iter().nth(2).unwrap()];
    let total = |day: &str| -> i64 {
        let rows = all["rows"].as_array().unwrap().iter().filter(|row| row["period"] == day);
        rows.map(|row| points(row, "points")).sum()
    };
    let run = ["report", "run", "donations", "--from", day, "--to", day, "--compare", "previous"];
    let compared = json(&machine.succeed(&[&run[..], &["--json"]].concat()).await);
    let figures = compared["figures"].as_array().unwrap();
    let figure = figures.iter().find(|figure| figure["column"] == "points").unwrap();
    assert_eq!(figure["value"], total(day).to_string());
    assert_eq!(figure["before"], total(before).to_string());
    let rows = compared["rows"].as_array().unwrap();
    let sum = |column: &str| rows.iter().map(|row| points(row, column)).sum::<i64>();
    assert_eq!((sum("points"), sum("points_before")), (total(day), total(before)));
    assert_eq!(sum("points_change"), total(day) - total(before));
    assert_eq!(compared["provenance"]["compared"]["first_day"], **before);
    // The choice is part of the question: its export has a folder of its own.
    let export = [&run[..], &["--destination", "out", "--format", "html,xlsx,md", "--json"]].concat();
    let export = json(&machine.succeed(&export).await);
    let folder = export["folder"].as_str().unwrap();
    assert!(folder.ends_with("_compare=previous"), "{folder}");
    let page = std::fs::read_to_string(machine.path(folder).join("donations.html")).unwrap();
    for part in ["<dl class=\"figures\">", "<dd class=\"before\">was ", "<tfoot>", "compared with "] {
        assert!(page.contains(part), "{part}");
    }
    for (report, part) in [("top_recipients", "has the first of its rows only"), ("breakage", "is not about the days")]
    {
        let refused = machine.run(&["report", "run", report, "--compare", "year"]).await;
        refused.expect_code(2).expect_message(&["parameter compare", part]);
    }
    machine
        .run(&["report", "run", "donations", "--compare", "week"])
        .await
        .expect_code(2)
        .expect_message(&["previous"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_given_in_a_word() {
    let (machine, _kinesis) = with_lake().await;
    let run = ["report", "run", "donations", "--for", "2026-Q1", "--by", "quarter", "--json"];
    let period = json(&machine.succeed(&run).await)["provenance"]["period"].clone();
    assert_eq!((&period["first_day"], &period["last_day"]), (&Value::from("2026-01-01"), &Value::from("2026-03-31")));
    let breakage = json(&machine.succeed(&["report", "run", "breakage", "--for", "last-30-days", "--json"]).await);
    assert_eq!(breakage["provenance"]["parameters"].as_array().unwrap().len(), 1, "it has no first day");
    for (more, part) in [
        (&["--for", "someday"][..], "--for: \"someday\" is no period"),
        (&["--for", "2026", "--from", "2026-01-01"][..], "cannot be used with"),
        (&["--for", "2026", "--parameter", "to=2026-01-01"][..], "to is set by --for and by --parameter"),
    ] {
        let run = [&["report", "run", "donations"][..], more].concat();
        machine.run(&run).await.expect_code(2).expect_message(&[part]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_provider_has_a_settlement_of_its_own() {
    let (machine, _kinesis) = with_lake().await;
    let by_provider = "SELECT provider_id, count(*) AS redemptions, sum(points) AS points FROM redemptions GROUP BY 1";
    let expected = machine.query("./bluelake-data", by_provider).await;
    let run =
        ["report", "run", "settlement", "--each", "provider", "--destination", "out", "--format", "json", "--json"];
    let made = json(&machine.succeed(&run).await);
    let made = made.as_array().unwrap();
    assert_eq!(made.len(), expected.len());
    for provider in &expected {
        let one = made.iter().find(|one| one["value"] == provider["provider_id"]).unwrap();
        let file = machine.path(one["folder"].as_str().unwrap()).join("settlement.json");
        let rows = json(&std::fs::read_to_string(file).unwrap());
        let rows = rows.as_array().unwrap();
        assert_eq!(rows.len() as u64, provider["redemptions"].as_u64().unwrap());
        let sum = |column: &str| rows.iter().map(|row| points(row, column)).sum::<i64>();
        assert_eq!(sum("points"), points(provider, "points"));
        assert_eq!(sum("points"), sum("points_with_amount") + sum("points_without_amount"));
        assert!(rows.iter().all(|row| row.get("redeemer_id").is_none()));
    }
    for (report, each, part) in
        [("settlement", "from", "--each is not for this one"), ("donations", "provider", "--each is not for this one")]
    {
        let run = ["report", "run", report, "--each", each, "--destination", "out"];
        machine.run(&run).await.expect_code(2).expect_message(&[part]);
    }
    let both = ["report", "run", "settlement", "--each", "provider", "--provider", "x", "--destination", "out"];
    machine.run(&both).await.expect_code(2).expect_message(&["provider is set by --provider and by --each"]);
    let wait = ["--destination", "out", "--require-complete", "--wait", "1s"];
    let waits = machine.run(&[&["report", "run", "settlement", "--each", "provider"][..], &wait].concat()).await;
    waits.expect_code(2).expect_message(&["--each", "cannot be used with", "--wait"]);
    let nowhere = machine.run(&["report", "run", "settlement", "--each", "provider"]).await;
    nowhere.expect_code(2).expect_message(&["--destination"]);
}

#[tokio::test]
async fn a_report_is_shown_without_a_lake() {
    let machine = Machine::new();
    let shown = machine.succeed(&["report", "show", "top_recipients"]).await;
    for part in ["Who", "integer: from 1 to 100000", "first day of the lake", "recipient_kind"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let sql = machine.succeed(&["report", "show", "donations", "--sql"]).await;
    machine.write("ours/our_donations.sql", &sql);
    assert!(machine.succeed(&["report", "list", "--reports", "ours"]).await.contains("our_donations"));
    let listed = json(&machine.succeed(&["report", "show", "donations", "--json"]).await);
    assert_eq!(listed["figures"][1]["kind"], "sum");
    machine.run(&["report", "show", "donation"]).await.expect_code(2).expect_message(&["did you mean donations?"]);
}

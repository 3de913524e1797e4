//! Trustworthy reports: reproducible, refused while their period is incomplete, reconciled, run together.

use std::time::{Duration, Instant};

use chrono::{Days, Utc};
use serde_json::Value;

use crate::support::command::{Machine, wait};
use crate::support::lake_files::compact;
use crate::support::oracle::Workload;
use crate::support::servers::Kinesis;

const INGEST: [&str; 3] = ["ingest", "--once", "--init"];

fn portion(number: u64) -> Workload {
    Workload { events: 2_000, seed: 300 + number, bad_rate: 0.05, duplicate_rate: 0.05, days: 5 }
}

pub(crate) async fn with_lake() -> (Machine, Kinesis) {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    portion(0).put(&machine).await;
    machine.succeed(&INGEST).await;
    (machine, kinesis)
}

/// The day `ahead` days from today, in UTC.
fn day(ahead: i64) -> String {
    let today = Utc::now().date_naive();
    let days = Days::new(ahead.unsigned_abs());
    let day = if ahead < 0 { today.checked_sub_days(days) } else { today.checked_add_days(days) };
    day.unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_report_as_of_its_versions_never_changes() {
    let (machine, _kinesis) = with_lake().await;
    let run = ["report", "run", "points_liability", "--by", "day", "--json"];
    let first = machine.succeed(&run).await;
    let as_of = serde_json::from_str::<Value>(&first).unwrap()["provenance"]["as_of"].as_str().unwrap().to_owned();
    assert_eq!(machine.succeed(&run).await, first, "twice the same");
    let between = Utc::now().to_rfc3339();
    tokio::time::sleep(Duration::from_millis(50)).await;
    portion(1).put(&machine).await;
    machine.succeed(&INGEST).await;
    assert_ne!(machine.succeed(&run).await, first);
    assert_eq!(machine.succeed(&[&run[..], &["--as-of", &as_of]].concat()).await, first);
    assert_eq!(machine.succeed(&[&run[..], &["--as-of", &between]].concat()).await, first);
    let version = as_of.split(',').find_map(|part| part.strip_prefix("transactions@")).unwrap();
    let rows = |text: &str| serde_json::from_str::<Value>(text).unwrap()["rows"].clone();
    assert_eq!(rows(&machine.succeed(&[&run[..], &["--as-of", version]].concat()).await), rows(&first));
    for (wrong, code, part) in [
        ("99999", 1, "there is no version 99999; its log goes from version 0"),
        ("2001-01-01T00:00:00Z", 1, "there is no version of 2001-01-01"),
        ("yesterday", 2, "--as-of: \"yesterday\" is no version and no time"),
    ] {
        let finished = machine.run(&[&run[..], &["--as-of", wrong]].concat()).await;
        finished.expect_code(code).expect_message(&[part]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_as_of_versions_survive_a_compaction() {
    const FILES: [&str; 3] = ["liability.csv", "liability.json", "liability.parquet"];
    let (machine, _kinesis) = with_lake().await;
    portion(1).put(&machine).await;
    machine.succeed(&INGEST).await;
    let run = ["report", "run", "points_liability", "--by", "day"];
    let written = async |as_of: &str| {
        let mut files = Vec::new();
        for file in FILES {
            let format = file.rsplit('.').next().unwrap();
            let more = ["--format", format, "--output", file, "--as-of", as_of];
            machine.succeed(&[&run[..], &more].concat()).await;
            files.push(std::fs::read(machine.path(file)).unwrap());
        }
        files
    };
    let shown = machine.succeed(&[&run[..], &["--json"]].concat()).await;
    let first: Value = serde_json::from_str(&shown).unwrap();
    let as_of = first["provenance"]["as_of"].as_str().unwrap();
    let before = written(as_of).await;
    assert!(before == written(as_of).await, "the same twice");

    portion(2).put(&machine).await;
    machine.succeed(&INGEST).await;
    let newest = machine.succeed(&[&run[..], &["--json"]].concat()).await;
    assert!(compact(&machine.path("bluelake-data")).await > 10, "too few files were rewritten to prove anything");
    assert!(before == written(as_of).await, "another result after a compaction");

    let rows = |text: &str| serde_json::from_str::<Value>(text).unwrap()["rows"].clone();
    let compacted = machine.succeed(&[&run[..], &["--json"]].concat()).await;
    assert_eq!(rows(&compacted), rows(&newest));
    assert_ne!(rows(&compacted), first["rows"]);
    // The rows are all there, so ingest goes on.
    portion(3).put(&machine).await;
    machine.succeed(&INGEST).await;
    let after = machine.succeed(&[&run[..], &["--json"]].concat()).await;
    assert_ne!(rows(&after), rows(&newest));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_incomplete_period_exits_with_code_4() {
    let (machine, _kinesis) = with_lake().await;
    let over = |to: &str| -> Vec<String> {
        let words = [
            "report",
            "run",
            "donations",
            "--from",
            "2026-01-01",
            "--to",
            to,
            "--require-complete",
            "--output",
            "d.csv",
        ];
        words.map(str::to_owned).to_vec()
    };
    let finished = machine.run(&over(&day(1))).await.expect_code(4);
    let message = "the period of donations is not complete: it ends at";
    let finished = finished.expect_message(&[message, "transaction-events is complete to", "nothing was written"]);
    assert_eq!(finished.stdout, "");
    assert!(!machine.path("d.csv").exists());
    let began = Instant::now();
    let waiting = [over(&day(1)), vec!["--wait".to_owned(), "2s".to_owned()]].concat();
    machine.run(&waiting).await.expect_code(4);
    assert!(began.elapsed() >= Duration::from_secs(2));
    // There were no events since, and a run to the tip has seen that.
    machine.succeed(&over(&day(-1))).await;
    assert!(machine.path("d.csv").exists());
    let open = ["report", "run", "donations", "--require-complete"];
    machine.run(&open).await.expect_code(2).expect_message(&["parameter to of the report donations", "must be given"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_report_is_written_once_complete() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    machine.succeed(&["lake", "init"]).await;
    let to = day(-1);
    let run = ["report", "run", "donations", "--to", &to, "--require-complete", "--wait", "120s", "--output", "d.csv"];
    let waiting = machine.start(&run);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(!machine.path("d.csv").exists(), "nothing is known of the streams yet");
    portion(0).put(&machine).await;
    machine.succeed(&INGEST).await;
    wait(waiting).await.expect_code(0);
    assert!(machine.path("d.csv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_tables_views_and_reports_agree() {
    let (machine, _kinesis) = with_lake().await;
    let report = machine.run(&["report", "reconcile", "--json"]).await.expect_code(0).json();
    assert_eq!(report["equal"], true, "{report}");
    let checks = report["checks"].as_array().unwrap();
    let found = |what: &str| -> Vec<i64> {
        let named = checks.iter().filter(|check| check["what"] == what);
        named.map(|check| check["found"].as_i64().unwrap()).collect()
    };
    let sum = |what: &str| found(what).iter().sum::<i64>();
    assert!(sum("events received") == 2_000 && sum("events rejected") > 50, "{report}");
    assert!(found("points liability").iter().all(|points| *points > 0));
    let words = machine.succeed(&["report", "reconcile"]).await;
    assert!(!words.contains("DIFFERS") && words.contains("report points_liability, last period"), "{words}");
}

const LIST: &str = "\
[reports]
folder = 'ours'

[[report]]
name = 'donations'
parameters = { by = 'week' }
formats = ['csv', 'json']

[[report]]
name = 'broken'

[[report]]
name = 'top_items'
parameters = { top = 5 }
formats = ['csv']
destination = 'elsewhere'
";
const BROKEN: &str = "\
-- title: Broken
-- question: Does one report stop the others?
-- audience: nobody
-- column: n (count) A number.

SELECT CAST(channel AS BIGINT) AS n FROM transactions WHERE channel IS NOT NULL
";

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_report_stops_no_other() {
    let (machine, _kinesis) = with_lake().await;
    machine.write("bluelake.toml", LIST);
    machine.write("ours/broken.sql", BROKEN);
    let run = ["report", "run-all", "--for", "last-month", "--destination", "out"];
    let finished = machine.run(&run).await.expect_code(1).expect_message(&["1 of 3 reports failed", "broken"]);
    assert!(finished.stdout.contains("FAILED") && finished.stdout.contains("exported"), "{}", finished.stdout);
    let json = machine.run(&[&run[..], &["--json"]].concat()).await.expect_code(1).json();
    let outcomes: Vec<_> = json.as_array().unwrap().iter().map(|report| report["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["exported", "failed", "exported"]);
    for export in json.as_array().unwrap().iter().filter(|report| report["outcome"] == "exported") {
        let folder = machine.path(export["folder"].as_str().unwrap());
        assert!(folder.join("_manifest.json").exists(), "{}", folder.display());
    }
    assert!(json[2]["folder"].as_str().unwrap().contains("elsewhere"));

    machine.write("bluelake.toml", "[[report]]\nname = 'donations'\n");
    let tomorrow = day(1);
    let soon = ["report", "run-all", "--for", &tomorrow, "--destination", "soon", "--require-complete"];
    machine.run(&soon).await.expect_code(4).expect_message(&["is not complete"]);
    assert!(!machine.path("soon").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_wrong_runs_nothing() {
    let (machine, _kinesis) = with_lake().await;
    let good = "[[report]]\nname = 'donations'\n";
    for (list, period, part) in [
        ("", "yesterday", "no reports are listed"),
        ("[[report]]\nname = 'donation'\n", "yesterday", "did you mean donations?"),
        (
            "[[report]]\nname = 'donations'\nparameters = { buy = 'x' }\n",
            "yesterday",
            "the report donations has no parameter \"buy\"; it has from, to, by",
        ),
        ("[[report]]\nname = 'donations'\nformats = ['pdf']\n", "yesterday", "no output format \"pdf\""),
        (good, "someday", "--for: \"someday\" is no period"),
    ] {
        machine.write("bluelake.toml", list);
        let run = ["report", "run-all", "--for", period, "--destination", "out"];
        machine.run(&run).await.expect_code(2).expect_message(&[part]);
        assert!(!machine.path("out").exists(), "{list}");
    }
    machine.write("bluelake.toml", "[[report]]\nname = 'donation'\n[[report]]\nname = 'breakage'\ncompare = 'year'\n");
    let run = ["report", "run-all", "--for", "yesterday", "--destination", "out"];
    let both = ["2 reports of the list are set wrongly", "did you mean donations?", "not about the days from one"];
    machine.run(&run).await.expect_code(2).expect_message(&both);
    machine.write("bluelake.toml", good);
    let nowhere = ["report", "run-all", "--for", "yesterday"];
    machine.run(&nowhere).await.expect_code(2).expect_message(&["donations has no destination"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn own_reports_are_run_listed_and_checked() {
    let (machine, _kinesis) = with_lake().await;
    let header = "-- title: Mine\n-- question: How many?\n-- audience: me\n-- column: n (count) Events.\n\n";
    machine.write("ours/mine.sql", &format!("{header}SELECT count(*) AS n FROM transactions\n"));
    let csv = machine.succeed(&["report", "run", "mine", "--reports", "ours", "--format", "csv"]).await;
    assert!(csv.starts_with("n\n") && csv.lines().count() == 2, "{csv}");
    assert!(machine.succeed(&["report", "list", "--reports", "ours"]).await.contains("How many?"));
    machine.write("ours/writes.sql", &format!("{header}DROP TABLE transactions\n"));
    let writes = machine.run(&["report", "run", "writes", "--reports", "ours"]).await;
    assert!(writes.code.is_some_and(|code| code == 1 || code == 2), "{}", writes.stderr);
    machine.write("ours/bad.sql", "-- titel: Bad\n\nSELECT 1\n");
    let bad = machine.run(&["report", "list", "--reports", "ours"]).await;
    bad.expect_code(2).expect_message(&["bad.sql:1: unknown key \"titel\"; did you mean title?"]);
    let nowhere = machine.run(&["report", "list", "--reports", "none"]).await;
    nowhere.expect_code(2).expect_message(&["cannot use the reports of none"]);
}

//! A small demo: its totals equal the truth, and it resumes where it was.

use std::time::Duration;

use crate::support::command::Machine;

/// An environment in which the usual AWS chain finds nothing: the demo must not need it.
fn without_aws() -> Machine {
    ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_ENDPOINT_URL"]
        .into_iter()
        .fold(Machine::new(), Machine::without)
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_equal_the_truth_in_two_runs() {
    let machine = without_aws();
    // Another file in the folder of the default lake, which the demo must not remove.
    machine.write("bluelake-data/notes/mine.txt", "mine");
    let text = machine.succeed(&["demo", "--events", "5000"]).await;
    for part in ["Interactions", "Donations", "Redemptions", "Rejected, by reason", "Try next", "equal"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
    assert!(!text.contains("DIFFERS"), "{text}");
    let truth: bluelake_generate::Truth =
        serde_json::from_slice(&std::fs::read(machine.path("bluelake-data/_demo/truth.json")).unwrap()).unwrap();
    let good: u64 = truth.streams.values().map(|totals| totals.good).sum();
    let rows = "SELECT (SELECT count(*) FROM transactions) + (SELECT count(*) FROM user_events)";
    assert_eq!(machine.number("./bluelake-data", rows).await as u64, good);

    let again = machine.run(&["demo", "--json"]).await.expect_code(0).json();
    assert!(again["landed"].is_null(), "nothing is generated again");
    assert!(again["checks"].as_array().unwrap().len() > 10);
    assert_eq!(machine.number("./bluelake-data", rows).await as u64, good);
    machine.run(&["demo", "--events", "6000"]).await.expect_code(2).expect_message(&["5000", "--fresh"]);
    let fresh = machine.run(&["demo", "--fresh", "--events", "3000", "--json"]).await.expect_code(0).json();
    assert_eq!(fresh["events"], 3000);
    assert!(machine.path("bluelake-data/notes/mine.txt").is_file());
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_kill_it_lands_what_is_missing() {
    let machine = without_aws();
    let mut arguments = vec!["demo", "--events", "40000", "--json"];
    for delay in [300, 900, 1_500, 2_500] {
        machine.kill_after(&arguments, Duration::from_millis(delay)).await;
    }
    arguments.truncate(1);
    let text = machine.succeed(&arguments).await;
    assert!(text.contains("equal") && !text.contains("DIFFERS"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_doubles_no_rejected_events() {
    for passes in [0, 1, 3] {
        let mut machine = without_aws();
        machine.set("FAILPOINTS", &format!("before_follow={passes}*off->return(abort)"));
        let killed = machine.run(&["demo", "--events", "5000"]).await;
        assert_eq!(killed.code, None, "the step was passed {passes} times and then not reached: {killed:?}");
        machine.unset("FAILPOINTS");
        let text = machine.succeed(&["demo"]).await;
        assert!(text.contains("was interrupted") && !text.contains("DIFFERS"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_demos_lake_is_touched() {
    let machine = without_aws();
    machine.succeed(&["lake", "init"]).await;
    machine.run(&["demo"]).await.expect_code(2).expect_message(&["--lake"]);
    machine.run(&["demo", "--fresh"]).await.expect_code(2).expect_message(&["--fresh"]);
    machine.succeed(&["sql", "SELECT count(*) FROM transactions"]).await;
    machine.run(&["--lake", "s3://bucket/x", "demo"]).await.expect_code(2).expect_message(&["s3://bucket/x", "--lake"]);
}

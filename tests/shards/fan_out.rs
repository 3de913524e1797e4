//! Enhanced fan-out from outside: the same rows as by polling.

use crate::support::command::Machine;
use crate::support::oracle::{Workload, verify};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS};

const BEFORE: Workload = Workload { events: 6_000, seed: 31, bad_rate: 0.02, duplicate_rate: 0.02, days: 10 };
const AFTER: Workload = Workload { seed: 32, ..BEFORE };

const TABLES: [&str; 3] = ["user_events", "transactions", "rejected_events"];

#[tokio::test(flavor = "multi_thread")]
async fn fan_out_lands_pollings_rows_over_a_split() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    BEFORE.put(&machine).await;
    kinesis.split(TRANSACTION_EVENTS).await;
    AFTER.put(&machine).await;
    machine.succeed(&["--lake", "./polled", "ingest", "--once", "--init"]).await;
    let fan_out = ["--lake", "./pushed", "--log-level", "info", "ingest", "--once", "--init", "--fan-out"];
    let finished = machine.run(&fan_out).await.expect_code(0).expect_message(&["reading by enhanced fan-out"]);
    assert!(!finished.stderr.contains("polling instead"), "{}", finished.stderr);
    for table in TABLES {
        let polled = machine.rows("./polled", table).await;
        assert!(polled.len() > 100, "{table}: {} rows", polled.len());
        assert_eq!(machine.rows("./pushed", table).await, polled, "{table}");
    }
    verify(&[BEFORE, AFTER], &machine, "./pushed", &machine.path("pushed")).await;
    // The next run goes on from there.
    let again = machine.run(&["--lake", "./pushed", "ingest", "--once", "--fan-out=bluelake", "--json"]).await;
    let again = again.expect_code(0).json();
    assert!(again["streams"].as_array().unwrap().iter().all(|stream| stream["received"] == 0), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_at_the_tip_reads_nothing_old() {
    let kinesis = Kinesis::with_streams(1, 1).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    kinesis.put(TRANSACTION_EVENTS, "key", b"old").await;
    // Its arrival times are whole seconds.
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    let rejected = "SELECT count(*) FROM rejected_events";
    let lakes = [("./polled", &[][..]), ("./pushed", &["--fan-out"])];
    for (lake, way) in lakes {
        let ingest = [&["--lake", lake, "ingest", "--once", "--init", "--start", "latest"][..], way].concat();
        machine.succeed(&ingest).await;
        assert_eq!(machine.number(lake, rejected).await, 0, "{lake}");
    }
    kinesis.put(TRANSACTION_EVENTS, "key", b"new").await;
    for (lake, way) in lakes {
        machine.succeed(&[&["--lake", lake, "ingest", "--once"][..], way].concat()).await;
        assert_eq!(machine.number(lake, rejected).await, 1, "{lake}");
    }
}

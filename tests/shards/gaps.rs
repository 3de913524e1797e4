//! Records that Kinesis has discarded unread are reported once and stop the shard, which goes on only on request.

use std::time::Duration;

use bluelake_ingest::{
    Admission, Clock, DedupLimits, FlushLimits, IngestOptions, KinesisStream, OnGap, StartPosition, StreamWorker,
};
use bluelake_lake::{Gap, GapCause, Lake, LakeLocation};
use bluelake_schemas::{Contract, Stream};
use chrono::Utc;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::support::command::Machine;
use crate::support::lake_files::newest_document;
use crate::support::oracle::{Workload, verify};
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};

const BEFORE: Workload = Workload { events: 1_000, seed: 31, bad_rate: 0.01, duplicate_rate: 0.0, days: 2 };
const AFTER: Workload = Workload { seed: 32, ..BEFORE };

fn gaps(machine: &Machine) -> Vec<Value> {
    let document = newest_document(&machine.path("bluelake-data"), "transactions", TRANSACTION_EVENTS);
    document["gaps"].as_array().cloned().unwrap_or_default()
}

/// The warnings of `lake verify` about the transaction events; gaps are no failure.
async fn verify_warns(machine: &Machine) -> String {
    let report = machine.run(&["lake", "verify", "--json"]).await.expect_code(0).json();
    report["streams"][1]["warnings"].to_string()
}

/// Runs a worker of the transaction events whose clock is this far ahead; gives the gaps that stop a shard then.
async fn ingest_later(kinesis: &Kinesis, machine: &Machine, ahead: Duration) -> Vec<Gap> {
    let location: LakeLocation = machine.path("bluelake-data").to_str().unwrap().parse().unwrap();
    let lake = Lake::at(&location, None).unwrap();
    let options = IngestOptions {
        once: true,
        start: StartPosition::TrimHorizon,
        flush: FlushLimits::default(),
        dedup: DedupLimits::default(),
        lineage_interval: Duration::from_secs(30),
        admission: Admission::new(10 << 20),
        worker: "later".to_owned(),
        clock: Clock::from_fn(move || Utc::now() + ahead),
        fleet: None,
        on_gap: OnGap::Stop,
    };
    let source = KinesisStream::new(kinesis.client.clone(), TRANSACTION_EVENTS);
    let contract = Contract::embedded().unwrap();
    let worker = StreamWorker::open(source, Stream::TransactionEvents, &lake, &contract, options).await.unwrap();
    worker.run(CancellationToken::new()).await.unwrap().open_gaps
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_past_the_retention_stops_its_shard() {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    BEFORE.put(&machine).await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    AFTER.put(&machine).await;
    // Within the retention of a day no record is missing.
    let rows = machine.number("./bluelake-data", "SELECT count(*) FROM transactions").await;
    for attempt in 0..2 {
        let found = ingest_later(&kinesis, &machine, Duration::from_secs(48 * 3600)).await;
        assert_eq!(found.len(), 2, "one for each shard, attempt {attempt}");
        assert!(found.iter().all(|gap| gap.cause == GapCause::Retention && !gap.accepted), "{found:?}");
        assert!(
            found.iter().all(|gap| gap.from.unwrap() < gap.until.unwrap()),
            "it covers what may be lost: {found:?}"
        );
    }
    assert_eq!(gaps(&machine).len(), 2, "found twice, reported once");
    assert!(verify_warns(&machine).await.contains("stands still behind a gap"));
    assert_eq!(
        machine.number("./bluelake-data", "SELECT count(*) FROM transactions").await,
        rows,
        "the shards stood still"
    );

    machine.run(&["ingest", "--once"]).await.expect_code(3).expect_message(&["gap", "--on-gap continue"]);
    machine.run(&["ingest", "--once", "--on-gap", "continue"]).await.expect_code(0).expect_message(&[]);
    machine.succeed(&["ingest", "--once"]).await;
    let gaps = gaps(&machine);
    assert_eq!(gaps.len(), 2);
    assert!(gaps.iter().all(|gap| gap["accepted"] == true), "{gaps:?}");
    assert!(verify_warns(&machine).await.contains("reading went on behind a gap"));
    // In fact no record was lost or doubled.
    verify(&[BEFORE, AFTER], &machine, "./bluelake-data", &machine.path("bluelake-data")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vanished_unfinished_shard_is_a_gap() {
    let kinesis = Kinesis::with_streams(1, 2).await;
    let machine = Machine::new().with_kinesis(&kinesis);
    kinesis.put(TRANSACTION_EVENTS, "a", b"not json").await;
    machine.succeed(&["ingest", "--once", "--init"]).await;
    kinesis.delete_stream(TRANSACTION_EVENTS).await;
    // Sequence numbers hold the second of the stream's creation: another second, another incarnation.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    kinesis.create_stream(TRANSACTION_EVENTS, 1).await;
    for key in ["a", "b", "c"] {
        kinesis.put(TRANSACTION_EVENTS, key, b"not json either").await;
    }
    // The other stream has no gap: it is read to its end, even if late.
    for number in 0..200 {
        kinesis.put(USER_EVENTS, &number.to_string(), b"not json of the other").await;
    }
    machine.run(&["ingest", "--once"]).await.expect_code(3).expect_message(&["gap", "shardId-000000000001"]);
    let of_the_other = "SELECT count(*) FROM rejected_events WHERE stream = 'user-events'";
    assert_eq!(machine.number("./bluelake-data", of_the_other).await, 200, "read to its end and committed");
    machine.run(&["status"]).await.expect_code(3);
    let rejected = "SELECT count(*) FROM rejected_events WHERE stream <> 'user-events'";
    assert_eq!(machine.number("./bluelake-data", rejected).await, 4, "the new stream was read all the same");
    machine.succeed(&["ingest", "--once", "--on-gap", "continue"]).await;
    machine.succeed(&["ingest", "--once"]).await;
    let gaps = gaps(&machine);
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!((&gaps[0]["cause"], &gaps[0]["accepted"]), (&Value::from("vanished"), &Value::from(true)));
    assert_eq!(machine.number("./bluelake-data", rejected).await, 4);
}

//! Faults of Kinesis, made by a proxy before it or by its own calls: throttling, expired iterators, odd answers, shards
//! that split, merge, are hidden or come late, and records of every size.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bluelake_fault_proxy::{Action, Answer, Call, Proxy, When, Which};
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::landing::lake_verify::assert_lake_verifies;
use crate::landing::many_partitions::watch_peak_memory;
use crate::support::command::wait;
use crate::support::lake_files::newest_document;
use crate::support::servers::{Kinesis, TRANSACTION_EVENTS, USER_EVENTS};
use crate::support::stage::{EndSignal, ONCE, Stage, end_closed_shards_by};

fn get_records() -> When {
    When::any().operation("GetRecords")
}

fn error(code: &str) -> Answer {
    Answer::kinesis_error(StatusCode::BAD_REQUEST, code, "said the proxy")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_permission_ends_the_worker() {
    let mut stage = Stage::on_folder(1, 1).await;
    let worker = stage.worker(&[]).await;
    stage.put(300).await;
    let denied = stage.streams.on(get_records(), Which::Every, Action::Answer(error("AccessDeniedException")));
    let words = ["GetRecords", "AccessDeniedException", "policy of the role"];
    worker.ended().await.expect_code(1).expect_message(&words);
    assert!(denied.taken() > 0 && denied.taken() < 10, "{denied:?}");
    stage.verify().await;
}

/// A stream and one of its shards.
type Shard = (String, String);
type CallTimes = Arc<Mutex<BTreeMap<Shard, Vec<Instant>>>>;

/// The stream and shard of each iterator, by the answers that gave it out.
#[derive(Clone, Default)]
struct Iterators(Arc<Mutex<HashMap<String, Shard>>>);

impl Iterators {
    fn of(proxy: &Proxy) -> Self {
        let this = Self::default();
        let (first, next) = (this.clone(), this.clone());
        let given = move |call: &Call, answer: &Answer| {
            let (call, answer) = (call.json(), answer.value());
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let shard = (text(&call["StreamName"]), text(&call["ShardId"]));
            first.0.lock().unwrap().insert(text(&answer["ShardIterator"]), shard);
        };
        let renewed = move |call: &Call, answer: &Answer| {
            let answer = answer.value();
            if let (Some(shard), Some(iterator)) = (next.shard_of(call), answer["NextShardIterator"].as_str()) {
                next.0.lock().unwrap().insert(iterator.to_owned(), shard);
            }
        };
        proxy.on(When::any().operation("GetShardIterator"), Which::Every, Action::watch(given));
        proxy.on(get_records(), Which::Every, Action::watch(renewed));
        this
    }

    /// The stream and shard of a GetRecords call.
    fn shard_of(&self, call: &Call) -> Option<Shard> {
        self.0.lock().unwrap().get(call.json()["ShardIterator"].as_str()?).cloned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_reads_are_repeated_until_all_is_there() {
    let mut stage = Stage::on_folder(1, 3).await;
    let too_many = error("ProvisionedThroughputExceededException");
    let broken = Answer::kinesis_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalFailure", "said the proxy");
    let faults = [
        (get_records(), Which::Share { share: 0.25, seed: 21 }, Action::Answer(too_many.clone())),
        (get_records(), Which::Share { share: 0.15, seed: 22 }, Action::Answer(broken.clone())),
        (get_records(), Which::EveryNth(6), Action::LoseAnswer),
        (get_records(), Which::EveryNth(7), Action::Truncate(40)),
        (When::any().operation("GetShardIterator"), Which::Nth(2), Action::Answer(too_many)),
        (When::any().operation("GetShardIterator"), Which::Nth(4), Action::Answer(broken)),
    ];
    let rules = faults.map(|(when, which, action)| stage.streams.on(when, which, action));
    let worker = stage.worker(&[]).await;
    for _ in 0..2 {
        stage.put(1_500).await;
        worker.until_received(stage.events()).await;
    }
    for rule in &rules {
        assert!(rule.taken() > 0, "{rules:?}");
    }
    assert!(worker.metrics().await.all("bluelake_kinesis_faults_total") > 0.0);
    worker.stop().await.expect_code(0);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_shard_holds_up_no_other() {
    let mut stage = Stage::on_folder(1, 2).await;
    let victim = (TRANSACTION_EVENTS.to_owned(), "shardId-000000000000".to_owned());
    let iterators = Iterators::of(&stage.streams);
    let calls: CallTimes = Arc::default();
    let (known, times) = (iterators.clone(), calls.clone());
    // Sees every call, also those that the proxy answers itself.
    let counting = get_records().that(move |call| {
        if let Some(shard) = known.shard_of(call) {
            times.lock().unwrap().entry(shard).or_default().push(Instant::now());
        }
        true
    });
    stage.streams.on(counting, Which::Every, Action::watch(|_, _| {}));
    let (known, throttled) = (iterators.clone(), victim.clone());
    let of_victim = get_records().that(move |call| known.shard_of(call).as_ref() == Some(&throttled));
    let rule =
        stage.streams.on(of_victim, Which::Every, Action::Answer(error("ProvisionedThroughputExceededException")));

    let worker = stage.worker(&[]).await;
    stage.put(2_000).await;
    worker
        .until("both shards that are not throttled are read", |metrics| {
            metrics.sum("bluelake_events_received_total", USER_EVENTS) > 0.0
                && metrics.sum("bluelake_events_received_total", TRANSACTION_EVENTS) > 300.0
        })
        .await;
    rule.until_taken(6).await;
    let landed = stage.machine.query(&stage.lake, "SELECT DISTINCT stream_shard FROM transactions").await;
    assert_eq!(landed, [json!({"stream_shard": "shardId-000000000001"})]);
    rule.remove();
    worker.until_received(stage.events()).await;
    worker.stop().await.expect_code(0);

    let calls = calls.lock().unwrap().clone();
    assert_eq!(calls.len(), 3);
    for (shard, times) in &calls {
        let calls = times.len() as f64;
        let seconds = (times[times.len() - 1] - times[0]).as_secs_f64();
        assert!(calls <= 5.0 * seconds + 2.0, "{shard:?}: {calls} calls in {seconds} s");
        // The last of six calls comes a second after the first; some may take longer to reach the proxy.
        let spans = times.windows(6).map(|six| six[5] - six[0]);
        assert!(spans.min().is_none_or(|least| least >= Duration::from_millis(750)), "{shard:?}: {times:?}");
    }
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_with_expired_iterators_reads_on() {
    let mut stage = Stage::on_folder(1, 2).await;
    let worker = stage.worker(&[]).await;
    stage.put(1_500).await;
    worker.until_received(stage.events()).await;
    worker.signal("STOP").await;
    stage.put(1_500).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    // All iterators that it has when it wakes up, and later one in three.
    let stale = stage.streams.on(get_records(), Which::First(3), Action::Answer(error("ExpiredIteratorException")));
    let later = stage.streams.on(get_records(), Which::EveryNth(3), Action::Answer(error("ExpiredIteratorException")));
    let renewals: Arc<Mutex<Vec<Value>>> = Arc::default();
    let asked = renewals.clone();
    let look = Action::watch(move |call, _| asked.lock().unwrap().push(call.json()));
    stage.streams.on(When::any().operation("GetShardIterator"), Which::Every, look);
    worker.signal("CONT").await;
    worker.until_received(stage.events()).await;
    stage.put(1_500).await;
    worker.until_received(stage.events()).await;
    worker.stop().await.expect_code(0);
    assert!(stale.taken() == 3 && later.taken() > 0, "{stale:?} {later:?}");
    let renewals = renewals.lock().unwrap().clone();
    assert!(renewals.len() >= 4, "{renewals:?}");
    assert!(renewals.iter().all(|call| call["ShardIteratorType"] == "AFTER_SEQUENCE_NUMBER"), "{renewals:?}");
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn empty_or_repeated_answers_lose_and_double_nothing() {
    let mut stage = Stage::on_folder(1, 2).await;
    stage.put(2_000).await;
    let small = |call: &mut Call| {
        let mut request = call.json();
        request["Limit"] = 150.into();
        call.set_json(&request);
    };
    let empty = |call: &Call| {
        let iterator = call.json()["ShardIterator"].clone();
        Answer::json(&json!({"NextShardIterator": iterator, "Records": [], "MillisBehindLatest": 60_000}))
    };
    // A reader that goes on from there gets the same records again.
    let twice = |call: &Call, answer: &mut Answer| {
        let mut value = answer.value();
        if value["Records"].as_array().is_some_and(|records| !records.is_empty()) {
            value["NextShardIterator"] = call.json()["ShardIterator"].clone();
            answer.set_value(&value);
        }
    };
    let empty = stage.streams.on(get_records(), Which::EveryNth(3), Action::answer_by(empty));
    let twice = stage.streams.on(get_records(), Which::EveryNth(2), Action::alter(twice));
    let small = stage.streams.on(get_records(), Which::Every, Action::alter_call(small));
    stage.machine.succeed(&ONCE).await;
    assert!(empty.taken() > 3 && twice.taken() > 3 && small.taken() > 3, "{empty:?} {twice:?} {small:?}");
    let put = stage.events();
    let totals = ["user_events", "transactions"].map(|table| {
        let stream = if table == "transactions" { TRANSACTION_EVENTS } else { USER_EVENTS };
        crate::support::lake_files::control_totals(stage.folder(), table, stream).received
    });
    assert_eq!(totals.iter().sum::<u64>(), put, "all of it in one run");
    stage.verify().await;
}

/// Lists shards in pages of this size; ferrokinesis gives all of them at once.
fn list_in_pages(proxy: &Proxy, size: usize) -> [bluelake_fault_proxy::Placed; 2] {
    let rest: Arc<Mutex<HashMap<String, Vec<Value>>>> = Arc::default();
    let page = move |rest: &mut HashMap<String, Vec<Value>>, mut shards: Vec<Value>, token: &str| {
        let later = shards.split_off(size.min(shards.len()));
        if later.is_empty() {
            return json!({"Shards": shards});
        }
        let next = format!("{token}+");
        rest.insert(next.clone(), later);
        json!({"Shards": shards, "NextToken": next})
    };
    let pages = rest.clone();
    let first = move |call: &Call, answer: &mut Answer| {
        let shards = answer.value()["Shards"].as_array().unwrap().clone();
        let token = call.json()["StreamName"].as_str().unwrap().to_owned();
        answer.set_value(&page(&mut pages.lock().unwrap(), shards, &token));
    };
    let next = move |call: &Call| {
        let call = call.json();
        assert!(call["StreamName"].is_null(), "a continued listing must not name the stream");
        let token = call["NextToken"].as_str().unwrap();
        let mut rest = rest.lock().unwrap();
        let shards = rest.remove(token).unwrap();
        Answer::json(&page(&mut rest, shards, token))
    };
    let listing = || When::any().operation("ListShards");
    let continued = |call: &Call| call.json()["NextToken"].is_string();
    [
        proxy.on(listing().that(continued), Which::Every, Action::answer_by(next)),
        proxy.on(listing(), Which::Every, Action::alter(first)),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_listed_in_throttled_pages_are_all_read() {
    let mut stage = Stage::on_folder(1, 7).await;
    stage.put(1_500).await;
    let listing = When::any().operation("ListShards");
    let throttled = stage.streams.on(listing, Which::First(5), Action::Answer(error("LimitExceededException")));
    let [continued, first] = list_in_pages(&stage.streams, 3);
    stage.machine.succeed(&ONCE).await;
    assert!(throttled.taken() == 5 && first.taken() >= 2 && continued.taken() >= 2, "{throttled:?} {continued:?}");
    let shards = stage.machine.number(&stage.lake, "SELECT count(DISTINCT stream_shard) FROM transactions").await;
    assert_eq!(shards, 7);
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unlisted_parent_is_a_gap() {
    let mut stage = Stage::on_folder(1, 1).await;
    stage.put(1_000).await;
    stage.machine.succeed(&ONCE).await;
    // The end of the parent is unread when it leaves the list.
    stage.put(1_000).await;
    stage.kinesis.split(TRANSACTION_EVENTS).await;
    stage.put(1_000).await;
    let hide = |call: &Call, answer: &mut Answer| {
        let mut value = answer.value();
        if call.json()["StreamName"] == TRANSACTION_EVENTS {
            value["Shards"].as_array_mut().unwrap().retain(|shard| shard["ShardId"] != "shardId-000000000000");
            answer.set_value(&value);
        }
    };
    let hidden = stage.streams.on(When::any().operation("ListShards"), Which::Every, Action::alter(hide));
    stage.machine.run(&ONCE).await.expect_code(3).expect_message(&["gap", "shardId-000000000000", "--on-gap continue"]);
    assert!(hidden.taken() > 0);
    let children = "SELECT count(*) FROM transactions WHERE stream_shard <> 'shardId-000000000000'";
    assert_eq!(stage.machine.number(&stage.lake, children).await, 0, "the children wait");
    hidden.remove();
    // It is listed again: its records were not discarded.
    stage.machine.succeed(&["ingest", "--once", "--on-gap", "continue"]).await;
    stage.machine.succeed(&ONCE).await;
    let document = newest_document(stage.folder(), "transactions", TRANSACTION_EVENTS);
    assert_eq!(document["gaps"][0]["accepted"], true, "{document}");
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_shards_are_left_for_their_children() {
    for signal in [EndSignal::EmptyAnswerFirst, EndSignal::Never] {
        let mut stage = Stage::on_folder(1, 1).await;
        let ends = stage.streams.on(When::any().operation("GetRecords"), Which::Every, end_closed_shards_by(signal));
        stage.put(900).await;
        stage.machine.succeed(&ONCE).await;
        // The shard has been read to its tip when it is split, and then a child of it.
        for _ in 0..2 {
            stage.kinesis.split_lowest(TRANSACTION_EVENTS).await;
            stage.put(900).await;
            stage.machine.succeed(&ONCE).await;
        }
        let worker = stage.worker(&[]).await;
        stage.kinesis.merge_highest(TRANSACTION_EVENTS).await;
        stage.put(900).await;
        worker.until_received(900).await;
        worker.stop().await.expect_code(0);
        assert!(ends.taken() > 0);
        stage.verify().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shards_closed_early_are_read_parents_first() {
    let mut stage = Stage::on_folder(1, 2).await;
    stage.put(900).await;
    stage.kinesis.split_lowest(TRANSACTION_EVENTS).await;
    stage.put(900).await;
    // A child is split in its turn, and others are merged.
    stage.kinesis.split_lowest(TRANSACTION_EVENTS).await;
    stage.put(900).await;
    stage.kinesis.merge_highest(TRANSACTION_EVENTS).await;
    stage.put(900).await;
    stage.machine.succeed(&ONCE).await;
    let shards = stage.machine.number(&stage.lake, "SELECT count(DISTINCT stream_shard) FROM transactions").await;
    assert_eq!(shards, 7, "two at first, four by splits, one by the merge");
    stage.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn splits_and_merges_under_load_are_followed() {
    // The long form: BLUELAKE_SLOW_TESTS=1 makes a hundred of them.
    let changes = if std::env::var_os("BLUELAKE_SLOW_TESTS").is_some() { 100 } else { 6 };
    let mut stage = Stage::on_folder(1, 4).await;
    let worker = stage.worker(&[]).await;
    for number in 0..changes {
        stage.put(400).await;
        if number % 2 == 0 {
            stage.kinesis.split_lowest(TRANSACTION_EVENTS).await;
        } else {
            stage.kinesis.merge_highest(TRANSACTION_EVENTS).await;
        }
    }
    worker.until_received(stage.events()).await;
    worker.stop().await.expect_code(0);
    stage.verify().await;
}

fn transfer(id: &str) -> Vec<u8> {
    json!({
        "event_id": id, "event_type": "transfer", "occurred_at": "2026-10-05T12:00:00Z",
        "from_officer_id": "o-1", "to_officer_id": "o-2", "points": 3,
    })
    .to_string()
    .into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producers_retry_is_one_row() {
    let stage = Stage::on_folder(1, 1).await;
    let ids = [1, 2, 3].map(|number| format!("3f3c1b7e-0000-4000-8000-00000000000{number}"));
    let put = async |id: &String| {
        stage.kinesis.put(TRANSACTION_EVENTS, "o-1", &transfer(id)).await;
    };
    put(&ids[0]).await;
    put(&ids[0]).await;
    put(&ids[1]).await;
    stage.machine.succeed(&ONCE).await;
    put(&ids[1]).await;
    put(&ids[2]).await;
    stage.machine.succeed(&ONCE).await;
    // Beside a retry of all of them.
    stage.kinesis.split(TRANSACTION_EVENTS).await;
    for id in &ids {
        put(id).await;
    }
    stage.machine.succeed(&ONCE).await;
    let rows = stage.machine.query(&stage.lake, "SELECT event_id FROM transactions ORDER BY event_id").await;
    assert_eq!(rows, ids.map(|id| json!({"event_id": id})));
    let totals = crate::support::lake_files::control_totals(stage.folder(), "transactions", TRANSACTION_EVENTS);
    assert_eq!((totals.received, totals.stored, totals.duplicate), (8, 3, 5));
    assert_lake_verifies(&stage.machine, &stage.lake).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_records_stay_within_the_memory_budget() {
    const SHARDS: i32 = 16;
    const EACH: usize = 4;
    let stage = Stage::on_folder(1, SHARDS).await;
    put_large(&stage.kinesis, EACH).await;
    // One record weighs 10 MiB, which Kinesis allows and the server of the tests does not.
    let huge = Action::alter(|_, answer| {
        let mut value = answer.value();
        if let Some(record) = value["Records"].get_mut(0) {
            // 10 MiB of zero bits, in base64.
            record["Data"] = "A".repeat(4 * (10 << 20) / 3 / 4 * 4).into();
            answer.set_value(&value);
        }
    });
    let with_records = |call: &Call| call.operation() == Some("GetRecords");
    let huge = stage.streams.on(When::any().that(with_records), Which::First(3), huge);
    let ingest = ["ingest", "--once", "--memory-budget", "256MiB", "--buffer-age", "1h", "--json"];
    let worker = stage.machine.start(&ingest);
    let watching = watch_peak_memory(worker.id().unwrap());
    wait(worker).await.expect_code(0);
    let peak = watching.await.unwrap() >> 10;
    eprintln!("peak memory: {peak} MiB");
    assert!(peak > 0 && peak < 400, "{peak} MiB");
    let rows = stage.machine.number(&stage.lake, "SELECT count(*) FROM rejected_events").await;
    assert_eq!(rows, i64::from(SHARDS) * EACH as i64);
    let zeros =
        stage.machine.number(&stage.lake, "SELECT count(*) FROM rejected_events WHERE event_bytes < X'01'").await;
    assert!(zeros > 0 && zeros <= huge.taken() as i64, "{zeros} of {huge:?}");
    assert_lake_verifies(&stage.machine, &stage.lake).await;
}

/// Puts `each` records of 1 MiB into every shard of the transaction events.
async fn put_large(kinesis: &Kinesis, each: usize) {
    let data = vec![b'x'; 1 << 20];
    for (_, from, to) in kinesis.open_shards(TRANSACTION_EVENTS).await {
        let key = (from + (to - from) / 2).to_string();
        for _ in 0..each {
            let put = kinesis.client.put_record().stream_name(TRANSACTION_EVENTS).partition_key("large");
            let data = aws_sdk_kinesis::primitives::Blob::new(data.clone());
            put.explicit_hash_key(&key).data(data).send().await.unwrap();
        }
    }
}

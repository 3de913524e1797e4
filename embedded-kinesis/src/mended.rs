//! Repairs around ferrokinesis 0.7, so that it answers as Kinesis does.

use std::sync::Arc;
use std::task::ready;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use ferrokinesis::actions::subscribe_to_shard::execute_streaming;
use ferrokinesis::sequence::{resolve_shard_id, shard_ix_to_hex};
use ferrokinesis::store::Store;
use futures::{FutureExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::server::Positions;

/// A full PutRecords request: 5 MiB of data, in base64.
pub(crate) const BODY_MAX: usize = 7 << 20;
pub(crate) const JSON: &str = "application/x-amz-json-1.1";
const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// Answers requests of any size that Kinesis takes, one at a time, and requests by time as Kinesis does.
///
/// ferrokinesis may wait while it holds a lock of its store; with puts and reads side by side every thread can end up
/// waiting for that lock. One request at a time cannot. The body of a subscription reads the store after its request
/// was answered: it takes a turn for each read, and none for the pauses in between.
pub(crate) fn mended(router: Router, store: Store, positions: Positions) -> Router {
    let turn = Arc::new(Mutex::new(()));
    let router = router.layer(DefaultBodyLimit::max(BODY_MAX));
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let (turn, store) = (turn.clone(), store.clone());
        async move {
            let answer = {
                let _turn = turn.lock().await;
                let way = match positions {
                    Positions::AsKinesis => way(request, &store).await,
                    Positions::AsFerrokinesis => Ok(Way::Ask(request)),
                };
                match way {
                    Ok(Way::Ask(request)) => next.run(request).await,
                    Ok(Way::Answered(answer)) => answer,
                    Err(refused) => refused.into_response(),
                }
            };
            let pushes = |kind: &HeaderValue| kind == EVENT_STREAM;
            if answer.headers().get(CONTENT_TYPE).is_some_and(pushes) { in_turns(answer, turn) } else { answer }
        }
    }))
}

fn in_turns(answer: Response, turn: Arc<Mutex<()>>) -> Response {
    let (parts, body) = answer.into_parts();
    let mut body = body.into_data_stream();
    let mut waiting = None;
    let looks = futures::stream::poll_fn(move |context| {
        let wait = waiting.get_or_insert_with(|| turn.clone().lock_owned().boxed());
        let _turn = ready!(wait.poll_unpin(context));
        waiting = None;
        body.poll_next_unpin(context)
    });
    Response::from_parts(parts, Body::from_stream(looks))
}

/// How ferrokinesis is to treat a request.
enum Way {
    /// Answer this one.
    Ask(Request),
    /// Nothing: here is the answer.
    Answered(Response),
}

/// ferrokinesis takes a time behind the newest record for the start of the shard, although it is the tip. Its arrival
/// times are whole seconds, so a time is rounded down to its second: a record later in that second must not be skipped.
/// It also drops everything but the kind of a subscription's position before it checks it; so the request goes where
/// the whole position is used.
async fn way(request: Request, store: &Store) -> Result<Way, StatusCode> {
    let operation = operation(&request);
    if !matches!(operation.as_str(), "GetShardIterator" | "SubscribeToShard") {
        return Ok(Way::Ask(request));
    }
    let (mut parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    // A body that is not JSON, such as CBOR, is left as it is.
    let Ok(asked) = serde_json::from_slice::<Value>(&body) else {
        return Ok(Way::Ask(Request::from_parts(parts, Body::from(body))));
    };
    let asked = match AskedByTime::of(&operation, &asked) {
        Some(by_time) => by_time.mended(asked, store).await,
        None => asked,
    };
    if operation == "SubscribeToShard"
        && let Ok(pushed) = execute_streaming(store, asked.clone(), JSON).await
    {
        return Ok(Way::Answered(([(CONTENT_TYPE, EVENT_STREAM)], pushed).into_response()));
    }
    parts.headers.remove(CONTENT_LENGTH);
    Ok(Way::Ask(Request::from_parts(parts, Body::from(asked.to_string()))))
}

/// The operation of a request; empty when it names none.
pub(crate) fn operation(request: &Request) -> String {
    let target = request.headers().get("x-amz-target").and_then(|target| target.to_str().ok());
    target.and_then(|target| target.rsplit('.').next()).unwrap_or_default().to_owned()
}

/// A request for records that arrived from a time on.
struct AskedByTime {
    /// The position is in an object of its own.
    subscribes: bool,
    stream: String,
    shard: i64,
    second: f64,
}

impl AskedByTime {
    /// `None` for any other request, and for one that is refused because its time lies in the future.
    fn of(operation: &str, request: &Value) -> Option<Self> {
        let subscribes = operation == "SubscribeToShard";
        let (position, kind) =
            if subscribes { (request.get("StartingPosition")?, "Type") } else { (request, "ShardIteratorType") };
        if position.get(kind)?.as_str()? != "AT_TIMESTAMP" {
            return None;
        }
        let second = position.get("Timestamp")?.as_f64()?.floor();
        if second * 1_000.0 > ferrokinesis::util::current_time_ms() as f64 {
            return None;
        }
        let (_, shard) = resolve_shard_id(request.get("ShardId")?.as_str()?).ok()?;
        Some(Self { subscribes, stream: stream(request)?, shard, second })
    }

    /// The same request, for the first record of that time or for the tip.
    async fn mended(self, mut request: Value, store: &Store) -> Value {
        let (from, to) = (format!("{}/", shard_ix_to_hex(self.shard)), shard_ix_to_hex(self.shard + 1));
        let found = store.find_first_record_at_timestamp(&self.stream, &from, &to, self.second).await;
        let sequence = found.and_then(|(key, _)| key.split_once('/').map(|(_, sequence)| sequence.to_owned()));
        let kind = if sequence.is_some() { "AT_SEQUENCE_NUMBER" } else { "LATEST" };
        let Some(fields) = request.as_object_mut() else { return request };
        if self.subscribes {
            fields.insert("StartingPosition".to_owned(), json!({ "Type": kind, "SequenceNumber": sequence }));
        } else {
            fields.remove("Timestamp");
            fields.insert("ShardIteratorType".to_owned(), json!(kind));
            fields.extend(sequence.map(|sequence| ("StartingSequenceNumber".to_owned(), json!(sequence))));
        }
        request
    }
}

/// The stream's name: given as such, in its ARN or in a consumer's ARN.
fn stream(request: &Value) -> Option<String> {
    let text = |key: &str| request.get(key).and_then(Value::as_str);
    let in_arn = |arn: &str| arn.split_once(":stream/")?.1.split('/').next().map(ToOwned::to_owned);
    text("StreamName").map(ToOwned::to_owned).or_else(|| in_arn(text("StreamARN").or_else(|| text("ConsumerARN"))?))
}

//! The proxy in front of a server that counts, with a client of its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{Method, Request, Response, StatusCode, body::Incoming, header::HOST, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use serde_json::json;
use tokio::net::TcpListener;

use crate::{Action, Answer, Call, Gate, Proxy, When, Which};

/// A server that answers with the number of the call, and a proxy before it.
struct Setup {
    proxy: Proxy,
    /// Calls that have reached the server.
    arrived: Arc<Mutex<Vec<Call>>>,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A text long enough for a body to be cut in its middle.
fn text_of(number: usize) -> String {
    format!("answer {number:05}, {}", "x".repeat(1_000))
}

impl Setup {
    async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let arrived = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(serve(listener, Arc::clone(&arrived)));
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build_http();
        Self { proxy: Proxy::start(&endpoint).await.unwrap(), arrived, client }
    }

    fn arrived(&self) -> usize {
        self.arrived.lock().unwrap().len()
    }

    /// Status and body; `None` when the connection broke.
    async fn call(&self, method: Method, path: &str) -> Option<(StatusCode, Bytes)> {
        let request = Request::builder().method(method).uri(format!("{}{path}", self.proxy.endpoint()));
        let request = request.header(HOST, "bucket.example:1234").header("x-amz-target", "Kinesis_20131202.GetRecords");
        let response = self.client.request(request.body(Full::from("question")).unwrap()).await.ok()?;
        let status = response.status();
        Some((status, response.into_body().collect().await.ok()?.to_bytes()))
    }

    async fn get(&self, path: &str) -> Option<(StatusCode, Bytes)> {
        self.call(Method::GET, path).await
    }

    fn on(&self, which: Which, action: Action) -> crate::Placed {
        self.proxy.on(When::any(), which, action)
    }
}

async fn serve(listener: TcpListener, arrived: Arc<Mutex<Vec<Call>>>) {
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let arrived = Arc::clone(&arrived);
        let service = service_fn(move |request: Request<Incoming>| {
            let arrived = Arc::clone(&arrived);
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let path = parts.uri.to_string();
                let number = {
                    let mut arrived = arrived.lock().unwrap();
                    arrived.push(Call { method: parts.method, path, headers: parts.headers, body });
                    arrived.len()
                };
                let response = Response::builder().status(201).header("x-number", number);
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from(text_of(number))).unwrap())
            }
        });
        let connection = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service);
        tokio::spawn(async move {
            let _ = connection.await;
        });
    }
}

#[tokio::test]
async fn a_call_without_a_rule_passes_unchanged() {
    let setup = Setup::new().await;
    let unused = setup.proxy.on(When::any().method(Method::DELETE), Which::Every, Action::Refuse);
    let answer = setup.call(Method::PUT, "/bucket/a%20b?x=%2F&y").await;
    assert_eq!(answer, Some((StatusCode::CREATED, text_of(1).into())));
    let call = setup.arrived.lock().unwrap().remove(0);
    assert_eq!((call.method.as_str(), call.path.as_str()), ("PUT", "/bucket/a%20b?x=%2F&y"));
    assert_eq!((&call.headers[HOST], &call.body[..]), (&"bucket.example:1234".parse().unwrap(), &b"question"[..]));
    assert_eq!((unused.seen(), unused.taken()), (0, 0));
}

#[tokio::test]
async fn a_rule_counts_calls_meant_and_taken() {
    for (which, expected) in [
        (Which::Every, vec![1, 2, 3, 4, 5, 6]),
        (Which::Nth(2), vec![2]),
        (Which::First(2), vec![1, 2]),
        (Which::EveryNth(3), vec![3, 6]),
    ] {
        let setup = Setup::new().await;
        let answer = Answer::kinesis_error(StatusCode::BAD_REQUEST, "Code", "words");
        let when = When::any().method(Method::GET).operation("GetRecords").path_ends_with("/b").header("host");
        let rule = setup.proxy.on(when, which, Action::Answer(answer));
        let mut taken = Vec::new();
        for number in 1..=6 {
            assert_eq!(setup.get("/other").await.unwrap().0, StatusCode::CREATED);
            assert_eq!(setup.call(Method::PUT, "/a/b").await.unwrap().0, StatusCode::CREATED);
            let (status, body) = setup.get("/a/b?c").await.unwrap();
            if status == StatusCode::BAD_REQUEST {
                assert_eq!(body, r#"{"__type":"Code","message":"words"}"#);
                taken.push(number);
            }
        }
        assert_eq!((rule.seen(), rule.taken()), (6, expected.len()), "{which:?}");
        assert_eq!(taken, expected, "{which:?}");
        assert_eq!(setup.arrived(), 18 - taken.len());
        rule.remove();
        assert_eq!(setup.get("/a/b").await.unwrap().0, StatusCode::CREATED);
        assert_eq!(rule.seen(), 6, "no longer asked");
    }
}

#[tokio::test]
async fn a_share_is_drawn_by_its_seed() {
    let mut outcomes = Vec::new();
    for seed in [1, 1, 2] {
        let setup = Setup::new().await;
        let failing = Answer::s3_error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Reduce your request rate.");
        let rule = setup.on(Which::Share { share: 0.3, seed }, Action::Answer(failing));
        let mut failed = Vec::new();
        for number in 0..100 {
            if setup.get("/").await.unwrap().0 != StatusCode::CREATED {
                failed.push(number);
            }
        }
        assert!((15..45).contains(&failed.len()) && rule.taken() == failed.len(), "{}", failed.len());
        outcomes.push(failed);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    assert_ne!(outcomes[0], outcomes[2]);
}

#[tokio::test]
async fn the_first_rule_meaning_a_call_acts() {
    let setup = Setup::new().await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let look = Arc::clone(&seen);
    let watching = setup.on(
        Which::Every,
        Action::watch(move |call, answer| look.lock().unwrap().push((call.path.clone(), answer.status))),
    );
    let first = setup.on(Which::First(1), Action::ReplaceAnswer(Answer::json(&json!({"a": 1}))));
    let second = setup.on(
        Which::First(1),
        Action::alter(|_, answer| {
            assert_eq!(answer.headers["x-number"], "2");
            answer.set_body("changed");
        }),
    );
    assert_eq!(setup.get("/one").await.unwrap(), (StatusCode::OK, r#"{"a":1}"#.into()));
    assert_eq!((first.taken(), second.seen()), (1, 0));
    assert_eq!(setup.get("/two").await.unwrap(), (StatusCode::CREATED, "changed".into()));
    assert_eq!(setup.get("/three").await.unwrap().1, text_of(3));
    assert_eq!((first.taken(), second.taken(), watching.taken()), (1, 1, 3));
    let expected = ["/one", "/two", "/three"].map(|path| (path.to_owned(), StatusCode::CREATED));
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[tokio::test]
async fn calls_are_refused_lost_or_doubled() {
    let setup = Setup::new().await;
    let refused = setup.on(Which::Nth(1), Action::Refuse);
    assert_eq!(setup.call(Method::PUT, "/").await, None);
    assert_eq!((refused.taken(), setup.arrived()), (1, 0));
    refused.remove();

    let lost = setup.on(Which::Nth(1), Action::LoseAnswer);
    assert_eq!(setup.call(Method::PUT, "/").await, None);
    assert_eq!((lost.forwarded(), setup.arrived()), (vec![StatusCode::CREATED], 1));
    lost.remove();

    let doubled = setup.on(Which::Nth(1), Action::Repeat);
    assert_eq!(setup.get("/").await.unwrap().1, text_of(3));
    assert_eq!((doubled.forwarded().len(), setup.arrived()), (2, 3));
    setup.proxy.clear();

    let changed = setup.on(Which::Every, Action::alter_call(|call| call.set_json(&json!({"limit": 3}))));
    setup.get("/").await.unwrap();
    assert_eq!((changed.taken(), setup.arrived.lock().unwrap()[3].json()), (1, json!({"limit": 3})));
}

#[tokio::test]
async fn a_held_call_waits_for_its_gate() {
    let setup = Setup::new().await;
    let (held_gate, late_gate) = (Gate::closed(), Gate::closed());
    let held = setup.proxy.on(When::any().path_contains("held"), Which::Every, Action::Hold(held_gate.clone()));
    let late = setup.proxy.on(When::any().path_contains("late"), Which::Nth(1), Action::DeliverLate(late_gate.clone()));
    let (answer, ()) = tokio::join!(setup.get("/held"), async {
        held.until_taken(1).await;
        assert_eq!(setup.arrived(), 0);
        held_gate.open();
    });
    assert_eq!(answer.unwrap().1, text_of(1));

    assert_eq!(setup.call(Method::PUT, "/late").await, None, "lost, as the client sees it");
    assert_eq!(setup.call(Method::PUT, "/late").await.unwrap().1, text_of(2), "its retry");
    late_gate.open();
    late.until_forwarded(1).await;
    assert_eq!((late.forwarded(), setup.arrived()), (vec![StatusCode::CREATED], 3));
}

#[tokio::test]
async fn hanging_up_does_not_take_a_call_back() {
    let setup = Setup::new().await;
    let rule = setup.on(Which::Every, Action::DelayCall(Duration::from_millis(200)));
    assert!(tokio::time::timeout(Duration::from_millis(100), setup.call(Method::PUT, "/")).await.is_err());
    rule.until_forwarded(1).await;
    assert_eq!(setup.arrived(), 1);
}

#[tokio::test]
async fn bodies_are_cut_short_or_drip() {
    let setup = Setup::new().await;
    let truncated = setup.proxy.on(When::any().path_contains("truncated"), Which::Nth(1), Action::Truncate(10));
    let reset = setup.proxy.on(When::any().path_contains("reset"), Which::Nth(1), Action::Reset(10));
    for path in ["/truncated", "/reset"] {
        assert_eq!(setup.get(path).await, None, "{path}: its length was that of the whole");
        assert!(setup.get(path).await.is_some());
    }
    assert_eq!((truncated.taken(), reset.taken()), (1, 1));
    let drip = setup.proxy.on(When::any().path_contains("drip"), Which::Every, Action::Drip(2_000));
    let started = Instant::now();
    assert_eq!(setup.get("/drip").await.unwrap().1, text_of(5));
    assert!(started.elapsed() >= Duration::from_millis(500), "{:?}", started.elapsed());
    assert_eq!(drip.taken(), 1);
}

#[tokio::test]
async fn black_holes_and_late_answers_delay_the_client() {
    let setup = Setup::new().await;
    setup.proxy.on(When::any().path_contains("hole"), Which::Every, Action::BlackHole);
    let wait = Duration::from_millis(200);
    setup.proxy.on(When::any().path_contains("late"), Which::Every, Action::DelayAnswer(wait * 2));
    assert!(tokio::time::timeout(wait, setup.get("/hole")).await.is_err());
    assert_eq!(setup.arrived(), 0);
    assert!(tokio::time::timeout(wait, setup.get("/late")).await.is_err());
    assert_eq!(setup.arrived(), 1);
    assert!(setup.get("/late").await.is_some());
}

//! Servers inside the test process, on free ports of 127.0.0.1.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::Shard;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use axum::serve::{Listener, ListenerExt as _};
use bluelake_embedded_kinesis::{EmbeddedKinesis, Options};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::task::JoinHandle;

pub(crate) use crate::support::s3::{ACCESS_KEY, REGION, S3, SECRET_KEY};

/// The two streams, as the contract names them.
pub(crate) const USER_EVENTS: &str = "user-events";
pub(crate) const TRANSACTION_EVENTS: &str = "transaction-events";

pub(crate) async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Sends small answers at once, instead of waiting for the acknowledgement of earlier ones.
fn at_once(listener: TcpListener) -> impl Listener<Addr = SocketAddr> {
    listener.tap_io(|socket| socket.set_nodelay(true).unwrap())
}

/// A Kinesis: the embedded one in memory, unless it is of another make.
pub(crate) struct Kinesis {
    pub(crate) endpoint: String,
    pub(crate) client: Client,
    _server: KinesisServer,
}

/// The server behind it. It ends when it is dropped.
enum KinesisServer {
    /// Tasks of this process.
    Embedded(#[allow(dead_code)] EmbeddedKinesis),
    Process(#[allow(dead_code)] Child),
}

impl Kinesis {
    /// One without streams.
    pub(crate) async fn empty() -> Self {
        let embedded = EmbeddedKinesis::start(Options::default()).await.unwrap();
        let (endpoint, client) = (embedded.endpoint(), embedded.client());
        Self { endpoint, client, _server: KinesisServer::Embedded(embedded) }
    }

    /// A server of another make that listens there.
    pub(crate) fn at(address: SocketAddr, server: Child) -> Self {
        let endpoint = format!("http://{address}");
        let client = bluelake_embedded_kinesis::client(&endpoint);
        Self { endpoint, client, _server: KinesisServer::Process(server) }
    }

    /// One with both streams.
    pub(crate) async fn with_streams(user_shards: i32, transaction_shards: i32) -> Self {
        Self::empty().await.and_streams(user_shards, transaction_shards).await
    }

    /// With both streams, too.
    pub(crate) async fn and_streams(self, user_shards: i32, transaction_shards: i32) -> Self {
        self.create_stream(USER_EVENTS, user_shards).await;
        self.create_stream(TRANSACTION_EVENTS, transaction_shards).await;
        self
    }

    pub(crate) async fn create_stream(&self, name: &str, shards: i32) {
        bluelake_embedded_kinesis::create_stream(&self.client, name, shards).await.unwrap();
        self.until_active(name).await;
    }

    /// Splits the first shard of a stream with one shard in the middle.
    pub(crate) async fn split(&self, stream: &str) {
        let middle = (1_u128 << 127).to_string();
        let split = self.client.split_shard().stream_name(stream).shard_to_split("shardId-000000000000");
        split.new_starting_hash_key(middle).send().await.unwrap();
        self.until_active(stream).await;
    }

    /// The open shards with their ranges of hash keys, in the order of those.
    pub(crate) async fn open_shards(&self, stream: &str) -> Vec<(String, u128, u128)> {
        let answer = self.client.list_shards().stream_name(stream).send().await.unwrap();
        let open = answer.shards().iter().filter(|shard| {
            shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none())
        });
        let covered = |shard: &Shard| {
            let range = shard.hash_key_range().unwrap();
            let key = |text: &str| text.parse().unwrap();
            (shard.shard_id().to_owned(), key(range.starting_hash_key()), key(range.ending_hash_key()))
        };
        let mut open: Vec<_> = open.map(covered).collect();
        open.sort_by_key(|shard| shard.1);
        open
    }

    /// Splits the open shard with the lowest hash keys in its middle.
    pub(crate) async fn split_lowest(&self, stream: &str) {
        let (shard, from, to) = self.open_shards(stream).await.remove(0);
        let middle = (from + (to - from) / 2).to_string();
        self.client
            .split_shard()
            .stream_name(stream)
            .shard_to_split(shard)
            .new_starting_hash_key(middle)
            .send()
            .await
            .unwrap();
        self.until_active(stream).await;
    }

    /// Merges the two open shards with the highest hash keys.
    pub(crate) async fn merge_highest(&self, stream: &str) {
        let open = self.open_shards(stream).await;
        let [.., left, right] = open.as_slice() else { panic!("one shard cannot be merged") };
        let merge = self.client.merge_shards().stream_name(stream).shard_to_merge(&left.0);
        merge.adjacent_shard_to_merge(&right.0).send().await.unwrap();
        self.until_active(stream).await;
    }

    /// Deletes a stream with all that is in it.
    pub(crate) async fn delete_stream(&self, name: &str) {
        self.client.delete_stream().stream_name(name).send().await.unwrap();
        while self.client.describe_stream_summary().stream_name(name).send().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_active(&self, name: &str) {
        bluelake_embedded_kinesis::until_active(&self.client, name).await.unwrap();
    }

    /// Puts one record and gives its shard and sequence number.
    pub(crate) async fn put(&self, stream: &str, key: &str, data: &[u8]) -> (String, String) {
        let put = self.client.put_record().stream_name(stream).partition_key(key).data(Blob::new(data));
        let answer = put.send().await.unwrap();
        (answer.shard_id().to_owned(), answer.sequence_number().to_owned())
    }
}

/// A server that answers every request alike, like a service that refuses.
pub(crate) struct Refusing {
    pub(crate) endpoint: String,
    server: JoinHandle<()>,
}

impl Refusing {
    /// Answers in the JSON protocol of Kinesis.
    pub(crate) async fn kinesis(status: u16, code: &str, message: &str) -> Self {
        Self::start(status, "application/x-amz-json-1.1", format!(r#"{{"__type":"{code}","message":"{message}"}}"#))
            .await
    }

    /// Answers in the XML protocol of S3.
    pub(crate) async fn s3(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        Self::start(status, "application/xml", body).await
    }

    async fn start(status: u16, content_type: &'static str, body: String) -> Self {
        let (listener, address) = listen().await;
        let answer = move || {
            let body = body.clone();
            async move {
                let status = axum::http::StatusCode::from_u16(status).unwrap();
                (status, [("content-type", content_type)], body)
            }
        };
        let router = axum::Router::new().fallback(answer);
        let server = tokio::spawn(async move { axum::serve(at_once(listener), router).await.unwrap() });
        Self { endpoint: format!("http://{address}"), server }
    }
}

impl Drop for Refusing {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A read-only bucket of S3 with any keys. Objects without content are denied.
pub(crate) struct Objects {
    pub(crate) endpoint: String,
    server: JoinHandle<()>,
}

impl Objects {
    pub(crate) async fn start(bucket: &'static str, objects: &[(&str, Option<Vec<u8>>)]) -> Self {
        let (listener, address) = listen().await;
        let objects: Vec<(String, Option<Vec<u8>>)> =
            objects.iter().map(|(key, content)| ((*key).to_owned(), content.clone())).collect();
        let answer = move |request: Request| {
            let answer = answer_of_objects(bucket, &objects, request.uri());
            async move { answer }
        };
        let router = Router::new().fallback(answer);
        let server = tokio::spawn(async move { axum::serve(at_once(listener), router).await.unwrap() });
        Self { endpoint: format!("http://{address}"), server }
    }
}

fn answer_of_objects(bucket: &str, objects: &[(String, Option<Vec<u8>>)], uri: &hyper::Uri) -> Response {
    const MODIFIED: [(&str, &str); 2] = [("etag", "\"1\""), ("last-modified", "Tue, 03 Nov 2026 10:00:00 GMT")];
    let answer = |status: u16, body: Vec<u8>| {
        let answer = Response::builder().status(status);
        MODIFIED
            .iter()
            .fold(answer, |answer, (name, value)| answer.header(*name, *value))
            .body(Body::from(body))
            .unwrap()
    };
    let fault = |status: u16, code: &str| answer(status, format!("<Error><Code>{code}</Code></Error>").into_bytes());
    let rest = uri.path().strip_prefix(&format!("/{bucket}")).unwrap_or_default();
    let query: HashMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    if query.contains_key("list-type") {
        let below: Vec<_> = objects.iter().filter(|(key, _)| key.starts_with(&query["prefix"])).collect();
        // Two pages.
        let (from, to) = match query.get("continuation-token") {
            Some(_) => (below.len() / 2, below.len()),
            None => (0, below.len() / 2),
        };
        let escaped = |key: &str| {
            let key = key.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            key.replace('\t', "&#9;")
        };
        let entry = |(key, content): &&(String, Option<Vec<u8>>)| {
            let size = content.as_ref().map_or(1, Vec::len);
            format!(
                "<Contents><Key>{}</Key><LastModified>2026-11-03T10:00:00.000Z</LastModified><ETag>&quot;1&quot;</ETag><Size>{size}</Size></Contents>",
                escaped(key)
            )
        };
        let entries: String = below[from..to].iter().map(entry).collect();
        let next = if to < below.len() {
            "<IsTruncated>true</IsTruncated><NextContinuationToken>2</NextContinuationToken>"
        } else {
            "<IsTruncated>false</IsTruncated>"
        };
        let page =
            format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><ListBucketResult>{next}{entries}</ListBucketResult>");
        return answer(200, page.into_bytes());
    }
    // A `+` in a path is itself.
    let key = rest.strip_prefix('/').unwrap_or_default().replace('+', "%2B");
    let key = url::form_urlencoded::parse(format!("k={key}").as_bytes()).next().map(|(_, key)| key.into_owned());
    match objects.iter().find(|(known, _)| Some(known) == key.as_ref()) {
        Some((_, Some(content))) => answer(200, content.clone()),
        Some((_, None)) => fault(403, "AccessDenied"),
        None => fault(404, "NoSuchKey"),
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Variables that point the usual AWS chain at these servers and at nothing else.
pub(crate) fn aws_variables() -> HashMap<String, String> {
    [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
        ("AWS_REGION", REGION),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
        // A port without a listener: calls to unnamed services must not leave the machine.
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

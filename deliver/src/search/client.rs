//! Calls to the server: signed, within a time, and repeated when a fault may pass. It keeps nothing between calls.

use std::{io::Write as _, sync::Arc, time::Duration};

use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{PayloadChecksumKind, SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bluelake_lake::{Backoff, Chance, causes};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use reqwest::{
    Method,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Deserialize;
use serde_json::Value;

use super::{SearchOptions, address::SearchAuth};
use crate::error::DeliverError;

/// Tries of a call whose fault may pass, with pauses between them that double.
const TRIES: u32 = 6;
/// After this time a call is not tried again: the next round of delivery does, and what is wrong is told meanwhile.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first limit and the longest of these pauses.
const PAUSES: (Duration, Duration) = (Duration::from_millis(400), Duration::from_secs(10));
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// A server that works on 5 MiB of documents answers within a minute, unless it is in trouble.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);
/// What the server says of itself in a fault is shown up to this length.
const SHOWN: usize = 400;

type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An answer in full.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Answer {
    fn is_good(&self) -> bool {
        (200..300).contains(&self.status)
    }

    fn may_pass(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502..=504)
    }

    /// The name and the words of a fault.
    pub(super) fn fault(&self) -> (String, String) {
        #[derive(Deserialize)]
        struct Failure {
            error: Value,
        }
        let error = serde_json::from_slice::<Failure>(&self.body).map(|failure| failure.error).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match &error {
            Value::Object(_) => (text(at(&error, "/type")), text(at(&error, "/reason"))),
            other => (String::new(), text(other)),
        }
    }
}

/// What an answer has at a place such as `/hits/hits`; null where it has nothing.
pub(super) fn at<'a>(answer: &'a Value, place: &str) -> &'a Value {
    answer.pointer(place).unwrap_or(&Value::Null)
}

/// What is asked of the server.
pub(super) struct Call<'a> {
    method: Method,
    path: &'a str,
    content: Option<Content>,
    /// What is done, for messages.
    operation: &'a str,
    /// The table or index that it is about, for messages.
    about: &'a str,
}

#[derive(Clone)]
struct Content {
    kind: &'static str,
    is_compressed: bool,
    bytes: Bytes,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, path: &'a str, operation: &'a str, about: &'a str) -> Self {
        Self { method, path, content: None, operation, about }
    }

    pub(super) fn json(mut self, body: &Value) -> Self {
        let bytes = body.to_string().into();
        self.content = Some(Content { kind: "application/json", is_compressed: false, bytes });
        self
    }
}

/// Calls a server.
#[derive(Clone)]
pub(super) struct Client {
    http: reqwest::Client,
    pub(super) options: Arc<SearchOptions>,
    chance: Chance,
}

impl Client {
    pub(super) fn new(options: Arc<SearchOptions>, chance: &Chance) -> Result<Self, DeliverError> {
        let mut builder = reqwest::Client::builder()
            .user_agent("bluelake")
            .connect_timeout(CONNECT_WITHIN)
            .timeout(ANSWER_WITHIN)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(pem) = &options.authorities {
            let authorities = reqwest::Certificate::from_pem_bundle(pem).ok().filter(|found| !found.is_empty());
            let authorities = authorities.ok_or_else(|| {
                options.refused("the authorities", "the file holds no certificate", "give a file with PEM certificates")
            })?;
            builder = builder.tls_certs_merge(authorities);
        }
        let http = builder.build().map_err(|error| {
            options.refused("the connection", &causes(&error), "look at the certificates of this machine")
        })?;
        Ok(Self { http, options, chance: chance.clone() })
    }

    /// The pauses between tries.
    pub(super) fn backoff(&self) -> Backoff {
        Backoff::steady(PAUSES.0, PAUSES.1, &self.chance)
    }

    /// The answer to a call, whatever it says, unless the server cannot be reached or is busy for long.
    pub(super) async fn answer(&self, call: &Call<'_>) -> Result<Answer, DeliverError> {
        let (mut tries, mut backoff) = (0, self.backoff());
        let began = tokio::time::Instant::now();
        loop {
            tries += 1;
            let answer = self.once(call).await;
            let passes = answer.as_ref().map_or(true, Answer::may_pass);
            if !passes || is_given_up(tries, began.elapsed()) {
                return match answer {
                    Ok(answer) if answer.may_pass() => Err(self.refusal(call, &answer)),
                    Ok(answer) => Ok(answer),
                    Err(source) => Err(self.unreachable(call.operation, call.about, source)),
                };
            }
            tokio::time::sleep(backoff.pause()).await;
        }
    }

    /// The answer to a call that must succeed; `None`: what it is about is not there.
    pub(super) async fn find(&self, call: &Call<'_>) -> Result<Option<Value>, DeliverError> {
        let answer = self.answer(call).await?;
        match answer.status {
            404 => Ok(None),
            _ if answer.is_good() => serde_json::from_slice(&answer.body).map(Some).map_err(|error| {
                let problem = format!("cannot {}: its answer is no JSON ({error})", call.operation);
                self.options.refused(call.about, &problem, "look at what stands between here and the server")
            }),
            _ => Err(self.refusal(call, &answer)),
        }
    }

    /// The answer to a call that must succeed.
    pub(super) async fn expect(&self, call: &Call<'_>) -> Result<Value, DeliverError> {
        self.find(call).await?.ok_or_else(|| {
            let problem = format!("cannot {}: the server does not know it", call.operation);
            self.options.refused(call.about, &problem, "look whether it was deleted, and run it again")
        })
    }

    /// The answer to a request with many items, as it is.
    pub(super) async fn bulk(&self, compressed: Bytes) -> Result<Answer, Cause> {
        let content = Content { kind: "application/x-ndjson", is_compressed: true, bytes: compressed };
        let call = Call { method: Method::POST, path: "/_bulk", content: Some(content), operation: "", about: "" };
        self.once(&call).await
    }

    async fn once(&self, call: &Call<'_>) -> Result<Answer, Cause> {
        let mut request = self.http.request(call.method.clone(), self.options.address.at(call.path));
        if let Some(content) = &call.content {
            request = request.header(CONTENT_TYPE, content.kind).body(content.bytes.clone());
            if content.is_compressed {
                request = request.header(CONTENT_ENCODING, "gzip");
            }
        }
        let request = match &self.options.auth {
            SearchAuth::None => request.build()?,
            SearchAuth::Basic { user, password } => request.basic_auth(user, Some(password)).build()?,
            SearchAuth::ApiKey(key) => {
                let mut value = HeaderValue::try_from(format!("ApiKey {key}"))?;
                value.set_sensitive(true);
                request.header(AUTHORIZATION, value).build()?
            }
            SearchAuth::Aws { service, region, credentials } => {
                let mut request = request.build()?;
                sign_for(&mut request, service, region, credentials).await?;
                request
            }
        };
        let answer = self.http.execute(request).await?;
        let status = answer.status().as_u16();
        Ok(Answer { status, body: answer.bytes().await? })
    }

    pub(super) fn unreachable(&self, operation: &str, about: &str, source: Cause) -> DeliverError {
        DeliverError::Unreachable {
            target: self.options.name.clone(),
            address: self.options.address.to_string(),
            operation: format!("cannot {operation}"),
            table: Some(about.to_owned()),
            source,
        }
    }

    /// What an answer that is a fault means.
    pub(super) fn refusal(&self, call: &Call<'_>, answer: &Answer) -> DeliverError {
        let (kind, words) = answer.fault();
        let words: String = words.chars().take(SHOWN).collect();
        let said = format!("cannot {}: it answered {} {kind}: {words}", call.operation, answer.status);
        self.told(call.about, answer.status, &kind, said.trim_end_matches([':', ' ']))
    }

    /// A fault by its status, with what the operator can do.
    pub(super) fn told(&self, about: &str, status: u16, kind: &str, problem: &str) -> DeliverError {
        let options = &self.options;
        let (remedy, passes) = match (status, kind) {
            (_, "cluster_block_exception") => (
                "its disk may be full, or the index is set read-only: make room, or lift the block; delivery goes on by itself",
                true,
            ),
            (401, _) => ("look at the user and password, the key or the AWS credentials of the target", false),
            (403, _) => ("grant what docs/delivery.md lists for it", false),
            (408 | 429 | 500..=599, _) => ("it is busy or in trouble: delivery goes on by itself when it is not", true),
            (
                400,
                "resource_already_exists_exception" | "invalid_alias_name_exception" | "invalid_index_name_exception",
            ) => ("give the target another index_prefix, or take what has the name away", false),
            (404, "index_not_found_exception") => ("it was deleted meanwhile: delivery looks again by itself", true),
            (404 | 405, _) => {
                ("it must be OpenSearch, or Elasticsearch from 7.10 on, and nothing between may change paths", false)
            }
            _ => ("look at the log of the server", false),
        };
        DeliverError::Refused {
            target: options.name.clone(),
            address: options.address.to_string(),
            table: about.to_owned(),
            problem: problem.to_owned(),
            remedy: remedy.to_owned(),
            passes,
        }
    }
}

/// Whether a call that was made so often, for so long, is not tried again.
fn is_given_up(tries: u32, after: Duration) -> bool {
    tries >= TRIES || after >= PATIENCE
}

/// The bytes compressed.
pub(super) fn compressed(parts: &[&[u8]]) -> std::io::Result<Bytes> {
    let size = parts.iter().map(|part| part.len()).sum::<usize>() / 4;
    let mut encoder = GzEncoder::new(Vec::with_capacity(size), Compression::fast());
    for part in parts {
        encoder.write_all(part)?;
    }
    encoder.finish().map(Bytes::from)
}

/// Signs a request for AWS (Signature Version 4, with the hash of the body in a header, which serverless asks for).
async fn sign_for(
    request: &mut reqwest::Request,
    service: &str,
    region: &str,
    credentials: &SharedCredentialsProvider,
) -> Result<(), Cause> {
    let identity = credentials.provide_credentials().await?.into();
    let mut settings = SigningSettings::default();
    settings.payload_checksum_kind = PayloadChecksumKind::XAmzSha256;
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .name(service)
        .region(region)
        .time(std::time::SystemTime::now())
        .settings(settings)
        .build()?
        .into();
    let mut headers = Vec::new();
    for (name, value) in request.headers() {
        headers.push((name.as_str(), value.to_str()?));
    }
    let body = request.body().and_then(reqwest::Body::as_bytes).unwrap_or_default();
    let url = request.url().as_str();
    let signable =
        SignableRequest::new(request.method().as_str(), url, headers.into_iter(), SignableBody::Bytes(body))?;
    let (instructions, _) = sign(signable, &parameters)?.into_parts();
    let (signed, _) = instructions.into_parts();
    for header in signed {
        let mut value = HeaderValue::from_str(header.value())?;
        value.set_sensitive(header.sensitive());
        request.headers_mut().insert(HeaderName::try_from(header.name())?, value);
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_compressed_comes_out_again() {
        use std::io::Read as _;
        let packed = compressed(&[b"one\n", b"two\n"]).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut text).unwrap();
        assert_eq!(text, "one\ntwo\n");
    }

    #[test]
    fn a_call_is_given_up_after_its_tries_or_its_time() {
        let soon = Duration::from_secs(1);
        assert!(!is_given_up(1, soon) && !is_given_up(5, soon) && is_given_up(6, soon));
        // A server that never answers takes a minute and a half each time.
        assert!(is_given_up(1, ANSWER_WITHIN) && !is_given_up(5, CONNECT_WITHIN * 5));
    }

    #[tokio::test]
    async fn a_signature_names_the_service_and_covers_the_body() {
        let credentials =
            aws_credential_types::Credentials::new("AKID", "secret", Some("token".to_owned()), None, "test");
        let credentials = SharedCredentialsProvider::new(credentials);
        let signed = async |body: &'static str| {
            let client = reqwest::Client::new();
            let mut request = client.post("https://search.example/a-*/_bulk?x=1").body(body).build().unwrap();
            sign_for(&mut request, "aoss", "eu-west-1", &credentials).await.unwrap();
            let header = |name: &str| request.headers().get(name).unwrap().to_str().unwrap().to_owned();
            (header("authorization"), header("x-amz-content-sha256"), header("x-amz-security-token"))
        };
        let (authorization, hash, token) = signed("one").await;
        assert!(authorization.contains("/eu-west-1/aoss/aws4_request"), "{authorization}");
        assert!(authorization.contains("host;x-amz-content-sha256;x-amz-date"), "{authorization}");
        assert_eq!(token, "token");
        assert_ne!(hash, signed("two").await.1);
    }
}

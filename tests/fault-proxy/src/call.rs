//! A call of the client and an answer of the server, both completely in memory.

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};

/// The header with the operation of Kinesis.
const TARGET: &str = "x-amz-target";

/// A request as the client sent it.
#[derive(Clone, Debug)]
pub struct Call {
    /// The method.
    pub method: Method,
    /// Path and query, as written.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Call {
    /// The operation of a call in the JSON protocol of AWS, such as `GetRecords`.
    #[must_use]
    pub fn operation(&self) -> Option<&str> {
        let target = self.headers.get(TARGET)?.to_str().ok()?;
        target.rsplit('.').next()
    }

    /// The body as JSON; null for any other body.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Replaces the body by JSON.
    pub fn set_json(&mut self, value: &Value) {
        self.body = value.to_string().into();
        self.headers.insert(CONTENT_LENGTH, self.body.len().into());
    }
}

/// An answer of the server, or in its place.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answer {
    /// An answer with this status, content type and body.
    #[must_use]
    pub fn new(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]);
        Self { status, headers, body: body.into() }
    }

    /// JSON, as Kinesis answers.
    #[must_use]
    pub fn json(value: &Value) -> Self {
        Self::new(StatusCode::OK, "application/x-amz-json-1.1", value.to_string())
    }

    /// An error in the form of Kinesis.
    #[must_use]
    pub fn kinesis_error(status: StatusCode, code: &str, message: &str) -> Self {
        Self { status, ..Self::json(&json!({ "__type": code, "message": message })) }
    }

    /// An error in the form of S3.
    #[must_use]
    pub fn s3_error(status: StatusCode, code: &str, message: &str) -> Self {
        let declaration = r#"<?xml version="1.0" encoding="UTF-8"?>"#;
        let body = format!("{declaration}<Error><Code>{code}</Code><Message>{message}</Message></Error>");
        Self::new(status, "application/xml", body)
    }

    /// The body as JSON; null for any other body.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Replaces the body by JSON.
    pub fn set_value(&mut self, value: &Value) {
        self.set_body(value.to_string());
    }

    /// Replaces the body by other bytes; the answer's length follows.
    pub fn set_body(&mut self, body: impl Into<Bytes>) {
        self.body = body.into();
        self.headers.remove(CONTENT_LENGTH);
    }
}

//! Scripted faults, for tests of readers of a Kinesis.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};

use crate::mended::{BODY_MAX, JSON, operation};

type Look = dyn Fn(&str, &[u8]) -> Option<&'static str> + Send + Sync;

/// Sees every request before the server does, and may refuse it.
#[derive(Clone)]
pub struct Script(Arc<Look>);

impl Script {
    /// `look` takes the operation and the body, and gives the error code to answer with.
    pub fn new(look: impl Fn(&str, &[u8]) -> Option<&'static str> + Send + Sync + 'static) -> Self {
        Self(Arc::new(look))
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Script")
    }
}

/// The router behind the script.
pub(crate) fn scripted(router: Router, script: Script) -> Router {
    router.layer(middleware::from_fn(move |request: Request, next: Next| {
        let script = script.clone();
        async move {
            match seen(request, &script).await {
                Ok(request) => next.run(request).await,
                Err(refused) => refused,
            }
        }
    }))
}

async fn seen(request: Request, script: &Script) -> Result<Request, Response> {
    let operation = operation(&request);
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BODY_MAX).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE.into_response())?;
    match (script.0)(&operation, &body) {
        Some(code) => {
            let answer = format!(r#"{{"__type":"{code}","message":"as scripted"}}"#);
            Err((StatusCode::BAD_REQUEST, [(CONTENT_TYPE, JSON)], answer).into_response())
        }
        None => Ok(Request::from_parts(parts, Body::from(body))),
    }
}

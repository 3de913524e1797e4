//! One call and its answer, with the effects of the rules.

use std::{
    io,
    sync::{Arc, PoisonError},
};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper_util::client::legacy::{Client, connect::HttpConnector};

use crate::{
    body::{self, Outgoing},
    call::{Answer, Call},
    line::ResetSwitch,
    rule::{Action, Gate, InForce, Rules},
    tasks::Tasks,
};

/// Where calls are forwarded to.
#[derive(Clone)]
pub(crate) struct Upstream {
    pub(crate) client: Client<HttpConnector, Full<Bytes>>,
    /// Scheme and authority.
    pub(crate) endpoint: Arc<str>,
}

/// What one exchange needs.
#[derive(Clone)]
pub(crate) struct Exchange {
    pub(crate) upstream: Upstream,
    pub(crate) rules: Rules,
    pub(crate) tasks: Tasks,
    pub(crate) switch: ResetSwitch,
}

fn closed() -> io::Error {
    io::Error::other("the connection is closed by a rule")
}

impl Exchange {
    /// Gives the answer; an error closes the connection without one.
    pub(crate) async fn run(self, request: Request<Incoming>) -> io::Result<Response<Outgoing>> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let call = Call { method: parts.method, path, headers: parts.headers, body };
        let (watching, taken) = self.choose(&call);
        match taken {
            None if watching.is_empty() => self.upstream.send(&call).await.map(pass_on),
            None => Ok(give(self.forwarded(&call, None, &watching).await?)),
            Some((rule, Action::DeliverLate(gate))) => {
                self.deliver_late(call, rule, gate);
                Err(closed())
            }
            Some((rule, action)) => self.act(call, &rule, action, &watching).await,
        }
    }

    /// The watching rules, and the first other rule that takes the call.
    fn choose(&self, call: &Call) -> (Vec<Action>, Option<(Arc<InForce>, Action)>) {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut watching = Vec::new();
        for rule in rules {
            match rule.take(call) {
                Some(action @ Action::Watch(_)) => watching.push(action),
                Some(action) => return (watching, Some((rule, action))),
                None => {}
            }
        }
        (watching, None)
    }

    fn deliver_late(&self, call: Call, rule: Arc<InForce>, gate: Gate) {
        self.switch.throw();
        let exchange = self.clone();
        self.tasks.spawn(async move {
            gate.passed().await;
            // No client waits for the answer; the rule counts it.
            let _ = exchange.forwarded(&call, Some(&rule), &[]).await;
        });
    }

    async fn act(
        &self,
        mut call: Call,
        rule: &InForce,
        action: Action,
        watching: &[Action],
    ) -> io::Result<Response<Outgoing>> {
        match &action {
            Action::Answer(answer) => return Ok(give(answer.clone())),
            Action::AnswerBy(answer) => return Ok(give(answer(&call))),
            Action::Refuse => {
                self.switch.throw();
                return Err(closed());
            }
            Action::BlackHole => std::future::pending().await,
            Action::DelayCall(pause) => tokio::time::sleep(*pause).await,
            Action::Hold(gate) => gate.passed().await,
            Action::AlterCall(change) => change(&mut call),
            Action::Repeat => {
                self.forwarded(&call, Some(rule), &[]).await?;
            }
            _ => {}
        }
        let mut answer = self.forwarded(&call, Some(rule), watching).await?;
        let switch = || Some(self.switch.clone());
        match action {
            Action::LoseAnswer => Err(closed()),
            Action::ReplaceAnswer(other) => Ok(give(other)),
            Action::DelayAnswer(pause) => {
                tokio::time::sleep(pause).await;
                Ok(give(answer))
            }
            Action::Drip(rate) => Ok(in_parts(answer, |bytes| body::dripping(bytes, rate))),
            Action::Truncate(after) => Ok(in_parts(answer, |bytes| body::broken_off(bytes, after, None))),
            Action::Reset(after) => Ok(in_parts(answer, |bytes| body::broken_off(bytes, after, switch()))),
            Action::Alter(change) => {
                change(&call, &mut answer);
                Ok(give(answer))
            }
            _ => Ok(give(answer)),
        }
    }

    /// Sends the call on and waits for the whole answer.
    async fn forwarded(&self, call: &Call, rule: Option<&InForce>, watching: &[Action]) -> io::Result<Answer> {
        let (parts, body) = self.upstream.send(call).await?.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let answer = Answer { status: parts.status, headers: parts.headers, body };
        if let Some(rule) = rule {
            rule.observe(answer.status);
        }
        for action in watching {
            if let Action::Watch(look) = action {
                look(call, &answer);
            }
        }
        Ok(answer)
    }
}

impl Upstream {
    async fn send(&self, call: &Call) -> io::Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(format!("{}{}", self.endpoint, call.path))
            .body(Full::new(call.body.clone()))
            .map_err(io::Error::other)?;
        *request.headers_mut() = call.headers.clone();
        request.headers_mut().remove(CONNECTION);
        request.headers_mut().remove(TRANSFER_ENCODING);
        self.client.request(request).await.map_err(io::Error::other)
    }
}

/// The server's answer as it comes.
fn pass_on(response: Response<Incoming>) -> Response<Outgoing> {
    let mut response = response.map(body::passed_on);
    response.headers_mut().remove(CONNECTION);
    response.headers_mut().remove(TRANSFER_ENCODING);
    response
}

fn give(answer: Answer) -> Response<Outgoing> {
    let mut response = Response::new(body::whole(answer.body));
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    response.headers_mut().remove(CONNECTION);
    response.headers_mut().remove(TRANSFER_ENCODING);
    response
}

/// The answer with its full length, and a given body.
fn in_parts(answer: Answer, body: impl FnOnce(Bytes) -> Outgoing) -> Response<Outgoing> {
    let bytes = answer.body.clone();
    let mut response = give(answer);
    response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| bytes.len().into());
    *response.body_mut() = body(bytes);
    response
}

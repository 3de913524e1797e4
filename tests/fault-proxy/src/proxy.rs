//! The proxy itself: takes connections, and passes each call to an exchange of its own.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, PoisonError},
};

use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioIo},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::AbortHandle,
};

use crate::{
    body::Outgoing,
    exchange::{Exchange, Upstream},
    line::{Line, ResetSwitch},
    rule::{Action, Placed, Rule, Rules, When, Which},
    tasks::Tasks,
};

/// A running proxy; it ends when it is dropped.
pub struct Proxy {
    address: SocketAddr,
    rules: Rules,
    tasks: Tasks,
    listener: AbortHandle,
}

impl Proxy {
    /// Starts a proxy on a free port, in front of `endpoint` (such as `http://127.0.0.1:4567`).
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(endpoint: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let client = Client::builder(TokioExecutor::new()).build_http();
        let upstream = Upstream { client, endpoint: endpoint.trim_end_matches('/').into() };
        let (rules, tasks) = (Rules::default(), Tasks::default());
        let door = Door { upstream, rules: Arc::clone(&rules), tasks: tasks.clone() };
        let listener = tokio::spawn(door.run(listener)).abort_handle();
        Ok(Self { address, rules, tasks, listener })
    }

    /// The endpoint for clients, in place of the server's own.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a rule after the existing ones: of the rules that take a call, the first one acts.
    pub fn add(&self, rule: Rule) -> Placed {
        Placed::new(rule, &self.rules)
    }

    /// Adds a rule for calls that meet these conditions.
    pub fn on(&self, when: When, which: Which, action: Action) -> Placed {
        self.add(Rule::new(when, which, action))
    }

    /// Takes all rules away.
    pub fn clear(&self) {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.listener.abort();
        self.tasks.abort_all();
    }
}

/// Takes connections.
#[derive(Clone)]
struct Door {
    upstream: Upstream,
    rules: Rules,
    tasks: Tasks,
}

impl Door {
    async fn run(self, listener: TcpListener) {
        // A connection that was closed before it was accepted is no reason to stop.
        loop {
            if let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                self.tasks.spawn(self.clone().serve(socket));
            }
        }
    }

    async fn serve(self, socket: TcpStream) {
        let switch = ResetSwitch::default();
        let line = Line::new(socket, switch.clone());
        let service = service_fn(move |request| self.clone().exchange(request, switch.clone()));
        // A rule may end a connection, and so may the client.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(line), service).await;
    }

    /// Runs the exchange in a task of its own: a client that hangs up does not take its call back.
    async fn exchange(self, request: Request<Incoming>, switch: ResetSwitch) -> io::Result<Response<Outgoing>> {
        let Self { upstream, rules, tasks } = self;
        let exchange = Exchange { upstream, rules, tasks: tasks.clone(), switch };
        let (sender, answer) = tokio::sync::oneshot::channel();
        tasks.spawn(async move {
            // The client may no longer wait for it.
            let _ = sender.send(exchange.run(request).await);
        });
        answer.await.map_err(io::Error::other)?
    }
}

//! An HTTP/1.1 proxy on the loopback interface that injects faults by rules, for tests.
//!
//! It is between a client and a server (a Kinesis, an S3). A [`Rule`] says which calls it means ([`When`]), which of
//! those it takes ([`Which`]) and what happens to them ([`Action`]). Rules come and go while the proxy runs, and count,
//! so that a test can check that its fault really happened. Calls without a rule pass unchanged, the `Host` header
//! included: a signature over it stays valid. The proxy delivers a call that it has received in full even if the client
//! has hung up meanwhile, like a network.

mod body;
mod call;
mod exchange;
mod line;
mod proxy;
mod rule;
mod tasks;

#[cfg(test)]
mod tests;

pub use call::{Answer, Call};
pub use proxy::Proxy;
pub use rule::{Action, Gate, Placed, Rule, When, Which};

//! An HTTP/1.1 proxy on the loopback interface that makes faults happen by rules, for tests.
//!
//! It stands between a client and a server (a Kinesis, an S3). A [`Rule`] says which calls it means ([`When`]), which of
//! those it takes ([`Which`]) and what happens to them ([`Action`]). Rules come and go while the proxy runs, and count, so
//! that a test can tell whether its fault really happened. Calls that no rule takes go through unchanged, the `Host` header
//! included: a signature over it stays valid. What the proxy has received in full it delivers, also when the client has
//! hung up meanwhile, as a network does.

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

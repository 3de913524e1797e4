//! A Kinesis inside the process, for the demo, for trying things by hand and for tests.
//!
//! It holds its streams in memory only and listens on the loopback interface only. Its client has credentials and a
//! region of its own: it neither reads nor uses the user's AWS settings, so no call can reach a real account by
//! mistake.

mod error;
mod mended;
mod script;
mod server;
mod streams;

pub use error::Error;
pub use script::Script;
pub use server::{EmbeddedKinesis, Options, Positions};
pub use streams::{ACCESS_KEY, REGION, Shards, client, create_stream, until_active};

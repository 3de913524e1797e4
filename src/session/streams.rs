//! Checks that the two streams of the configuration are distinct. If one is given by its name and one by its ARN, only
//! Kinesis knows.

use anyhow::Result;
use aws_sdk_kinesis::Client;
use bluelake_ingest::KinesisStream;
use bluelake_schemas::Stream;

use crate::config::Config;
use crate::terminal::failure::WrongUsage;

/// Refuses one stream for both.
///
/// # Errors
/// [`WrongUsage`] when both are the same stream; another error when Kinesis does not answer.
pub(crate) async fn ensure_two(kinesis: &Client, config: &Config) -> Result<()> {
    if !may_be_one(config) {
        return Ok(());
    }
    let mut arns = Vec::new();
    for stream in Stream::ALL {
        arns.push(KinesisStream::new(kinesis.clone(), config.stream(stream)).describe().await?.arn);
    }
    match arns.as_slice() {
        [first, second] if first == second => Err(one_for_both(config, first)),
        _ => Ok(()),
    }
}

/// As [`ensure_two`], for callers that take the name in an ARN for the name of a stream.
///
/// # Errors
/// [`WrongUsage`] when both have the same name.
pub(crate) fn ensure_two_names(config: &Config) -> Result<()> {
    let name = config.stream_name(Stream::UserEvents);
    if may_be_one(config) { Err(one_for_both(config, name)) } else { Ok(()) }
}

/// Streams of different names are different.
fn may_be_one(config: &Config) -> bool {
    config.stream_name(Stream::UserEvents) == config.stream_name(Stream::TransactionEvents)
}

fn one_for_both(config: &Config, stream: &str) -> anyhow::Error {
    let (users, transactions) = (config.stream(Stream::UserEvents), config.stream(Stream::TransactionEvents));
    WrongUsage::new(format!(
        "streams.user-events ('{users}') and streams.transaction-events ('{transactions}') are the same stream, {stream}; each kind of event needs a stream of its own"
    ))
    .into()
}

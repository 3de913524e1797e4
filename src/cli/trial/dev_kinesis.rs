//! `bluelake dev-kinesis`: the embedded Kinesis in the foreground.

use anyhow::{Context, Result};
use bluelake_embedded_kinesis::{ACCESS_KEY, EmbeddedKinesis, Options, REGION, Shards};
use bluelake_schemas::Stream;
use clap::{Args, value_parser};
use serde::Serialize;

use crate::cli::Session;
use crate::terminal::failure::Outcome;
use crate::terminal::output;

/// Arguments of `bluelake dev-kinesis`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct DevKinesisArguments {
    /// Port on 127.0.0.1; 0 takes a free one
    #[arg(long, value_name = "PORT", default_value_t = 4567)]
    port: u16,
    /// Shards of the stream of user events
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = value_parser!(i32).range(1..=1000))]
    user_shards: i32,
    /// Shards of the stream of transaction events
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = value_parser!(i32).range(1..=1000))]
    transaction_shards: i32,
}

const EXAMPLES: &str = "\
Runs a Kinesis in the foreground until Ctrl-C, with both streams created. It keeps everything in memory:
when it ends, what was put into it is gone.

Examples, in a second terminal:
  export AWS_ENDPOINT_URL_KINESIS=http://127.0.0.1:4567 AWS_REGION=us-east-1
  export AWS_ACCESS_KEY_ID=embedded AWS_SECRET_ACCESS_KEY=embedded
  bluelake generate --events 10000 --seed 1 --to kinesis
  bluelake ingest --once --init
  bluelake sql 'SELECT event_type, count(*) FROM transactions GROUP BY 1'";

#[derive(Serialize)]
struct Started<'a> {
    endpoint: &'a str,
    region: &'a str,
    access_key: &'a str,
    secret_key: &'a str,
    streams: [&'a str; 2],
}

/// Serves until interrupted.
pub(crate) async fn run(session: &Session, arguments: DevKinesisArguments) -> Result<Outcome> {
    let kinesis = EmbeddedKinesis::start(Options { port: arguments.port, ..Options::default() }).await?;
    let shards = Shards { user_events: arguments.user_shards, transaction_events: arguments.transaction_shards };
    kinesis.create_streams(shards, |stream| session.config.stream_name(stream).to_owned()).await?;
    announce(session, &kinesis.endpoint())?;
    tokio::signal::ctrl_c().await.context("cannot wait for Ctrl-C")?;
    Ok(Outcome::Done)
}

fn announce(session: &Session, endpoint: &str) -> Result<()> {
    let streams = Stream::ALL.map(|stream| session.config.stream_name(stream));
    if session.json {
        let started = Started { endpoint, region: REGION, access_key: ACCESS_KEY, secret_key: ACCESS_KEY, streams };
        // It is on one line, so that a program can read it while the server runs.
        return output::line(serde_json::to_string(&started)?);
    }
    output::line(format!("Kinesis listens on {endpoint} with the streams {} and {}.", streams[0], streams[1]))?;
    output::line("It keeps everything in memory, until Ctrl-C. In a second terminal:\n")?;
    output::line(format!("  export AWS_ENDPOINT_URL_KINESIS={endpoint} AWS_REGION={REGION}"))?;
    output::line(format!("  export AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY={ACCESS_KEY}"))
}

//! Reads a stream from its beginning to its tip and does nothing with it: what `benches/run stream` compares ingest with.
//!
//!     get_records STREAM…      the address and the credentials come from the environment, as for every AWS client
//!
//! Prints records and bytes as JSON. One task a shard, as in ingest.
#![allow(clippy::print_stdout)]

use anyhow::{Context as _, Result};
use aws_sdk_kinesis::{Client, types::ShardIteratorType};
use tokio::task::JoinSet;

/// Records and bytes of one shard.
async fn read(client: Client, stream: String, shard: String) -> Result<(u64, u64)> {
    let request = client.get_shard_iterator().stream_name(&stream).shard_id(&shard);
    let first = request.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await?;
    let (mut iterator, mut records, mut bytes) = (first.shard_iterator, 0, 0);
    while let Some(at) = iterator {
        let page = client.get_records().shard_iterator(at).limit(10_000).send().await?;
        records += u64::try_from(page.records.len())?;
        for record in &page.records {
            bytes += u64::try_from(record.data.as_ref().len())?;
        }
        let is_tip = page.records.is_empty() && page.millis_behind_latest.unwrap_or(0) == 0;
        iterator = page.next_shard_iterator.filter(|_| !is_tip);
    }
    Ok((records, bytes))
}

#[tokio::main]
async fn main() -> Result<()> {
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest()).load().await;
    let client = Client::new(&config);
    let mut tasks = JoinSet::new();
    for stream in std::env::args().skip(1) {
        let mut page = client.list_shards().stream_name(&stream).send().await?;
        loop {
            for shard in page.shards.unwrap_or_default() {
                tasks.spawn(read(client.clone(), stream.clone(), shard.shard_id));
            }
            let Some(token) = page.next_token else { break };
            page = client.list_shards().next_token(token).send().await?;
        }
    }
    let (mut records, mut bytes) = (0, 0);
    while let Some(ended) = tasks.join_next().await {
        let (more, longer) = ended.context("a task ended")??;
        (records, bytes) = (records + more, bytes + longer);
    }
    println!(r#"{{"records":{records},"bytes":{bytes}}}"#);
    Ok(())
}

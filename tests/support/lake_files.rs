//! Facts of a lake's folder, read without Bluelake.

use std::path::Path;

use serde_json::Value;
use url::Url;

use crate::support::worker::STREAMS;

/// Control totals of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) received: u64,
    pub(crate) stored: u64,
    pub(crate) rejected: u64,
    pub(crate) duplicate: u64,
}

/// The control totals of a table's newest checkpoint document, which must balance.
pub(crate) fn control_totals(lake: &Path, table: &str, stream: &str) -> Totals {
    let document = newest_document(lake, table, stream);
    let shards = document["shards"].as_object().unwrap().values().map(|shard| &shard["totals"]);
    let count = |name: &str| {
        let all = shards.clone().chain([&document["retired"]]).chain(document.get("supplemented"));
        all.map(|totals| totals[name].as_u64().unwrap()).sum::<u64>()
    };
    let totals = Totals {
        received: count("received"),
        stored: count("stored"),
        rejected: count("rejected"),
        duplicate: count("duplicate"),
    };
    assert_eq!(totals.received, totals.stored + totals.rejected + totals.duplicate, "{totals:?}");
    totals
}

/// The document in force: the one that the newest commit with a `txn` names. A higher number may belong to a batch that
/// lost.
pub(crate) fn newest_document(lake: &Path, table: &str, stream: &str) -> Value {
    let log = lake.join(table).join("_delta_log");
    let names = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path());
    let mut commits: Vec<_> = names.filter(|path| path.extension().is_some_and(|ending| ending == "json")).collect();
    commits.sort();
    let number = commits.iter().rev().find_map(|commit| {
        let text = std::fs::read_to_string(commit).unwrap();
        let actions = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        actions.filter_map(|action| action["txn"]["version"].as_u64()).next_back()
    });
    let folder = lake.join(table).join("_checkpoints").join(stream);
    let name = format!("{:020}.json", number.unwrap());
    serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap()
}

/// Names of the Parquet files below a table, relative to it.
pub(crate) fn parquet_files(lake: &Path, table: &str) -> Vec<String> {
    let root = lake.join(table);
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(path.strip_prefix(&root).unwrap().display().to_string());
            }
        }
    }
    found.sort();
    found
}

/// Rewrites the files of the event tables into fewer, like another engine that shares the lake. Gives the number of
/// rewritten files.
pub(crate) async fn compact(lake: &Path) -> u64 {
    let mut rewritten = 0;
    for (_, table) in STREAMS {
        let url = Url::from_directory_path(lake.join(table)).unwrap();
        let (_, metrics) = deltalake::open_table(url).await.unwrap().optimize().await.unwrap();
        rewritten += metrics.num_files_removed;
    }
    rewritten
}

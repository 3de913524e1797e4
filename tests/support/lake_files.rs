//! What a lake's folder says, read without Bluelake.

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

/// The document with the highest number. When nothing was interrupted after it was written, it is the one in force.
pub(crate) fn newest_document(lake: &Path, table: &str, stream: &str) -> Value {
    let folder = lake.join(table).join("_checkpoints").join(stream);
    let names = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name());
    let newest = names.filter(|name| name.to_string_lossy().ends_with(".json")).max().unwrap();
    serde_json::from_slice(&std::fs::read(folder.join(newest)).unwrap()).unwrap()
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

/// Rewrites the files of the event tables into fewer, as another engine that shares the lake does; gives how many were rewritten.
pub(crate) async fn compact(lake: &Path) -> u64 {
    let mut rewritten = 0;
    for (_, table) in STREAMS {
        let url = Url::from_directory_path(lake.join(table)).unwrap();
        let (_, metrics) = deltalake::open_table(url).await.unwrap().optimize().await.unwrap();
        rewritten += metrics.num_files_removed;
    }
    rewritten
}

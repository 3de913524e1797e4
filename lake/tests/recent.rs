//! Reading back the origins of rows: only the needed parts of a large file, and never all of it at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use bluelake_lake::{NewFile, Position, RecentRanges, recent_events};
use bluelake_schemas::Micros;
use bluelake_transform::{FileOptions, FileWriter, TableLayout};
use bytes::Bytes;
use object_store::{GetOptions, GetResult, ObjectStore, Result, path::Path};

use crate::{
    fixture::{Fixture, RowShape, STREAM, advance, after, empty, pin, rows_of},
    stores::{Concern, with_concern},
};

const SHARD: &str = "shardId-0";
/// 2026-01-01T00:00:00Z in microseconds.
const NEW_YEAR: i64 = 1_767_225_600_000_000;
const MINUTE: i64 = 60;
/// Row groups of a day, half an hour each.
const GROUPS: u32 = 48;
const GROUP_ROWS: u32 = 20_000;

/// Adds up the bytes read from Parquet files.
struct Counting(Arc<AtomicU64>);

#[async_trait]
impl Concern for Counting {
    async fn get(&self, store: &dyn ObjectStore, location: &Path, options: GetOptions) -> Result<GetResult> {
        let found = store.get_opts(location, options).await?;
        if location.extension() == Some("parquet") {
            self.0.fetch_add(found.range.end - found.range.start, Ordering::Relaxed);
        }
        Ok(found)
    }
}

/// A day of one shard as one file of many row groups, as a compaction leaves it; gives its size.
async fn with_a_day_in_one_file(fixture: &Fixture) -> u64 {
    let mut table = fixture.open().await;
    pin(&mut table, SHARD).await;
    let schema = fixture.contract.stream(STREAM).table_schema();
    let options =
        FileOptions { group_rows: GROUP_ROWS as usize, ..FileOptions::large(1, std::collections::BTreeMap::new()) };
    let mut writer = FileWriter::new(schema.clone(), TableLayout::EVENTS, &options).unwrap();
    for group in 0..GROUPS {
        let sequences: Vec<u32> = (group * GROUP_ROWS + 1..=(group + 1) * GROUP_ROWS).collect();
        let shape = RowShape { arrived: i64::from(group) * 30 * MINUTE, ..RowShape::default() };
        writer.push(&rows_of(&schema, SHARD, &sequences, shape)).unwrap();
    }
    let file = writer.finish().unwrap();
    let rows = u64::from(GROUPS * GROUP_ROWS);
    let step = advance(SHARD, Some(Position::TrimHorizon), after(GROUPS * GROUP_ROWS), rows, 0);
    let mut batch = empty(&table, vec![step]);
    let values = [("event_type", "donation"), ("event_date", "2026-01-01")];
    let file = NewFile {
        path: format!("event_type=donation/event_date=2026-01-01/{}-00000.parquet", batch.id),
        partition_values: values.map(|(column, value)| (column.to_owned(), value.to_owned())).to_vec(),
        bytes: Bytes::from(file.rest.concat()),
        rows: file.rows,
        statistics: file.statistics,
    };
    batch.files = vec![table.event_uploader().upload(file).await.unwrap()];
    table.commit(&batch).await.unwrap();
    batch.files[0].size
}

#[tokio::test]
async fn only_the_wanted_row_groups_are_read() {
    let fixture = Fixture::new().await;
    let size = with_a_day_in_one_file(&fixture).await;
    let bytes = Arc::new(AtomicU64::new(0));
    let lake = fixture.over(|inner| with_concern(inner, Counting(bytes.clone())));
    let table = lake.table(STREAM.table()).await.unwrap();
    let at = |minutes: i64| Micros::new(NEW_YEAR + minutes * MINUTE * 1_000_000);
    let mut reads = Vec::new();
    for (shard, from, to, groups) in
        [(SHARD, 1_500, 1_600, 0), ("shardId-9", 0, 1_440, 0), (SHARD, 300, 315, 1), (SHARD, 300, 330, 2)]
    {
        bytes.store(0, Ordering::Relaxed);
        let wanted: RecentRanges = [(shard.into(), at(from)..=at(to))].into();
        let mut found = 0;
        recent_events(STREAM.table(), &table, &wanted, &mut |_| found += 1).await.unwrap();
        assert_eq!(found, groups * GROUP_ROWS, "{shard} {from}–{to}");
        reads.push(bytes.load(Ordering::Relaxed));
    }
    // The footer of so many groups is most of what is read.
    assert_eq!(reads[..2], [0, 0], "no group, no footer");
    assert!(reads[2] * 5 <= size, "one group: {reads:?} of {size} bytes");
    assert!((reads[3] - reads[2]) * 20 <= size, "one more group: {reads:?} of {size} bytes");
}

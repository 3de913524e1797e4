//! The proof that the target holds what the lake does: both sides are read row by row, and added up by partition from the same
//! bytes. The target is read in one snapshot, the lake at the version that the target says it holds.

use std::collections::BTreeMap;

use bluelake_lake::Extent;
use futures::TryStreamExt as _;

use super::{
    copy::{Rows, Split, day_of, value},
    ddl::copy_out,
    session::{Position, Session, columns_there, missing_columns, position},
};
use crate::{
    columns::{Column, Table},
    digest::{Counts, Partition, TableVerdict},
    error::DeliverError,
    target::Source,
    users::Users,
};

impl Session {
    /// Compares a table.
    pub(super) async fn verify(&mut self, source: &mut Source) -> Result<TableVerdict, DeliverError> {
        let (options, name) = (self.options.clone(), source.name());
        let failed = |operation| options.fault(operation, Some(name));
        let wrong = |fault: String| TableVerdict::without_comparison(name, vec![fault]);
        if !self.has_own_tables().await? {
            return Ok(wrong("it was never loaded".to_owned()));
        }
        let transaction = self.client.build_transaction().read_only(true);
        let transaction = transaction.isolation_level(tokio_postgres::IsolationLevel::RepeatableRead);
        let transaction = transaction.start().await.map_err(failed("cannot begin"))?;
        let Some(Position { version, rows }) = position(&transaction, &options, source, false).await? else {
            return Ok(wrong("it was never loaded".to_owned()));
        };
        if version > source.version() {
            // A delivery went on meanwhile.
            source.feed.reload().await?;
        }
        if version > source.version() {
            return Ok(wrong(format!("it holds version {version}, and the lake has {} only", source.version())));
        }
        let table = source.table()?;
        let there = columns_there(&transaction, &options, name).await?;
        if there.is_empty() {
            return Ok(wrong("the table is gone from the target".to_owned()));
        }
        let missing = match missing_columns(&table, &there) {
            Ok(missing) => missing,
            Err(problem) => return Ok(wrong(problem)),
        };
        // A column that came to the lake since is null in it as well, at the version that the target holds.
        let held = self::held(&transaction, &options, (&table, &missing)).await?;
        let mut faults = Vec::new();
        let counted = held.values().map(|counts| counts.rows).fold(0, u64::saturating_add);
        if counted != rows {
            faults.push(format!("it holds {counted} rows, and its position says {rows}"));
        }
        let columns = table.columns.iter().filter(|column| !missing.contains(column)).cloned().collect();
        if let Some(users) = Users::of(&Table { columns, ..table.clone() }, &source.contract) {
            let row = transaction.query_one(&users.differences(&options.schema), &[]).await;
            let row = row.map_err(options.fault("cannot compare users", Some("users")))?;
            let (missing, odd): (i64, i64) = (row.get(0), row.get(1));
            if (missing, odd) != (0, 0) {
                faults.push(format!("users: {missing} rows that their events give are missing or different, and {odd} rows are there that no event gives"));
            }
        }
        transaction.rollback().await.map_err(options.fault("cannot end", Some(name)))?;
        let lake = of_lake(source, &table, version, &options.name).await?;
        Ok(TableVerdict::of(name, version, &lake, &held, faults))
    }
}

/// What the target holds, by partition; a column that it lacks is null.
async fn held(
    transaction: &tokio_postgres::Transaction<'_>,
    options: &super::PostgresOptions,
    (table, missing): (&Table, &[&Column]),
) -> Result<BTreeMap<Partition, Counts>, DeliverError> {
    let failed = || options.fault("cannot copy rows out", Some(table.name));
    let odd = |what: &str| options.refused(&format!("table '{}'", table.name), what, "run it again");
    let rows = transaction.copy_out(&copy_out(&options.schema, table, missing)).await.map_err(failed())?;
    let mut rows = std::pin::pin!(rows);
    let [first, day] = table.partition.map(|name| table.place(name).unwrap_or(usize::MAX));
    let points: Vec<usize> =
        table.columns.iter().enumerate().filter(|(_, column)| column.is_points).map(|(place, _)| place).collect();
    let mut held: BTreeMap<Partition, Counts> = BTreeMap::new();
    let mut split = Split::default();
    while let Some(bytes) = rows.try_next().await.map_err(failed())? {
        split.push(&bytes);
        while let Some(row) = split.next() {
            let text = |place| value(row, place).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
            let day = value(row, day).and_then(day_of).map(|day| day.to_string()).unwrap_or_default();
            let number = |place: &usize| {
                value(row, *place).and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes)
            };
            let points = points.iter().map(number).fold(0, i64::saturating_add);
            held.entry([text(first).to_owned(), day]).or_default().take_in(row, points);
        }
    }
    if split.has_ended() { Ok(held) } else { Err(odd("its rows end in the middle")) }
}

/// What the lake holds at a version, by partition.
async fn of_lake(
    source: &Source,
    table: &Table,
    version: u64,
    target: &str,
) -> Result<BTreeMap<Partition, Counts>, DeliverError> {
    let files = source.feed.files_at(version, &Extent::All).await.map_err(DeliverError::of_feed(target))?;
    let mut lake: BTreeMap<Partition, Counts> = BTreeMap::new();
    let mut bytes = Vec::new();
    for file in files {
        let of_file = || DeliverError::of_file(target, table.name);
        let mut parts = source.feed.rows(&file, &table.names()).await.map_err(of_file())?;
        let counts = lake.entry(file.partition.clone()).or_default();
        while let Some(batch) = parts.next().await.map_err(of_file())? {
            let rows = Rows::new(table, &batch, &file.partition)?;
            for row in 0..batch.num_rows() {
                bytes.clear();
                rows.encode(row, &mut bytes)?;
                counts.take_in(&bytes, rows.points(row));
            }
        }
    }
    Ok(lake)
}

//! A step: the position is locked, rows come and leave, users are worked out anew, the position moves; all of it in one
//! transaction.

use std::collections::HashSet;

use bluelake_lake::{Extent, FeedFile, FeedStep, TableChange, Touch};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::SinkExt as _;
use tokio_postgres::{CopyInSink, Transaction};

use super::{
    PostgresOptions,
    copy::{HEADER, Rows, TRAILER},
    ddl::{self, condition},
    session::{Session, columns_there, missing_columns, position, rebuild},
};
use crate::{
    columns::Table,
    error::DeliverError,
    sql::{DELIVERIES, Lists, place, quoted, views},
    target::{Applied, Source},
    users::Users,
};

/// Bytes of rows that are sent at once.
const CHUNK: usize = 1 << 20;

/// The position of a row in its stream.
type RowPosition = (String, String, i32);

impl Session {
    /// Takes a step.
    pub(super) async fn apply(&mut self, source: &Source, step: &FeedStep) -> Result<Applied, DeliverError> {
        let table = source.table()?;
        let options = self.options.clone();
        let failed = |operation| options.fault(operation, Some(table.name));
        let transaction = self.client.transaction().await.map_err(failed("cannot begin"))?;
        let held = position(&transaction, &options, source, true).await?;
        if held.is_none_or(|held| held.version != step.from) {
            return Ok(Applied::Overtaken);
        }
        let mut change = Change::begin(&transaction, &options, source, &table).await?;
        match &step.change {
            TableChange::Same => {}
            TableChange::Columns => change.add_columns().await?,
            TableChange::Append(files) => {
                change.add_columns().await?;
                change.copy(table.name, files, None).await?;
            }
            TableChange::Expired(before) => change.delete(&Extent::Days { from: None, before: *before }).await?,
            TableChange::Replaced(extent) => {
                change.add_columns().await?;
                change.delete(extent).await?;
                let files = source.feed.files_at(step.to, extent).await;
                change.copy(table.name, &files.map_err(DeliverError::of_feed(&options.name))?, None).await?;
            }
            TableChange::Changed { touched, files } => {
                change.add_columns().await?;
                change.rewrite(touched, files).await?;
            }
        }
        change.renew_users().await?;
        let (added, removed) = (change.added, change.removed);
        let moved = Moved { to: step.to, time: step.written_at.time(), added, removed };
        advance(&transaction, &options, table.name, &moved).await?;
        transaction.commit().await.map_err(failed("cannot commit"))?;
        Ok(Applied::Done { added, removed })
    }
}

struct Moved {
    to: u64,
    time: Option<DateTime<Utc>>,
    added: u64,
    removed: u64,
}

async fn advance(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    table: &str,
    moved: &Moved,
) -> Result<(), DeliverError> {
    let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let update = format!(
        "UPDATE {} SET version = $2, rows = rows + $3, lake_time = $4, delivered_at = now() WHERE table_name = $1",
        place(&options.schema, DELIVERIES)
    );
    let rows = number(moved.added).saturating_sub(number(moved.removed));
    let failed = || options.fault("cannot move the position", Some(table));
    let done = transaction.execute(&update, &[&table, &number(moved.to), &rows, &moved.time]).await.map_err(failed())?;
    if done != 1 {
        return Err(options.refused(&format!("table '{table}'"), "its position is gone", "run it again"));
    }
    notify(transaction, options, table, moved.to).await.map_err(failed())
}

/// Tells who listens on the channel `bluelake`, once it is committed.
pub(super) async fn notify(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    table: &str,
    version: u64,
) -> Result<(), tokio_postgres::Error> {
    let text = format!("{}.{table} {version}", options.schema);
    transaction.execute("SELECT pg_notify('bluelake', $1)", &[&text]).await.map(drop)
}

/// What is done to a table in a transaction.
pub(super) struct Change<'a> {
    transaction: &'a Transaction<'a>,
    options: &'a PostgresOptions,
    source: &'a Source,
    table: &'a Table,
    users: Option<Users>,
    /// Users whose events came. Those whose events left are in the temporary table already.
    touched: HashSet<String>,
    pub(super) added: u64,
    pub(super) removed: u64,
}

impl<'a> Change<'a> {
    /// Begins a change of the table in use.
    async fn begin(
        transaction: &'a Transaction<'a>,
        options: &'a PostgresOptions,
        source: &'a Source,
        table: &'a Table,
    ) -> Result<Self, DeliverError> {
        let users = Users::of(table, &source.contract);
        let change = Self { users, ..Self::of_load(transaction, options, source, table) };
        if change.users.is_some() {
            let temporary = "CREATE TEMPORARY TABLE touched (user_id text) ON COMMIT DROP";
            change.run(temporary, "cannot note which users change").await?;
        }
        Ok(change)
    }

    /// Begins a load of a table that is not in use: its users are worked out at the end.
    pub(super) fn of_load(
        transaction: &'a Transaction<'a>,
        options: &'a PostgresOptions,
        source: &'a Source,
        table: &'a Table,
    ) -> Self {
        Self { transaction, options, source, table, users: None, touched: HashSet::new(), added: 0, removed: 0 }
    }

    async fn run(&self, statement: &str, operation: &str) -> Result<(), DeliverError> {
        let failed = self.options.fault(operation, Some(self.table.name));
        self.transaction.batch_execute(statement).await.map_err(failed)
    }

    /// Adds the columns that the table in use lacks.
    async fn add_columns(&self) -> Result<(), DeliverError> {
        let (options, name) = (self.options, self.table.name);
        let there = columns_there(self.transaction, options, name).await?;
        let missing = missing_columns(self.table, &there).map_err(|problem| rebuild(options, name, &problem))?;
        if missing.is_empty() {
            return Ok(());
        }
        let statement = ddl::add_columns(&options.schema, name, missing.into_iter());
        self.run(&statement, "cannot add columns").await?;
        if let Some(users) = &self.users {
            self.run(&users.add_columns(&options.schema), "cannot add columns of users").await?;
        }
        make_views(self.transaction, options, self.source, self.table).await
    }

    /// Copies the rows of files in, or those with these positions.
    pub(super) async fn copy(
        &mut self,
        into: &str,
        files: &[FeedFile],
        only: Option<&HashSet<RowPosition>>,
    ) -> Result<(), DeliverError> {
        if files.is_empty() {
            return Ok(());
        }
        let failed = || self.options.fault("cannot copy rows in", Some(self.table.name));
        let statement = ddl::copy_in(&self.options.schema, into, self.table);
        let sink = self.transaction.copy_in(&statement).await.map_err(failed())?;
        let mut sink = std::pin::pin!(sink);
        let mut bytes = HEADER.to_vec();
        let mut rows = 0_u64;
        let user = self.users.as_ref().and_then(|_| self.table.place("user_id"));
        for file in files {
            let mut parts = self.parts(file).await?;
            while let Some(batch) = parts.next().await.map_err(self.of_file())? {
                let encoder = Rows::new(self.table, &batch, &file.partition)?;
                let positions = only.map(|only| (only, positions(&batch)));
                for row in 0..batch.num_rows() {
                    if let Some((only, positions)) = &positions
                        && !positions.as_ref().and_then(|all| all.get(row)).is_some_and(|it| only.contains(it))
                    {
                        continue;
                    }
                    encoder.encode(row, &mut bytes)?;
                    rows += 1;
                    if let Some(id) = user.and_then(|place| encoder.text(place, row))
                        && !self.touched.contains(id)
                    {
                        self.touched.insert(id.to_owned());
                    }
                    if bytes.len() >= CHUNK {
                        send(&mut sink, &mut bytes).await.map_err(failed())?;
                    }
                }
            }
        }
        bytes.extend_from_slice(&TRAILER);
        send(&mut sink, &mut bytes).await.map_err(failed())?;
        let copied = sink.as_mut().finish().await.map_err(failed())?;
        let expected = if only.is_some() { rows } else { files.iter().map(|file| file.rows).sum() };
        if copied != expected {
            let problem = format!("{copied} rows were copied in, and the log of the lake says {expected}");
            let about = format!("table '{}'", self.table.name);
            return Err(self.options.refused(&about, &problem, "nothing was changed; run `bluelake lake verify`"));
        }
        self.added += copied;
        Ok(())
    }

    async fn parts(&self, file: &FeedFile) -> Result<bluelake_lake::FeedRows, DeliverError> {
        self.source.feed.rows(file, &self.table.names()).await.map_err(self.of_file())
    }

    fn of_file(&self) -> impl FnOnce(bluelake_lake::LakeError) -> DeliverError + use<> {
        DeliverError::of_file(&self.options.name, self.table.name)
    }

    /// Deletes the rows of some partitions.
    async fn delete(&mut self, extent: &Extent) -> Result<(), DeliverError> {
        let condition = format!("t WHERE {}", condition(self.table, extent));
        self.delete_where(&condition).await
    }

    /// Deletes rows, and notes whose they were.
    async fn delete_where(&mut self, condition: &str) -> Result<(), DeliverError> {
        let delete = format!("DELETE FROM {} {condition}", place(&self.options.schema, self.table.name));
        let statement = if self.users.is_some() {
            format!(
                "WITH gone AS ({delete} RETURNING t.user_id), noted AS (INSERT INTO pg_temp.touched SELECT DISTINCT user_id FROM gone) \
                 SELECT count(*) FROM gone"
            )
        } else {
            format!("WITH gone AS ({delete} RETURNING 1) SELECT count(*) FROM gone")
        };
        let failed = self.options.fault("cannot delete rows", Some(self.table.name));
        let count: i64 = self.transaction.query_one(&statement, &[]).await.map_err(failed)?.get(0);
        self.removed += u64::try_from(count).unwrap_or_default();
        Ok(())
    }

    /// Deletes the rows that an erasure touched, and copies those in that have other values now.
    async fn rewrite(&mut self, list: &str, files: &[FeedFile]) -> Result<(), DeliverError> {
        let touched = self.source.feed.touched(list).await.map_err(self.of_file())?;
        let temporary = "CREATE TEMPORARY TABLE erased (shard text COLLATE \"C\", sequence text COLLATE \"C\", \
                         sub_sequence integer) ON COMMIT DROP";
        self.run(temporary, "cannot note which rows change").await?;
        let (mut shards, mut sequences, mut numbers) = (Vec::new(), Vec::new(), Vec::new());
        for row in &touched {
            shards.push(row.shard.as_str());
            sequences.push(row.sequence.as_str());
            numbers.push(row.sub_sequence);
        }
        let insert = "INSERT INTO pg_temp.erased SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::int[])";
        let failed = self.options.fault("cannot note which rows change", Some(self.table.name));
        self.transaction.execute(insert, &[&shards, &sequences, &numbers]).await.map_err(failed)?;
        self.run("ANALYZE pg_temp.erased", "cannot note which rows change").await?;
        self.delete_where(
            "t USING pg_temp.erased e WHERE t.stream_shard = e.shard AND t.stream_sequence = e.sequence \
             AND t.stream_sub_sequence = e.sub_sequence",
        )
        .await?;
        let rewritten = touched.into_iter().filter(|row| row.what == Touch::Rewritten);
        let rewritten: HashSet<RowPosition> =
            rewritten.map(|row| (row.shard, row.sequence, row.sub_sequence)).collect();
        let before = self.added;
        self.copy(self.table.name, files, Some(&rewritten)).await?;
        let (found, expected) = (self.added - before, u64::try_from(rewritten.len()).unwrap_or_default());
        if found == expected {
            return Ok(());
        }
        let reason = format!(
            "the list of an erasure names {expected} rows with other values, and its files have {found} of them"
        );
        Err(rebuild(self.options, self.table.name, &reason))
    }

    /// Works out the users anew whose events came or left.
    async fn renew_users(&mut self) -> Result<(), DeliverError> {
        let Some(users) = &self.users else { return Ok(()) };
        if self.added == 0 && self.removed == 0 {
            return Ok(());
        }
        let failed = || self.options.fault("cannot note which users change", Some(self.table.name));
        let touched: Vec<&str> = self.touched.iter().map(String::as_str).collect();
        let insert = "INSERT INTO pg_temp.touched SELECT unnest($1::text[])";
        for part in touched.chunks(10_000) {
            self.transaction.execute(insert, &[&part]).await.map_err(failed())?;
        }
        self.run(&users.renew(&self.options.schema), "cannot work out users").await
    }
}

/// Makes the views over a table, or gives them new columns, and lets the read role read.
pub(super) async fn make_views(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    source: &Source,
    table: &Table,
) -> Result<(), DeliverError> {
    for view in views(&options.schema, table, &source.contract, Lists::AsRows) {
        let there = columns_there(transaction, options, &view.name).await?;
        let there: Vec<String> = there.into_iter().map(|(name, _)| name).collect();
        let failed = options.fault("cannot make a view", Some(&view.name));
        transaction.batch_execute(&view.statement(&options.schema, &there)).await.map_err(failed)?;
    }
    let Some(role) = &options.read_role else { return Ok(()) };
    let relations = ddl::relations(&options.schema, table, &source.contract);
    let grants = ddl::grants(&options.schema, role, &relations);
    let about = format!("cannot let {} read", quoted(role));
    transaction.batch_execute(&grants).await.map_err(options.fault(&about, Some(table.name)))
}

pub(super) async fn send(
    sink: &mut std::pin::Pin<&mut CopyInSink<Bytes>>,
    bytes: &mut Vec<u8>,
) -> Result<(), tokio_postgres::Error> {
    sink.send(Bytes::from(std::mem::take(bytes))).await
}

/// The positions of the rows of a batch; `None` when it lacks a column of them.
fn positions(batch: &arrow::array::RecordBatch) -> Option<Vec<RowPosition>> {
    use arrow::array::AsArray as _;
    let shards = batch.column_by_name("stream_shard")?.as_string_opt::<i32>()?;
    let sequences = batch.column_by_name("stream_sequence")?.as_string_opt::<i32>()?;
    let numbers = batch.column_by_name("stream_sub_sequence")?.as_primitive_opt::<arrow::datatypes::Int32Type>()?;
    let position = |row| (shards.value(row).to_owned(), sequences.value(row).to_owned(), numbers.value(row));
    Some((0..batch.num_rows()).map(position).collect())
}

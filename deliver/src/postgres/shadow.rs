//! The load of a whole table beside the one that is in use, partition by partition, and the exchange at its end. A load that
//! was broken off goes on where it was.

use std::collections::BTreeSet;

use bluelake_lake::{Extent, FeedFile};
use tokio_postgres::Transaction;

use super::{
    PostgresOptions,
    apply::{Change, make_views, notify},
    ddl,
    session::{Session, another_lake, columns_there, lock, missing_columns, position},
};
use crate::{
    columns::Table,
    error::DeliverError,
    sql::{DELIVERIES, LOADED, LOADS, Lists, USERS, beside, place, quoted, views},
    target::{Applied, Load, Source},
    users::Users,
};

impl Session {
    /// Begins a load, or finds the one that is under way.
    pub(super) async fn begin_load(&mut self, source: &Source) -> Result<Load, DeliverError> {
        let table = source.table()?;
        let options = self.options.clone();
        let failed = |operation| options.fault(operation, Some(table.name));
        let written_at = source.feed.written_at(source.version()).await?.and_then(|at| at.time());
        let transaction = self.client.transaction().await.map_err(failed("cannot begin"))?;
        lock(&transaction, &options.schema).await.map_err(failed("cannot lock the schema"))?;
        refuse_other_tables(&transaction, &options, source).await?;
        let schema = &options.schema;
        let there = columns_there(&transaction, &options, &beside(table.name)).await?;
        let fits = missing_columns(&table, &there).is_ok_and(|missing| missing.is_empty());
        if let Some(load) = under_way(&transaction, &options, source, false).await?.filter(|_| fits) {
            return Ok(load);
        }
        throw_away(&transaction, &options, &table).await?;
        let mut create = ddl::create_table(schema, &beside(table.name), &table.columns);
        if let Some(users) = Users::of(&table, &source.contract) {
            create.push_str(&users.create(schema, &beside(USERS)));
        }
        transaction.batch_execute(&create).await.map_err(failed("cannot make the table"))?;
        let insert = format!(
            "INSERT INTO {} (table_name, lake_table_id, lake, columns, version, lake_time) VALUES ($1, $2, $3, $4, $5, $6)",
            place(schema, LOADS)
        );
        let (id, columns, version) = (source.feed.table_id()?, source.columns.to_string(), signed(source.version()));
        let values: &[&(dyn tokio_postgres::types::ToSql + Sync)] =
            &[&table.name, &id, &source.lake, &columns, &version, &written_at];
        transaction.execute(&insert, values).await.map_err(failed("cannot note the load"))?;
        transaction.commit().await.map_err(failed("cannot commit"))?;
        Ok(Load { version: source.version(), done: BTreeSet::new() })
    }

    /// Loads some partitions.
    pub(super) async fn load(
        &mut self,
        source: &Source,
        load: &Load,
        files: &[FeedFile],
    ) -> Result<Applied, DeliverError> {
        let table = source.table()?;
        let options = self.options.clone();
        let failed = |operation| options.fault(operation, Some(table.name));
        let transaction = self.client.transaction().await.map_err(failed("cannot begin"))?;
        let found = under_way(&transaction, &options, source, true).await?;
        let partitions: BTreeSet<&[String; 2]> = files.iter().map(|file| &file.partition).collect();
        let is_mine = |found: &Load| {
            found.version == load.version && partitions.iter().all(|partition| !found.done.contains(*partition))
        };
        if !found.as_ref().is_some_and(is_mine) {
            return Ok(Applied::Overtaken);
        }
        let mut change = Change::of_load(&transaction, &options, source, &table);
        change.copy(&beside(table.name), files, None).await?;
        let added = change.added;
        let insert = format!(
            "INSERT INTO {} (table_name, first, day, rows) VALUES ($1, $2, $3, $4)",
            place(&options.schema, LOADED)
        );
        for partition in partitions {
            let rows: u64 = files.iter().filter(|file| file.partition == *partition).map(|file| file.rows).sum();
            let [first, day] = partition;
            let noted = transaction.execute(&insert, &[&table.name, first, day, &signed(rows)]).await;
            noted.map_err(failed("cannot note what is loaded"))?;
        }
        transaction.commit().await.map_err(failed("cannot commit"))?;
        Ok(Applied::Done { added, removed: 0 })
    }

    /// Makes indexes and users, and puts what was loaded in the place of what is in use.
    pub(super) async fn finish_load(&mut self, source: &Source, load: &Load) -> Result<Applied, DeliverError> {
        let table = source.table()?;
        let options = self.options.clone();
        let schema = &options.schema;
        let failed = |operation| options.fault(operation, Some(table.name));
        let files = source.feed.files_at(load.version, &Extent::All).await;
        let files = files.map_err(DeliverError::of_feed(&options.name))?;
        let partitions: BTreeSet<[String; 2]> = files.into_iter().map(|file| file.partition).collect();
        let transaction = self.client.transaction().await.map_err(failed("cannot begin"))?;
        let found = under_way(&transaction, &options, source, true).await?;
        if found.is_none_or(|found| found.version != load.version || found.done != partitions) {
            return Ok(Applied::Overtaken);
        }
        let mut make = ddl::indexes(schema, &beside(table.name), &table);
        let users = Users::of(&table, &source.contract);
        if let Some(users) = &users {
            make.push_str(&format!("ANALYZE {};", place(schema, &beside(table.name))));
            make.push_str(&users.fill(schema, &beside(USERS), &beside(table.name)));
        }
        transaction.batch_execute(&make).await.map_err(failed("cannot make indexes and users"))?;
        // From here on others wait: whoever delivers to the table in use holds its position.
        lock(&transaction, schema).await.map_err(failed("cannot lock the schema"))?;
        refuse_other_tables(&transaction, &options, source).await?;
        let ask = format!("SELECT 1 FROM {} WHERE table_name = $1 FOR UPDATE", place(schema, DELIVERIES));
        transaction.query_opt(&ask, &[&table.name]).await.map_err(failed("cannot lock the position"))?;
        exchange(&transaction, &options, source, &table).await?;
        let moved = format!(
            "INSERT INTO {deliveries} (table_name, lake_table_id, lake, columns, version, rows, lake_time) \
             SELECT l.table_name, l.lake_table_id, l.lake, l.columns, l.version, \
             (SELECT coalesce(sum(p.rows), 0) FROM {loaded} p WHERE p.table_name = l.table_name)::bigint, l.lake_time \
             FROM {loads} l WHERE l.table_name = $1 \
             ON CONFLICT (table_name) DO UPDATE SET lake_table_id = excluded.lake_table_id, lake = excluded.lake, \
             columns = excluded.columns, version = excluded.version, rows = excluded.rows, \
             lake_time = excluded.lake_time, delivered_at = now()",
            deliveries = place(schema, DELIVERIES),
            loads = place(schema, LOADS),
            loaded = place(schema, LOADED),
        );
        transaction.execute(&moved, &[&table.name]).await.map_err(failed("cannot move the position"))?;
        forget(&transaction, &options, table.name).await?;
        notify(&transaction, &options, table.name, load.version).await.map_err(failed("cannot notify"))?;
        transaction.commit().await.map_err(failed("cannot commit"))?;
        Ok(Applied::Done { added: 0, removed: 0 })
    }

    /// Throws away what was loaded.
    pub(super) async fn abandon_load(&mut self, source: &Source) -> Result<(), DeliverError> {
        let table = source.table()?;
        let options = self.options.clone();
        let failed = |operation| options.fault(operation, Some(table.name));
        let transaction = self.client.transaction().await.map_err(failed("cannot begin"))?;
        lock(&transaction, &options.schema).await.map_err(failed("cannot lock the schema"))?;
        throw_away(&transaction, &options, &table).await?;
        transaction.commit().await.map_err(failed("cannot commit"))
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Tables of these names that Bluelake did not make, or that another lake delivers, stay as they are.
async fn refuse_other_tables(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    source: &Source,
) -> Result<(), DeliverError> {
    let name = source.name();
    match position(transaction, options, source, false).await {
        // A rebuild is what it needs.
        Err(DeliverError::Rebuild { .. }) | Ok(Some(_)) => return Ok(()),
        Err(error) => return Err(error),
        Ok(None) => {}
    }
    for relation in ddl::relations(&options.schema, &source.table()?, &source.contract) {
        if !columns_there(transaction, options, &relation).await?.is_empty() {
            let problem = format!("the schema '{}' has a '{relation}' that Bluelake did not make", options.schema);
            let remedy = "rename or drop it, or give the target another schema";
            return Err(options.refused(&format!("table '{name}'"), &problem, remedy));
        }
    }
    Ok(())
}

/// The load of a table that is under way, if it is of this lake and has these columns; locked until the transaction ends if
/// that is asked for: then nobody else goes on with it.
async fn under_way(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    source: &Source,
    locked: bool,
) -> Result<Option<Load>, DeliverError> {
    let name = source.name();
    let failed = || options.fault("cannot read the load", Some(name));
    let lock = if locked { " FOR UPDATE" } else { "" };
    let ask = format!(
        "SELECT version, lake_table_id, columns, lake FROM {} WHERE table_name = $1{lock}",
        place(&options.schema, LOADS)
    );
    let Some(row) = transaction.query_opt(&ask, &[&name]).await.map_err(failed())? else { return Ok(None) };
    let (version, id, columns): (i64, String, String) = (row.get(0), row.get(1), row.get(2));
    if id != source.feed.table_id()? {
        let lake: String = row.get(3);
        return Err(another_lake(options, name, &lake));
    }
    if columns != source.columns.to_string() {
        return Ok(None);
    }
    let ask = format!("SELECT first, day FROM {} WHERE table_name = $1", place(&options.schema, LOADED));
    let rows = transaction.query(&ask, &[&name]).await.map_err(failed())?;
    let done = rows.iter().map(|row| [row.get(0), row.get(1)]).collect();
    Ok(Some(Load { version: u64::try_from(version).unwrap_or_default(), done }))
}

async fn throw_away(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    table: &Table,
) -> Result<(), DeliverError> {
    let mut names = vec![beside(table.name)];
    if table.name == bluelake_schemas::Stream::UserEvents.table() {
        names.push(beside(USERS));
    }
    for name in names {
        let drop = format!("DROP TABLE IF EXISTS {}", place(&options.schema, &name));
        let failed = options.fault("cannot drop what was loaded before", Some(table.name));
        transaction.batch_execute(&drop).await.map_err(failed)?;
    }
    forget(transaction, options, table.name).await
}

async fn forget(transaction: &Transaction<'_>, options: &PostgresOptions, table: &str) -> Result<(), DeliverError> {
    for name in [LOADS, LOADED] {
        let delete = format!("DELETE FROM {} WHERE table_name = $1", place(&options.schema, name));
        let failed = options.fault("cannot forget the load", Some(table));
        transaction.execute(&delete, &[&table]).await.map_err(failed)?;
    }
    Ok(())
}

/// Drops what is in use and gives its names to what was loaded.
async fn exchange(
    transaction: &Transaction<'_>,
    options: &PostgresOptions,
    source: &Source,
    table: &Table,
) -> Result<(), DeliverError> {
    let schema = &options.schema;
    let at = |name: &str| place(schema, name);
    let mut statements = String::new();
    for view in views(schema, table, &source.contract, Lists::AsRows) {
        statements.push_str(&format!("DROP VIEW IF EXISTS {};", at(&view.name)));
    }
    let users = Users::of(table, &source.contract).map(|_| USERS);
    for name in [table.name].into_iter().chain(users) {
        let name_in_use = quoted(name);
        statements.push_str(&format!(
            "DROP TABLE IF EXISTS {}; ALTER TABLE {} RENAME TO {name_in_use};",
            at(name),
            at(&beside(name))
        ));
    }
    let failed = options.fault("cannot put what was loaded in its place", Some(table.name));
    transaction.batch_execute(&statements).await.map_err(failed)?;
    make_views(transaction, options, source, table).await
}

//! The load of a whole table beside the one that is in use, partition by partition, and the exchange at its end. A load that
//! was broken off goes on where it was.

use std::collections::{BTreeMap, BTreeSet};

use bluelake_lake::{Extent, FeedFile};
use chrono::Utc;

use super::{
    RedshiftTarget,
    change::{Change, PARTS},
    ddl::{self, LOSSES, literal, missing_columns},
    position::{UnderWay, about, fence_load, maybe_time, time},
    staging,
    statements::Outcome,
};
use crate::{
    columns::Table,
    digest::Partition,
    error::DeliverError,
    sql::{DELIVERIES, LOADED, LOADS, beside, place, quoted},
    target::{Applied, Load, Source},
};

/// Tries to begin a load while others do.
const TRIES: usize = 5;

impl RedshiftTarget {
    /// Begins a load, or finds the one that is under way.
    pub(super) async fn begin(&mut self, source: &Source) -> Result<Load, DeliverError> {
        let table = source.table()?;
        let (operation, about) = ("cannot begin a load", about(table.name));
        let mut said = String::new();
        for _ in 0..TRIES {
            self.refuse_other_tables(source).await?;
            let there = self.columns_of(&beside(table.name)).await?;
            let fits = missing_columns(&table, &there).is_ok_and(|missing| missing.is_empty())
                && ddl::is_wide_enough(&table, &there);
            if let Some(found) = self.under_way(source).await?.filter(|_| fits) {
                self.loads.insert(table.name, found.attempt);
                return Ok(found.load);
            }
            let found = self.find(source).await?.loading.map(|loading| loading.attempt);
            let attempt = staging::attempt();
            let statements = self.to_begin(source, &table, found.as_deref(), &attempt).await?;
            match self.api.batch(operation, &about, &statements).await? {
                Outcome::Finished(_) => {
                    self.loads.insert(table.name, attempt);
                    return Ok(Load { version: source.version(), done: BTreeSet::new() });
                }
                // Another process may have begun one.
                Outcome::Failed(words) => said = words,
            }
        }
        Err(self.options.of_statement(operation, &about, &said))
    }

    async fn to_begin(
        &self,
        source: &Source,
        table: &Table,
        found: Option<&str>,
        attempt: &str,
    ) -> Result<Vec<String>, DeliverError> {
        let schema = &self.options.schema;
        let written_at = source.feed.written_at(source.version()).await?.and_then(|at| at.time());
        let (loads, name) = (place(schema, LOADS), literal(table.name));
        // The load that was found, or none, is there still.
        let same = match found {
            Some(found) => format!("\"table_name\" = {name} AND \"began_by\" = {}", literal(found)),
            None => format!("\"table_name\" = {name}"),
        };
        let number = u8::from(found.is_some());
        let mut statements = vec![
            format!("LOCK {loads}"),
            format!("SELECT 1 / (CASE WHEN COUNT(*) = {number} THEN 1 ELSE 0 END) FROM {loads} WHERE {same}"),
        ];
        statements.extend(self.to_forget(table, true));
        statements.push(ddl::create_table(schema, &beside(table.name), &table.columns));
        statements.push(format!(
            "INSERT INTO {loads} (\"table_name\", \"lake_table_id\", \"lake\", \"columns\", \"version\", \"lake_time\", \"began_at\", \"began_by\") \
             VALUES ({name}, {}, {}, {}, {}, {}, {}, {})",
            literal(&source.feed.table_id()?),
            literal(&source.lake),
            literal(&source.columns.to_string()),
            source.version(),
            maybe_time(written_at),
            time(Utc::now()),
            literal(attempt)
        ));
        Ok(statements)
    }

    /// The statements that forget a load, with what it made or without.
    fn to_forget(&self, table: &Table, with_rows: bool) -> Vec<String> {
        let schema = &self.options.schema;
        let drop = with_rows.then(|| format!("DROP TABLE IF EXISTS {}", place(schema, &beside(table.name))));
        let forget = [LOADS.to_owned(), LOADED.to_owned(), beside(LOSSES)]
            .map(|name| format!("DELETE FROM {} WHERE \"table_name\" = {}", place(schema, &name), literal(table.name)));
        drop.into_iter().chain(forget).collect()
    }

    /// Loads some partitions.
    pub(super) async fn load_files(
        &mut self,
        source: &Source,
        load: &Load,
        files: &[FeedFile],
    ) -> Result<Applied, DeliverError> {
        let table = source.table()?;
        let schema = self.options.schema.clone();
        let mut rows: BTreeMap<Partition, u64> = BTreeMap::new();
        files.iter().for_each(|file| *rows.entry(file.partition.clone()).or_default() += file.rows);
        if self.is_overtaken(source, load, &rows).await? {
            return Ok(Applied::Overtaken);
        }
        let there = self.columns_of(&beside(table.name)).await?;
        let folder =
            format!("{}/{}/{}", self.place(source)?, staging::of_load(self.loading(&table)), staging::attempt());
        let mut change = Change::new(self, source, &table, there, folder);
        change.statements = fence_load(&schema, table.name, load, self.loading(&table));
        let partitions: Vec<(Partition, u64)> =
            rows.iter().map(|(partition, rows)| (partition.clone(), *rows)).collect();
        let staged = match change.stage_parts(&partitions).await {
            Ok(()) => {
                let (loaded, parts, name) = (place(&schema, LOADED), quoted(PARTS), literal(table.name));
                change.statements.push(format!(
                    "SELECT 1 / (CASE WHEN COUNT(*) = 0 THEN 1 ELSE 0 END) FROM {loaded} l JOIN {parts} p \
                     ON l.\"first\" = p.\"first\" AND l.\"day\" = p.\"day\" WHERE l.\"table_name\" = {name}"
                ));
                change.statements.push(format!(
                    "INSERT INTO {loaded} (\"table_name\", \"first\", \"day\", \"rows\") \
                     SELECT {name}, p.\"first\", p.\"day\", p.\"rows\" FROM {parts} p"
                ));
                change.add(&beside(table.name), &beside(LOSSES), files, None).await
            }
            Err(error) => Err(error),
        };
        if let Err(error) = staged {
            change.clear().await;
            return Err(error);
        }
        let (operation, about) = ("cannot load rows", about(table.name));
        let applied = match self.api.batch(operation, &about, &change.statements).await? {
            Outcome::Finished(touched) => {
                let (_, unparsed) = change.counted(&touched);
                self.note_lost(table.name, change.lost + unparsed);
                Ok(Applied::Done { added: change.added, removed: 0 })
            }
            Outcome::Failed(said) => match self.is_overtaken(source, load, &rows).await {
                Ok(true) => Ok(Applied::Overtaken),
                Ok(false) => Err(self.options.of_statement(operation, &about, &said)),
                Err(error) => Err(error),
            },
        };
        change.clear().await;
        applied
    }

    /// The attempt that began the load with which this process goes on.
    fn loading(&self, table: &Table) -> &str {
        self.loads.get(table.name).map_or("", String::as_str)
    }

    /// Whether this is the load with which this process goes on.
    fn is_mine(&self, source: &Source, load: &Load, found: &UnderWay) -> bool {
        found.load.version == load.version && self.loads.get(source.name()) == Some(&found.attempt)
    }

    /// Whether somebody else ended a load, or loaded some of these partitions.
    async fn is_overtaken(
        &self,
        source: &Source,
        load: &Load,
        partitions: &BTreeMap<Partition, u64>,
    ) -> Result<bool, DeliverError> {
        let found = self.under_way(source).await?.filter(|found| self.is_mine(source, load, found));
        Ok(found.is_none_or(|found| partitions.keys().any(|partition| found.load.done.contains(partition))))
    }

    /// Puts what was loaded in the place of what is in use.
    pub(super) async fn finish(&mut self, source: &Source, load: &Load) -> Result<Applied, DeliverError> {
        let table = source.table()?;
        let files = source.feed.files_at(load.version, &Extent::All).await;
        let files = files.map_err(DeliverError::of_feed(&self.options.name))?;
        let partitions: BTreeSet<Partition> = files.into_iter().map(|file| file.partition).collect();
        let found = self.under_way(source).await?;
        if !found.is_some_and(|found| self.is_mine(source, load, &found) && found.load.done == partitions) {
            return Ok(Applied::Overtaken);
        }
        self.refuse_other_tables(source).await?;
        let (operation, about) = ("cannot put what was loaded in its place", about(table.name));
        let attempt = staging::attempt();
        let statements = self.to_finish(source, &table, (load, partitions.len()), &attempt);
        match self.api.batch(operation, &about, &statements).await? {
            Outcome::Finished(_) => {
                self.clear_away(source).await;
                Ok(Applied::Done { added: 0, removed: 0 })
            }
            Outcome::Failed(said) => match self.under_way(source).await? {
                Some(found) if self.is_mine(source, load, &found) => {
                    Err(self.options.of_statement(operation, &about, &said))
                }
                _ => Ok(Applied::Overtaken),
            },
        }
    }

    fn to_finish(
        &self,
        source: &Source,
        table: &Table,
        (load, partitions): (&Load, usize),
        attempt: &str,
    ) -> Vec<String> {
        let (schema, name) = (&self.options.schema, literal(table.name));
        let at = |name: &str| place(schema, name);
        // Whoever takes a step of the table in use locks the positions as well, and first.
        let mut statements = vec![format!("LOCK {}", at(DELIVERIES))];
        statements.extend(fence_load(schema, table.name, load, self.loading(table)));
        let (loaded, loads, deliveries) = (at(LOADED), at(LOADS), at(DELIVERIES));
        statements.push(format!(
            "SELECT 1 / (CASE WHEN COUNT(*) = {partitions} THEN 1 ELSE 0 END) FROM {loaded} WHERE \"table_name\" = {name}"
        ));
        statements.extend([
            format!("DROP TABLE IF EXISTS {}", at(table.name)),
            format!("ALTER TABLE {} RENAME TO {}", at(&beside(table.name)), quoted(table.name)),
            format!("DELETE FROM {deliveries} WHERE \"table_name\" = {name}"),
            format!(
                "INSERT INTO {deliveries} (\"table_name\", \"lake_table_id\", \"lake\", \"columns\", \"version\", \"lake_time\", \
                 \"rows\", \"delivered_at\", \"moved_by\") \
                 SELECT l.\"table_name\", l.\"lake_table_id\", l.\"lake\", l.\"columns\", l.\"version\", l.\"lake_time\", \
                 CAST(COALESCE(SUM(p.\"rows\"), 0) AS BIGINT), {}, {} FROM {loads} l LEFT JOIN {loaded} p \
                 ON p.\"table_name\" = l.\"table_name\" WHERE l.\"table_name\" = {name} \
                 GROUP BY l.\"table_name\", l.\"lake_table_id\", l.\"lake\", l.\"columns\", l.\"version\", l.\"lake_time\"",
                time(Utc::now()),
                literal(attempt)
            ),
            format!("DELETE FROM {} WHERE \"table_name\" = {name}", at(LOSSES)),
            format!("INSERT INTO {} SELECT * FROM {} WHERE \"table_name\" = {name}", at(LOSSES), at(&beside(LOSSES))),
        ]);
        statements.extend(self.to_forget(table, false));
        statements.extend(ddl::view_statements(schema, table, &source.contract));
        statements
    }

    /// Throws away what was loaded.
    pub(super) async fn abandon(&mut self, source: &Source) -> Result<(), DeliverError> {
        let table = source.table()?;
        let (operation, about) = ("cannot throw away what was loaded", about(table.name));
        let mut statements = vec![format!("LOCK {}", place(&self.options.schema, LOADS))];
        statements.extend(self.to_forget(&table, true));
        match self.api.batch(operation, &about, &statements).await? {
            Outcome::Finished(_) => Ok(()),
            Outcome::Failed(said) => Err(self.options.of_statement(operation, &about, &said)),
        }
    }
}

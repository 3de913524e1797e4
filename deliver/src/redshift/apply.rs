//! A step: what it needs is staged, and one transaction takes it and moves the position. What became of a transaction whose
//! answer was lost, the position says.

use std::collections::HashSet;

use bluelake_lake::{Extent, FeedStep, TableChange, Touch};
use chrono::Utc;
use metrics::counter;

use super::{
    RedshiftTarget,
    change::Change,
    ddl::{self, LOSSES, There, literal, missing_columns},
    position::{Position, about, fence, maybe_time, time},
    rows::RowPlace,
    staging,
    statements::Outcome,
};
use crate::{
    columns::{Column, Table},
    error::DeliverError,
    sql::{DELIVERIES, place},
    target::{Applied, Source},
};

/// Columns that a transaction adds with its rows. More are added before it.
const COLUMNS: usize = 6;

/// What is known of a transaction at its end.
pub(super) enum Settled {
    /// It happened. The rows that each statement touched; `None`: its answer was lost.
    Done(Option<Vec<u64>>),
    /// The position is another one now.
    Overtaken,
}

impl RedshiftTarget {
    /// Takes a step.
    pub(super) async fn take(&mut self, source: &Source, step: &FeedStep) -> Result<Applied, DeliverError> {
        let table = source.table()?;
        let Some(held) = self.held(source).await?.filter(|held| held.version == step.from) else {
            return Ok(Applied::Overtaken);
        };
        let mut there = self.columns_of(table.name).await?;
        let brings = !matches!(step.change, TableChange::Same | TableChange::Expired(_));
        if brings {
            self.widen(&table, &mut there).await?;
        }
        let missing = missing_columns(&table, &there).map_err(|problem| self.options.rebuild(table.name, &problem))?;
        let mut missing = if brings { missing } else { Vec::new() };
        while missing.len() > COLUMNS {
            let some: Vec<&Column> = missing.drain(..COLUMNS).collect();
            if !self.add_columns(source, &table, &held, &some).await? {
                return Ok(Applied::Overtaken);
            }
        }
        let attempt = staging::attempt();
        let folder = format!("{}/{}", self.place(source)?, staging::of_step(step.from, step.to, &attempt));
        let mut change = Change::new(self, source, &table, there, folder);
        change.statements = fence(&self.options.schema, table.name, &held);
        change.statements.extend(self.added_columns(source, &table, &missing));
        let staged = self.stage(&mut change, step).await;
        let moved = match staged {
            Ok(()) => {
                change.statements.push(self.advance(&change, step, &attempt));
                self.commit(source, &change.statements, &held, &attempt).await
            }
            Err(error) => {
                change.clear().await;
                return Err(error);
            }
        };
        let applied = match &moved {
            Ok(Settled::Overtaken) => Applied::Overtaken,
            Ok(Settled::Done(touched)) => {
                let (removed, unparsed) = change.counted(touched.as_deref().unwrap_or_default());
                self.note_lost(table.name, change.lost + unparsed);
                Applied::Done { added: change.added, removed }
            }
            // It may be under way still: what it reads is left to it.
            Err(DeliverError::Unreachable { .. }) => return moved.map(|_| Applied::Overtaken),
            Err(_) => Applied::Overtaken,
        };
        change.clear().await;
        if moved.is_ok() {
            self.clear_away(source).await;
        }
        moved.map(|_| applied)
    }

    /// Notes values that were lost.
    pub(super) fn note_lost(&mut self, table: &'static str, lost: u64) {
        if lost == 0 {
            return;
        }
        self.lost += lost;
        let labels = [("target", self.options.name.clone()), ("table", table.to_owned())];
        counter!("bluelake_deliver_losses_total", &labels).increment(lost);
        let place = format!("{}.{LOSSES}", self.options.schema);
        tracing::warn!(table, values = lost, "values that do not fit were delivered as null; '{place}' names them");
    }

    /// Stages what a step brings and takes away, and adds the statements for it.
    async fn stage(&self, change: &mut Change<'_>, step: &FeedStep) -> Result<(), DeliverError> {
        let name = change.table.name;
        match &step.change {
            TableChange::Same | TableChange::Columns => {}
            TableChange::Append(files) => _ = change.add(name, LOSSES, files, None).await?,
            TableChange::Expired(before) => {
                change.delete(&Extent::Days { from: None, before: *before }).await?;
            }
            TableChange::Replaced(extent) => {
                let files = change.source.feed.files_at(step.to, extent).await;
                let files = files.map_err(DeliverError::of_feed(&self.options.name))?;
                change.delete(extent).await?;
                change.add(name, LOSSES, &files, None).await?;
            }
            TableChange::Changed { touched, files } => {
                let touched = change.touched(touched).await?;
                change.delete_places(&touched).await?;
                let rewritten = touched.into_iter().filter(|row| row.what == Touch::Rewritten);
                let rewritten: HashSet<RowPlace> =
                    rewritten.map(|row| (row.shard, row.sequence, row.sub_sequence)).collect();
                let found = change.add(name, LOSSES, files, Some(&rewritten)).await?;
                let expected = u64::try_from(rewritten.len()).unwrap_or_default();
                if found != expected {
                    let reason = format!(
                        "the list of an erasure names {expected} rows with other values, and its files have {found} of them"
                    );
                    return Err(self.options.rebuild(name, &reason));
                }
            }
        }
        Ok(())
    }

    /// The statement that moves the position.
    fn advance(&self, change: &Change<'_>, step: &FeedStep, attempt: &str) -> String {
        let schema = &self.options.schema;
        let at = place(schema, DELIVERIES);
        // Rows are counted anew only when some left.
        let (rows, from) = if change.takes_away() {
            let counted =
                format!(" FROM (SELECT COUNT(*) AS number FROM {}) AS counted", place(schema, change.table.name));
            ("counted.number".to_owned(), counted)
        } else {
            (format!("\"rows\" + {}", change.added), String::new())
        };
        format!(
            "UPDATE {at} SET \"version\" = {}, \"rows\" = {rows}, \"lake_time\" = {}, \"delivered_at\" = {}, \"moved_by\" = {}{from} \
             WHERE \"table_name\" = {} AND \"version\" = {}",
            step.to,
            maybe_time(step.written_at.time()),
            time(Utc::now()),
            literal(attempt),
            literal(change.table.name),
            step.from
        )
    }

    /// Runs the statements that move a position. Where the outcome is not known, the position tells it.
    async fn commit(
        &self,
        source: &Source,
        statements: &[String],
        held: &Position,
        attempt: &str,
    ) -> Result<Settled, DeliverError> {
        let (operation, about) = ("cannot take a step", about(source.name()));
        let outcome = self.api.batch(operation, &about, statements).await;
        if let Ok(Outcome::Finished(touched)) = outcome {
            return Ok(Settled::Done(Some(touched)));
        }
        let position = self.held(source).await?;
        if position.as_ref().is_some_and(|position| position.attempt == attempt) {
            return Ok(Settled::Done(None));
        }
        if position.is_none_or(|position| position.attempt != held.attempt) {
            return Ok(Settled::Overtaken);
        }
        match outcome? {
            Outcome::Failed(said) => Err(self.options.of_statement(operation, &about, &said)),
            Outcome::Finished(touched) => Ok(Settled::Done(Some(touched))),
        }
    }

    /// The statements that add columns, and give them to the views.
    fn added_columns(&self, source: &Source, table: &Table, columns: &[&Column]) -> Vec<String> {
        let schema = &self.options.schema;
        if columns.is_empty() {
            return Vec::new();
        }
        let added = columns.iter().map(|column| ddl::add_column(schema, table.name, column));
        added.chain(ddl::view_statements(schema, table, &source.contract)).collect()
    }

    /// Adds columns in a transaction of their own; `false`: the position is another one now.
    async fn add_columns(
        &self,
        source: &Source,
        table: &Table,
        held: &Position,
        columns: &[&Column],
    ) -> Result<bool, DeliverError> {
        let (schema, name) = (&self.options.schema, table.name);
        let mut statements = fence(schema, name, held);
        statements.extend(columns.iter().map(|column| ddl::add_column(schema, name, column)));
        let operation = "cannot add columns";
        let outcome = self.api.batch(operation, &about(name), &statements).await?;
        let Outcome::Failed(said) = outcome else { return Ok(true) };
        let there = self.columns_of(name).await?;
        if columns.iter().all(|column| there.contains_key(&column.name)) {
            return Ok(true);
        }
        if self.held(source).await?.is_none_or(|now| now.attempt != held.attempt) {
            return Ok(false);
        }
        Err(self.options.of_statement(operation, &about(name), &said))
    }

    /// Makes columns as wide as the contract says. Where that is not possible the width stays, and what does not fit is lost.
    async fn widen(&self, table: &Table, there: &mut There) -> Result<(), DeliverError> {
        for column in &table.columns {
            let Some(wanted) = ddl::width(column) else { continue };
            let held = there.get(&column.name).and_then(|(_, held)| *held);
            if held.is_none_or(|held| held >= wanted) {
                continue;
            }
            let statement = ddl::widen(&self.options.schema, table.name, column);
            let about = about(table.name);
            match self.api.alone("cannot make a column wider", &about, &statement).await? {
                Outcome::Finished(_) => {
                    if let Some((_, held)) = there.get_mut(&column.name) {
                        *held = Some(wanted);
                    }
                }
                Outcome::Failed(said) => {
                    tracing::warn!(table = table.name, column = column.name, said, "the column cannot be made wider");
                }
            }
        }
        Ok(())
    }
}

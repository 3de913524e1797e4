//! What a step of the feed does to the documents. What is to be there is written before what is not is deleted, and only
//! documents older than the step are deleted: so two processes at one step do not undo each other's work.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use bluelake_lake::{DeliveryHints, Extent, FeedFile, FeedStep, REJECTED_EVENTS, TableChange};
use chrono::{Datelike as _, NaiveDate};
use metrics::counter;
use serde_json::{Value, json};

use super::{
    SearchTarget,
    bulk::{Bulk, Item, Settled},
    client::Client,
    document::{Rows, place},
    indices::Indices,
    position::{self, Fence, Position, Stop},
    scan::{Scan, count},
};
use crate::{
    columns::Table,
    digest::Partition,
    error::DeliverError,
    target::{Applied, Source},
};

/// Ids of a question.
const IDS: usize = 1_000;

/// Writes and deletes documents of a table at a version.
pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) source: &'a Source,
    pub(super) table: &'a Table,
    pub(super) indices: &'a mut Indices,
    pub(super) bulk: Bulk<'a>,
    pub(super) version: u64,
    pub(super) generation: u64,
    /// The alias names the indices.
    pub(super) in_use: bool,
}

impl Writer<'_> {
    /// What was settled.
    pub(super) fn end(self) -> Settled {
        self.bulk.end()
    }

    /// Writes the rows of files, or those of them with these ids. It tells the ids that it wrote, if it was given some.
    pub(super) async fn write(
        &mut self,
        files: &[FeedFile],
        only: Option<&BTreeSet<String>>,
    ) -> Result<BTreeSet<String>, Stop> {
        let (client, source) = (self.client, self.source);
        let fault = || DeliverError::of_file(&client.options.name, source.name());
        let (mut written, mut document) = (BTreeSet::new(), Vec::new());
        for file in files {
            let [_, day] = &file.partition;
            let index = self.indices.make(client, self.generation, day, self.in_use).await?;
            let index: Arc<str> = index.into();
            let mut parts = source.feed.rows(file, &self.table.names()).await.map_err(fault())?;
            while let Some(batch) = parts.next().await.map_err(fault())? {
                let rows = Rows::new(self.table, &batch, &file.partition)?;
                for row in 0..batch.num_rows() {
                    let id = rows.id(row)?;
                    if let Some(only) = only {
                        if !only.contains(&id) {
                            continue;
                        }
                        written.insert(id.clone());
                    }
                    document.clear();
                    rows.encode(row, &mut document)?;
                    let item = Item::index(&index, id, self.version, rows.place(row)?, &document);
                    self.bulk.push(item).await?;
                }
            }
        }
        self.bulk.settle().await?;
        Ok(written)
    }

    /// Deletes the documents of an index that a question finds and that are older than the step, or all of them.
    async fn delete(&mut self, index: &str, query: Value, older_only: bool) -> Result<(), Stop> {
        let shared: Arc<str> = index.into();
        let mut scan = Scan::new(self.client, index, query, false);
        loop {
            let page = scan.next().await?;
            if page.is_empty() {
                return self.bulk.settle().await;
            }
            for hit in page.into_iter().filter(|hit| !older_only || hit.version < self.version) {
                self.bulk.push(Item::delete(&shared, hit.id, self.version)).await?;
            }
        }
    }

    /// The indices of the generation, with their months, refreshed.
    async fn refreshed(&mut self) -> Result<BTreeMap<String, String>, DeliverError> {
        let indices = self.indices.of(self.generation);
        let names: Vec<String> = indices.keys().cloned().collect();
        Indices::refresh(self.client, &names).await?;
        Ok(indices)
    }

    /// Writes the rows that changed, and deletes those that are gone. A row that shares its id with one that is gone stays.
    async fn change(&mut self, touched: &str, files: &[FeedFile]) -> Result<(), Stop> {
        let (name, source) = (&self.client.options.name, self.source);
        let touched = source.feed.touched(touched).await.map_err(DeliverError::of_file(name, source.name()))?;
        let ids: BTreeSet<String> = touched
            .into_iter()
            .map(|row| match source.name() {
                REJECTED_EVENTS => place(&row.shard, &row.sequence, row.sub_sequence),
                _ => row.event_id,
            })
            .collect();
        let there = self.write(files, Some(&ids)).await?;
        let gone: Vec<&String> = ids.difference(&there).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let indices = self.refreshed().await?;
        for ids in gone.chunks(IDS) {
            for index in indices.keys() {
                self.delete(index, json!({ "ids": { "values": ids } }), false).await?;
            }
        }
        Ok(())
    }

    /// Deletes the documents of days before this one: indices whose days are all before it as a whole.
    async fn expire(&mut self, before: NaiveDate, fence: &Fence<'_>) -> Result<u64, Stop> {
        let (mut whole, mut removed) = (Vec::new(), 0);
        for (index, month) in self.refreshed().await? {
            let first = format!("{month}-01").parse::<NaiveDate>().ok();
            let next = first.and_then(|first| first.checked_add_months(chrono::Months::new(1)));
            match (first, next) {
                (_, Some(next)) if next <= before => {
                    removed += count(self.client, &index).await?;
                    whole.push(index);
                }
                (Some(first), _) if first < before => {
                    let query = json!({ "range": { self.table.partition[1]: { "lt": before.to_string() } } });
                    self.delete(&index, query, false).await?;
                }
                _ => {}
            }
        }
        if !whole.is_empty() {
            // An index has no version that would keep a late deletion out.
            fence.look().await?;
            self.indices.delete(self.client, &whole).await?;
        }
        Ok(removed)
    }

    /// Writes the rows of partitions as they are, and deletes what else the target has in them.
    async fn replace(&mut self, extent: &Extent, files: &[FeedFile]) -> Result<(), Stop> {
        self.write(files, None).await?;
        for (index, month) in self.refreshed().await? {
            for query in queries(self.table, extent, &month) {
                self.delete(&index, query, true).await?;
            }
        }
        Ok(())
    }
}

/// Pure: the questions that find the documents of an extent in the index of a month.
fn queries(table: &Table, extent: &Extent, month: &str) -> Vec<Value> {
    match extent {
        Extent::All => vec![json!({ "match_all": {} })],
        Extent::Partitions(partitions) => {
            let here = partitions.iter().filter(|[_, day]| day.starts_with(month));
            here.map(|partition| of_partition(table, partition)).collect()
        }
        Extent::Days { from, before } => {
            let first = format!("{month}-01").parse::<NaiveDate>().ok();
            let is_after = first.is_some_and(|first| first >= *before);
            let is_before = first
                .zip(*from)
                .is_some_and(|(first, from)| (first.year(), first.month()) < (from.year(), from.month()));
            if is_after || is_before {
                return Vec::new();
            }
            let mut days = json!({ "lt": before.to_string() });
            if let (Some(from), Some(days)) = (from, days.as_object_mut()) {
                days.insert("gte".to_owned(), from.to_string().into());
            }
            vec![json!({ "range": { table.partition[1]: days } })]
        }
    }
}

/// Pure: the question that finds the documents of a partition.
pub(super) fn of_partition(table: &Table, [kind, day]: &Partition) -> Value {
    let [kinds, days] = table.partition;
    json!({ "bool": { "filter": [
        { "term": { kinds: kind } },
        { "range": { days: { "gte": day, "lte": day } } },
    ] } })
}

impl SearchTarget {
    /// Takes a step.
    pub(super) async fn take(&mut self, source: &Source, step: &FeedStep) -> Result<Applied, Stop> {
        let mut found = self.position(source).await?.ok_or(Stop::Overtaken)?;
        if found.position.version != Some(step.from) {
            return Err(Stop::Overtaken);
        }
        self.check_columns(source, &found)?;
        let (settled, whole) = match step.change {
            TableChange::Same => (Settled::default(), 0),
            _ => self.change(source, step, &found.position).await?,
        };
        let refused = u64::try_from(settled.refused.len()).unwrap_or(u64::MAX);
        let (added, removed) = (settled.sent.saturating_sub(refused), settled.deleted + whole);
        loop {
            let mut next = Position { version: Some(step.to), ..found.position.clone() };
            next.rows += settled.sent;
            next.rejected += refused;
            if position::write(&self.client, source.name(), Some(&found), next).await?.is_some() {
                return Ok(Applied::Done { added, removed });
            }
            // A load beside it moves the position too, and takes nothing from this step.
            let now = self.position(source).await?.ok_or(Stop::Overtaken)?;
            if (now.position.version, now.position.generation) != (Some(step.from), found.position.generation) {
                return Err(Stop::Overtaken);
            }
            found = now;
        }
    }

    /// Changes the documents; it tells what was settled, and how many left with their index.
    async fn change(&mut self, source: &Source, step: &FeedStep, held: &Position) -> Result<(Settled, u64), Stop> {
        let table = source.table()?;
        if !matches!(step.change, TableChange::Append(_)) {
            // What is deleted must be found in indices that others made, too.
            self.indices.remove(source.name());
        }
        self.look_to_write(source, &table).await?;
        let replacing = match &step.change {
            TableChange::Replaced(extent) => {
                let files = source.feed.files_at(step.to, extent).await;
                files.map_err(DeliverError::of_feed(&self.options().name))?
            }
            _ => Vec::new(),
        };
        let files = match &step.change {
            TableChange::Append(files) | TableChange::Changed { files, .. } => files,
            _ => &replacing,
        };
        let expected = files.iter().map(|file| file.rows).fold(held.rows, u64::saturating_add);
        let most = self.options().max_rejected.of(expected).saturating_sub(held.rejected);
        let about = format!("table '{}'", source.name());
        let (client, indices) = self.indices_of(source.name())?;
        let client = client.clone();
        let fence = Fence::new(&client, source.name(), held);
        let mut writer = Writer {
            client: &client,
            source,
            table: &table,
            indices,
            bulk: Bulk::new(&client, &fence, &about, most),
            version: step.to,
            generation: held.generation,
            in_use: true,
        };
        let mut whole = 0;
        let outcome = match &step.change {
            TableChange::Same | TableChange::Columns => Ok(()),
            TableChange::Append(files) => writer.write(files, None).await.map(drop),
            TableChange::Changed { touched, files } => writer.change(touched, files).await,
            TableChange::Expired(before) => writer.expire(*before, &fence).await.map(|removed| whole = removed),
            TableChange::Replaced(extent) => writer.replace(extent, &replacing).await,
        };
        let settled = writer.end();
        let kept = self.keep(source, &format!("{:020}", step.to), outcome.is_ok(), &settled).await;
        outcome?;
        kept?;
        Ok((settled, whole))
    }

    /// Lists refused documents in the lake: where the row is, the index and the server's name of the fault. A list of what
    /// was not taken says so in its name, since its step is repeated.
    pub(super) async fn keep(
        &self,
        source: &Source,
        step: &str,
        is_taken: bool,
        settled: &Settled,
    ) -> Result<(), DeliverError> {
        if settled.refused.is_empty() {
            return Ok(());
        }
        let (target, table) = (&self.options().name, source.name());
        let mark = if is_taken { "" } else { "-not-taken" };
        let mut lines = String::new();
        for refused in &settled.refused {
            lines.push_str(&serde_json::to_string(refused).unwrap_or_default());
            lines.push('\n');
        }
        let list = DeliveryHints::of(&self.lake).put_rejected(target, &format!("{table}-{step}{mark}"), lines).await?;
        let count = settled.refused.len();
        tracing::warn!(target, table, count, list, "the server refused documents");
        let labels = [("target", target.clone()), ("table", table.to_owned())];
        counter!("bluelake_deliver_rejected_total", &labels).increment(u64::try_from(count).unwrap_or_default());
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::columns::{Columns, transactions};

    #[test]
    fn an_extent_is_asked_for_where_it_may_be() {
        let (table, _) = transactions(&Columns::All);
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let partition = |day: &str| ["donation".to_owned(), day.to_owned()];
        let partitions = Extent::Partitions([partition("2026-10-31"), partition("2026-11-01")].into());
        let expected = json!({ "bool": { "filter": [
            { "term": { "event_type": "donation" } },
            { "range": { "event_date": { "gte": "2026-11-01", "lte": "2026-11-01" } } },
        ] } });
        assert_eq!(queries(&table, &partitions, "2026-11"), [expected]);
        assert_eq!(queries(&table, &Extent::All, "2026-11").len(), 1);
        let days = |from: Option<&str>, before: &str| {
            let extent = Extent::Days { from: from.map(day), before: day(before) };
            queries(&table, &extent, "2026-11")
        };
        let range = |days: Value| vec![json!({ "range": { "event_date": days } })];
        assert_eq!(days(None, "2026-11-02"), range(json!({ "lt": "2026-11-02" })));
        let both = json!({ "gte": "2026-11-30", "lt": "2027-01-01" });
        assert_eq!(days(Some("2026-11-30"), "2027-01-01"), range(both));
        assert!(days(None, "2026-11-01").is_empty() && days(Some("2026-12-01"), "2026-12-05").is_empty());
    }
}

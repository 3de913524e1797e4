//! Compares each document of a target with the row of the lake at the version that the target holds. Rows that share an id
//! are one document, which must be as one of them is.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bluelake_lake::{Extent, FeedFile, REJECTED_EVENTS};
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    SearchTarget,
    apply::of_partition,
    client::{Call, Client, at},
    document::{Rows, fingerprint},
    indices::{Indices, alias_members},
    position::Position,
    scan::{Scan, count},
};
use crate::{
    columns::Table,
    digest::{Counts, Partition, TableVerdict, hash},
    error::DeliverError,
    target::Source,
};

/// A comparison begins anew when somebody delivers meanwhile, this often.
const TRIES: usize = 3;
/// Ids of a question.
const IDS: usize = 500;
/// Rows of a partition that are looked for elsewhere when the target lacks them in it.
const SOUGHT: usize = 20_000;

/// A row or a document, in few numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Print {
    content: u128,
    points: i64,
}

impl Print {
    /// Counts it under the hash of its id: the contents of two documents cannot be exchanged without a trace.
    fn add_to(self, id: u128, counts: &mut Counts) {
        counts.take_in(&[id.to_le_bytes(), self.content.to_le_bytes()].concat(), self.points);
    }
}

/// The rows of a partition, by the hash of their ids.
#[derive(Default)]
struct Ids {
    first: HashMap<u128, (Print, bool)>,
    /// Other rows with an id that is in `first`.
    more: HashMap<u128, Vec<Print>>,
    repeats: u64,
}

impl Ids {
    fn add(&mut self, id: u128, print: Print) {
        match self.first.entry(id) {
            std::collections::hash_map::Entry::Vacant(place) => {
                place.insert((print, false));
            }
            std::collections::hash_map::Entry::Occupied(_) => {
                self.repeats += 1;
                self.more.entry(id).or_default().push(print);
            }
        }
    }

    /// Takes a document in: what the lake and what the target count for it.
    fn meet(&mut self, id: u128, document: Print, lake: &mut Counts, target: &mut Counts) {
        document.add_to(id, target);
        if let Some((print, is_met)) = self.first.get_mut(&id)
            && !std::mem::replace(is_met, true)
        {
            let is_one = *print == document || self.more.get(&id).is_some_and(|more| more.contains(&document));
            if is_one { document } else { *print }.add_to(id, lake);
        }
    }

    /// The rows that no document was met for.
    fn unmet(&self) -> impl Iterator<Item = (u128, Print)> {
        self.first.iter().filter(|(_, (_, is_met))| !is_met).map(|(id, (print, _))| (*id, *print))
    }
}

/// What a comparison gathers.
#[derive(Default)]
struct Gathered {
    lake: BTreeMap<Partition, Counts>,
    target: BTreeMap<Partition, Counts>,
    /// Those of the lake.
    partitions: BTreeSet<Partition>,
    /// Index → documents that were compared.
    compared: BTreeMap<String, u64>,
    repeats: u64,
    faults: Vec<String>,
}

impl SearchTarget {
    /// Compares a table.
    pub(super) async fn compare(&mut self, source: &Source) -> Result<TableVerdict, DeliverError> {
        let table = source.table()?;
        let name = table.name;
        for _ in 0..TRIES {
            let Some(found) = self.position(source).await? else { return Ok(never_loaded(name)) };
            let Some(version) = found.position.version else { return Ok(never_loaded(name)) };
            self.check_columns(source, &found)?;
            // Others may have made indices since the last look.
            self.indices.remove(name);
            self.look(source, &table).await?;
            let gathered = self.gather(source, &table, &found.position).await?;
            let now = self.position(source).await?;
            if now.as_ref().map(|now| &now.position) == Some(&found.position) {
                let Gathered { lake, target, faults, repeats, .. } = gathered;
                if repeats > 0 {
                    tracing::info!(table = name, repeats, "rows share their ids with others: each id is one document");
                }
                return Ok(TableVerdict::of(name, version, &lake, &target, faults));
            }
            self.indices.clear();
        }
        let problem = "it was delivered to while it was compared";
        Err(self.options().refused(&format!("table '{name}'"), problem, "run it again when the delivery pauses"))
    }

    async fn gather(&mut self, source: &Source, table: &Table, held: &Position) -> Result<Gathered, DeliverError> {
        let version = held.version.unwrap_or_default();
        let files = source.feed.files_at(version, &Extent::All).await;
        let files = files.map_err(DeliverError::of_feed(&self.options().name))?;
        let (client, indices) = self.indices_of(source.name())?;
        let there: Vec<String> = indices.of(held.generation).into_keys().collect();
        Indices::refresh(client, &there).await?;
        let mut gathered = Gathered::default();
        let named = alias_members(client, &indices.names).await?;
        for index in there.iter().filter(|index| !named.contains(*index)) {
            gathered.faults.push(format!("the alias does not name the index '{index}'"));
        }
        for index in named.iter().filter(|index| !there.contains(index)) {
            gathered.faults.push(format!("the alias names the index '{index}', which is not in use"));
        }
        let names = indices.names.clone();
        let mut partitions: BTreeMap<Partition, Vec<FeedFile>> = BTreeMap::new();
        for file in files {
            partitions.entry(file.partition.clone()).or_default().push(file);
        }
        gathered.partitions = partitions.keys().cloned().collect();
        for (partition, files) in partitions {
            let index = names.index(held.generation, &partition[1]);
            self.gather_partition(source, table, (index, files), &mut gathered).await?;
        }
        for index in &there {
            let all = count(&self.client, index).await?;
            let compared = gathered.compared.get(index).copied().unwrap_or_default();
            if all != compared {
                gathered.faults.push(format!(
                    "the index '{index}' has {all} documents, of which {compared} are of days and kinds that the lake has"
                ));
            }
        }
        if held.rejected > 0 && !gathered.is_equal() {
            gathered.faults.push(format!(
                "the server refused {} documents; the lake's folder _deliver/ has lists of them",
                held.rejected
            ));
        }
        Ok(gathered)
    }

    async fn gather_partition(
        &self,
        source: &Source,
        table: &Table,
        (index, files): (String, Vec<FeedFile>),
        gathered: &mut Gathered,
    ) -> Result<(), DeliverError> {
        let client = &self.client;
        let Some(partition) = files.first().map(|file| file.partition.clone()) else { return Ok(()) };
        let mut rows = read(client, source, table, &files).await?;
        let (mut lake, mut target, mut compared) = (Counts::default(), Counts::default(), 0);
        let mut scan = Scan::new(client, &index, of_partition(table, &partition), true);
        loop {
            let page = scan.next().await?;
            if page.is_empty() {
                break;
            }
            for hit in page {
                compared += 1;
                rows.meet(hash(hit.id.as_bytes()), print_of(table, &hit.source), &mut lake, &mut target);
            }
        }
        let missing: HashMap<u128, Print> = rows.unmet().collect();
        let elsewhere = elsewhere(client, source, table, (&index, &files), &missing).await?;
        for (id, print) in missing {
            // A row of that partition has the same id; or somebody moved the document, which is too many there.
            if elsewhere.get(&id).is_some_and(|there| gathered.partitions.contains(there)) {
                gathered.repeats += 1;
            } else {
                print.add_to(id, &mut lake);
            }
        }
        gathered.repeats += rows.repeats;
        *gathered.compared.entry(index).or_default() += compared;
        gathered.lake.insert(partition.clone(), lake);
        gathered.target.insert(partition, target);
        Ok(())
    }
}

impl Gathered {
    fn is_equal(&self) -> bool {
        self.lake == self.target && self.faults.is_empty()
    }
}

fn never_loaded(table: &str) -> TableVerdict {
    TableVerdict::without_comparison(table, Vec::new())
}

fn print_of(table: &Table, document: &Value) -> Print {
    let points = table.columns.iter().filter(|column| column.is_points);
    let points = points.filter_map(|column| document.get(&column.name)?.as_i64()).fold(0, i64::saturating_add);
    Print { content: fingerprint(document), points }
}

/// Has each row of some files looked at, with its id.
async fn each_row(
    client: &Client,
    source: &Source,
    table: &Table,
    files: &[FeedFile],
    mut look: impl FnMut(&Rows<'_>, usize, String) -> Result<(), DeliverError>,
) -> Result<(), DeliverError> {
    let fault = || DeliverError::of_file(&client.options.name, source.name());
    for file in files {
        let mut parts = source.feed.rows(file, &table.names()).await.map_err(fault())?;
        while let Some(batch) = parts.next().await.map_err(fault())? {
            let rows = Rows::new(table, &batch, &file.partition)?;
            for row in 0..batch.num_rows() {
                let id = rows.id(row)?;
                look(&rows, row, id)?;
            }
        }
    }
    Ok(())
}

async fn read(client: &Client, source: &Source, table: &Table, files: &[FeedFile]) -> Result<Ids, DeliverError> {
    let (mut ids, mut bytes) = (Ids::default(), Vec::new());
    each_row(client, source, table, files, |rows, row, id| {
        bytes.clear();
        rows.encode(row, &mut bytes)?;
        let document: Value = serde_json::from_slice(&bytes).map_err(|error| DeliverError::Value {
            table: table.name.to_owned(),
            column: "event_id".to_owned(),
            reason: format!("a row cannot be read as the document that it becomes: {error}"),
        })?;
        ids.add(hash(id.as_bytes()), Print { content: fingerprint(&document), points: rows.points(row) });
        Ok(())
    })
    .await?;
    Ok(ids)
}

/// Those of the missing rows whose ids are documents of another partition, with its name.
async fn elsewhere(
    client: &Client,
    source: &Source,
    table: &Table,
    (index, files): (&str, &[FeedFile]),
    missing: &HashMap<u128, Print>,
) -> Result<HashMap<u128, Partition>, DeliverError> {
    let mut sought = Vec::new();
    // Without an event's id, rows do not share theirs.
    if source.name() == REJECTED_EVENTS || missing.is_empty() || missing.len() > SOUGHT {
        return Ok(HashMap::new());
    }
    each_row(client, source, table, files, |_, _, id| {
        if missing.contains_key(&hash(id.as_bytes())) {
            sought.push(id);
        }
        Ok(())
    })
    .await?;
    let mut found = HashMap::new();
    let here = files.first().map(|file| &file.partition);
    let path = format!("/{index}/_mget");
    let about = format!("index '{index}'");
    for ids in sought.chunks(IDS) {
        let body = json!({ "ids": ids });
        let call = Call::new(Method::POST, &path, "look for documents", &about).json(&body);
        let Some(answer) = client.find(&call).await? else { return Ok(found) };
        for document in at(&answer, "/docs").as_array().into_iter().flatten() {
            let text = |place: String| at(document, &place).as_str().unwrap_or_default().to_owned();
            let there = table.partition.map(|column| text(format!("/_source/{column}")));
            if at(document, "/found") == true && here != Some(&there) {
                found.insert(hash(text("/_id".to_owned()).as_bytes()), there);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(content: u128) -> Print {
        Print { content, points: 1 }
    }

    fn compared(rows: &[(u128, u128)], documents: &[(u128, u128)]) -> (Counts, Counts) {
        let (mut ids, mut lake, mut target) = (Ids::default(), Counts::default(), Counts::default());
        rows.iter().for_each(|(id, content)| ids.add(*id, print(*content)));
        documents.iter().for_each(|(id, content)| ids.meet(*id, print(*content), &mut lake, &mut target));
        ids.unmet().for_each(|(id, print)| print.add_to(id, &mut lake));
        (lake, target)
    }

    #[test]
    fn rows_that_share_an_id_are_one_document() {
        for documents in [[(1, 10), (2, 20)], [(1, 11), (2, 20)]] {
            let (lake, target) = compared(&[(1, 10), (2, 20), (1, 11)], &documents);
            assert_eq!(lake, target, "{documents:?}");
            assert_eq!((lake.rows, lake.points), (2, 2));
        }
    }

    #[test]
    fn what_is_missing_changed_or_too_many_differs() {
        let rows = [(1, 10), (2, 20), (1, 11)];
        for documents in [&[(1, 10)][..], &[(1, 12), (2, 20)], &[(1, 10), (2, 20), (3, 30)], &[(1, 20), (2, 10)], &[]] {
            let (lake, target) = compared(&rows, documents);
            assert_ne!(lake, target, "{documents:?}");
        }
    }
}

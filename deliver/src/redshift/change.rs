//! What one transaction does to the rows of a table: what is staged for it, and the statements in their order.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use bluelake_lake::{Extent, FeedFile, LakeError, TouchedRow};

use super::{
    RedshiftOptions, RedshiftTarget,
    ddl::{self, LOSS_COLUMNS, There, literal, loss_definitions},
    position::about,
    rows::{self, Loss, RowPlace},
    staging::{Manifest, Staging},
};
use crate::{
    columns::Table,
    digest::Partition,
    error::DeliverError,
    sql::{place, quoted},
    target::Source,
};

/// The tables of a session into which COPY puts what is staged.
const ROWS: &str = "stage_rows";
const GONE: &str = "stage_gone";
const LOST: &str = "stage_losses";
pub(super) const PARTS: &str = "stage_parts";
/// Losses that are held before they are staged.
const LOSSES_HELD: usize = 10_000;

/// A change that is being put together.
pub(super) struct Change<'a> {
    options: Arc<RedshiftOptions>,
    pub(super) source: &'a Source,
    pub(super) table: &'a Table,
    there: There,
    staging: Staging,
    pub(super) statements: Vec<String>,
    /// The statements that take rows of the table away, and those that tell of JSON that Redshift does not take.
    deletes: Vec<usize>,
    unparsed: Vec<usize>,
    /// Rows that come.
    pub(super) added: u64,
    /// Values that do not fit.
    pub(super) lost: u64,
}

impl<'a> Change<'a> {
    /// Begins one. `there` are the columns of the table that is changed.
    pub(super) fn new(
        target: &RedshiftTarget,
        source: &'a Source,
        table: &'a Table,
        there: There,
        folder: String,
    ) -> Self {
        Self {
            options: target.options.clone(),
            source,
            table,
            there,
            staging: Staging::new(&target.store, folder),
            statements: Vec::new(),
            deletes: Vec::new(),
            unparsed: Vec::new(),
            added: 0,
            lost: 0,
        }
    }

    fn schema(&self) -> &str {
        &self.options.schema
    }

    fn failed(&self) -> impl Fn(LakeError) -> DeliverError + use<> {
        let (options, about) = (self.options.clone(), about(self.table.name));
        move |error| options.of_staging(&about, &error)
    }

    fn of_file(&self) -> impl FnOnce(LakeError) -> DeliverError + use<> {
        DeliverError::of_file(&self.options.name, self.table.name)
    }

    /// Deletes what was staged.
    pub(super) async fn clear(self) {
        self.staging.clear().await;
    }

    /// Whether rows leave, so that those which stay must be counted.
    pub(super) fn takes_away(&self) -> bool {
        !self.deletes.is_empty()
    }

    /// Of the rows that each statement touched: those that left the table, and values that Redshift did not take.
    pub(super) fn counted(&self, touched: &[u64]) -> (u64, u64) {
        let sum = |places: &[usize]| places.iter().filter_map(|place| touched.get(*place)).sum();
        (sum(&self.deletes), sum(&self.unparsed))
    }

    /// Makes a table for what is staged, and copies it in.
    fn copy(&mut self, name: &str, create: String, manifest: &Manifest) {
        let role = match self.options.iam_role.as_str() {
            "default" => "default".to_owned(),
            role => literal(role),
        };
        let from = literal(&manifest.url);
        self.statements.push(create);
        self.statements.push(format!("COPY {} FROM {from} IAM_ROLE {role} FORMAT AS PARQUET MANIFEST", quoted(name)));
        // All rows, or none.
        self.statements.push(format!(
            "SELECT 1 / (CASE WHEN COUNT(*) = {} THEN 1 ELSE 0 END) FROM {}",
            manifest.rows,
            quoted(name)
        ));
    }

    /// Puts the rows of files into a table, or those at these places. It tells how many that were.
    pub(super) async fn add(
        &mut self,
        into: &str,
        losses: &str,
        files: &[FeedFile],
        only: Option<&HashSet<RowPlace>>,
    ) -> Result<u64, DeliverError> {
        let (failed, widths) = (self.failed(), ddl::widths(self.table, &self.there));
        let mut lost: Vec<Loss> = Vec::new();
        let mut told = Vec::new();
        let rows = {
            let mut staged = self.staging.table("rows", rows::schema(self.table));
            for file in files {
                let of_file = || DeliverError::of_file(&self.options.name, self.table.name);
                let mut parts = self.source.feed.rows(file, &self.table.names()).await.map_err(of_file())?;
                while let Some(batch) = parts.next().await.map_err(of_file())? {
                    let keep = only.map(|only| kept(&batch, only));
                    let found = rows::staged(self.table, &widths, &batch, &file.partition, keep.as_ref())?;
                    staged.write(&found.batch).await.map_err(&failed)?;
                    lost.extend(found.losses);
                    if lost.len() >= LOSSES_HELD {
                        told.push(loss_batch(&std::mem::take(&mut lost)).map_err(&failed)?);
                    }
                }
            }
            staged.end().await.map_err(&failed)?
        };
        let expected: u64 = files.iter().map(|file| file.rows).sum();
        let found = rows.as_ref().map_or(0, |manifest| manifest.rows);
        if only.is_none() && found != expected {
            let problem = format!("its files have {found} rows, and the log of the lake says {expected}");
            let remedy = "nothing was changed; run `bluelake lake verify`";
            return Err(self.options.refused(&about(self.table.name), &problem, remedy));
        }
        let Some(manifest) = rows else { return Ok(0) };
        let schema = self.schema().to_owned();
        self.copy(ROWS, ddl::create_stage(ROWS, &self.table.columns), &manifest);
        self.statements.push(ddl::insert(&schema, into, self.table, ROWS));
        for statement in ddl::insert_unparsed(&schema, losses, self.table, ROWS) {
            self.unparsed.push(self.statements.len());
            self.statements.push(statement);
        }
        told.push(loss_batch(&lost).map_err(&failed)?);
        self.tell(losses, told).await?;
        self.added += found;
        Ok(found)
    }

    /// Puts what did not fit into a table of losses.
    async fn tell(&mut self, losses: &str, batches: Vec<RecordBatch>) -> Result<(), DeliverError> {
        let failed = self.failed();
        let mut staged = self.staging.table("losses", loss_schema());
        for batch in &batches {
            staged.write(batch).await.map_err(&failed)?;
        }
        let Some(manifest) = staged.end().await.map_err(&failed)? else { return Ok(()) };
        self.copy(LOST, format!("CREATE TEMP TABLE {} ({})", quoted(LOST), loss_definitions()), &manifest);
        let columns = LOSS_COLUMNS.map(quoted);
        self.statements.push(format!(
            "INSERT INTO {} ({}) SELECT {}, {} FROM {}",
            place(self.schema(), losses),
            columns.join(", "),
            literal(self.table.name),
            columns.get(1..).unwrap_or_default().join(", "),
            quoted(LOST)
        ));
        self.lost += manifest.rows;
        Ok(())
    }

    /// Stages the names of partitions, with their rows.
    pub(super) async fn stage_parts(&mut self, partitions: &[(Partition, u64)]) -> Result<(), DeliverError> {
        let failed = self.failed();
        let text = |of: fn(&Partition) -> &String| -> ArrayRef {
            Arc::new(partitions.iter().map(|(partition, _)| Some(of(partition))).collect::<StringArray>())
        };
        let rows = partitions.iter().map(|(_, rows)| Some(i64::try_from(*rows).unwrap_or(i64::MAX)));
        let columns = [
            ("first", text(|[first, _]| first)),
            ("day", text(|[_, day]| day)),
            ("rows", Arc::new(rows.collect::<Int64Array>()) as ArrayRef),
        ];
        let batch = of_columns(columns).map_err(&failed)?;
        let mut staged = self.staging.table("parts", batch.schema());
        staged.write(&batch).await.map_err(&failed)?;
        let Some(manifest) = staged.end().await.map_err(&failed)? else { return Ok(()) };
        let create = format!(
            "CREATE TEMP TABLE {} (\"first\" VARCHAR(256), \"day\" VARCHAR(10), \"rows\" BIGINT)",
            quoted(PARTS)
        );
        self.copy(PARTS, create, &manifest);
        Ok(())
    }

    /// Takes the rows of some partitions away.
    pub(super) async fn delete(&mut self, extent: &Extent) -> Result<(), DeliverError> {
        if let Extent::Partitions(partitions) = extent {
            if partitions.is_empty() {
                return Ok(());
            }
            let parts: Vec<(Partition, u64)> = partitions.iter().map(|partition| (partition.clone(), 0)).collect();
            self.stage_parts(&parts).await?;
        }
        let [rows, losses] = ddl::delete(self.schema(), self.table, extent, PARTS);
        self.take_away(rows, losses);
        Ok(())
    }

    fn take_away(&mut self, rows: String, losses: String) {
        self.deletes.push(self.statements.len());
        self.statements.extend([rows, losses]);
    }

    /// Takes rows away by their places.
    pub(super) async fn delete_places(&mut self, touched: &[TouchedRow]) -> Result<(), DeliverError> {
        let failed = self.failed();
        // A row may be named twice: it is taken away once.
        let places: HashSet<(&str, &str, i32)> =
            touched.iter().map(|row| (row.shard.as_str(), row.sequence.as_str(), row.sub_sequence)).collect();
        let places: Vec<_> = places.into_iter().collect();
        let shards = places.iter().map(|place| Some(place.0)).collect::<StringArray>();
        let sequences = places.iter().map(|place| Some(place.1)).collect::<StringArray>();
        let numbers = places.iter().map(|place| Some(place.2)).collect::<Int32Array>();
        let columns: [(&str, ArrayRef); 3] = [
            ("stream_shard", Arc::new(shards)),
            ("stream_sequence", Arc::new(sequences)),
            ("stream_sub_sequence", Arc::new(numbers)),
        ];
        let batch = of_columns(columns).map_err(&failed)?;
        let mut staged = self.staging.table("gone", batch.schema());
        staged.write(&batch).await.map_err(&failed)?;
        let Some(manifest) = staged.end().await.map_err(&failed)? else { return Ok(()) };
        let create = format!(
            "CREATE TEMP TABLE {} (\"stream_shard\" VARCHAR(256), \"stream_sequence\" VARCHAR(256), \"stream_sub_sequence\" INTEGER)",
            quoted(GONE)
        );
        self.copy(GONE, create, &manifest);
        let [rows, losses] = ddl::delete_places(self.schema(), self.table, GONE);
        self.take_away(rows, losses);
        Ok(())
    }

    /// The list of rows that an erasure touched.
    pub(super) async fn touched(&self, list: &str) -> Result<Vec<TouchedRow>, DeliverError> {
        self.source.feed.touched(list).await.map_err(self.of_file())
    }
}

fn kept(batch: &RecordBatch, only: &HashSet<RowPlace>) -> BooleanArray {
    let places = rows::places(batch).unwrap_or_default();
    (0..batch.num_rows()).map(|row| Some(places.get(row).is_some_and(|place| only.contains(place)))).collect()
}

fn loss_schema() -> SchemaRef {
    let kind = |name: &str| match name {
        "stream_sub_sequence" => DataType::Int32,
        "bytes" => DataType::Int64,
        _ => DataType::Utf8,
    };
    let names = LOSS_COLUMNS.iter().skip(1);
    Arc::new(Schema::new(names.map(|name| Field::new(*name, kind(name), true)).collect::<Vec<_>>()))
}

fn loss_batch(losses: &[Loss]) -> Result<RecordBatch, LakeError> {
    let text = |of: fn(&Loss) -> Option<&str>| -> ArrayRef { Arc::new(losses.iter().map(of).collect::<StringArray>()) };
    let numbers = losses.iter().map(|loss| Some(loss.place.2)).collect::<Int32Array>();
    let bytes = losses.iter().map(|loss| i64::try_from(loss.bytes).ok()).collect::<Int64Array>();
    let columns: Vec<ArrayRef> = vec![
        text(|loss| Some(&loss.partition[0])),
        text(|loss| Some(&loss.partition[1])),
        text(|loss| Some(&loss.place.0)),
        text(|loss| Some(&loss.place.1)),
        Arc::new(numbers),
        text(|loss| loss.event_id.as_deref()),
        text(|loss| Some(&loss.column)),
        Arc::new(bytes),
        text(|loss| Some(loss.reason)),
    ];
    RecordBatch::try_new(loss_schema(), columns).map_err(of_arrow)
}

fn of_columns<'a>(columns: impl IntoIterator<Item = (&'a str, ArrayRef)>) -> Result<RecordBatch, LakeError> {
    RecordBatch::try_from_iter(columns).map_err(of_arrow)
}

fn of_arrow(error: arrow::error::ArrowError) -> LakeError {
    LakeError::DataFile { path: "staging".to_owned(), reason: error.to_string() }
}

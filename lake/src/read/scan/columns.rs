//! The columns of a table as queries see them and as its files have them: those that name the partition are in no file.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::{
    common::{DataFusionError, plan_datafusion_err},
    datasource::table_schema::TableSchema,
    logical_expr::Expr,
};

/// The columns of a table.
#[derive(Debug)]
pub(super) struct Columns {
    /// In the order of the table.
    table: SchemaRef,
    /// Those of the files, then those that name the partition.
    scanned: TableSchema,
    /// Where the columns of the table are among those that are scanned.
    places: Vec<usize>,
    /// Those that name the partition.
    partition: SchemaRef,
}

impl Columns {
    /// Of a table with these columns, of which some name the partition; `None` when one of them is not there.
    pub(super) fn of(table: &SchemaRef, partition: &[String]) -> Option<Self> {
        let named: Option<Vec<_>> = partition.iter().map(|name| table.column_with_name(name)).collect();
        let named: Vec<Arc<Field>> = named?.into_iter().map(|(_, field)| Arc::new(field.clone())).collect();
        let in_files = table.fields().iter().filter(|field| !partition.contains(field.name()));
        let in_files = Arc::new(Schema::new(in_files.cloned().collect::<Vec<_>>()));
        let scanned = TableSchema::builder(in_files).with_table_partition_cols(named.clone()).build();
        let places = table.fields().iter().map(|field| scanned.table_schema().index_of(field.name()).ok());
        let places = places.collect::<Option<Vec<_>>>()?;
        Some(Self { table: Arc::clone(table), scanned, places, partition: Arc::new(Schema::new(named)) })
    }

    /// The columns in the order of the table.
    pub(super) fn table(&self) -> &SchemaRef {
        &self.table
    }

    /// Those of the files, then those that name the partition.
    pub(super) fn scanned(&self) -> &TableSchema {
        &self.scanned
    }

    /// Those that name the partition.
    pub(super) fn partition(&self) -> &SchemaRef {
        &self.partition
    }

    /// Where the wanted columns of the table are among those that are scanned; without a choice all are wanted.
    pub(super) fn places(&self, wanted: Option<&Vec<usize>>) -> Result<Vec<usize>, DataFusionError> {
        let place = |column: &usize| {
            let place = self.places.get(*column).copied();
            place.ok_or_else(|| plan_datafusion_err!("the table has no column {column}"))
        };
        wanted.map_or_else(|| Ok(self.places.clone()), |wanted| wanted.iter().map(place).collect())
    }

    /// Whether a place is of a column of the files.
    pub(super) fn is_in_files(&self, place: usize) -> bool {
        place < self.scanned.file_schema().fields().len()
    }

    /// Whether a condition is of columns that name the partition alone.
    pub(super) fn is_of_partition(&self, condition: &Expr) -> bool {
        self.refers(condition).all(|is_of_partition| is_of_partition)
    }

    /// Whether a condition is of columns of the files alone.
    pub(super) fn is_of_files(&self, condition: &Expr) -> bool {
        !self.refers(condition).any(|is_of_partition| is_of_partition)
    }

    /// For each column of a condition, whether it names the partition.
    fn refers(&self, condition: &Expr) -> impl Iterator<Item = bool> {
        let columns: Vec<_> = condition.column_refs().into_iter().collect();
        columns.into_iter().map(|column| self.partition.column_with_name(&column.name).is_some())
    }
}

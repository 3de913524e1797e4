//! Results as text or bytes: a table, Markdown, HTML and XLSX for people; CSV, JSON, newline-delimited JSON and Parquet
//! for programs.
//!
//! Formats for programs are written batch by batch with arrow's own encoders. Formats for people wait for their rows
//! and show a bounded number. NULL is empty in tables and CSV and `null` in JSON; timestamps are ISO 8601; integers and
//! decimals are exact. Text that a spreadsheet would calculate is marked in CSV (`formula.rs`). Text that a screen or
//! page would interpret is made visible in formats for people (`visible.rs`). The same result gives the same bytes in
//! every format.

use std::io::Write;
use std::sync::Arc;

use arrow::csv;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{JsonFormat, LineDelimited, Writer as JsonWriter, WriterBuilder as JsonWriterBuilder};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::output::document::Document;
use crate::output::document_writer::{DocumentWriter, render};
use crate::output::error::OutputError;
use crate::output::format::{DocumentFormat, OutputFormat, arrow_error};
use crate::output::table::TableWriter;
use crate::report::result::ReportResult;
use crate::session::execute::QueryStream;
use crate::text::{formula, json_text};

/// Key in the footer of Parquet under which a report says since when it counts.
const SINCE: &str = "bluelake.since";

/// Writes the rest of a query; returns the number of rows.
///
/// # Errors
/// As [`QueryStream::next`] and [`ResultWriter::write`].
pub async fn write_results<W: Write + Send>(
    stream: &mut QueryStream,
    format: OutputFormat,
    sink: W,
) -> Result<u64, OutputError> {
    let mut writer = ResultWriter::new(format, &stream.schema(), sink)?;
    while let Some(batch) = stream.next().await? {
        writer.write(&batch)?;
    }
    writer.finish()
}

/// Writes a report; formats for people have its title, units, chart and provenance. Returns the number of rows in the
/// output: a table, a page or Markdown shows a bounded number.
///
/// # Errors
/// As [`ResultWriter::new`] and [`ResultWriter::write`].
pub fn write_report<W: Write + Send>(result: &ReportResult, format: OutputFormat, sink: W) -> Result<u64, OutputError> {
    if let Some(document) = format.document() {
        return render(&Document::of_report(result), &result.batches, document, sink);
    }
    let mut writer = ResultWriter::new(format, &result.schema, sink)?;
    if let (Some(since), Encoder::Parquet(writer)) = (&result.provenance.since, &mut writer.encoder) {
        let words = format!("{}: {}", since.first_day, since.in_words());
        writer.append_key_value_metadata(KeyValue::new(SINCE.to_owned(), words));
    }
    for batch in &result.batches {
        writer.write(batch)?;
    }
    writer.finish()
}

/// Writes the batches of one result in one format.
pub struct ResultWriter<W: Write + Send> {
    format: OutputFormat,
    /// The result's columns, with names made unique.
    schema: SchemaRef,
    encoder: Encoder<W>,
    rows: u64,
}

enum Encoder<W: Write + Send> {
    Table(TableWriter<W>),
    Csv(Box<csv::Writer<W>>),
    Json(JsonWriter<W, JsonLines>),
    Ndjson(JsonWriter<W, LineDelimited>),
    Parquet(Box<ArrowWriter<W>>),
    Document(DocumentWriter<W>),
}

impl<W: Write + Send> ResultWriter<W> {
    /// A writer of batches that have `schema`. A column name that occurs twice gets a number: `points`, `points_2`.
    ///
    /// # Errors
    /// [`OutputError::Format`] for a type that Parquet does not have.
    pub fn new(format: OutputFormat, schema: &Schema, sink: W) -> Result<Self, OutputError> {
        let schema = unique_names(schema);
        let json = JsonWriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(json_text::Floats));
        let document = |format, sink| Encoder::Document(DocumentWriter::new(format, &schema, sink));
        let encoder = match format {
            OutputFormat::Table => Encoder::Table(TableWriter::new(&schema, sink)),
            OutputFormat::Csv => Encoder::Csv(Box::new(csv::WriterBuilder::new().with_header(true).build(sink))),
            OutputFormat::Json => Encoder::Json(json.build(sink)),
            OutputFormat::Ndjson => Encoder::Ndjson(json.build(sink)),
            OutputFormat::Parquet => {
                let properties =
                    WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::default())).build();
                let writer =
                    ArrowWriter::try_new(sink, Arc::clone(&schema), Some(properties)).map_err(parquet_error)?;
                Encoder::Parquet(Box::new(writer))
            }
            OutputFormat::Xlsx => document(DocumentFormat::Xlsx, sink),
            OutputFormat::Markdown => document(DocumentFormat::Markdown, sink),
            OutputFormat::Html => document(DocumentFormat::Html, sink),
        };
        Ok(Self { format, schema, encoder, rows: 0 })
    }

    /// Writes one batch.
    ///
    /// # Errors
    /// [`OutputError::Write`] when the sink fails, with its own error; [`OutputError::Format`] when the format cannot
    /// hold a value.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), OutputError> {
        self.rows += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
        let name = self.format.name();
        let fail = |error| arrow_error(error, name);
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let columns = batch.columns().to_vec();
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(fail)?;
        match &mut self.encoder {
            Encoder::Table(writer) => writer.write(&batch).map_err(fail),
            Encoder::Csv(writer) => {
                let flat = json_text::flatten(&batch).map_err(fail)?;
                writer.write(&formula::escape(&flat).map_err(fail)?).map_err(fail)
            }
            Encoder::Json(writer) => writer.write(&batch).map_err(fail),
            Encoder::Ndjson(writer) => writer.write(&batch).map_err(fail),
            Encoder::Parquet(writer) => writer.write(&batch).map_err(parquet_error),
            Encoder::Document(writer) => writer.write(&batch),
        }
    }

    /// Completes the output, also of a result without rows, and returns the number of rows written.
    ///
    /// # Errors
    /// As [`ResultWriter::write`].
    pub fn finish(mut self) -> Result<u64, OutputError> {
        if self.rows == 0 {
            // A CSV without rows still gets its header.
            self.write(&RecordBatch::new_empty(Arc::clone(&self.schema)))?;
        }
        let fail = |error| arrow_error(error, self.format.name());
        match self.encoder {
            Encoder::Table(writer) => writer.finish().map_err(OutputError::Write)?,
            // Every write of the CSV encoder has flushed.
            Encoder::Csv(_) => {}
            Encoder::Document(writer) => return writer.finish(),
            Encoder::Json(mut writer) => {
                writer.finish().map_err(fail)?;
                writer.get_mut().flush().map_err(OutputError::Write)?;
            }
            Encoder::Ndjson(mut writer) => {
                writer.finish().map_err(fail)?;
                writer.get_mut().flush().map_err(OutputError::Write)?;
            }
            Encoder::Parquet(mut writer) => {
                writer.finish().map_err(parquet_error)?;
                writer.inner_mut().flush().map_err(OutputError::Write)?;
            }
        }
        Ok(self.rows)
    }
}

/// An array with one object a line, so that diffs and `head` stay readable.
#[derive(Debug, Default)]
struct JsonLines;

impl JsonFormat for JsonLines {
    fn start_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"[")?)
    }

    fn start_row<W: Write>(&self, writer: &mut W, is_first_row: bool) -> Result<(), ArrowError> {
        Ok(writer.write_all(if is_first_row { b"\n" } else { b",\n" })?)
    }

    fn end_stream<W: Write>(&self, writer: &mut W) -> Result<(), ArrowError> {
        Ok(writer.write_all(b"\n]\n")?)
    }
}

fn unique_names(schema: &Schema) -> SchemaRef {
    let mut names: Vec<String> = Vec::new();
    let mut fields = Vec::new();
    for field in schema.fields() {
        let taken = |name: &str| names.iter().any(|known| known == name);
        let name = if taken(field.name()) {
            let numbered = |number: u32| format!("{}_{number}", field.name());
            (2..).map(numbered).find(|name| !taken(name)).unwrap_or_default()
        } else {
            field.name().clone()
        };
        fields.push(field.as_ref().clone().with_name(&name));
        names.push(name);
    }
    Arc::new(Schema::new(fields))
}

fn parquet_error(error: ParquetError) -> OutputError {
    let source: Box<dyn std::error::Error + Send + Sync> = match error {
        ParquetError::External(source) => source,
        other => Box::new(other),
    };
    match source.downcast::<std::io::Error>() {
        Ok(source) => OutputError::Write(*source),
        Err(source) => OutputError::Format { format: "parquet", source },
    }
}

#[cfg(test)]
mod tests;

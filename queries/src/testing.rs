//! Small lakes in memory for tests, with the contract's own tables.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::json::ReaderBuilder;
use bluelake_schemas::{Contract, Stream};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use serde_json::{Value, json};

use crate::output::format::OutputFormat;
use crate::output::writer::{write_report, write_results};
use crate::report::provenance::Provenance;
use crate::report::result::ReportResult;
use crate::session::options::QueryOptions;
use crate::session::origin::TableOrigin;
use crate::session::query_session::QuerySession;

pub(crate) fn schema(stream: Stream) -> SchemaRef {
    Contract::embedded().unwrap().stream(stream).table_schema()
}

/// A table of `schema` with rows given as JSON objects.
pub(crate) fn table(schema: &SchemaRef, rows: &[Value]) -> Arc<dyn TableProvider> {
    let mut decoder =
        ReaderBuilder::new(Arc::clone(schema)).with_batch_size(rows.len().max(1)).build_decoder().unwrap();
    decoder.serialize(rows).unwrap();
    let batches = decoder.flush().unwrap().into_iter().collect::<Vec<_>>();
    Arc::new(MemTable::try_new(Arc::clone(schema), vec![batches]).unwrap())
}

/// An event with its envelope and lineage; `fields` are added and win. `occurred_at` is in UTC, ending in `Z`.
pub(crate) fn event(event_type: &str, occurred_at: &str, fields: Value) -> Value {
    let mut event = json!({
        "event_id": format!("{event_type} {occurred_at} {fields}"),
        "event_type": event_type,
        "schema_version": 1,
        "occurred_at": occurred_at,
        "stream_shard": "shardId-000000000000",
        "stream_sequence": "1",
        "stream_sub_sequence": 0,
        "arrived_at": occurred_at,
        "event_date": &occurred_at[..10],
        "user_kind": "civilian",
    });
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    event
}

pub(crate) fn tables(users: &[Value], transactions: &[Value]) -> Vec<(String, Arc<dyn TableProvider>)> {
    vec![
        ("user_events".to_owned(), table(&schema(Stream::UserEvents), users)),
        ("transactions".to_owned(), table(&schema(Stream::TransactionEvents), transactions)),
        ("rejected_events".to_owned(), table(&bluelake_schemas::rejected_events_schema(), &[])),
    ]
}

pub(crate) fn options() -> QueryOptions {
    QueryOptions { target_partitions: 2, ..QueryOptions::default() }
}

pub(crate) fn spilling_to(directory: &Path) -> QueryOptions {
    QueryOptions { spill_directory: Some(directory.to_path_buf()), ..options() }
}

pub(crate) async fn session(users: &[Value], transactions: &[Value]) -> QuerySession {
    QuerySession::new(tables(users, transactions), options()).await.unwrap()
}

/// The result of a query as CSV lines, header first.
pub(crate) async fn csv(session: &QuerySession, sql: &str) -> Vec<String> {
    let mut bytes = Vec::new();
    let mut stream = session.query(sql).await.unwrap();
    write_results(&mut stream, OutputFormat::Csv, &mut bytes).await.unwrap();
    lines(bytes)
}

/// The result of a query as CSV lines, header first, or its error.
pub(crate) async fn csv_or_error(session: &QuerySession, sql: &str) -> Result<Vec<String>, String> {
    let mut bytes = Vec::new();
    let mut stream = session.query(sql).await.map_err(|error| chain(&error))?;
    let written = write_results(&mut stream, OutputFormat::Csv, &mut bytes).await;
    written.map(|_| lines(bytes)).map_err(|error| chain(&error))
}

/// As [`report_csv`], without the column that tells how many days of a period count.
pub(crate) fn report_rows(result: &ReportResult) -> Vec<String> {
    let lines = report_csv(result);
    let is_told = lines.first().is_some_and(|header| header.ends_with(",counted_days"));
    let cut = |line: String| line.rsplit_once(',').map(|(rest, _)| rest.to_owned()).unwrap_or(line);
    if is_told { lines.into_iter().map(cut).collect() } else { lines }
}

/// The rows of a report as CSV lines, header first.
pub(crate) fn report_csv(result: &ReportResult) -> Vec<String> {
    let mut bytes = Vec::new();
    write_report(result, OutputFormat::Csv, &mut bytes).unwrap();
    lines(bytes)
}

fn lines(bytes: Vec<u8>) -> Vec<String> {
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

/// Of a report without parameters.
pub(crate) fn provenance() -> Provenance {
    Provenance {
        report: "gifts".to_owned(),
        parameters: Vec::new(),
        time_zone: "UTC".to_owned(),
        as_of: Some("transactions@12".to_owned()),
        tables: vec![TableOrigin {
            name: "transactions".to_owned(),
            version: Some(12),
            rows: None,
            expired_before: None,
        }],
        streams: Vec::new(),
        period: None,
        compared: None,
        since: None,
        bluelake_version: "0.0.0".to_owned(),
    }
}

/// An error with everything under it, as a command prints it.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

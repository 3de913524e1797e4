//! COPY of Parquet by a manifest, with Redshift's rules: every object is there with the length that the manifest says, has as many
//! columns as the table, in its order and of its types, and is compressed with Snappy; no text is longer than its column.

use arrow::{
    array::{Array, AsArray as _, RecordBatch},
    datatypes::{DataType, Float64Type, Int32Type, Int64Type},
};
use bytes::Bytes;
use futures::SinkExt as _;
use object_store::{ObjectStoreExt as _, aws::AmazonS3Builder, path::Path};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, basic::Compression};
use serde_json::Value;
use tokio_postgres::Transaction;

use super::s3::{ACCESS_KEY, REGION, SECRET_KEY};

/// The role that may read the bucket.
pub(crate) const ROLE: &str = "arn:aws:iam::123456789012:role/copy";
/// The largest row that COPY takes.
const ROW: usize = 4 << 20;

/// A column of the table that is copied into.
struct Column {
    kind: String,
    width: Option<usize>,
}

async fn get(endpoint: &str, url: &str) -> Result<Bytes, String> {
    let place = url.strip_prefix("s3://").ok_or("no URL of S3")?;
    let (bucket, key) = place.split_once('/').ok_or("no key")?;
    let store = AmazonS3Builder::new().with_bucket_name(bucket).with_region(REGION).with_endpoint(endpoint);
    let store = store.with_allow_http(true).with_access_key_id(ACCESS_KEY).with_secret_access_key(SECRET_KEY);
    let store = store.build().map_err(|error| error.to_string())?;
    let found = store.get(&Path::parse(key).unwrap()).await;
    let found = found.map_err(|error| format!("S3ServiceException: {url}: {error}"))?;
    found.bytes().await.map_err(|error| error.to_string())
}

/// Performs the statement; the rows that came.
pub(super) async fn copy(transaction: &Transaction<'_>, endpoint: &str, statement: &str) -> Result<u64, String> {
    let rest = statement.strip_prefix("COPY \"").ok_or("a name in quotes is expected")?;
    let (table, rest) = rest.split_once("\" FROM '").ok_or("FROM is expected")?;
    let (url, rest) = rest.split_once("' IAM_ROLE ").ok_or("IAM_ROLE is expected")?;
    let role = rest.strip_suffix(" FORMAT AS PARQUET MANIFEST").ok_or("PARQUET and MANIFEST are expected")?;
    if role.trim_matches('\'') != ROLE && role != "default" {
        return Err(format!("User is not authorized to assume IAM Role {role}"));
    }
    let columns = columns(transaction, table).await?;
    let manifest: Value = serde_json::from_slice(&get(endpoint, url).await?).map_err(|error| error.to_string())?;
    let mut rows = 0;
    for entry in manifest["entries"].as_array().ok_or("the manifest has no entries")? {
        let url = entry["url"].as_str().ok_or("an entry has no url")?;
        if entry["mandatory"] != true {
            return Err("an entry is not mandatory".to_owned());
        }
        let bytes = get(endpoint, url).await?;
        if entry["meta"]["content_length"] != bytes.len() {
            return Err(format!("the manifest says another content_length of {url}"));
        }
        rows += copy_object(transaction, table, &columns, bytes).await?;
    }
    Ok(rows)
}

async fn columns(transaction: &Transaction<'_>, table: &str) -> Result<Vec<Column>, String> {
    let ask = "SELECT format_type(atttypid, NULL), CASE WHEN atttypmod > 4 THEN atttypmod - 4 END FROM pg_attribute \
               WHERE attrelid = to_regclass('pg_temp.' || quote_ident($1)) AND attnum > 0 ORDER BY attnum";
    let rows = transaction.query(ask, &[&table]).await.map_err(|error| error.to_string())?;
    let width = |width: Option<i32>| width.map(|width| usize::try_from(width).unwrap());
    let columns: Vec<Column> = rows.iter().map(|row| Column { kind: row.get(0), width: width(row.get(1)) }).collect();
    if columns.is_empty() { Err(format!("there is no table {table} to stage in")) } else { Ok(columns) }
}

async fn copy_object(
    transaction: &Transaction<'_>,
    table: &str,
    columns: &[Column],
    bytes: Bytes,
) -> Result<u64, String> {
    let spectrum = |error: &dyn std::fmt::Display| format!("Spectrum Scan Error: {error}");
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(|error| spectrum(&error))?;
    for group in reader.metadata().row_groups() {
        if group.columns().iter().any(|column| column.compression() != Compression::SNAPPY) {
            return Err(spectrum(&"a column is not compressed with Snappy"));
        }
    }
    let fields = reader.schema().fields().clone();
    if fields.len() != columns.len() {
        return Err(spectrum(&format!(
            "Unmatched number of columns: {} in the table, {} in the file",
            columns.len(),
            fields.len()
        )));
    }
    for (field, column) in fields.iter().zip(columns) {
        let expected = match field.data_type() {
            DataType::Utf8 => "character varying",
            DataType::Int64 => "bigint",
            DataType::Int32 => "integer",
            DataType::Float64 => "double precision",
            DataType::Boolean => "boolean",
            _ => "nothing",
        };
        if column.kind != expected {
            return Err(spectrum(&format!(
                "column {} has an incompatible Parquet schema: {}",
                field.name(),
                column.kind
            )));
        }
    }
    let sink = transaction.copy_in(&format!("COPY pg_temp.\"{table}\" FROM STDIN (FORMAT csv)")).await;
    let sink = sink.map_err(|error| error.to_string())?;
    let mut sink = std::pin::pin!(sink);
    for batch in reader.build().map_err(|error| spectrum(&error))? {
        let batch = batch.map_err(|error| spectrum(&error))?;
        let lines = lines(&batch, columns)?;
        sink.send(Bytes::from(lines)).await.map_err(|error| error.to_string())?;
    }
    sink.finish().await.map_err(|error| format!("{error:?}"))
}

fn lines(batch: &RecordBatch, columns: &[Column]) -> Result<String, String> {
    let mut out = String::new();
    for row in 0..batch.num_rows() {
        let start = out.len();
        for (number, (values, column)) in batch.columns().iter().zip(columns).enumerate() {
            if number > 0 {
                out.push(',');
            }
            if values.is_null(row) {
                continue;
            }
            match values.data_type() {
                DataType::Utf8 => {
                    let text = values.as_string::<i32>().value(row);
                    if column.width.is_some_and(|width| text.len() > width) {
                        return Err("Spectrum Scan Error: The length of the data column is longer than the length defined in the table".to_owned());
                    }
                    out.push_str(&format!("\"{}\"", text.replace('"', "\"\"")));
                }
                DataType::Int64 => out.push_str(&values.as_primitive::<Int64Type>().value(row).to_string()),
                DataType::Int32 => out.push_str(&values.as_primitive::<Int32Type>().value(row).to_string()),
                DataType::Boolean => out.push_str(&values.as_boolean().value(row).to_string()),
                _ => out.push_str(&format!("{:e}", values.as_primitive::<Float64Type>().value(row))),
            }
        }
        if out.len() - start > ROW {
            return Err("Spectrum Scan Error: the row is larger than 4 MB".to_owned());
        }
        out.push('\n');
    }
    Ok(out)
}

//! The rows of a report as a table. Each question's rows are replaced in one transaction, and where they come from stands in
//! a table beside them.

use std::fmt::Write as _;

use arrow::{
    array::{Array as _, RecordBatch},
    datatypes::{DataType, Schema},
    error::ArrowError,
    util::display::{ArrayFormatter, FormatOptions},
};

use super::{
    PostgresOptions,
    apply::send,
    session::{Session, columns_there, lock},
};
use crate::{
    error::DeliverError,
    sql::{list, place, quoted},
};

/// The table with the provenance of each question.
const PROVENANCE: &str = "report_provenance";
/// The column that names the question of a row.
const QUESTION: &str = "bluelake_question";
/// The column with the place of a row in the report, from 1 on.
const ROW: &str = "bluelake_row";
/// Bytes that are sent at once.
const CHUNK: usize = 1 << 20;

/// The answer to one question of a report.
#[derive(Clone, Copy, Debug)]
pub struct ReportRows<'a> {
    /// The report, and its table.
    pub report: &'a str,
    /// The question: its rows take the place of those of before.
    pub question: &'a str,
    /// Where the lake is, for people. A schema is for one lake.
    pub lake: &'a str,
    /// What the answer was computed from, as JSON.
    pub provenance: &'a str,
    /// The columns.
    pub schema: &'a Schema,
    /// The rows, in the report's order.
    pub batches: &'a [RecordBatch],
}

/// Writes the rows of a report into its table, which is made when it is not there. Gives the number of rows.
///
/// # Errors
/// When the server cannot be reached, or the schema holds something else. Then nothing has changed; only after a lost answer
/// to the commit all of it may have. Writing it again is safe.
pub async fn put_report(options: &PostgresOptions, rows: &ReportRows<'_>) -> Result<u64, DeliverError> {
    if rows.report == PROVENANCE {
        let remedy = "give the report another name";
        return Err(options.refused(&about(rows.report), "its name is that of the table of provenance", remedy));
    }
    let mut session = Session::open(options).await?;
    let failed = |operation| options.fault(operation, Some(rows.report));
    let transaction = session.client.transaction().await.map_err(failed("cannot begin"))?;
    lock(&transaction, &options.schema).await.map_err(failed("cannot lock the schema"))?;
    make_own_table(options, &transaction).await?;
    refuse_another_lake(options, &transaction, rows.lake).await?;
    shape(options, &transaction, rows).await?;
    let table = place(&options.schema, rows.report);
    let delete = format!("DELETE FROM {table} WHERE {} = $1", quoted(QUESTION));
    transaction.execute(&delete, &[&rows.question]).await.map_err(failed("cannot take out the rows of before"))?;
    let count = copy(options, &transaction, rows).await?;
    let note = format!(
        "INSERT INTO {} (report, question, lake, provenance, rows) VALUES ($1, $2, $3, $4::text::json, $5) \
         ON CONFLICT (report, question) DO UPDATE SET lake = excluded.lake, provenance = excluded.provenance, \
         rows = excluded.rows, written_at = now()",
        place(&options.schema, PROVENANCE)
    );
    let number = i64::try_from(count).unwrap_or(i64::MAX);
    transaction
        .execute(&note, &[&rows.report, &rows.question, &rows.lake, &rows.provenance, &number])
        .await
        .map_err(failed("cannot note where the rows come from"))?;
    transaction.commit().await.map_err(failed("cannot commit"))?;
    Ok(count)
}

fn about(report: &str) -> String {
    format!("table '{report}'")
}

async fn make_own_table(
    options: &PostgresOptions,
    transaction: &tokio_postgres::Transaction<'_>,
) -> Result<(), DeliverError> {
    let failed = |operation| options.fault(operation, None);
    let there = "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)";
    let row = transaction.query_one(there, &[&options.schema]).await.map_err(failed("cannot look for the schema"))?;
    if !row.get::<_, bool>(0) {
        let create = format!("CREATE SCHEMA {}", quoted(&options.schema));
        transaction.batch_execute(&create).await.map_err(failed("cannot make the schema"))?;
    }
    if columns_there(transaction, options, PROVENANCE).await?.is_empty() {
        let create = format!(
            "CREATE TABLE {} (report text, question text, lake text NOT NULL, provenance json NOT NULL, \
             rows bigint NOT NULL, written_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (report, question))",
            place(&options.schema, PROVENANCE)
        );
        transaction.batch_execute(&create).await.map_err(failed("cannot make the table of provenance"))?;
    }
    Ok(())
}

async fn refuse_another_lake(
    options: &PostgresOptions,
    transaction: &tokio_postgres::Transaction<'_>,
    lake: &str,
) -> Result<(), DeliverError> {
    let ask = format!("SELECT lake FROM {} WHERE lake <> $1 LIMIT 1", place(&options.schema, PROVENANCE));
    let other = transaction.query_opt(&ask, &[&lake]).await;
    let other = other.map_err(options.fault("cannot read the provenance", Some(PROVENANCE)))?;
    let Some(other) = other else { return Ok(()) };
    let problem =
        format!("the schema '{}' holds reports of another lake, {}", options.schema, other.get::<_, String>(0));
    Err(options.refused(&about(PROVENANCE), &problem, "name another schema at the end of the destination"))
}

/// Makes the table, or the columns that it lacks.
async fn shape(
    options: &PostgresOptions,
    transaction: &tokio_postgres::Transaction<'_>,
    rows: &ReportRows<'_>,
) -> Result<(), DeliverError> {
    let there = columns_there(transaction, options, rows.report).await?;
    let wanted = columns(rows.schema);
    let statement = statement(&place(&options.schema, rows.report), &there, &wanted);
    let statement = statement.map_err(|problem| {
        let remedy = "rename or drop it, or name another schema at the end of the destination";
        options.refused(&about(rows.report), &problem, remedy)
    })?;
    if let Some(statement) = statement {
        let failed = options.fault("cannot make the table", Some(rows.report));
        transaction.batch_execute(&statement).await.map_err(failed)?;
    }
    Ok(())
}

/// The columns of the table of a report, with their types.
fn columns(schema: &Schema) -> Vec<(String, String)> {
    let own = [(QUESTION.to_owned(), "text".to_owned()), (ROW.to_owned(), "bigint".to_owned())];
    let of_report = schema.fields().iter().map(|field| (field.name().clone(), type_of(field.data_type()).to_owned()));
    own.into_iter().chain(of_report).collect()
}

/// The type that holds each value of a type.
fn type_of(data_type: &DataType) -> &'static str {
    match data_type {
        DataType::Dictionary(_, values) => type_of(values),
        DataType::UInt64
        | DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "numeric",
        whole if whole.is_integer() => "bigint",
        DataType::Float16 | DataType::Float32 | DataType::Float64 => "double precision",
        DataType::Boolean => "boolean",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Timestamp(_, Some(_)) => "timestamp with time zone",
        DataType::Timestamp(_, None) => "timestamp without time zone",
        _ => "text",
    }
}

/// Pure: what makes the table of a report as it should be; nothing when it is, or what stands against it.
fn statement(table: &str, there: &[(String, String)], wanted: &[(String, String)]) -> Result<Option<String>, String> {
    let definition = |(name, kind): &(String, String)| format!("{} {kind}", quoted(name));
    if there.is_empty() {
        let columns: Vec<String> = wanted.iter().map(definition).collect();
        let index = format!("CREATE INDEX ON {table} ({})", list(&[QUESTION, ROW]));
        return Ok(Some(format!("CREATE TABLE {table} ({}); {index}", columns.join(", "))));
    }
    if !there.iter().any(|(name, _)| name == QUESTION) {
        return Err("Bluelake did not make it".to_owned());
    }
    let mut missing = Vec::new();
    for column in wanted {
        match there.iter().find(|(name, _)| *name == column.0) {
            None => missing.push(format!("ADD COLUMN {}", definition(column))),
            Some((_, kind)) if *kind == column.1 => {}
            Some((name, kind)) => {
                return Err(format!("its column '{name}' is of the type {kind} and should be {}", column.1));
            }
        }
    }
    Ok((!missing.is_empty()).then(|| format!("ALTER TABLE {table} {}", missing.join(", "))))
}

async fn copy(
    options: &PostgresOptions,
    transaction: &tokio_postgres::Transaction<'_>,
    rows: &ReportRows<'_>,
) -> Result<u64, DeliverError> {
    let failed = || options.fault("cannot copy rows in", Some(rows.report));
    let columns = columns(rows.schema);
    let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    let statement = format!("COPY {} ({}) FROM STDIN", place(&options.schema, rows.report), list(&names));
    let sink = transaction.copy_in(&statement).await.map_err(failed())?;
    let mut sink = std::pin::pin!(sink);
    let (mut bytes, mut count) = (Vec::new(), 0_u64);
    for batch in rows.batches {
        for row in 0..batch.num_rows() {
            count += 1;
            line(rows.question, count, (batch, row), &mut bytes).map_err(|error| DeliverError::Value {
                table: rows.report.to_owned(),
                column: "of the report".to_owned(),
                reason: error.to_string(),
            })?;
            if bytes.len() >= CHUNK {
                send(&mut sink, &mut bytes).await.map_err(failed())?;
            }
        }
    }
    send(&mut sink, &mut bytes).await.map_err(failed())?;
    sink.as_mut().finish().await.map_err(failed())?;
    Ok(count)
}

/// Adds a row as COPY reads it: values with tabs between them, `\N` for null.
fn line(question: &str, number: u64, (batch, row): (&RecordBatch, usize), out: &mut Vec<u8>) -> Result<(), ArrowError> {
    let options = FormatOptions::new();
    escape(question, out);
    out.extend_from_slice(format!("\t{number}").as_bytes());
    let mut text = String::new();
    for column in batch.columns() {
        out.push(b'\t');
        if column.is_null(row) {
            out.extend_from_slice(b"\\N");
            continue;
        }
        text.clear();
        let value = ArrayFormatter::try_new(column.as_ref(), &options)?;
        write!(text, "{}", value.value(row)).map_err(|error| ArrowError::CastError(error.to_string()))?;
        escape(&text, out);
    }
    out.push(b'\n');
    Ok(())
}

/// A text as COPY reads it. The one character that PostgreSQL cannot store becomes the sign for such a one.
fn escape(text: &str, out: &mut Vec<u8>) {
    for character in text.chars() {
        match character {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\0' => out.extend_from_slice("\u{fffd}".as_bytes()),
            other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{ArrayRef, Decimal128Array, Float64Array, StringArray},
        datatypes::Field,
    };

    use super::*;

    fn pair(name: &str, kind: &str) -> (String, String) {
        (name.to_owned(), kind.to_owned())
    }

    #[test]
    fn a_row_becomes_a_line_that_copy_reads() {
        let points = Decimal128Array::from(vec![Some(1_250), None]).with_precision_and_scale(38, 2).unwrap();
        let columns: [(&str, ArrayRef); 3] = [
            ("name", Arc::new(StringArray::from(vec![Some("a\tb\\c\nd"), Some("\\N")]))),
            ("points", Arc::new(points)),
            ("share", Arc::new(Float64Array::from(vec![Some(f64::NAN), Some(0.1)]))),
        ];
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut out = Vec::new();
        line("to=last", 1, (&batch, 0), &mut out).unwrap();
        line("to=last", 2, (&batch, 1), &mut out).unwrap();
        let expected = "to=last\t1\ta\\tb\\\\c\\nd\t12.50\tNaN\nto=last\t2\t\\\\N\t\\N\t0.1\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn a_table_is_made_or_lengthened_or_refused() {
        let schema = Schema::new(vec![
            Field::new("day", DataType::Date32, true),
            Field::new("points", DataType::Decimal128(38, 0), true),
        ]);
        let wanted = columns(&schema);
        let made = statement("t", &[], &wanted).unwrap().unwrap();
        assert!(
            made.starts_with("CREATE TABLE t (\"bluelake_question\" text, \"bluelake_row\" bigint, \"day\" date"),
            "{made}"
        );
        assert_eq!(statement("t", &wanted, &wanted), Ok(None));
        let shorter = wanted.get(..3).unwrap();
        assert_eq!(statement("t", shorter, &wanted).unwrap().unwrap(), "ALTER TABLE t ADD COLUMN \"points\" numeric");
        assert_eq!(statement("t", &[pair("day", "date")], &wanted).unwrap_err(), "Bluelake did not make it");
        let mut other = wanted.clone();
        other.last_mut().unwrap().1 = "text".to_owned();
        assert!(statement("t", &other, &wanted).unwrap_err().contains("'points' is of the type text"));
    }
}

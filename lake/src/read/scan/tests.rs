//! Random tables, read by both scans: the same rows, of the same types, in the same order.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{fs, path::Path, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::concat_batches,
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    json::ReaderBuilder,
};
use chrono::NaiveDate;
use datafusion::{
    catalog::TableProvider,
    execution::{
        SessionStateBuilder,
        cache::{cache_manager::FileMetadataCache, default_cache::DefaultCache},
    },
    physical_optimizer::optimizer::PhysicalOptimizer,
    physical_plan::{collect, displayable},
    prelude::{SessionConfig, SessionContext},
};
use datafusion_proto::bytes::{physical_plan_from_bytes, physical_plan_to_bytes};
use deltalake::{DeltaTable, open_table};
use parquet::{arrow::ArrowWriter, file::properties::WriterProperties};
use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PlainConditions, scan_of};

/// Values that name partitions: as they are, and as the names of folders on disk have them.
const KINDS: [(&str, &str); 6] =
    [("gift", "gift"), ("a b", "a b"), ("ü%", "ü%25"), ("x/y", "x%2Fy"), ("p?q#r", "p%3Fq%23r"), ("", "")];

/// A file of a table.
#[derive(Clone, Debug)]
struct SomeFile {
    kind: Option<usize>,
    day: Option<u32>,
    /// Before the columns that came late.
    is_old: bool,
    /// Its columns in the reverse order.
    is_turned: bool,
    /// What the log knows of it: nothing, the number of rows, or also bounds.
    known: u8,
    rows: Vec<SomeRow>,
}

type SomeRow = (u16, Option<i64>, Option<u8>, Option<i64>, Option<bool>, Option<u32>);

fn rows() -> impl Strategy<Value = Vec<SomeRow>> {
    let row = (
        any::<u16>(),
        option::of(-3..9_i64),
        option::of(0..4_u8),
        option::of(0..5_000_000_i64),
        any::<Option<bool>>(),
        option::of(0..3_u32),
    );
    vec(row, 0..30)
}

fn file() -> impl Strategy<Value = SomeFile> {
    let kind = option::of(select((0..KINDS.len()).collect::<Vec<_>>()));
    (kind, option::of(1..5_u32), any::<bool>(), any::<bool>(), 0..3_u8, rows())
        .prop_map(|(kind, day, is_old, is_turned, known, rows)| SomeFile { kind, day, is_old, is_turned, known, rows })
}

/// The columns of files: all of them, or those of old files.
fn columns(is_old: bool) -> SchemaRef {
    let item = DataType::Struct(
        vec![Field::new("sku", DataType::Utf8, true), Field::new("quantity", DataType::Int64, true)].into(),
    );
    let mut fields = vec![
        Field::new("id", DataType::Utf8, false),
        Field::new("n", DataType::Int64, true),
        Field::new("at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), true),
        Field::new("price", DataType::Decimal128(12, 2), true),
        Field::new("share", DataType::Float64, true),
        Field::new("items", DataType::List(Arc::new(Field::new("element", item, true))), true),
    ];
    if !is_old {
        fields.push(Field::new("note", DataType::Utf8, true));
        fields.push(Field::new("flag", DataType::Boolean, true));
        fields.push(Field::new("born", DataType::Date32, true));
    }
    Arc::new(Schema::new(fields))
}

/// The columns of the table as Delta writes them: one that names the partition stands among those of the files.
fn delta_schema() -> String {
    let plain = |name: &str, kind: Value, nullable: bool| json!({"name": name, "type": kind, "nullable": nullable, "metadata": {}});
    let item = json!({"type": "struct", "fields": [
        plain("sku", json!("string"), true), plain("quantity", json!("long"), true)]});
    let items = json!({"type": "array", "elementType": item, "containsNull": true});
    json!({"type": "struct", "fields": [
        plain("id", json!("string"), false), plain("kind", json!("string"), true), plain("n", json!("long"), true),
        plain("at", json!("timestamp"), true), plain("price", json!("decimal(12,2)"), true),
        plain("share", json!("double"), true), plain("items", items, true), plain("note", json!("string"), true),
        plain("flag", json!("boolean"), true), plain("born", json!("date"), true), plain("day", json!("date"), true)]})
    .to_string()
}

fn values(row: &SomeRow) -> Value {
    let (id, n, note, at, flag, born) = row;
    json!({
        "id": format!("id-{id:05}"),
        "n": n,
        "at": at.map(|at| NaiveDate::default().and_time(chrono::NaiveTime::MIN).and_utc() + chrono::Duration::microseconds(at)),
        "price": n.map(|n| format!("{n}.25")),
        "share": n.map(|n| 1.0 / (1.0 + n.abs() as f64)),
        "items": note.map(|note| (0..note).map(|sku| json!({"sku": format!("s{sku}"), "quantity": n})).collect::<Vec<_>>()),
        "note": note.map(|note| ["alpha", "beta", "", "a much longer text that bounds cut short after so many letters"][usize::from(note)]),
        "flag": flag,
        "born": born.map(|born| format!("200{born}-01-01")),
    })
}

fn batch(file: &SomeFile) -> RecordBatch {
    let schema = columns(file.is_old);
    let mut decoder = ReaderBuilder::new(Arc::clone(&schema)).with_batch_size(100).build_decoder().unwrap();
    decoder.serialize(&file.rows.iter().map(values).collect::<Vec<_>>()).unwrap();
    let batch = decoder.flush().unwrap().unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(&schema)));
    let order: Vec<usize> = (0..schema.fields().len()).collect();
    batch.project(&if file.is_turned { order.into_iter().rev().collect() } else { order }).unwrap()
}

fn day(number: u32) -> String {
    format!("2026-01-0{number}")
}

/// Statistics of the log, with texts cut short and times cut to milliseconds, as Delta allows.
fn statistics(file: &SomeFile) -> String {
    if file.known < 2 {
        return json!({"numRecords": file.rows.len()}).to_string();
    }
    let ids: Vec<String> = file.rows.iter().map(|row| format!("id-{:05}", row.0)).collect();
    let ns: Vec<i64> = file.rows.iter().filter_map(|row| row.1).collect();
    let ats: Vec<i64> = file.rows.iter().filter_map(|row| row.3).collect();
    let at = |at: Option<&i64>| at.map(|at| format!("1970-01-01T00:00:0{}.{:03}Z", at / 1_000_000, at / 1_000 % 1_000));
    let texts: Vec<Value> =
        file.rows.iter().map(|row| values(row)["note"].clone()).filter(|note| !note.is_null()).collect();
    let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
    let note = |nulls: usize| (!file.is_old).then_some(nulls);
    let nulls = |is_null: fn(&SomeRow) -> bool| file.rows.iter().filter(|row| is_null(row)).count();
    let greatest_text =
        texts.iter().max().map(|text| format!("{}\u{10FFFF}", text.chars().take(7).collect::<String>()));
    let least_text = texts.iter().min().map(|text| text.chars().take(7).collect::<String>());
    json!({
        "numRecords": file.rows.len(),
        "minValues": {"id": ids.iter().min(), "n": ns.iter().min(), "at": at(ats.iter().min()), "note": note(0).and(least_text)},
        "maxValues": {"id": ids.iter().max(), "n": ns.iter().max(), "at": at(ats.iter().max()), "note": note(0).and(greatest_text)},
        "nullCount": {"id": 0, "n": nulls(|row| row.1.is_none()), "at": nulls(|row| row.3.is_none()), "note": note(nulls(|row| row.2.is_none()))},
    })
    .to_string()
}

/// Writes a file and says how the log names it.
fn write(folder: &Path, number: usize, file: &SomeFile) -> Value {
    let kind = file.kind.map(|kind| KINDS[kind]);
    let days = file.day.map(day);
    let hive = "__HIVE_DEFAULT_PARTITION__";
    let below = format!("kind={}/day={}", kind.map_or(hive, |(_, folder)| folder), days.as_deref().unwrap_or(hive));
    fs::create_dir_all(folder.join(&below)).unwrap();
    let path = format!("{below}/part {number}.parquet");
    let batch = batch(file);
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(11))
        .set_data_page_row_count_limit(4)
        .set_write_batch_size(2)
        .set_bloom_filter_enabled(number.is_multiple_of(2))
        .build();
    let out = fs::File::create(folder.join(&path)).unwrap();
    let mut writer = ArrowWriter::try_new(out, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let size = fs::metadata(folder.join(&path)).unwrap().len();
    let encoded = path.replace('%', "%25").replace(' ', "%20").replace('ü', "%C3%BC");
    let mut add = json!({"path": encoded, "partitionValues": {"kind": kind.map(|(kind, _)| kind), "day": days},
        "size": size, "modificationTime": 0, "dataChange": true});
    if file.known > 0 {
        add["stats"] = json!(statistics(file));
    }
    json!({ "add": add })
}

/// The table of these files, in a folder whose name needs encoding too.
async fn table(files: &[SomeFile]) -> (TempDir, DeltaTable) {
    let folder = tempfile::Builder::new().prefix("some table ").tempdir().unwrap();
    let log = folder.path().join("_delta_log");
    fs::create_dir(&log).unwrap();
    let mut actions = vec![
        json!({"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}}),
        json!({"metaData": {"id": "7f1c8a38-2f6f-4d2b-9a53-8f6f64a5a0b1", "format": {"provider": "parquet", "options": {}},
            "schemaString": delta_schema(), "partitionColumns": ["kind", "day"], "configuration": {}, "createdTime": 0}}),
    ];
    actions.extend(files.iter().enumerate().map(|(number, file)| write(folder.path(), number, file)));
    let lines: Vec<String> = actions.iter().map(Value::to_string).collect();
    fs::write(log.join("00000000000000000000.json"), lines.join("\n")).unwrap();
    let url = url::Url::from_directory_path(folder.path()).unwrap();
    let table = open_table(url).await.unwrap();
    (folder, table)
}

/// The table by both scans: this one, and the general one.
async fn both(table: &DeltaTable, since: Option<NaiveDate>) -> [Arc<dyn TableProvider>; 2] {
    let session = crate::read::versions::scan_session();
    let general = table.table_provider().with_session(session).await.unwrap();
    let since = since.map(|since| ("day", since));
    let footers: Arc<FileMetadataCache> = Arc::new(DefaultCache::new(1 << 20));
    [PlainConditions::of(scan_of(table, &general, &footers), since), PlainConditions::of(general, since)]
}

fn context(scan: &Arc<dyn TableProvider>, partitions: usize) -> SessionContext {
    let mut config = SessionConfig::new().with_target_partitions(partitions).with_batch_size(7);
    config.options_mut().optimizer.repartition_file_min_size = 0;
    let context = SessionContext::new_with_config(config);
    context.register_table("t", Arc::clone(scan)).unwrap();
    context
}

async fn answer(context: &SessionContext, sql: &str) -> Result<RecordBatch, String> {
    let frame = context.sql(sql).await.map_err(|error| error.to_string())?;
    let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await.map_err(|error| error.to_string())?;
    Ok(concat_batches(batches.first().map_or(&schema, RecordBatch::schema_ref), &batches).unwrap())
}

const STATEMENTS: [&str; 34] = [
    "SELECT * FROM t",
    "SELECT day, id, kind FROM t",
    "SELECT kind FROM t",
    "SELECT count(*) FROM t",
    "SELECT count(*), count(n), count(note), min(n), max(n), min(at), max(at), min(note), max(note) FROM t",
    "SELECT count(DISTINCT note), count(DISTINCT kind), count(DISTINCT flag) FROM t",
    "SELECT kind, day, count(*), sum(n) FROM t GROUP BY kind, day ORDER BY kind, day",
    "SELECT note, flag, born FROM t WHERE n > 3",
    "SELECT id FROM t WHERE note = 'alpha'",
    "SELECT id FROM t WHERE note IS NULL",
    "SELECT id FROM t WHERE note IS NOT NULL AND n IS NULL",
    "SELECT id FROM t WHERE note LIKE 'a much%'",
    "SELECT id FROM t WHERE note <> 'beta'",
    "SELECT id FROM t WHERE note > 'a much'",
    "SELECT id FROM t WHERE at >= TIMESTAMP '1970-01-01T00:00:02.5004Z'",
    "SELECT id FROM t WHERE at < TIMESTAMP '1970-01-01T00:00:01.000001Z' OR n = 2",
    "SELECT id, n FROM t WHERE id = 'id-00007' OR id BETWEEN 'id-1' AND 'id-3'",
    "SELECT id FROM t WHERE n IN (1, 2, 3) AND flag",
    "SELECT id FROM t WHERE price = 3.25",
    "SELECT id FROM t WHERE share < 0.5",
    "SELECT id FROM t WHERE share > 0.4",
    "SELECT id FROM t WHERE born = DATE '2001-01-01'",
    "SELECT id FROM t WHERE kind = 'x/y'",
    "SELECT id FROM t WHERE kind IN ('a b', 'p?q#r', 'ü%')",
    "SELECT id FROM t WHERE kind LIKE '%i%'",
    "SELECT id FROM t WHERE kind IS NULL",
    "SELECT id FROM t WHERE kind <> 'gift'",
    "SELECT id FROM t WHERE day >= DATE '2026-01-03' AND kind IS NOT NULL",
    "SELECT count(*) FROM t WHERE day = DATE '2026-01-02' OR kind LIKE 'g%'",
    "SELECT id FROM t WHERE day = DATE '2026-01-02' OR n = 4",
    "SELECT id FROM t WHERE date_trunc('month', day) = DATE '2026-01-01' AND upper(kind) = 'GIFT'",
    "SELECT id, items[1]['sku'], cardinality(items) FROM t WHERE n >= 0",
    "SELECT a.id, b.kind FROM t a LEFT JOIN t b ON a.n = b.n AND b.note = 'beta' AND b.kind = 'gift' WHERE a.n = 1 ORDER BY 1, 2",
    "SELECT kind || '!', n * 2, CASE WHEN kind = 'gift' THEN n END FROM t WHERE n < 8 LIMIT 5",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn both_scans_give_the_same_rows(files in vec(file(), 0..7), since in option::of(1..5_u32)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(compare(&files, since));
    }
}

async fn compare(files: &[SomeFile], since: Option<u32>) {
    let (_folder, table) = table(files).await;
    let [ours, general] = both(&table, since.map(|since| day(since).parse().unwrap())).await;
    assert_eq!(ours.schema(), general.schema());
    for partitions in [1, 3] {
        let (ours, general) = (context(&ours, partitions), context(&general, partitions));
        for sql in STATEMENTS {
            let (found, expected) = (answer(&ours, sql).await, answer(&general, sql).await);
            if partitions == 1 {
                assert_eq!(found, expected, "{sql}");
            } else if !sql.contains("LIMIT") {
                assert_eq!(found.map(sorted), expected.map(sorted), "{sql}");
            }
        }
    }
}

fn sorted(batch: RecordBatch) -> Vec<String> {
    let text = arrow::util::pretty::pretty_format_batches(&[batch]).unwrap().to_string();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn one(kind: &str, day: u32, rows: &[SomeRow]) -> SomeFile {
    let kind = KINDS.iter().position(|known| known.0 == kind);
    SomeFile { kind, day: Some(day), is_old: false, is_turned: false, known: 2, rows: rows.to_vec() }
}

fn row(id: u16) -> SomeRow {
    (id, Some(i64::from(id)), Some(0), Some(i64::from(id) * 1_000_500), Some(true), None)
}

/// The plan of a statement as queries make it, as text: conditions reach the scan with the logical plan alone.
async fn plan(scan: &Arc<dyn TableProvider>, sql: &str) -> String {
    let mut rules = PhysicalOptimizer::new().rules;
    rules.retain(|rule| !rule.name().starts_with("FilterPushdown"));
    let state = SessionStateBuilder::new().with_default_features().with_physical_optimizer_rules(rules).build();
    let context = SessionContext::new_with_state(state);
    context.register_table("t", Arc::clone(scan)).unwrap();
    let plan = context.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
    displayable(plan.as_ref()).indent(true).to_string()
}

#[tokio::test]
async fn files_that_cannot_have_the_rows_are_not_read() {
    let files = [one("gift", 1, &[row(1), row(2)]), one("a b", 2, &[row(3)]), one("gift", 3, &[row(4), row(5)])];
    let (_folder, table) = table(&files).await;
    let [ours, _] = both(&table, None).await;
    for (condition, expected) in [
        ("true", vec![0, 1, 2]),
        ("kind = 'gift'", vec![0, 2]),
        ("kind = 'gift' AND day > DATE '2026-01-01'", vec![2]),
        ("n = 3", vec![1]),
        ("id < 'id-00003'", vec![0]),
        ("n > 2 AND kind <> 'a b'", vec![2]),
        // The log has whole milliseconds: its greatest time is half of one before that of the row.
        ("at >= TIMESTAMP '1970-01-01T00:00:02.001Z' AND n < 3", vec![0]),
        ("day = DATE '2026-01-02' OR n = 5", vec![1, 2]),
        ("note = 'beta'", vec![]),
    ] {
        let plan = plan(&ours, &format!("SELECT id FROM t WHERE {condition}")).await;
        let read: Vec<usize> = (0..3).filter(|number| plan.contains(&format!("part {number}.parquet"))).collect();
        assert_eq!(read, expected, "{condition}: {plan}");
    }
}

#[tokio::test]
async fn conditions_on_columns_of_files_go_into_the_reader() {
    let (_folder, table) = table(&[one("gift", 1, &[row(1), row(2)])]).await;
    let [ours, _] = both(&table, None).await;
    let plan = plan(&ours, "SELECT id FROM t WHERE n = 1 AND n * 2 > 1 AND kind = 'gift'").await;
    assert!(plan.contains("predicate=n@1 = 1,") && !plan.contains("DeltaScan"), "{plan}");
}

/// As a cluster would: another process knows the store, and nothing of the table.
#[tokio::test]
async fn a_plan_goes_through_bytes_and_back() {
    let files = [one("gift", 1, &[row(1), row(2)]), one("x/y", 2, &[row(3)]), one("ü%", 3, &[row(4), row(5)])];
    let (_folder, table) = table(&files).await;
    let [ours, _] = both(&table, Some(day(2).parse().unwrap())).await;
    let here = context(&ours, 2);
    for sql in [
        "SELECT * FROM t ORDER BY id",
        "SELECT id, kind, items[1]['sku'], n * 2 FROM t WHERE n > 3 AND kind <> 'gift' ORDER BY id",
        "SELECT kind, day, count(*), max(at) FROM t WHERE note IS NOT NULL GROUP BY kind, day ORDER BY kind",
    ] {
        let plan = here.sql(sql).await.unwrap().create_physical_plan().await.unwrap();
        let there = SessionContext::new().task_ctx();
        let sent = physical_plan_to_bytes(Arc::clone(&plan)).unwrap();
        let received = physical_plan_from_bytes(&sent, &there).unwrap();
        assert_eq!(received.schema(), plan.schema(), "{sql}");
        let (found, expected) =
            (collect(received, there).await.unwrap(), collect(plan, here.task_ctx()).await.unwrap());
        assert!(expected.iter().any(|batch| batch.num_rows() > 0), "{sql}");
        assert_eq!(found, expected, "{sql}");
    }
}

/// The types and the property with which a table is changed, and whether our scan still reads it.
async fn is_ours(change: impl Fn(String) -> String) -> bool {
    let (folder, _) = table(&[one("gift", 1, &[row(1)])]).await;
    let log = folder.path().join("_delta_log/00000000000000000000.json");
    fs::write(&log, change(fs::read_to_string(&log).unwrap())).unwrap();
    let table = open_table(url::Url::from_directory_path(folder.path()).unwrap()).await.unwrap();
    let [ours, general] = both(&table, None).await;
    let (found, expected) = (
        answer(&context(&ours, 1), "SELECT id, kind, n FROM t").await,
        answer(&context(&general, 1), "SELECT id, kind, n FROM t").await,
    );
    assert_eq!(found, expected);
    !plan(&ours, "SELECT id, n FROM t").await.contains("DeltaScan")
}

#[tokio::test]
async fn a_table_that_needs_more_is_scanned_by_deltalake() {
    assert!(is_ours(|log| log).await);
    let features = r#"{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["deletionVectors"],"writerFeatures":["deletionVectors"]}"#;
    let plain = r#"{"minReaderVersion":1,"minWriterVersion":2}"#;
    assert!(!is_ours(|log| log.replace(plain, features)).await);
    assert!(!is_ours(|log| log.replace(r#"\"containsNull\":true"#, r#"\"containsNull\":false"#)).await);
    // The text of no letters names its partition.
    assert!(!is_ours(|log| log.replace(r#""kind":"gift""#, r#""kind":"""#)).await);
}

#[tokio::test]
async fn a_small_file_is_read_in_one_piece() {
    let (folder, table) = table(&[one("gift", 1, &[row(1), row(2)])]).await;
    let [ours, _] = both(&table, None).await;
    let size = fs::metadata(folder.path().join("kind=gift/day=2026-01-01/part 0.parquet")).unwrap().len();
    let context = context(&ours, 1);
    for _ in 0..2 {
        let plan = context.sql("SELECT id, n FROM t").await.unwrap().create_physical_plan().await.unwrap();
        collect(Arc::clone(&plan), context.task_ctx()).await.unwrap();
        let read = plan.metrics().unwrap().sum_by_name("bytes_scanned").unwrap().as_usize();
        assert_eq!(u64::try_from(read).unwrap(), size);
    }
}

//! The proof that the target holds what the lake does. The database adds its rows up by partition, from a hash of each row; the
//! lake's rows are added up here from the same texts. Doubles and JSON have no text that is the same everywhere: they are read
//! back, in pages, and compared by their values.

use std::collections::BTreeMap;

use arrow::array::{Array as _, AsArray as _, RecordBatch};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use bluelake_lake::Extent;
use md5::{Digest as _, Md5};

use super::{
    RedshiftTarget,
    ddl::{self, LOSSES, There, literal, missing_columns},
    fit,
    position::{Position, about},
    rows::{self, Loss},
    statements::Row,
};
use crate::{
    columns::{Column, Kind, Table},
    digest::{Counts, Partition, TableVerdict, hash},
    error::DeliverError,
    sql::{place, quoted},
    target::Source,
};

/// A comparison begins anew when somebody delivers meanwhile, this often.
const TRIES: usize = 3;
/// What is read back at once, in bytes: the Data API answers 100 MB at most, with quotes and escapes.
const ANSWER: u64 = 24 << 20;
/// Partitions that a statement names.
const NAMED: usize = 400;
/// Hexadecimal digits that fit into 64 bits with a sign.
const DIGITS: usize = 15;

/// Values that did not fit, in few numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lost {
    values: u64,
    digest: i128,
}

/// What the lake holds.
#[derive(Default)]
struct OfLake {
    partitions: BTreeMap<Partition, Counts>,
    lost: Lost,
}

/// Whether the values of a column are read back.
fn is_read_back(column: &Column) -> bool {
    matches!(column.kind, Kind::Number | Kind::Json | Kind::List)
}

/// The text of which a value is hashed, as the database makes it; `None`: the value is read back.
fn hashed(column: &Column) -> Option<String> {
    let name = quoted(&column.name);
    Some(match column.kind {
        Kind::Text | Kind::Uuid => name,
        Kind::Integer | Kind::SmallInteger => format!("CAST({name} AS VARCHAR)"),
        Kind::Truth => format!("CASE WHEN {name} THEN 't' WHEN NOT {name} THEN 'f' END"),
        Kind::Timestamp => format!("TO_CHAR({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"),
        Kind::Date => format!("TO_CHAR({name}, 'YYYY-MM-DD')"),
        Kind::Bytes => format!("LOWER(TO_HEX({name}))"),
        Kind::Number | Kind::Json | Kind::List => return None,
    })
}

/// The rows of a table with their partition, their points, their hash and the bytes of what is read back.
fn hashed_rows(schema: &str, table: &Table, there: &There) -> String {
    let is_there = |column: &&Column| there.contains_key(&column.name);
    let hashes: Vec<String> = table
        .columns
        .iter()
        .filter(|column| !is_read_back(column))
        .map(|column| match hashed(column).filter(|_| is_there(&column)) {
            Some(text) => format!("COALESCE(MD5({text}), '-')"),
            None => "'-'".to_owned(),
        })
        .collect();
    let points = table.columns.iter().filter(|column| column.is_points).filter(is_there);
    let points: Vec<String> =
        points.map(|column| format!("CAST(COALESCE({}, 0) AS DECIMAL(38, 0))", quoted(&column.name))).collect();
    let points = if points.is_empty() { "0".to_owned() } else { points.join(" + ") };
    let back: Vec<&Column> = table.columns.iter().filter(|column| is_read_back(column)).filter(is_there).collect();
    let sizes: Vec<String> = back
        .iter()
        .map(|column| match column.kind {
            Kind::Number => format!("CASE WHEN {} IS NULL THEN 0 ELSE 100 END", quoted(&column.name)),
            _ => format!("COALESCE(OCTET_LENGTH(JSON_SERIALIZE({})) + 100, 0)", quoted(&column.name)),
        })
        .collect();
    let sizes = if sizes.is_empty() { "0".to_owned() } else { sizes.join(" + ") };
    let values: String = back.iter().map(|column| format!(", {}", read_back(column))).collect();
    let [first, day] = table.partition.map(quoted);
    format!(
        "SELECT COALESCE({first}, '') AS part_first, COALESCE(TO_CHAR({day}, 'YYYY-MM-DD'), '') AS part_day, \
         {points} AS part_points, MD5({}) AS part_hash, {sizes} AS part_size{values} FROM {}",
        hashes.join(" || "),
        place(schema, table.name)
    )
}

fn read_back(column: &Column) -> String {
    let name = quoted(&column.name);
    if column.kind == Kind::Number { name } else { format!("JSON_SERIALIZE({name}) AS {name}") }
}

/// A number of some digits of a hash.
fn part_of_hash(hash: &str, from: usize) -> String {
    format!("STRTOL(SUBSTRING({hash}, {}, {DIGITS}), 16)", from + 1)
}

/// The two numbers that the database adds up of a hash.
fn numbers_of(hash: &str) -> Option<[u128; 2]> {
    let number = |from: usize| u128::from_str_radix(hash.get(from..from + DIGITS)?, 16).ok();
    Some([number(0)?, number(DIGITS)?])
}

fn joined([first, second]: [u128; 2]) -> u128 {
    first.wrapping_add(second << 64)
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a value that is read back adds: it belongs to its row and its column.
fn of_value(row: &str, column: &str, value: &str) -> u128 {
    hash(format!("{row}:{column}:{value}").as_bytes())
}

fn of_double(number: f64) -> String {
    format!("{:016x}", if number == 0.0 { 0 } else { number.to_bits() })
}

/// Adds the rows of a batch as it would be staged.
fn add_rows(table: &Table, found: &rows::Rows, counts: &mut Counts) {
    let batch: &RecordBatch = &found.batch;
    for row in 0..batch.num_rows() {
        let mut hashes = String::new();
        for (column, values) in table.columns.iter().zip(batch.columns()).filter(|(column, _)| !is_read_back(column)) {
            if values.is_null(row) {
                hashes.push('-');
                continue;
            }
            let text = match column.kind {
                Kind::Integer => values.as_primitive::<Int64Type>().value(row).to_string(),
                Kind::SmallInteger => values.as_primitive::<Int32Type>().value(row).to_string(),
                Kind::Truth => if values.as_boolean().value(row) { "t" } else { "f" }.to_owned(),
                Kind::Timestamp => values.as_string::<i32>().value(row).trim_end_matches("+00").to_owned(),
                _ => values.as_string::<i32>().value(row).to_owned(),
            };
            hashes.push_str(&md5(text.as_bytes()));
        }
        let hash = md5(hashes.as_bytes());
        let mut digest = numbers_of(&hash).map_or(0, joined);
        for (column, values) in table.columns.iter().zip(batch.columns()).filter(|(column, _)| is_read_back(column)) {
            if values.is_null(row) {
                continue;
            }
            let value = match column.kind {
                Kind::Number => of_double(values.as_primitive::<Float64Type>().value(row)),
                _ => canonical(values.as_string::<i32>().value(row)),
            };
            digest = digest.wrapping_add(of_value(&hash, &column.name, &value));
        }
        counts.rows += 1;
        counts.points = counts.points.saturating_add(found.points.get(row).copied().unwrap_or_default().into());
        counts.digest = counts.digest.wrapping_add(digest);
    }
}

fn canonical(text: &str) -> String {
    fit::canonical(text).unwrap_or_else(|| text.to_owned())
}

impl Lost {
    fn add(&mut self, loss: &Loss) {
        let (shard, sequence, number) = &loss.place;
        let text = format!("{shard}:{sequence}:{number}:{}:{}", loss.column, loss.bytes);
        let [first, _] = numbers_of(&md5(text.as_bytes())).unwrap_or_default();
        self.values += 1;
        self.digest += i128::try_from(first).unwrap_or_default();
    }
}

impl RedshiftTarget {
    /// Compares a table.
    pub(super) async fn compare(&mut self, source: &mut Source) -> Result<TableVerdict, DeliverError> {
        let name = source.name();
        if !self.has_own_tables().await? {
            return Ok(wrong(name, "it was never loaded".to_owned()));
        }
        for _ in 0..TRIES {
            let Some(held) = self.held(source).await? else {
                return Ok(wrong(name, "it was never loaded".to_owned()));
            };
            let verdict = self.compare_at(source, &held).await;
            let now = self.held(source).await?;
            if now.is_some_and(|now| now.attempt == held.attempt && now.version == held.version) {
                return verdict;
            }
        }
        let problem = "it was delivered to while it was compared";
        Err(self.options.refused(&about(name), problem, "run it again when the delivery pauses"))
    }

    async fn compare_at(&self, source: &mut Source, held: &Position) -> Result<TableVerdict, DeliverError> {
        let (name, version) = (source.name(), held.version);
        if version > source.version() {
            // A delivery went on meanwhile.
            source.feed.reload().await?;
        }
        if version > source.version() {
            let problem = format!("it holds version {version}, and the lake has {} only", source.version());
            return Ok(wrong(name, problem));
        }
        let table = source.table()?;
        let there = self.columns_of(name).await?;
        if there.is_empty() {
            return Ok(wrong(name, "the table is gone from the target".to_owned()));
        }
        if let Err(problem) = missing_columns(&table, &there) {
            return Ok(wrong(name, problem));
        }
        let target = self.of_target(&table, &there).await?;
        let listed = self.listed(name).await?;
        let lake = self.of_lake(source, &table, &there, version).await?;
        let mut faults = Vec::new();
        let counted = target.values().map(|counts| counts.rows).fold(0, u64::saturating_add);
        if counted != held.rows {
            faults.push(format!("it holds {counted} rows, and its position says {}", held.rows));
        }
        let list = format!("{}.{LOSSES}", self.options.schema);
        if listed != lake.lost {
            faults.push(format!(
                "'{list}' lists {} values, and {} values of the lake do not fit: it was changed, a column has another width now, or the database did not take a value",
                listed.values, lake.lost.values
            ));
        } else if listed.values > 0 {
            faults.push(format!("{} values do not fit and are null: '{list}' names them", listed.values));
        }
        Ok(TableVerdict::of(name, version, &lake.partitions, &target, faults))
    }

    /// What the database holds, by partition.
    async fn of_target(&self, table: &Table, there: &There) -> Result<BTreeMap<Partition, Counts>, DeliverError> {
        let (operation, about) = ("cannot add up its rows", about(table.name));
        let rows = hashed_rows(&self.options.schema, table, there);
        let ask = format!(
            "SELECT part_first, part_day, COUNT(*), SUM(part_points), SUM({}), SUM({}), SUM(part_size) \
             FROM ({rows}) AS h GROUP BY part_first, part_day",
            part_of_hash("part_hash", 0),
            part_of_hash("part_hash", DIGITS)
        );
        let answer = self.api.query(operation, &about, &ask).await?;
        let odd = || self.options.refused(&about, "the database gave sums of another form", "run it again");
        let (mut partitions, mut sizes) = (BTreeMap::new(), Vec::new());
        for row in &answer {
            let partition = partition(row).ok_or_else(odd)?;
            let sum = |place| row.number(place).ok_or_else(odd);
            let unsigned = |place| sum(place).and_then(|sum| u128::try_from(sum).map_err(|_| odd()));
            let counts = Counts {
                rows: u64::try_from(sum(2)?).map_err(|_| odd())?,
                points: sum(3)?,
                digest: joined([unsigned(4)?, unsigned(5)?]),
            };
            let size = u64::try_from(sum(6)?).map_err(|_| odd())?;
            partitions.insert(partition.clone(), counts);
            sizes.push((partition, size));
        }
        let back: Vec<&Column> =
            table.columns.iter().filter(|column| is_read_back(column) && there.contains_key(&column.name)).collect();
        for condition in conditions(&sizes) {
            let names: Vec<String> = back.iter().map(|column| quoted(&column.name)).collect();
            let ask = format!(
                "SELECT part_first, part_day, part_hash, {} FROM ({rows}) AS h WHERE part_size > 0 AND {condition}",
                names.join(", ")
            );
            for row in &self.api.query(operation, &about, &ask).await? {
                let (partition, hash) = (partition(row).ok_or_else(odd)?, row.text(2).ok_or_else(odd)?);
                let counts: &mut Counts = partitions.entry(partition).or_default();
                for (number, column) in back.iter().enumerate() {
                    let value = match column.kind {
                        Kind::Number => row.double(number + 3).map(of_double),
                        _ => row.text(number + 3).map(canonical),
                    };
                    if let Some(value) = value {
                        counts.digest = counts.digest.wrapping_add(of_value(hash, &column.name, &value));
                    }
                }
            }
        }
        Ok(partitions)
    }

    /// The losses that the target lists of a table.
    async fn listed(&self, name: &str) -> Result<Lost, DeliverError> {
        let text = "\"stream_shard\" || ':' || \"stream_sequence\" || ':' || CAST(\"stream_sub_sequence\" AS VARCHAR) || ':' || \
                    \"column_name\" || ':' || CAST(\"bytes\" AS VARCHAR)";
        let ask = format!(
            "SELECT COUNT(*), COALESCE(SUM({}), 0) FROM {} WHERE \"table_name\" = {}",
            part_of_hash(&format!("MD5({text})"), 0),
            place(&self.options.schema, LOSSES),
            literal(name)
        );
        let rows = self.api.query("cannot read the losses", &about(name), &ask).await?;
        let number = |place| rows.first().and_then(|row| row.number(place)).unwrap_or_default();
        Ok(Lost { values: u64::try_from(number(0)).unwrap_or_default(), digest: number(1) })
    }

    /// What the lake holds at a version, as this target can hold it.
    async fn of_lake(
        &self,
        source: &Source,
        table: &Table,
        there: &There,
        version: u64,
    ) -> Result<OfLake, DeliverError> {
        let files = source.feed.files_at(version, &Extent::All).await;
        let files = files.map_err(DeliverError::of_feed(&self.options.name))?;
        // A column that came to the lake since is null in it as well, at the version that the target holds.
        let widths = ddl::widths(table, there);
        let mut lake = OfLake::default();
        for file in files {
            let of_file = || DeliverError::of_file(&self.options.name, table.name);
            let mut parts = source.feed.rows(&file, &table.names()).await.map_err(of_file())?;
            while let Some(batch) = parts.next().await.map_err(of_file())? {
                let found = rows::staged(table, &widths, &batch, &file.partition, None)?;
                add_rows(table, &found, lake.partitions.entry(file.partition.clone()).or_default());
                found.losses.iter().for_each(|loss| lake.lost.add(loss));
            }
        }
        Ok(lake)
    }
}

fn wrong(table: &str, fault: String) -> TableVerdict {
    TableVerdict::without_comparison(table, vec![fault])
}

fn partition(row: &Row) -> Option<Partition> {
    Some([row.text(0)?.to_owned(), row.text(1)?.to_owned()])
}

/// Conditions that part what is read back into answers of a bounded size. A partition that is larger is parted by its hashes.
fn conditions(sizes: &[(Partition, u64)]) -> Vec<String> {
    let of = |[first, day]: &Partition| format!("(part_first = {} AND part_day = {})", literal(first), literal(day));
    let (mut found, mut named, mut size) = (Vec::new(), Vec::new(), 0_u64);
    let all = |named: &mut Vec<String>| format!("({})", std::mem::take(named).join(" OR "));
    for (partition, more) in sizes.iter().filter(|(_, size)| *size > 0) {
        if *more > ANSWER {
            let parts = more.div_ceil(ANSWER);
            let number = part_of_hash("part_hash", 0);
            found.extend((0..parts).map(|part| format!("{} AND MOD({number}, {parts}) = {part}", of(partition))));
            continue;
        }
        if !named.is_empty() && (size + more > ANSWER || named.len() >= NAMED) {
            found.push(all(&mut named));
            size = 0;
        }
        named.push(of(partition));
        size += more;
    }
    if !named.is_empty() {
        found.push(all(&mut named));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_bounded() {
        let partition = |name: &str| [name.to_owned(), "2026-01-01".to_owned()];
        let sizes =
            [(partition("a"), 10), (partition("b"), 0), (partition("c"), ANSWER - 5), (partition("d"), 3 * ANSWER - 1)];
        let found = conditions(&sizes);
        assert_eq!(found.len(), 5, "{found:?}");
        let parts: std::collections::BTreeSet<&String> =
            found.iter().filter(|condition| condition.contains("MOD(")).collect();
        assert_eq!(parts.len(), 3);
        assert!(!found.iter().any(|condition| condition.contains("'b'")), "it has nothing to be read back");
        let many: Vec<_> = (0..1_000).map(|number| (partition(&number.to_string()), 1)).collect();
        assert!(conditions(&many).iter().all(|condition| condition.len() < 90_000));
        assert_eq!(conditions(&many).len(), 3);
    }

    #[test]
    fn a_value_belongs_to_its_row_and_column() {
        let one = of_value("a", "b", "1");
        for other in [of_value("b", "b", "1"), of_value("a", "c", "1"), of_value("a", "b", "2")] {
            assert_ne!(one, other);
        }
        assert_eq!(of_double(-0.0), of_double(0.0));
        assert_ne!(of_double(0.1), of_double(0.100_000_000_000_000_02));
        assert_eq!(
            numbers_of("0123456789abcdef0123456789abcdef"),
            Some([0x0012_3456_789a_bcde, 0x0f01_2345_6789_abcd])
        );
    }
}

//! Runs the files of `tests/slt`, in the format of sqllogictest, over one small lake.
//!
//! It reads the records `query`, with types `T` (text) and `I` (number) and the sort modes `nosort` and `rowsort`, and
//! `statement error`; anything else is refused. One blank separates the cells of a row; an empty cell is `NULL`, and a
//! text with blanks has `_` for each. The crate `sqllogictest` is not used: it turns on features of crates that the
//! program has too, so that all of them would be built twice.

use std::path::{Path, PathBuf};

use bluelake_queries::{QuerySession, parse_time_zone};
use serde_json::Value;

use crate::support::compare::query;
use crate::support::world::{World, small_world};

/// One record of a file, with the line on which it begins.
struct Record {
    line: usize,
    expected: Expected,
    sql: String,
}

enum Expected {
    Rows { columns: usize, sorted: bool, rows: Vec<String> },
    Error(String),
}

/// Reads a file's records. Its first line names the time zone: `# time zone America/Chicago`.
fn parse(path: &Path) -> (String, Vec<Record>) {
    let text = std::fs::read_to_string(path).unwrap();
    let zone = text.lines().next().and_then(|line| line.strip_prefix("# time zone "));
    let zone = zone.unwrap_or_else(|| panic!("{}: the first line names no time zone", path.display()));
    let mut records = Vec::new();
    let mut lines = text.lines().zip(1..).filter(|(line, _)| !line.starts_with('#')).peekable();
    while let Some((head, line)) = lines.next() {
        if head.is_empty() {
            continue;
        }
        let block: Vec<&str> =
            std::iter::from_fn(|| lines.next_if(|(line, _)| !line.is_empty()).map(|(line, _)| line)).collect();
        let (sql, rows) = match block.iter().position(|line| *line == "----") {
            Some(place) => (&block[..place], &block[place + 1..]),
            None => (&block[..], &[][..]),
        };
        let words: Vec<_> = head.split(' ').collect();
        let expected = match words[..] {
            ["statement", "error", ..] => Expected::Error(words[2..].join(" ")),
            ["query", types, ref mode @ ..] if types.chars().all(|letter| "TI".contains(letter)) => Expected::Rows {
                columns: types.len(),
                sorted: match mode {
                    [] | ["nosort"] => false,
                    ["rowsort"] => true,
                    _ => panic!("{}:{line}: {head}", path.display()),
                },
                rows: rows.iter().map(|row| (*row).to_owned()).collect(),
            },
            _ => panic!("{}:{line}: {head}", path.display()),
        };
        records.push(Record { line, expected, sql: sql.join("\n") });
    }
    (zone.to_owned(), records)
}

/// A CSV line as a row of such a file.
fn row(line: &str, columns: usize) -> String {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let cell;
        if let Some(quoted) = rest.strip_prefix('"') {
            let end = quoted.replace("\"\"", "  ").find('"').unwrap();
            cell = quoted[..end].replace("\"\"", "\"");
            rest = &quoted[end + 1..];
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            cell = rest[..end].to_owned();
            rest = &rest[end..];
        }
        cells.push(if cell.is_empty() { "NULL".to_owned() } else { cell.replace(' ', "_") });
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None => break,
        }
    }
    assert_eq!(cells.len(), columns, "{line}");
    cells.join(" ")
}

/// The fault of a record, if any.
async fn fault(session: &QuerySession, record: &Record) -> Option<String> {
    match (query(session, &record.sql).await, &record.expected) {
        (Ok(found), Expected::Rows { columns, sorted, rows }) => {
            let mut found: Vec<_> = found.iter().map(|line| row(line, *columns)).collect();
            let mut rows = rows.clone();
            if *sorted {
                found.sort();
                rows.sort();
            }
            (found != rows).then(|| format!("found\n{}\nexpected\n{}", found.join("\n"), rows.join("\n")))
        }
        (Err(message), Expected::Error(part)) => (!message.contains(part)).then_some(message),
        (Err(message), Expected::Rows { .. }) => Some(message),
        (Ok(_), Expected::Error(part)) => Some(format!("no error, expected {part}")),
    }
}

async fn lake(zone: &str, folder: &Path) -> World {
    let events = std::fs::read_to_string(folder.join("lake.json")).unwrap();
    let events: Vec<Value> = serde_json::from_str(&events).unwrap();
    small_world(zone, parse_time_zone(zone).unwrap(), &events).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_view_says_what_its_slt_file_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let files = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|ending| ending == "slt")).collect();
    files.sort();
    assert!(files.len() >= 8, "{files:?}");
    let mut faults = Vec::new();
    for path in files {
        let (zone, records) = parse(&path);
        assert!(!records.is_empty(), "{}", path.display());
        let world = lake(&zone, &folder).await;
        for record in records {
            if let Some(fault) = fault(&world.session, &record).await {
                faults.push(format!("{}:{}: {fault}", path.display(), record.line));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

//! Statements that would overload a machine: each is answered or stopped by a limit, and the process lives on.

use std::fmt::Write as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;

use crate::landing::many_partitions::watch_peak_memory;
use crate::support::command::Machine;

const MEBIBYTE: u64 = 1024;
/// With `--memory-limit 128MiB` a query is stopped at twice that and 256 MiB; the memory of one step comes on top.
const PEAK_MAX: u64 = 1_400 * MEBIBYTE;

/// Statements with their required ends: `Some`: an error with these words; `None`: any end in time.
fn statements() -> Vec<(String, Option<&'static str>)> {
    let series = "generate_series(1, 100000000)";
    let or_chain: Vec<_> = (0..20_000).map(|term| format!("v={term}")).collect();
    let list: Vec<_> = (0..9_000).map(|value| format!("{value}")).collect();
    vec![
        (format!("SELECT sum(a.value % 7 * b.value) FROM {series} a, {series} b"), Some("limit")),
        (format!("SELECT * FROM {series} a, {series} b, {series} c ORDER BY a.value, c.value DESC"), Some("limit")),
        ("SELECT * FROM transactions a, transactions b, transactions c ORDER BY b.event_id".to_owned(), Some("limit")),
        ("SELECT count(*) FROM generate_series(1, 1000000000000000)".to_owned(), None),
        ("SELECT repeat('x', 1000000000)".to_owned(), Some("are accepted")),
        (format!("SELECT string_agg(repeat('x', 1000), ',') FROM {series}"), Some("limit")),
        (format!("SELECT array_agg(value) FROM {series}"), Some("limit")),
        (format!("SELECT value % 10, array_agg(repeat('x', 500)) FROM {series} GROUP BY 1"), Some("limit")),
        (format!("SELECT count(DISTINCT repeat('x', 50) || value) FROM {series}"), Some("limit")),
        (format!("SELECT sum(value) OVER () FROM {series}"), Some("limit")),
        (format!("SELECT value, lag(value) OVER (PARTITION BY value % 3 ORDER BY value) FROM {series}"), Some("limit")),
        ("SELECT unnest(range(0, 1000000000000))".to_owned(), Some("are accepted")),
        (format!("SELECT sum(n) FROM (SELECT unnest(range(0, 100000)) n FROM {series})"), Some("limit")),
        (
            "WITH RECURSIVE t AS (SELECT 1 AS n UNION ALL SELECT n + 1 FROM t) SELECT max(n) FROM t".to_owned(),
            Some("limit"),
        ),
        (
            "WITH RECURSIVE t AS (SELECT 'x' AS s UNION ALL SELECT s || s FROM t) SELECT max(length(s)) FROM t"
                .to_owned(),
            Some(""),
        ),
        (format!("SELECT 1 FROM (SELECT 1 AS v) t WHERE {}", &or_chain[..6_000].join(" OR ")), Some("operators")),
        (format!("SELECT {}1{}", "(".repeat(30_000), ")".repeat(30_000)), Some("")),
        (format!("SELECT count(*) FROM {series} WHERE value IN ({})", list.join(",")), None),
        ("SELECT 'aaaa' ~ '((a{1,1000}){1,1000}){1,1000}'".to_owned(), Some("")),
        (format!("SELECT count(*) FROM {series} WHERE repeat('a', 3000) || value ~ '(a|aa)*(a|aa)*(a|aa)*b'"), None),
        (format!("SELECT a.value FROM {series} a JOIN {series} b ON a.value = b.value ORDER BY 1 DESC"), Some("limit")),
        (format!("SELECT l FROM (SELECT array_repeat('x', 3000) AS l) t, {series} ORDER BY l"), Some("limit")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_far_exceeds_its_memory_limit() {
    let machine = Machine::new();
    machine.succeed(&["demo", "--events", "3000"]).await;
    let mut report = String::new();
    for (sql, expected) in statements() {
        let started = Instant::now();
        let arguments = ["sql", "--memory-limit", "128MiB", "--time-limit", "6s", "--format", "csv"];
        let mut command = tokio::process::Command::from(machine.terminal_command(&arguments));
        let mut process = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let watching = watch_peak_memory(process.id().unwrap());
        let mut stdin = process.stdin.take().unwrap();
        stdin.write_all(format!("{sql};\n").as_bytes()).await.unwrap();
        drop(stdin);
        let output = tokio::time::timeout(Duration::from_secs(120), process.wait_with_output()).await.unwrap().unwrap();
        let (peak, stderr) = (watching.await.unwrap(), String::from_utf8_lossy(&output.stderr).into_owned());
        let beginning: String = sql.chars().take(70).collect();
        let words: String = stderr.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(160).collect();
        writeln!(
            report,
            "{:>5} MiB {:>5.1} s code {:?}: {beginning} -> {words}",
            peak / MEBIBYTE,
            started.elapsed().as_secs_f64(),
            output.status.code()
        )
        .unwrap();
        eprintln!("{}", report.lines().last().unwrap());
        assert!(matches!(output.status.code(), Some(0 | 1)), "{beginning} took the process down:\n{report}");
        if let Some(expected) = expected {
            assert_eq!(output.status.code(), Some(1), "{beginning}:\n{report}");
            assert!(stderr.contains(expected), "{beginning}: {stderr}");
        }
        assert!(peak < PEAK_MAX, "{beginning}:\n{report}");
        assert!(started.elapsed() < Duration::from_secs(60), "{beginning}:\n{report}");
    }
}

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use crate::error::Refusal;
use crate::session::options::QueryOptions;
use crate::session::query_session::QuerySession;
use crate::testing::{chain, csv, options, tables};

async fn session() -> QuerySession {
    let options = QueryOptions { memory_limit_bytes: 64 << 20, ..options() };
    QuerySession::new(tables(&[], &[]), options).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn too_large_values_are_refused_before_they_exist() {
    let session = session().await;
    let (long, many) = ("repeat('x', 60000)", "generate_series(1, 100000)");
    let statements = [
        "SELECT repeat('x', 1000000000)".to_owned(),
        format!("SELECT repeat('x', value) FROM {many}"),
        "SELECT lpad('x', 1000000000)".to_owned(),
        format!("SELECT rpad('x', 10000 + value % 2, 'ü') FROM {many}"),
        "SELECT array_repeat(1, 1000000000)".to_owned(),
        format!("SELECT array_repeat({long}, 100000)"),
        format!("SELECT array_repeat(array_repeat(value, 5000), 5000) FROM {many}"),
        "SELECT array_resize(make_array(1), 1000000000)".to_owned(),
        "SELECT range(1000000000000000)".to_owned(),
        "SELECT unnest(range(0, 1000000000000000, 3))".to_owned(),
        "SELECT generate_series(1, -1000000000000, -1)".to_owned(),
        "SELECT range(DATE '0001-01-01', DATE '9999-01-01', INTERVAL '1 day')".to_owned(),
        "SELECT generate_series(TIMESTAMP '2020-01-01', TIMESTAMP '2026-01-01', INTERVAL '1 microsecond')".to_owned(),
        format!("SELECT replace({long}, 'x', {long})"),
        format!("SELECT regexp_replace({long}, 'x*?', {long}, 'g')"),
        format!("SELECT array_to_string(array_repeat('', 60000), {long})"),
        format!("SELECT concat(value, {}) FROM {many}", ["repeat('x', 3000)"; 100].join(", ")),
        format!("SELECT concat_ws({}) FROM {many}", [long; 9].join(", ")),
        "SELECT to_char(DATE '2026-01-01' + CAST(value % 9 AS INT), repeat('%A', 30000)) FROM generate_series(1, 9000)"
            .to_owned(),
        format!("SELECT levenshtein({long}, {long})"),
        format!("SELECT levenshtein(repeat('x', 5000), repeat('y', value % 5000)) FROM {many}"),
    ];
    for sql in statements {
        let error = match session.query(&sql).await {
            Err(error) => error,
            Ok(stream) => stream
                .collect()
                .await
                .err()
                .unwrap_or_else(|| Refusal::Forbidden { statement: sql.clone(), rule: "" }.into()),
        };
        assert!(chain(&error).contains("are accepted"), "{sql:.80}: {}", chain(&error));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_people_write_is_answered_as_before() {
    let session = session().await;
    let cases = [
        ("SELECT repeat('ab', 3)", "ababab"),
        ("SELECT repeat('ab', -3)", "\"\""),
        ("SELECT lpad('7', 3, '0')", "007"),
        ("SELECT rpad('7', 3, '.')", "7.."),
        ("SELECT array_to_string(make_array(1, NULL, 3), '-', '?')", "1-?-3"),
        ("SELECT array_length(range(10))", "10"),
        ("SELECT array_length(list_repeat('x', 5))", "5"),
        ("SELECT array_length(generate_series(DATE '2016-01-01', DATE '2026-01-01', INTERVAL '1 day'))", "3654"),
        (
            "SELECT array_length(generate_series(TIMESTAMP '2026-01-01', TIMESTAMP '2026-02-01', INTERVAL '1 hour'))",
            "745",
        ),
        ("SELECT replace('a-b-c', '-', '+')", "a+b+c"),
        ("SELECT regexp_replace('a1b22', '[0-9]+', '#', 'g')", "a#b#"),
        ("SELECT concat('a', NULL, 1)", "a1"),
        ("SELECT concat_ws('-', 'a', NULL, 'b')", "a-b"),
        ("SELECT to_char(DATE '2026-01-31', '%d.%m.%Y')", "31.01.2026"),
        ("SELECT max(concat('a', value, 'b')) FROM generate_series(1, 9)", "a9b"),
        ("SELECT replace('a-b', '-', CAST(value AS VARCHAR)) FROM generate_series(1, 1)", "a1b"),
        ("SELECT levenshtein('kitten', 'sitting')", "3"),
        ("SELECT repeat(NULL, 1000000000) IS NULL", "true"),
        ("SELECT sum(length(repeat('x', value % 10))) FROM generate_series(1, 100000)", "450000"),
    ];
    for (sql, expected) in cases {
        assert_eq!(csv(&session, sql).await[1..], [expected], "{sql}");
    }
}

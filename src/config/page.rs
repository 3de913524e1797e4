//! The table of settings in `docs/configuration.md`, which is made from the list.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use super::{About, SETTINGS};

/// Heads the table.
const HEADER: &str = "| key | variable | flag | default | meaning |\n| --- | --- | --- | --- | --- |\n";

#[test]
fn the_documentation_is_in_step_with_the_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let documentation = std::fs::read_to_string(&path).unwrap();
    let (before, table) = documentation.split_once(HEADER).unwrap();
    let (_, after) = table.split_once("\n\n").unwrap();
    let rows: Vec<String> = SETTINGS.iter().map(About::row).collect();
    let expected = format!("{before}{HEADER}{}\n\n{after}", rows.join("\n"));
    if std::env::var_os("BLUELAKE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &expected).unwrap();
        return;
    }
    assert_eq!(documentation, expected, "run this test once with BLUELAKE_WRITE_DOCS=1");
}

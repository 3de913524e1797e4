//! Fuzz targets. Each takes any bytes, and panics when an invariant does not hold for them.
//!
//! `.ci/fuzz` runs them under libFuzzer, guided by coverage. The ordinary tests run each on its seeds and on changed
//! seeds, so that the targets themselves keep working. How to use them: `docs/testing.md`.
#![allow(clippy::expect_used, clippy::panic, reason = "to panic is how a target reports")]

#[cfg(feature = "documents")]
mod documents;
mod records;
#[cfg(feature = "sql")]
mod sql;

#[cfg(feature = "documents")]
pub use documents::documents;
pub use records::{aggregated, records};
#[cfg(feature = "sql")]
pub use sql::sql;

/// Inputs to begin from, by the name of the target; `None` for an unknown name.
#[must_use]
pub fn seeds(target: &str) -> Option<Vec<Vec<u8>>> {
    match target {
        "records" => Some(records::record_seeds()),
        "aggregated" => Some(records::aggregated_seeds()),
        #[cfg(feature = "documents")]
        "documents" => Some(documents::seeds()),
        #[cfg(feature = "sql")]
        "sql" => Some(sql::seeds()),
        _ => None,
    }
}

/// Writes the seeds of a target into the folder that `BLUELAKE_FUZZ_SEEDS` names, if it is set, before they are read from there.
///
/// # Panics
/// When they cannot be written.
pub fn write_seeds(target: &str) {
    let Some(folder) = std::env::var_os("BLUELAKE_FUZZ_SEEDS").map(std::path::PathBuf::from) else { return };
    for (number, seed) in seeds(target).expect("a target").iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{number}")), seed).expect("the seeds can be written");
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use proptest::test_runner::TestRunner;

    use super::*;

    /// A seed with some bytes changed, taken out or doubled.
    fn changed_seed(target: &str) -> impl Strategy<Value = Vec<u8>> {
        let changes = vec((any::<Index>(), any::<u8>(), 0..4_u8), 0..6);
        (select(seeds(target).expect("a target")), changes).prop_map(|(mut bytes, changes)| {
            for (index, byte, change) in changes {
                if bytes.is_empty() {
                    break;
                }
                let at = index.index(bytes.len());
                match change {
                    0 => drop(bytes.remove(at)),
                    1 => bytes.insert(at, byte),
                    2 => bytes.truncate(at),
                    _ => bytes.splice(at..=at, [byte]).for_each(drop),
                }
            }
            bytes
        })
    }

    fn try_out(target: &str, cases: u32, run: fn(&[u8])) {
        for seed in seeds(target).expect("a target") {
            run(&seed);
        }
        let mut runner = TestRunner::new(ProptestConfig::with_cases(cases));
        let outcome = runner.run(&changed_seed(target), |bytes| {
            run(&bytes);
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{target}: {failure}"));
    }

    #[test]
    fn no_bytes_break_what_must_hold_of_records() {
        try_out("records", 2_000, records);
        try_out("aggregated", 2_000, aggregated);
    }

    #[cfg(feature = "documents")]
    #[test]
    fn no_bytes_break_the_rules_of_documents() {
        try_out("documents", 2_000, documents);
    }

    #[cfg(feature = "sql")]
    #[test]
    fn no_bytes_break_the_rules_of_sql() {
        try_out("sql", 300, sql);
    }
}

//! Runs `bluelake_fuzz::sql` under libFuzzer; see `docs/testing.md`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: bluelake_fuzz::write_seeds("sql"), |data: &[u8]| bluelake_fuzz::sql(data));

//! Runs `bluelake_fuzz::documents` under libFuzzer; see `docs/testing.md`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: bluelake_fuzz::write_seeds("documents"), |data: &[u8]| bluelake_fuzz::documents(data));

//! Runs `bluelake_fuzz::records` under libFuzzer; see `docs/testing.md`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: bluelake_fuzz::write_seeds("records"), |data: &[u8]| bluelake_fuzz::records(data));

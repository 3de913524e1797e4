//! Runs `bluelake_fuzz::aggregated` under libFuzzer; see `docs/testing.md`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bluelake_fuzz::aggregated(data));

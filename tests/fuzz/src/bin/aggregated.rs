//! Runs `bluelake_fuzz::aggregated` under libFuzzer; see `docs/testing.md`.
#![no_main]

libfuzzer_sys::fuzz_target!(init: bluelake_fuzz::write_seeds("aggregated"), |data: &[u8]| bluelake_fuzz::aggregated(data));

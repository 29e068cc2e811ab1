//! See `router::properties::request_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| router::properties::request_head(bytes));

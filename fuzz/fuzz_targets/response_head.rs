//! See `router::properties::response_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| router::properties::response_head(bytes));

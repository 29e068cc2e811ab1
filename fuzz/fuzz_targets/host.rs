//! See `router::properties::host`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| router::properties::host(bytes));

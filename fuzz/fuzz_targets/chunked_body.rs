//! See `router::properties::chunked_body`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| router::properties::chunked_body(bytes));

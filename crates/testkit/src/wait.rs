//! Waiting for a condition instead of sleeping.

use std::time::{Duration, Instant};

/// Asks `check` until it answers `Ok`, and gives that answer. What it last said instead is in the
/// panic when `limit` is over.
///
/// # Panics
/// When the condition does not come true within `limit`.
#[track_caller]
pub fn until<T>(what: &str, limit: Duration, mut check: impl FnMut() -> Result<T, String>) -> T {
    let started = Instant::now();
    loop {
        match check() {
            Ok(answer) => return answer,
            Err(status) if started.elapsed() > limit => {
                panic!("{what} did not come true within {limit:?}; last: {status}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

//! How many calls an account may make: 4500 an hour, refilled 75 a minute.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use model::AccountId;

/// Calls an account that was quiet for an hour may make at once.
pub const HOURLY: u32 = 4500;
const REFILL: Duration = Duration::from_millis(800);

/// The buckets of all accounts that called in this process's life; bounded by the number of
/// accounts.
#[derive(Default)]
pub struct RateLimits {
    buckets: Mutex<HashMap<AccountId, Bucket>>,
}

struct Bucket {
    remaining: u32,
    refilled: Instant,
}

impl RateLimits {
    /// Spends one call. Returns how many are left, or `None` when there was none to spend.
    pub fn spend(&self, account: AccountId, now: Instant) -> Option<u32> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket = buckets.entry(account).or_insert(Bucket { remaining: HOURLY, refilled: now });
        bucket.refill(now);
        bucket.remaining = bucket.remaining.checked_sub(1)?;
        Some(bucket.remaining)
    }
}

impl Bucket {
    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.refilled);
        let calls = u32::try_from(passed.as_millis() / REFILL.as_millis()).unwrap_or(HOURLY);
        let calls = calls.min(HOURLY);
        self.remaining = self.remaining.saturating_add(calls).min(HOURLY);
        self.refilled = if calls == HOURLY { now } else { self.refilled + REFILL * calls };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_bucket_refills_by_75_a_minute() {
        let (limits, account, start) = (RateLimits::default(), AccountId::random(), Instant::now());
        for left in (0..HOURLY).rev() {
            assert_eq!(limits.spend(account, start), Some(left));
        }
        assert_eq!(limits.spend(account, start), None);
        assert_eq!(limits.spend(AccountId::random(), start), Some(HOURLY - 1));
        let minute = start + Duration::from_secs(60);
        assert_eq!(limits.spend(account, minute), Some(74));
        let days = start + Duration::from_secs(1_000_000);
        assert_eq!(limits.spend(account, days), Some(HOURLY - 1));
    }
}

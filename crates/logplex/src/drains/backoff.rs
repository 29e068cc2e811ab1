//! How long to wait before the next try.

use std::time::Duration;

use model::Timestamp;

/// Waits that double, up to a bound, each shortened by up to a quarter so that drains that failed
/// together do not come back together.
pub(crate) struct Backoff {
    first: Duration,
    most: Duration,
    next: Duration,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, next: first }
    }

    /// Something went well.
    pub fn reset(&mut self) {
        self.next = self.first;
    }

    /// How long to wait after a failure.
    pub fn after_failure(&mut self) -> Duration {
        let wait = self.next;
        self.next = (wait * 2).min(self.most);
        // The clock's last digits are dice enough for this.
        let die = u32::try_from(Timestamp::now().micros().rem_euclid(256)).unwrap_or(0);
        wait - wait * die / 1024
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound_and_begin_anew_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(3));
        for whole in [1, 2, 3, 3] {
            let wait = backoff.after_failure();
            let whole = Duration::from_secs(whole);
            assert!(wait <= whole && wait >= whole * 3 / 4, "{wait:?} of {whole:?}");
        }
        backoff.reset();
        assert!(backoff.after_failure() <= Duration::from_secs(1));
    }
}

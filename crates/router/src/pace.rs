//! The pace of a body: a client may be slow for a while, but not for ever.
//!
//! Silence has its own time-out, which one byte now and then would avoid. So a client has slack: the
//! time that is spent waiting for it uses the slack up, and each byte that moves gives some back.

use std::time::Duration;

use tokio::time::Instant;

use crate::thread::Thread;
use crate::transfer::{Transfer, Waits};

/// How slow a client may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tempo {
    /// It may be waited for so long, all in all.
    slack: Duration,
    /// A byte gives so much of the slack back.
    per_byte: Duration,
}

/// The pace of one body.
pub struct Pace {
    tempo: Tempo,
    /// Who is meant: the sender or the receiver.
    party: Waits,
    slack: Duration,
    waiting: Option<Instant>,
    seen: u64,
}

/// It would take for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSlow;

impl Pace {
    /// Of a client that is the sender or the receiver.
    pub fn new(thread: &Thread, party: Waits) -> Self {
        let per_byte = Duration::from_secs(1) / thread.limits.body_rate.max(1);
        Self::with(Tempo { slack: thread.timeouts.slow_client, per_byte }, party)
    }

    const fn with(tempo: Tempo, party: Waits) -> Self {
        Self { tempo, party, slack: tempo.slack, waiting: None, seen: 0 }
    }

    /// Looks at a transfer that cannot go on at this moment.
    pub fn check(&mut self, transfer: &Transfer) -> Result<(), TooSlow> {
        let waits = transfer.waits == self.party;
        if let Some(since) = self.waiting.take() {
            self.slack = self.slack.checked_sub(since.elapsed()).ok_or(TooSlow)?;
        }
        self.earn(transfer.sent);
        self.waiting = waits.then(Instant::now);
        Ok(())
    }

    fn earn(&mut self, sent: u64) {
        let moved = u32::try_from(sent - self.seen).unwrap_or(u32::MAX);
        self.seen = sent;
        if moved > 0 && self.slack < self.tempo.slack {
            let earned = self.tempo.per_byte.saturating_mul(moved);
            self.slack = self.slack.saturating_add(earned).min(self.tempo.slack);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body;

    const TEMPO: Tempo =
        Tempo { slack: Duration::from_secs(60), per_byte: Duration::from_millis(2) };

    /// How often a client that sends `bytes` each 10 s is let go on, up to 100 times.
    async fn lasts(bytes: u64, waits: Waits) -> usize {
        let mut transfer = Transfer::new(Body::until_close());
        transfer.waits = waits;
        let mut pace = Pace::with(TEMPO, Waits::ForSender);
        for turn in 0..100 {
            if pace.check(&transfer).is_err() {
                return turn;
            }
            tokio::time::advance(Duration::from_secs(10)).await;
            transfer.sent += bytes;
        }
        100
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_ends_and_a_stream_does_not() {
        assert_eq!(lasts(1, Waits::ForSender).await, 7);
        assert_eq!(lasts(5_000, Waits::ForSender).await, 100);
        assert!(lasts(2_500, Waits::ForSender).await < 20, "half the pace gains no more than that");
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_the_other_side_is_not_the_clients_fault() {
        assert_eq!(lasts(0, Waits::ForReceiver).await, 100);
    }
}

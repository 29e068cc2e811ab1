//! One timer per connection, for all its deadlines in turn.
//!
//! Deadlines move with every byte, but the runtime's timer is touched only when one comes nearer than
//! what is armed: a deadline that moved away is noticed when the old one rings.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that can be moved cheaply.
pub struct Timer {
    /// Set, and not looked at since: most deadlines are moved again before anybody waits.
    after: Option<Duration>,
    deadline: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// A timer that rings `after` from now.
    pub fn new(after: Duration) -> Self {
        let deadline = Instant::now() + after;
        Self { after: None, deadline, sleep: Box::pin(sleep_until(deadline)) }
    }

    /// Moves the deadline to `after` from the next poll on: set it where the waiting begins.
    pub const fn set(&mut self, after: Duration) {
        self.after = Some(after);
    }

    /// What `future` gives, unless the deadline passes before.
    pub async fn limit<F: Future>(&mut self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll(cx).map(|()| None),
        })
        .await
    }

    /// Ready once the deadline has passed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(after) = self.after.take() {
            self.deadline = Instant::now() + after;
            if self.deadline < self.sleep.deadline() {
                self.sleep.as_mut().reset(self.deadline);
            }
        }
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.deadline);
        }
    }
}

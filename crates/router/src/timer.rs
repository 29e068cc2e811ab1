//! One timer per connection, for all its deadlines in turn.
//!
//! Deadlines move with every byte, but the runtime's timer is touched only when one comes nearer than
//! what is armed: a deadline that moved away is noticed when the old one rings.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A deadline that can be moved cheaply.
pub struct Timer {
    deadline: Instant,
    sleep: Pin<Box<Sleep>>,
}

impl Timer {
    /// A timer that rings `after` from now.
    pub fn new(after: Duration) -> Self {
        let deadline = Instant::now() + after;
        Self { deadline, sleep: Box::pin(sleep_until(deadline)) }
    }

    /// Moves the deadline to `after` from now.
    pub fn set(&mut self, after: Duration) {
        self.deadline = Instant::now() + after;
        if self.deadline < self.sleep.deadline() {
            self.sleep.as_mut().reset(self.deadline);
        }
    }

    /// Ready once the deadline has passed.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(cx));
            if self.sleep.deadline() >= self.deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(self.deadline);
        }
    }
}

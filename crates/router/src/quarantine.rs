//! Dynos whose connect failed lately: this thread leaves them alone for a while.

use std::cell::RefCell;
use std::time::Duration;

use model::DynoId;
use tokio::time::Instant;

use crate::ids::IdMap;

/// Until when which dyno is left alone.
pub struct Quarantine {
    lasts: Duration,
    until: RefCell<IdMap<DynoId, Instant>>,
}

impl Quarantine {
    /// An empty one, whose inmates stay for `lasts`.
    pub fn new(lasts: Duration) -> Self {
        Self { lasts, until: RefCell::default() }
    }

    /// Takes a dyno in; and forgets all that may leave, so that the map stays small.
    pub fn add(&self, dyno: DynoId) {
        let now = Instant::now();
        let mut until = self.until.borrow_mut();
        until.retain(|_, end| *end > now);
        until.insert(dyno, now + self.lasts);
    }

    /// Until when `dyno` must be left alone, if at all.
    pub fn ends(&self, dyno: DynoId) -> Option<Instant> {
        let until = self.until.borrow();
        if until.is_empty() {
            return None;
        }
        until.get(&dyno).copied().filter(|&end| end > Instant::now())
    }
}

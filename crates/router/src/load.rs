//! Requests in flight per app, over all threads: the backlog that H11 bounds.
//!
//! Upgraded connections are not in it: they may last for hours and wait for nothing.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use model::AppId;

use crate::ids::IdMap;

type Counts = IdMap<AppId, Arc<AtomicU32>>;

/// Counters of all apps, shared by the threads.
#[derive(Clone, Default)]
pub struct Shared(Arc<Mutex<Counts>>);

/// One thread's view of the counters; a thread asks for a shared one once per app.
pub struct Load {
    shared: Shared,
    known: RefCell<Counts>,
}

/// One request in flight; dropping it ends that.
pub struct InFlight(Arc<AtomicU32>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Load {
    /// A view of `shared`.
    pub fn new(shared: Shared) -> Self {
        Self { shared, known: RefCell::default() }
    }

    /// Counts one more request of `app` in, unless there are `limit` already.
    pub fn enter(&self, app: AppId, limit: u32) -> Option<InFlight> {
        let count = self.counter(app);
        if count.fetch_add(1, Ordering::Relaxed) >= limit {
            count.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(InFlight(count))
    }

    fn counter(&self, app: AppId) -> Arc<AtomicU32> {
        if let Some(count) = self.known.borrow().get(&app) {
            return count.clone();
        }
        let count = self.lock(|counts| counts.entry(app).or_default().clone());
        self.known.borrow_mut().insert(app, count.clone());
        count
    }

    /// Forgets apps without requests, so that the counters do not grow with every app ever seen.
    pub fn sweep(&self) {
        self.known.borrow_mut().retain(|_, count| count.load(Ordering::Relaxed) > 0);
        self.lock(|counts| counts.retain(|_, count| Arc::strong_count(count) > 1));
    }

    fn lock<T>(&self, look: impl FnOnce(&mut Counts) -> T) -> T {
        look(&mut self.shared.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_over_threads_and_forgotten_apps_start_anew() {
        let shared = Shared::default();
        let (one, other) = (Load::new(shared.clone()), Load::new(shared));
        let app = AppId::random();
        let first = one.enter(app, 2).expect("room");
        let second = other.enter(app, 2).expect("room");
        assert!(one.enter(app, 2).is_none());
        one.sweep();
        assert!(other.enter(app, 2).is_none(), "a sweep forgets no request");
        drop((first, second));
        one.sweep();
        other.sweep();
        assert!(one.lock(|counts| counts.is_empty()));
        assert!(one.enter(app, 1).is_some());
    }
}

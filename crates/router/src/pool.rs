//! Unused connections to dynos, per thread.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use model::DynoId;
use model::routes::Backend;
use tokio::time::Instant;

use crate::ids::IdMap;
use crate::transfer::End;

/// How sure one must be that a connection is still open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// What the runtime has noticed is enough: the request can be sent again.
    Usual,
    /// Ask the kernel: the request cannot be sent again.
    Extra,
}

struct Idle {
    end: End,
    since: Instant,
}

struct Kept {
    backend: Arc<Backend>,
    idle: Vec<Idle>,
}

/// Unused connections, the most recently used last.
pub struct Pool {
    lasts: Duration,
    per_dyno: usize,
    kept: RefCell<IdMap<DynoId, Kept>>,
}

impl Pool {
    /// An empty pool that keeps a connection unused for `lasts`, and `per_dyno` of them.
    pub fn new(lasts: Duration, per_dyno: usize) -> Self {
        Self { lasts, per_dyno, kept: RefCell::default() }
    }

    /// An open connection to `backend`, the most recently used one.
    pub fn take(&self, backend: &Arc<Backend>, care: Care) -> Option<End> {
        let mut kept = self.kept.borrow_mut();
        let idle = &mut kept.get_mut(&backend.dyno)?.idle;
        while let Some(Idle { end, since }) = idle.pop() {
            let stale = match care {
                Care::Usual => end.socket.has_known_news(),
                Care::Extra => end.socket.has_news(),
            };
            // Unasked bytes are as bad as the end: they would be taken for the next answer.
            if !stale && since.elapsed() < self.lasts {
                return Some(end);
            }
        }
        None
    }

    /// Keeps a connection for later, unless there are enough.
    pub fn put(&self, backend: &Arc<Backend>, mut end: End) {
        if backend.is_closed() || !end.input.is_empty() {
            return;
        }
        end.input.release();
        end.head.clear();
        let mut kept = self.kept.borrow_mut();
        let kept = kept
            .entry(backend.dyno)
            .or_insert_with(|| Kept { backend: backend.clone(), idle: Vec::new() });
        if kept.idle.len() < self.per_dyno {
            kept.idle.push(Idle { end, since: Instant::now() });
        }
    }

    /// Closes what was unused for too long, what the dyno has closed, and everything to dynos that
    /// take no more requests.
    pub fn sweep(&self) {
        let mut all = self.kept.borrow_mut();
        all.retain(|_, kept| {
            if kept.backend.is_closed() {
                return false;
            }
            kept.idle.retain(|idle| {
                idle.since.elapsed() < self.lasts && !idle.end.socket.has_known_news()
            });
            !kept.idle.is_empty()
        });
    }

    /// Closes everything.
    pub fn clear(&self) {
        self.kept.borrow_mut().clear();
    }
}

//! How far what is stored has reached the router, so that a verb can answer when it has.

use std::sync::Arc;
use std::time::Duration;

use store::{Poke, Store};
use tokio::sync::watch;
use tokio::time::timeout;

/// A router that has not heard by then hears later; nobody waits longer for it.
const LIMIT: Duration = Duration::from_secs(2);

/// What the router is given on one sort of poke, and the last of them that it speaks of; `None` while
/// nobody publishes any.
#[derive(Clone)]
pub(crate) struct Published {
    poke: Poke,
    seen: Arc<watch::Sender<Option<u64>>>,
}

impl Published {
    /// What follows this sort of poke; nobody publishes yet.
    pub(crate) fn nothing(poke: Poke) -> Self {
        Self { poke, seen: Arc::new(watch::Sender::new(None)) }
    }

    /// What knows of all pokes up to this one has been published.
    pub(crate) fn reached(&self, poke: u64) {
        self.seen.send_replace(Some(poke));
    }

    /// From now on nobody publishes.
    pub(crate) fn ends(&self) {
        self.seen.send_replace(None);
    }

    /// Waits until what is published speaks of all that is committed now.
    pub(crate) async fn catches_up(&self, store: &Store) {
        let newest = *store.subscribe(self.poke).borrow();
        let mut published = self.seen.subscribe();
        let caught_up = published.wait_for(|seen| seen.is_none_or(|seen| seen >= newest));
        if timeout(LIMIT, caught_up).await.is_err() {
            tracing::warn!("the router has not heard of a change in time");
        }
    }
}

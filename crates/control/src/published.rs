//! How far what is stored has reached the router, so that a verb can answer when it has.

use std::sync::Arc;
use std::time::Duration;

use store::{Poke, Store};
use tokio::sync::watch;
use tokio::time::timeout;

/// A router that has not heard by then hears later; nobody waits longer for it.
const LIMIT: Duration = Duration::from_secs(2);

/// The last poke that the published routes speak of; `None` while nobody publishes any.
#[derive(Clone)]
pub(crate) struct Published(Arc<watch::Sender<Option<u64>>>);

impl Published {
    /// Nobody publishes yet.
    pub(crate) fn nothing() -> Self {
        Self(Arc::new(watch::Sender::new(None)))
    }

    /// Routes that know of all pokes up to this one have been published.
    pub(crate) fn reached(&self, poke: u64) {
        self.0.send_replace(Some(poke));
    }

    /// From now on nobody publishes.
    pub(crate) fn ends(&self) {
        self.0.send_replace(None);
    }

    /// Waits until the routes speak of all that is committed now.
    pub(crate) async fn catches_up(&self, store: &Store) {
        let newest = *store.subscribe(Poke::Routes).borrow();
        let mut published = self.0.subscribe();
        let caught_up = published.wait_for(|seen| seen.is_none_or(|seen| seen >= newest));
        if timeout(LIMIT, caught_up).await.is_err() {
            tracing::warn!("the router has not heard of a change in time");
        }
    }
}

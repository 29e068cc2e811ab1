//! The routing table in force, swapped as a whole.
//!
//! Readers never wait and never see half a change. Requests that have nowhere to go yet wait on
//! [`Routes::changed`].

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use model::routes::RoutingTable;
use tokio::sync::watch;

/// The routing table in force. Clones share it.
#[derive(Clone)]
pub struct Routes {
    table: Arc<ArcSwap<RoutingTable>>,
    version: watch::Sender<u64>,
}

impl Routes {
    /// An empty table, in which no host leads anywhere.
    #[must_use]
    pub fn new() -> Self {
        Self {
            table: Arc::new(ArcSwap::from_pointee(RoutingTable::default())),
            version: watch::Sender::new(0),
        }
    }

    /// Puts `table` in force. Requests already under way keep the dyno they have entered.
    pub fn publish(&self, table: RoutingTable) {
        self.table.store(Arc::new(table));
        self.version.send_modify(|version| *version += 1);
    }

    /// The table in force.
    #[must_use]
    pub fn current(&self) -> Arc<RoutingTable> {
        self.table.load_full()
    }

    /// A receiver that sees each change after this call; its value counts the changes. Take it
    /// before looking at the table and no change can be missed.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.version.subscribe()
    }

    /// The table in force, for a short look.
    pub(crate) fn peek(&self) -> Guard<Arc<RoutingTable>> {
        self.table.load()
    }
}

impl Default for Routes {
    fn default() -> Self {
        Self::new()
    }
}

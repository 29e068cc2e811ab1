//! What wakes a reconciler: pokes, a timer that heals a lost one, and the end of the server.

use std::time::Duration;

use futures_util::future::{Either, select, select_all};
use store::{Poke, Store};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Woken {
    /// Look again.
    Again,
    /// The server stops.
    Stop,
}

/// Waits for any of several pokes.
pub(crate) struct Wake {
    pokes: Vec<watch::Receiver<u64>>,
    period: Duration,
    cancel: CancellationToken,
}

impl Wake {
    /// Subscribes; pokes from now on are not missed.
    pub(crate) fn new(
        store: &Store,
        pokes: &[Poke],
        period: Duration,
        cancel: CancellationToken,
    ) -> Self {
        let pokes = pokes.iter().map(|&poke| store.subscribe(poke)).collect();
        Self { pokes, period, cancel }
    }

    /// Waits for a poke, at most the period. Dropping the future loses no poke.
    pub(crate) async fn next(&mut self) -> Woken {
        self.next_within(self.period).await
    }

    /// Waits for a poke, at most so long. Dropping the future loses no poke.
    pub(crate) async fn next_within(&mut self, period: Duration) -> Woken {
        let poked = select_all(self.pokes.iter_mut().map(|poke| Box::pin(poke.changed())));
        let timed = tokio::time::timeout(period, poked);
        let cancelled = std::pin::pin!(self.cancel.cancelled());
        match select(cancelled, std::pin::pin!(timed)).await {
            Either::Left(_) => Woken::Stop,
            Either::Right(_) => Woken::Again,
        }
    }
}

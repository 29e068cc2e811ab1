//! Rest: a web dyno that nobody asks for is frozen in place; the next request thaws it.
//!
//! The request itself rings ([`Backend`]'s bell), so that neither reconciler nor router is on the way.
//! Whether a dyno is frozen is known to its control group and asked there after a restart.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use model::plan::Condition;
use model::routes::Backend;
use model::steps::{Step, reached};
use model::{DynoId, DynoName, DynoState, Timestamp};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::{Keeper, Phase};

/// What others tell a dyno that may rest.
#[derive(Default)]
pub(super) struct Frost {
    /// Freeze.
    pub(super) order: Notify,
    /// Somebody is at the door.
    pub(super) bell: Notify,
}

/// Whether a dyno rests.
pub(super) enum Rest {
    /// It runs; if it replaces another for its age, nobody has visited that since then.
    Awake(Option<Timestamp>),
    /// It is frozen, and its memory is to be taken back then.
    Frozen(Instant),
    /// It is frozen, and its memory has been taken back.
    Reclaimed,
}

/// What a dyno is to do.
pub(super) enum Turn {
    Freeze,
    Thaw,
    Reclaim,
}

impl Rest {
    pub(super) fn awake(quiet_since: Option<Timestamp>) -> Self {
        Self::Awake(quiet_since)
    }

    pub(super) fn is_frozen(&self) -> bool {
        !matches!(self, Self::Awake(_))
    }

    /// The way in to a web dyno in this state.
    pub(super) fn backend(
        &self,
        dyno: DynoId,
        name: &DynoName,
        at: SocketAddr,
        frost: &Arc<Frost>,
    ) -> Backend {
        let frost = frost.clone();
        let bell = Box::new(move || frost.bell.notify_one());
        let backend = Backend::with_bell(dyno, name.clone(), at, bell);
        match self {
            Self::Awake(Some(since)) => backend.quiet_since(*since),
            Self::Awake(None) => backend,
            Self::Frozen(_) | Self::Reclaimed => {
                // Nobody can be inside yet.
                let _empty = backend.freeze();
                backend
            }
        }
    }
}

/// Waits until there is something to do. Loses nothing when dropped: both tellings are kept.
pub(super) async fn turn(frost: &Frost, rest: &Rest) -> Turn {
    match rest {
        Rest::Awake(_) => {
            frost.order.notified().await;
            Turn::Freeze
        }
        Rest::Frozen(reclaim_at) => tokio::select! {
            () = frost.bell.notified() => Turn::Thaw,
            () = sleep_until(*reclaim_at) => Turn::Reclaim,
        },
        Rest::Reclaimed => {
            frost.bell.notified().await;
            Turn::Thaw
        }
    }
}

impl Keeper {
    pub(super) async fn turn(&mut self, turn: Turn) -> Phase {
        match turn {
            Turn::Freeze => self.freeze().await,
            Turn::Thaw => self.thaw().await,
            Turn::Reclaim => self.reclaim().await,
        }
        Phase::Up
    }

    async fn freeze(&mut self) {
        // Whoever runs a program inside has a use for it.
        let free = self.backend.clone().filter(|_| !self.guests.are_inside());
        let Some(backend) = free else { return };
        // Of an earlier frost.
        let _rung = self.frost.bell.notified().now_or_never();
        let frozen = match backend.freeze() {
            true => self.house.runtime.freeze(self.id()).await,
            false => Err(std::io::ErrorKind::ResourceBusy.into()),
        };
        if let Err(error) = frozen {
            backend.thaw();
            if error.kind() != std::io::ErrorKind::ResourceBusy {
                let error: &dyn std::error::Error = &error;
                tracing::warn!(dyno.id = %self.id(), error, "could not freeze a dyno");
            }
            return;
        }
        reached(Step::DynoFrozen);
        self.rest = Rest::Frozen(Instant::now() + self.reclaim_after());
        self.voice.idling();
        self.becomes(DynoState::Idle).await;
        reached(Step::RestWritten);
    }

    /// Whoever rang waits already: it runs before anything is written down.
    async fn thaw(&mut self) {
        self.unfreeze();
        reached(Step::DynoThawed);
        self.voice.unidling();
        self.becomes(DynoState::Up).await;
    }

    /// As [`Keeper::thaw`], when it is frozen.
    pub(super) async fn wake_up(&mut self) {
        if self.rest.is_frozen() {
            self.thaw().await;
        }
    }

    async fn reclaim(&mut self) {
        self.rest = Rest::Reclaimed;
        if let Err(error) = self.house.runtime.reclaim(self.id()).await {
            let error: &dyn std::error::Error = &error;
            tracing::info!(dyno.id = %self.id(), error, "could not take back memory of a dyno");
        }
        reached(Step::MemoryReclaimed);
    }

    /// Lets it run, if it is frozen.
    pub(super) fn unfreeze(&mut self) {
        if !self.rest.is_frozen() {
            return;
        }
        if let Err(error) = self.house.runtime.thaw(self.id()) {
            let error: &dyn std::error::Error = &error;
            tracing::error!(dyno.id = %self.id(), error, "could not thaw a dyno");
        }
        self.rest = Rest::Awake(None);
        self.backend.iter().for_each(|backend| backend.thaw());
        // An order to freeze that came twice.
        let _stale = self.frost.order.notified().now_or_never();
    }

    /// Asks the machine whether a dyno that was found again is frozen.
    pub(super) fn found_frozen(&mut self) {
        if self.is_web() && self.house.runtime.is_frozen(self.id()) {
            self.rest = Rest::Frozen(Instant::now() + self.reclaim_after());
            self.life.dyno.state = DynoState::Idle;
        } else {
            self.life.dyno.state = DynoState::Up;
        }
    }

    /// Writes down what an earlier server froze or thawed and had no time to write.
    pub(super) async fn correct(&mut self, known: DynoState) {
        let found = self.life.dyno.state;
        if found == known {
            return;
        }
        if self.rest.is_frozen() {
            self.voice.idling()
        } else {
            self.voice.unidling()
        }
        self.life.dyno.state = known;
        self.becomes(found).await;
    }

    fn reclaim_after(&self) -> Duration {
        self.house.config.timing.reclaim
    }

    async fn becomes(&mut self, state: DynoState) {
        let (id, now) = (self.id(), self.house.now());
        self.voice.changed(self.life.dyno.state, state);
        self.life.dyno.state = state;
        self.publish(Condition::Up);
        self.write(move |tx| store::dynos::set_state(tx, id, state, now)).await;
    }
}

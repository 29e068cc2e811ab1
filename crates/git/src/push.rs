//! The pushes that are under way, and whose turn it is.
//!
//! Of the pushes to one app that want a build, one at a time has the turn, from before its source is
//! read until git has updated the refs; so the commit that was built is the commit the branch shows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use model::{Account, App, AppId};
use tokio::sync::{Mutex as Turns, OwnedMutexGuard};

/// At most this many pushes to one app at once; others are told to come back.
const MAX_PER_APP: usize = 8;

/// One push: who, and to what.
pub(crate) struct Push {
    pub app: App,
    pub account: Account,
    queue: Arc<Turns<()>>,
    turn: Mutex<Option<OwnedMutexGuard<()>>>,
    /// The branch that was built, once it was; the repository's HEAD follows it.
    built: Mutex<Option<String>>,
}

impl Push {
    /// Takes the turn if nobody has it.
    pub(crate) fn try_turn(&self) -> bool {
        let Ok(turn) = self.queue.clone().try_lock_owned() else { return false };
        *lock(&self.turn) = Some(turn);
        true
    }

    /// Waits for the turn; first come, first served.
    pub(crate) async fn wait_turn(&self) {
        let turn = self.queue.clone().lock_owned().await;
        *lock(&self.turn) = Some(turn);
    }

    /// Notes that `branch` was built and is about to be updated.
    pub(crate) fn set_built(&self, branch: String) {
        *lock(&self.built) = Some(branch);
    }

    /// The branch that was built, if one was.
    pub(crate) fn built(&self) -> Option<String> {
        lock(&self.built).clone()
    }
}

/// All pushes under way.
#[derive(Default)]
pub(crate) struct Pushes {
    running: Mutex<HashMap<String, Arc<Push>>>,
    queues: Mutex<HashMap<AppId, Weak<Turns<()>>>>,
}

impl Pushes {
    /// Registers a push. `None` when the app has too many already.
    pub(crate) fn begin(self: &Arc<Self>, app: App, account: Account) -> Option<Ticket> {
        let queue = self.queue(app.id);
        let mut running = lock(&self.running);
        if running.values().filter(|push| push.app.id == app.id).count() >= MAX_PER_APP {
            return None;
        }
        let secret = uuid::Uuid::new_v4().simple().to_string();
        let push =
            Arc::new(Push { app, account, queue, turn: Mutex::new(None), built: Mutex::new(None) });
        running.insert(secret.clone(), push.clone());
        Some(Ticket { pushes: self.clone(), secret, push })
    }

    /// The push that a hook's secret names.
    pub(crate) fn find(&self, secret: &str) -> Option<Arc<Push>> {
        lock(&self.running).get(secret).cloned()
    }

    fn queue(&self, app: AppId) -> Arc<Turns<()>> {
        let mut queues = lock(&self.queues);
        queues.retain(|_, queue| queue.strong_count() > 0);
        if let Some(queue) = queues.get(&app).and_then(Weak::upgrade) {
            return queue;
        }
        let queue = Arc::new(Turns::new(()));
        queues.insert(app, Arc::downgrade(&queue));
        queue
    }
}

/// A registered push. Dropping it ends the push: its secret is worthless and the turn is the next's.
pub(crate) struct Ticket {
    pushes: Arc<Pushes>,
    /// What the hook must say.
    pub secret: String,
    /// The push.
    pub push: Arc<Push>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        lock(&self.pushes.running).remove(&self.secret);
        // The hook's connection may still hold the push; the turn must not wait for it.
        lock(&self.push.turn).take();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

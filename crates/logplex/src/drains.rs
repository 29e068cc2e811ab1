//! Drains: an app's lines on their way out.
//!
//! Each drain has a bounded buffer, fed under the lock that gives lines their places, and a task
//! that empties it: into syslog frames over TCP or TLS, Logplex's batches over HTTP, or OTLP. What
//! a receiver does costs nobody but its own drain. What is lost is counted and said: in the drain,
//! in the app's stream, in its status.

mod backoff;
mod book;
mod buffer;
mod client;
mod config;
mod dial;
mod frame;
mod otlp;
mod outlet;
mod requests;
mod sent;
mod syslog;
mod tls;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::drain::Drain;
use model::{AppId, DrainId};
use tokio::sync::watch;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use book::{DrainError, DrainState, DrainStatus};
pub use buffer::Bounds;
pub(crate) use buffer::{Buffer, Loss};
pub(crate) use client::Client;
pub use config::{Config, Timing, Transit, TransitOf};
pub use tls::AuthoritiesError;

use crate::streams::Streams;
use book::Book;
use buffer::Pool;
use outlet::{Outlet, Quit};
use tls::Tls;

/// How often losses are looked for that are to be said in apps' streams. Each drain says its own
/// far less often; a drain that loses has no event of its own, for it must not make the intake do
/// more than count.
const LOOK: Duration = Duration::from_secs(1);

/// Lines that arrived in an earlier run, but may be unread, at most. More were not kept then.
const MOST_UNREAD: usize = 16 << 10;

/// Other lines of an earlier run that a drain gets, at most.
const MOST_KEPT: usize = 4096;

/// What all drains share.
pub(crate) struct House {
    pub streams: Arc<Streams>,
    pub config: Config,
    pub tls: Tls,
    pub pool: Arc<Pool>,
}

impl House {
    /// Reads the authorities that are trusted.
    pub fn new(streams: Arc<Streams>, config: Config) -> Result<Self, AuthoritiesError> {
        let tls = Tls::new(config.authorities.as_deref())?;
        let pool = Arc::new(Pool::new(config.shared_bytes));
        Ok(Self { streams, config, tls, pool })
    }
}

/// The drains at work. Clones are the same.
#[derive(Clone, Default)]
pub struct Drains {
    outlets: Arc<Mutex<HashMap<DrainId, Running>>>,
}

struct Running {
    outlet: Arc<Outlet>,
    /// Cancelled when its task has ended.
    ended: CancellationToken,
}

impl Drains {
    /// How a drain fares; `None` when it is not at work (yet).
    #[must_use]
    pub fn status(&self, drain: DrainId) -> Option<DrainStatus> {
        self.outlets().get(&drain).map(|running| running.outlet.status())
    }

    fn outlets(&self) -> MutexGuard<'_, HashMap<DrainId, Running>> {
        self.outlets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts the drains that are wanted, and follows what is wanted until the server stops.
///
/// # Errors
/// The operator's authorities cannot be read.
pub(crate) fn start(
    streams: Arc<Streams>,
    wanted: watch::Receiver<Arc<Vec<Drain>>>,
    config: Config,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<Drains, AuthoritiesError> {
    if let Some(directory) = &config.directory
        && let Err(error) = std::fs::create_dir_all(directory)
    {
        tracing::warn!(%error, path = %directory.display(), "cannot keep drains' places");
    }
    let house = Arc::new(House::new(streams, config)?);
    let drains = Drains::default();
    let overseer = Overseer { house, drains: drains.clone(), tasks: tasks.clone(), stop };
    tasks.spawn(overseer.run(wanted));
    Ok(drains)
}

struct Overseer {
    house: Arc<House>,
    drains: Drains,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Overseer {
    async fn run(self, mut wanted: watch::Receiver<Arc<Vec<Drain>>>) {
        let mut look = interval(LOOK);
        let mut is_first = true;
        loop {
            let now = wanted.borrow_and_update().clone();
            self.reconcile(&now);
            if std::mem::take(&mut is_first) {
                self.forget_strangers(&now);
            }
            loop {
                // What is wanted stays marked as changed, and a tick that is missed comes again.
                tokio::select! {
                    changed = wanted.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return self.stop.cancelled().await,
                    },
                    _ = look.tick() => {
                        let outlets: Vec<_> =
                            self.drains.outlets().values().map(|one| one.outlet.clone()).collect();
                        outlets.iter().for_each(|outlet| outlet.tell_losses());
                    }
                    () = self.stop.cancelled() => return,
                }
            }
        }
    }

    /// Ends what is not wanted or has become another; begins what is wanted.
    fn reconcile(&self, wanted: &[Drain]) {
        let mut outlets = self.drains.outlets();
        let gone: Vec<_> = outlets
            .keys()
            .filter(|id| !wanted.iter().any(|drain| drain.id == **id))
            .copied()
            .collect();
        for id in gone {
            let Some(running) = outlets.remove(&id) else { continue };
            running.outlet.quit.gone.cancel();
            self.house.streams.detach(running.outlet.drain.app, id);
            if let Some(directory) = &self.house.config.directory {
                book::delete(directory, id);
            }
        }
        for drain in wanted {
            match outlets.get(&drain.id) {
                Some(running) if running.outlet.drain == *drain => {}
                Some(running) => {
                    running.outlet.quit.gone.cancel();
                    let changed = self.changed(drain, running);
                    outlets.insert(drain.id, changed);
                }
                None => {
                    outlets.extend(self.begin(drain).map(|running| (drain.id, running)));
                }
            }
        }
    }

    /// Deletes the books of drains that were removed while no server ran.
    fn forget_strangers(&self, wanted: &[Drain]) {
        let Some(directory) = &self.house.config.directory else { return };
        let known = |id: &DrainId| wanted.iter().any(|drain| drain.id == *id);
        let strangers = book::list(directory).into_iter().filter(|id| !known(id));
        strangers.for_each(|id| book::delete(directory, id));
    }

    /// A drain that is new here. One that an earlier run of the server knew goes on where it
    /// stopped. `None` when its app is gone.
    fn begin(&self, drain: &Drain) -> Option<Running> {
        let config = &self.house.config;
        let book = Arc::new(Book::open(config.directory.as_deref(), drain.id));
        let buffer = Arc::new(Buffer::new(drain.id, config.bounds, self.house.pool.clone()));
        let position = book.position();
        let first = self.house.streams.attach(drain.app, buffer.clone(), position)?;
        let Some(position) = position else {
            book.begin(first.saturating_sub(1));
            return Some(self.run_one(drain, buffer, book, None));
        };
        let read = CancellationToken::new();
        let (streams, buffer_of, book_of) =
            (self.house.streams.clone(), buffer.clone(), book.clone());
        let (app, done) = (drain.app, read.clone());
        self.tasks.spawn_blocking(move || {
            let _done = done.drop_guard();
            resume(&streams, app, (position, book_of.arrived(), first), &buffer_of);
        });
        Some(self.run_one(drain, buffer, book, Some(read)))
    }

    /// The same drain with another destination: it goes on with the same buffer, once the task
    /// that had it before has given back what it could not send.
    fn changed(&self, drain: &Drain, before: &Running) -> Running {
        let (buffer, book) = (before.outlet.buffer.clone(), before.outlet.book.clone());
        self.run_one(drain, buffer, book, Some(before.ended.clone()))
    }

    fn run_one(
        &self,
        drain: &Drain,
        buffer: Arc<Buffer>,
        book: Arc<Book>,
        after: Option<CancellationToken>,
    ) -> Running {
        let gone = CancellationToken::new();
        let flush = self.house.config.timing.flush;
        let quit = Quit { stop: self.stop.clone(), gone, flush };
        let outlet = Outlet::new(drain.clone(), buffer, book, self.house.clone(), quit);
        let running = Running { outlet: Arc::new(outlet), ended: CancellationToken::new() };
        let (outlet, ended) = (running.outlet.clone(), running.ended.clone().drop_guard());
        self.tasks.spawn(async move {
            let _ended = ended;
            if let Some(after) = after {
                after.cancelled().await;
            }
            if outlet.drain.url.scheme.is_http() {
                requests::run(&outlet).await;
            } else {
                syslog::run(&outlet).await;
            }
        });
        running
    }
}

/// Fetches the lines that a drain has missed from disk. `places` are: the last line that was read,
/// the last that arrived, and the first that the buffer got by itself.
fn resume(streams: &Streams, app: AppId, places: (u64, u64, u64), buffer: &Buffer) {
    let (read, arrived, first) = places;
    // These may be unread. They were kept in memory, so they are not many.
    let (_, mut records) = streams.kept_after(app, read, arrived.saturating_add(1), MOST_UNREAD);
    let (missed, newer) = streams.kept_after(app, arrived, first, MOST_KEPT);
    let skipped = newer.first().filter(|_| missed > 0).map(|oldest| Loss {
        count: missed,
        since: oldest.at,
        last_id: oldest.id.saturating_sub(1),
    });
    records.extend(newer);
    buffer.push_kept(skipped, records);
}

//! The way in: starting the dyno manager, and what others may ask of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::dyno::{Exit, Visit};
use model::routes::WebView;
use model::{AppId, DynoId, LogSink, Timestamp};
use store::blobs::BlobStore;
use store::one_offs::{self, Outcome};
use store::outputs::Outputs;
use store::{Poke, Store, visits};
use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::checksums::Checksums;
use crate::collector::Collector;
use crate::meters::{self, Meters};
use crate::reconciler::Reconciler;
use crate::runtime::Runtime;
use crate::{Config, adopt};

/// Clients of `heroku run` that wait to be let in; more are refused.
const GUESTS: usize = 64;

/// A client that was invited into a running dyno comes within this time, or not at all.
const INVITATION: Duration = Duration::from_secs(60);

/// The web side of every app, as it is now.
pub type Views = Arc<HashMap<AppId, WebView>>;

/// The other rooms that the dyno manager uses.
#[derive(Clone)]
pub struct Rooms {
    /// Intent is read there, observation written.
    pub store: Store,
    /// Slugs.
    pub blobs: BlobStore,
    /// Where builds and release commands print to.
    pub outputs: Outputs,
    /// The apps' logs.
    pub logs: LogSink,
}

/// What all parts of the dyno manager share.
pub(crate) struct House {
    pub(crate) config: Config,
    pub(crate) rooms: Rooms,
    pub(crate) runtime: Runtime,
    /// What running dynos use.
    pub(crate) meters: Meters,
    /// Slugs that are what they were.
    pub(crate) checksums: Checksums,
    /// Reads what dynos print.
    pub(crate) collector: Collector,
    /// A dyno has something to tell: wakes the reconciler.
    pub(crate) news: Notify,
    pub(crate) cancel: CancellationToken,
    pub(crate) tracker: TaskTracker,
}

impl House {
    /// What time it is where the dynos run.
    pub(crate) fn now(&self) -> Timestamp {
        self.runtime.now()
    }
}

/// Why the dyno manager could not do something.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says what was attempted")]
pub enum Error {
    #[error("could not prepare the directory for dynos")]
    RunDirectory { source: std::io::Error },
    #[error("could not start the thread that reads what dynos print")]
    Collector { source: std::io::Error },
    #[error("could not read or write the state of dynos")]
    Store { source: store::Error },
    #[error("there is no one-off dyno {0}")]
    UnknownDyno(DynoId),
    #[error("the dyno manager is shutting down")]
    Stopped,
}

impl From<store::Error> for Error {
    fn from(source: store::Error) -> Self {
        Self::Store { source }
    }
}

/// What others ask of the reconciler's task.
pub(crate) enum Order {
    /// Let this client into its one-off.
    Join(DynoId, UnixStream),
    /// Let this client run a program in its dyno.
    Visit(Box<Visit>, UnixStream),
    /// A request has come for this app, which sleeps.
    Wake(AppId),
    /// Stop every dyno and start none; answer when all are gone.
    StopAll(oneshot::Sender<()>),
}

/// A running dyno manager. Cheap to clone.
#[derive(Clone)]
pub struct Dynos {
    store: Store,
    orders: mpsc::Sender<Order>,
    views: watch::Receiver<Views>,
    cancel: CancellationToken,
}

/// Takes over the dynos that still run, and begins to reconcile. When `cancel` is cancelled all
/// tasks end and the dynos go on.
///
/// # Errors
/// When the dynos' directory or the database cannot be read.
pub async fn start(
    config: Config,
    rooms: Rooms,
    cancel: CancellationToken,
    tracker: &TaskTracker,
) -> Result<Dynos, Error> {
    let runtime = Runtime::local(&config, cancel.clone(), tracker.clone());
    let runtime = runtime.map_err(|source| Error::RunDirectory { source })?;
    start_on(runtime, config, rooms, cancel, tracker).await
}

/// As [`start`], on any runtime.
pub(crate) async fn start_on(
    runtime: Runtime,
    config: Config,
    rooms: Rooms,
    cancel: CancellationToken,
    tracker: &TaskTracker,
) -> Result<Dynos, Error> {
    let store = rooms.store.clone();
    let tracker = tracker.clone();
    let news = Notify::new();
    let house = Arc::new(House {
        config,
        rooms,
        runtime,
        meters: Meters::default(),
        checksums: Checksums::default(),
        collector: Collector::start().map_err(|source| Error::Collector { source })?,
        news,
        cancel: cancel.clone(),
        tracker,
    });
    let adopted = adopt::all(&house).await?;
    let (orders, inbox) = mpsc::channel(GUESTS);
    let (reconciler, views) = Reconciler::new(house.clone(), adopted, inbox).await?;
    house.tracker.spawn(reconciler.run());
    house.tracker.spawn(meters::run(house.clone()));
    Ok(Dynos { store, orders, views, cancel })
}

impl Dynos {
    /// Each app's web side. Changes as dynos come up and go.
    #[must_use]
    pub fn views(&self) -> watch::Receiver<Views> {
        self.views.clone()
    }

    /// Lets a client of `heroku run` into what `secret` opens, once: a one-off, or a running dyno.
    /// The connection is closed when there is none.
    pub async fn attach(&self, secret: &str, stream: UnixStream) {
        let order = match self.opened(secret, stream).await {
            Ok(Some(order)) => order,
            Ok(None) => return,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "could not look up the secret of a client");
                return;
            }
        };
        // A full inbox refuses the client: the connection is dropped.
        if self.orders.try_send(order).is_err() {
            tracing::warn!("too many clients wait for their dynos; one was refused");
        }
    }

    async fn opened(&self, secret: &str, stream: UnixStream) -> store::Result<Option<Order>> {
        let (one, other) = (secret.to_owned(), secret.to_owned());
        let once = self.store.read(move |db| one_offs::by_secret(db, &one)).await?;
        if let Some(once) = once {
            return Ok(Some(Order::Join(once.id, stream)));
        }
        let life = i64::try_from(INVITATION.as_micros()).unwrap_or(i64::MAX);
        let since = Timestamp::from_micros(Timestamp::now().micros() - life);
        let visit = self.store.write(move |tx| visits::take(tx, &other, since)).await?;
        Ok(visit.map(|visit| Order::Visit(Box::new(visit), stream)))
    }

    /// Waits until a one-off is over and all of its output is written. One that never ran has been
    /// ended as if by SIGTERM.
    ///
    /// # Errors
    /// When there is no such one-off, the store fails, or the manager shuts down first.
    pub async fn wait_exit(&self, dyno: DynoId) -> Result<Exit, Error> {
        let mut ended = self.store.subscribe(Poke::OneOffs);
        loop {
            ended.mark_unchanged();
            let outcome = self.store.read(move |db| one_offs::outcome(db, dyno)).await?;
            match outcome.ok_or(Error::UnknownDyno(dyno))? {
                Outcome::Exited(exit) => return Ok(exit),
                Outcome::NeverRan => return Ok(Exit { status: 128 + 15, out_of_memory: false }),
                Outcome::Unfinished => {}
            }
            // Both arms only wait; nothing is lost when one is dropped.
            tokio::select! {
                changed = ended.changed() => changed.map_err(|_| Error::Stopped)?,
                () = self.cancel.cancelled() => return Err(Error::Stopped),
            }
        }
    }

    /// Starts the dynos of an app that sleeps: somebody asks for it. Others do not mind.
    pub async fn wake(&self, app: AppId) {
        // An error means that the manager has ended.
        let _ended = self.orders.send(Order::Wake(app)).await;
    }

    /// Stops every dyno, with the usual grace, and starts none from now on (`--stop-dynos`).
    pub async fn stop_all(&self) {
        let (answer, done) = oneshot::channel();
        if self.orders.send(Order::StopAll(answer)).await.is_ok() {
            // An error means that the reconciler ended first, by cancellation.
            let _ended = done.await;
        }
    }
}

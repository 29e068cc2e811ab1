//! One of the router's threads: what its connections share, and its housekeeping.
//!
//! Nothing here crosses to another thread except the routing table, the in-flight counters and the
//! ways out (logs, wake-ups, handovers, traffic).

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use model::{AppId, LogSink};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::balance::{Balance, Guest};
use crate::config::{Config, Handover, Limits, Timeouts, Tls};
use crate::dice::Dice;
use crate::listener;
use crate::load::{self, Load};
use crate::log_line::Batch;
use crate::pool::Pool;
use crate::quarantine::Quarantine;
use crate::routes::Routes;
use crate::traffic::Traffic;

/// How often unused connections are looked through.
const SWEEP: Duration = Duration::from_secs(1);

/// What all connections of one thread share.
pub struct Thread {
    /// Where hosts lead.
    pub routes: Routes,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How much of what.
    pub limits: Limits,
    /// Told of requests for sleeping apps.
    pub wake: mpsc::Sender<AppId>,
    /// Takes connections that are the platform's.
    pub handover: mpsc::Sender<Handover>,
    /// Unused connections to dynos.
    pub pool: Pool,
    /// Dynos that could not be reached lately.
    pub quarantine: Quarantine,
    /// Requests in flight, for H11.
    pub load: Load,
    /// Log lines.
    pub log: Batch,
    /// What it has seen.
    pub traffic: Traffic,
    /// Chance.
    pub dice: RefCell<Dice>,
    /// Cancelled when the router is to stop: idle connections end, busy ones after their request.
    pub drain: CancellationToken,
    /// The same, for a cheap look.
    draining: Cell<bool>,
    /// Every connection's task.
    pub tasks: TaskTracker,
    /// One permit per client connection.
    pub room: Arc<Semaphore>,
    /// Which threads there are.
    pub balance: Balance,
    /// Streams of HTTP/2 clients that are open.
    pub streams: Rc<Cell<usize>>,
}

/// What every thread is given besides its listeners.
#[derive(Clone)]
pub struct Shared {
    /// The thread's number.
    pub number: usize,
    /// The configuration.
    pub config: Config,
    /// Where hosts lead.
    pub routes: Routes,
    /// Where log lines go.
    pub logs: LogSink,
    /// Takes connections that are the platform's.
    pub handover: mpsc::Sender<Handover>,
    /// Requests in flight.
    pub load: load::Shared,
    /// See [`Thread::drain`].
    pub drain: CancellationToken,
    /// Which threads there are.
    pub balance: Balance,
}

/// A thread's own listening socket.
pub struct Bound {
    /// The socket, non-blocking.
    pub socket: std::net::TcpListener,
    /// Whether TLS is spoken there.
    pub tls: Tls,
}

impl Thread {
    fn new(shared: Shared) -> Self {
        let Config { timeouts, limits, wake, traffic, .. } = shared.config;
        Self {
            routes: shared.routes,
            timeouts,
            limits,
            wake,
            handover: shared.handover,
            pool: Pool::new(timeouts.dyno_keep_alive, limits.idle_per_dyno),
            quarantine: Quarantine::new(timeouts.quarantine),
            load: Load::new(shared.load),
            log: Batch::new(shared.logs),
            traffic: Traffic::new(traffic, shared.number),
            dice: RefCell::new(Dice::new()),
            drain: shared.drain,
            draining: Cell::new(false),
            tasks: TaskTracker::new(),
            balance: shared.balance,
            streams: Rc::default(),
            room: Arc::new(Semaphore::new(limits.connections_per_thread)),
        }
    }

    /// Client connections open now.
    fn connections(&self) -> usize {
        self.limits.connections_per_thread - self.room.available_permits()
    }
}

impl Thread {
    /// Whether the router is about to stop.
    pub const fn is_draining(&self) -> bool {
        self.draining.get()
    }
}

/// Runs one thread until all its connections have ended after [`Thread::drain`], or until `cut`.
pub fn run(
    runtime: &Runtime,
    (shared, listeners, guests): (Shared, Vec<Bound>, mpsc::Receiver<Guest>),
    cut: CancellationToken,
) {
    let thread = Rc::new(Thread::new(shared));
    let local = LocalSet::new();
    local.block_on(runtime, async {
        tokio::select! {
            // Everything has ended.
            () = serve(&thread, listeners, guests) => {}
            // The deadline has come: connections are dropped, and so closed, with their tasks.
            () = cut.cancelled() => {}
        }
    });
    // Requests that are cut say so in the log.
    drop(local);
    thread.pool.clear();
    thread.log.flush();
    thread.traffic.report(0);
}

async fn serve(thread: &Rc<Thread>, listeners: Vec<Bound>, guests: mpsc::Receiver<Guest>) {
    let (doors, listeners): (Vec<_>, Vec<_>) =
        listeners.into_iter().filter_map(listener::open).unzip();
    let doors: Rc<[listener::Door]> = doors.into();
    for (number, listener) in listeners.into_iter().enumerate() {
        let accepting = listener::run(thread.clone(), doors.clone(), number, listener);
        thread.tasks.spawn_local(accepting);
    }
    thread.tasks.spawn_local(listener::welcome(thread.clone(), doors, guests));
    let housekeeping = async {
        tokio::join!(thread.log.run(thread.timeouts.log_flush), sweep(thread));
    };
    let drained = async {
        thread.drain.cancelled().await;
        thread.draining.set(true);
        thread.tasks.close();
        thread.tasks.wait().await;
    };
    tokio::select! {
        // Never ends by itself; dropping it loses nothing but the wait for the next flush.
        () = housekeeping => {}
        // The end of the thread.
        () = drained => {}
    }
}

async fn sweep(thread: &Thread) {
    loop {
        tokio::time::sleep(SWEEP).await;
        thread.pool.sweep();
        thread.load.sweep();
        thread.traffic.report(thread.connections());
    }
}

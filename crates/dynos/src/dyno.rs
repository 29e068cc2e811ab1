//! One task per dyno: one life of one process.
//!
//! The task walks through the phases; each has an async method here or in `boot` and `stop`, and
//! what that returns is the next phase. Each change writes the dyno's row, speaks in the app's log
//! and tells the reconciler. A task never restarts its dyno: that is the planner's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use model::dyno::{DynoKind, Exit, OneOff, StopReason, Visit};
use model::plan::{Condition, End, ObservedDyno};
use model::routes::Backend;
use model::{DynoId, DynoState, Timestamp};
use store::dynos::Life;
use store::outputs::{OutputWriter, Outputs, Verdict};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::checksums::Mismatch;
use crate::launch::Launch;
use crate::lobby::Client;
use crate::manager::House;
use crate::meters::Metered;
use crate::runtime::{Over, Process};
use crate::streams::Streams;
use crate::voice::Voice;

use ending::Remains;
use frost::{Frost, Rest};
use guests::{Caller, Guests};

mod boot;
mod ending;
mod frost;
mod guests;
mod stop;

/// Where a dyno is in its life.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Adopted after a restart of the server, not yet answered.
    Unknown,
    /// Client, files, network.
    Preparing,
    /// A web dyno must listen (R10).
    Booting {
        /// Until then.
        deadline: Instant,
    },
    /// Running.
    Up,
    /// Told to stop (R12).
    Stopping {
        /// Why.
        why: StopReason,
    },
    /// Over.
    Gone(Ending),
}

/// How a life ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// With its process.
    Process(Over),
    /// Before there was a process.
    NeverBegan,
    /// Before there was a process, for its slug is damaged (R17).
    Damaged(Mismatch),
    /// With the machine, or while no server was there to see it.
    Lost,
}

/// What the reconciler knows of a dyno that changes.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) condition: Condition,
    pub(crate) up_at: Option<Timestamp>,
    /// A web dyno that takes requests.
    pub(crate) backend: Option<Arc<Backend>>,
    /// Whether that is frozen in place.
    pub(crate) frozen: bool,
}

/// The reconciler's end of a dyno task.
pub(crate) struct Handle {
    first: ObservedDyno,
    known: watch::Receiver<Known>,
    stop: watch::Sender<Option<StopReason>>,
    door: mpsc::Sender<Client>,
    callers: mpsc::Sender<Caller>,
    frost: Arc<Frost>,
}

/// How a task begins.
pub(crate) enum Begin {
    /// With a process to be started. If it replaces another for its age, since when nobody has
    /// visited that.
    Launch(Box<Launch>, Option<Timestamp>),
    /// With one that another server started.
    Adopt,
}

/// The task's own end, and all that it needs.
struct Keeper {
    house: Arc<House>,
    life: Life,
    once: Option<OneOff>,
    voice: Voice,
    /// What to start; taken when it is.
    launch: Option<Box<Launch>>,
    process: Option<Process>,
    flow: Flow,
    /// Where all bytes of output go, for builds and release commands.
    raw: Option<OutputWriter>,
    /// Tells an attached client the exit status.
    exit: Option<oneshot::Sender<i32>>,
    backend: Option<Arc<Backend>>,
    frost: Arc<Frost>,
    rest: Rest,
    /// Looked at while the process runs.
    metered: Option<Metered>,
    /// How long it may boot.
    boot: Duration,
    /// Why its start failed, to be said when it has ended.
    epitaph: Option<Epitaph>,
    /// Whether it has printed anything.
    printed: Arc<AtomicBool>,
    known: watch::Sender<Known>,
    told: watch::Receiver<Option<StopReason>>,
    door: mpsc::Receiver<Client>,
    guests: Guests,
}

/// A web process that ended before it listened.
#[derive(Debug)]
struct Epitaph {
    address: SocketAddr,
    /// What the platform heard there.
    heard: String,
}

/// Where the dyno's streams are.
enum Flow {
    /// Nowhere, or read to their end.
    Still,
    /// With a task. It answers them when a client has left them.
    Moving(tokio::task::JoinHandle<Option<Streams>>),
    /// Left by their client.
    Left(Streams),
}

/// Begins the task of a dyno whose row is `life`.
pub(crate) fn spawn(house: &Arc<House>, life: Life, once: Option<OneOff>, begin: Begin) -> Handle {
    let (condition, launch, phase, begin_quiet) = match begin {
        Begin::Launch(launch, quiet) => {
            (Condition::Starting, Some(launch), Phase::Preparing, quiet)
        }
        Begin::Adopt => (Condition::Unknown, None, Phase::Unknown, None),
    };
    let (callers, guests) = Guests::none();
    let (handle, known, told, door) = handle(&life, condition, callers);
    let dyno = &life.dyno;
    let keeper = Keeper {
        house: house.clone(),
        voice: Voice::new(house.rooms.logs.clone(), dyno.app, &dyno.name, dyno.kind),
        raw: raw_output(house, &life),
        life,
        once,
        launch,
        process: None,
        flow: Flow::Still,
        exit: None,
        backend: None,
        frost: handle.frost.clone(),
        rest: Rest::awake(begin_quiet),
        metered: None,
        boot: house.config.timing.boot,
        epitaph: None,
        printed: Arc::default(),
        known,
        told,
        door,
        guests,
    };
    let cancel = house.cancel.clone();
    house.tracker.spawn(async move {
        // On shutdown the task lets go of its dyno, which goes on. What is over is cleaned up even
        // then: that takes a moment, and nobody else would do it before the next start.
        if let Some(remains) = cancel.run_until_cancelled(keeper.run(phase)).await {
            remains.clean().await;
        }
    });
    handle
}

/// A dyno that is over and only remembered: no task.
pub(crate) fn remember(life: &Life, at: Timestamp) -> Handle {
    let end = match life.dyno.state {
        DynoState::Crashed => End::Crashed,
        DynoState::Idle => End::Slept,
        DynoState::Starting | DynoState::Up | DynoState::Down | DynoState::Complete => End::Stopped,
    };
    handle(life, Condition::Gone { at, end }, Guests::none().0).0
}

type Ends =
    (Handle, watch::Sender<Known>, watch::Receiver<Option<StopReason>>, mpsc::Receiver<Client>);

fn handle(life: &Life, condition: Condition, callers: mpsc::Sender<Caller>) -> Ends {
    let dyno = &life.dyno;
    let first = ObservedDyno {
        app: dyno.app,
        name: dyno.name.clone(),
        kind: dyno.kind,
        release: dyno.release,
        size: dyno.size,
        created_at: dyno.created_at,
        up_at: dyno.up_at,
        crashes: life.crashes,
        condition,
        told: life.stop_reason,
        last_request: None,
        frozen: false,
    };
    let known = Known { condition, up_at: dyno.up_at, backend: None, frozen: false };
    let (tell, known) = watch::channel(known);
    let (stop, told) = watch::channel(None);
    let (door, inside) = mpsc::channel(1);
    let frost = Arc::default();
    (Handle { first, known, stop, door, callers, frost }, tell, told, inside)
}

impl Handle {
    /// What is known of it now.
    pub(crate) fn observed(&self) -> ObservedDyno {
        let known = self.known.borrow();
        ObservedDyno {
            condition: known.condition,
            up_at: known.up_at,
            told: self.stop.borrow().or(self.first.told),
            last_request: known.backend.as_ref().map(|backend| backend.idle_since()),
            frozen: known.frozen,
            ..self.first.clone()
        }
    }

    /// Where it takes requests, if it does.
    pub(crate) fn backend(&self) -> Option<Arc<Backend>> {
        self.known.borrow().backend.clone()
    }

    /// Tells it to stop. The first reason counts.
    pub(crate) fn stop(&self, why: StopReason) {
        self.stop.send_if_modified(|told| told.is_none() && told.replace(why).is_none());
    }

    /// Has it frozen in place, unless somebody is inside.
    pub(crate) fn freeze(&self) {
        self.frost.order.notify_one();
    }

    /// Has it thawed.
    pub(crate) fn thaw(&self) {
        self.frost.bell.notify_one();
    }

    /// Lets a client in. There is room for one; others are sent away.
    pub(crate) fn join(&self, client: Client) {
        let _refused = self.door.try_send(client);
    }

    /// Lets a client run a program inside. There is room for some; others are sent away.
    pub(crate) fn visit(&self, visit: Visit, client: UnixStream) {
        let _refused = self.callers.try_send((visit, client));
    }

    /// Waits until it has answered, or is known to be over.
    pub(crate) async fn answered(&mut self) {
        let known = |known: &Known| known.condition != Condition::Unknown;
        // The task ends without an answer only on shutdown.
        let _ended = self.known.wait_for(known).await;
    }

    /// Waits until it is over.
    pub(crate) async fn gone(&mut self) {
        let gone = |known: &Known| matches!(known.condition, Condition::Gone { .. });
        let _ended = self.known.wait_for(gone).await;
    }
}

/// Where a build's or a release command's output is kept.
fn raw_output(house: &House, life: &Life) -> Option<OutputWriter> {
    let outputs = &house.rooms.outputs;
    let writer = match (life.dyno.kind, life.dyno.release) {
        (DynoKind::Build, _) => outputs.create(life.dyno.id),
        (DynoKind::Release, Some(release)) => outputs.create(release),
        (DynoKind::Formation | DynoKind::Run | DynoKind::Release, _) => return None,
    };
    let error = match writer {
        Ok(writer) => return Some(writer),
        Err(error) => error,
    };
    let error: &dyn std::error::Error = &error;
    tracing::error!(dyno.id = %life.dyno.id, error, "could not keep the output of a dyno");
    None
}

impl Keeper {
    async fn run(mut self, first: Phase) -> Remains {
        let mut phase = first;
        loop {
            phase = match phase {
                Phase::Unknown => self.answering().await,
                Phase::Preparing => self.preparing().await,
                Phase::Booting { deadline } => self.booting(deadline).await,
                Phase::Up => self.up().await,
                Phase::Stopping { why } => self.stopping(why).await,
                Phase::Gone(ending) => return self.gone(ending).await,
            };
        }
    }

    /// It runs, until it exits, is told to stop, or its client leaves.
    async fn up(&mut self) -> Phase {
        // Whichever comes first decides; all can be asked again.
        tokio::select! {
            over = over(&mut self.process) => Phase::Gone(Ending::Process(over)),
            why = told(&mut self.told) => Phase::Stopping { why },
            streams = left(&mut self.flow) => self.hang_up(streams).await,
            bytes = outgrown(&mut self.metered) => self.outgrown(bytes).await,
            turn = frost::turn(&self.frost, &self.rest) => self.turn(turn).await,
            event = self.guests.next() => self.attend(event).await,
        }
    }

    fn id(&self) -> DynoId {
        self.life.dyno.id
    }

    /// Its quota of memory.
    fn quota(&self) -> u64 {
        self.house.config.sizes.limits(self.life.dyno.size).memory_bytes
    }

    fn is_web(&self) -> bool {
        self.life.dyno.kind == DynoKind::Formation && self.life.dyno.name.process_type.is_web()
    }

    fn is_attached(&self) -> bool {
        self.once.as_ref().is_some_and(|once| once.terminal.is_attached())
    }

    /// Tells the reconciler.
    fn publish(&self, condition: Condition) {
        let (up_at, backend) = (self.life.dyno.up_at, self.backend.clone());
        let frozen = self.rest.is_frozen();
        self.known.send_replace(Known { condition, up_at, backend, frozen });
        self.house.news.notify_one();
    }

    /// Writes to the dyno's row. Nobody waits for the disk: a process does not outlive the machine. A
    /// failure is only logged: the next write says more, and the last one is tried until it succeeds.
    async fn write(
        &self,
        change: impl FnOnce(&mut store::Tx<'_>) -> store::Result<()> + Send + 'static,
    ) {
        if let Err(error) = self.house.rooms.store.note(change).await {
            let error: &dyn std::error::Error = &error;
            tracing::error!(dyno.id = %self.id(), error, "could not write the state of a dyno");
        }
    }
}

/// Waits until the process is over; for ever if there is none.
async fn over(process: &mut Option<Process>) -> Over {
    match process {
        Some(process) => process.over().await,
        None => std::future::pending().await,
    }
}

/// Waits until the dyno uses so much memory that it must end; for ever if it does not.
async fn outgrown(metered: &mut Option<Metered>) -> u64 {
    match metered {
        Some(metered) => metered.outgrown().await,
        None => std::future::pending().await,
    }
}

/// Waits until the dyno is told to stop.
async fn told(told: &mut watch::Receiver<Option<StopReason>>) -> StopReason {
    let why = told.wait_for(Option::is_some).await.ok().and_then(|why| *why);
    match why {
        Some(why) => why,
        // The reconciler is gone: nobody tells any more.
        None => std::future::pending().await,
    }
}

/// Waits until a client has left the dyno's streams, and takes them; for ever if none does.
async fn left(flow: &mut Flow) -> Streams {
    if let Flow::Moving(task) = flow {
        let streams = task.await.ok().flatten();
        *flow = streams.map_or(Flow::Still, Flow::Left);
    }
    match std::mem::replace(flow, Flow::Still) {
        Flow::Left(streams) => streams,
        Flow::Still | Flow::Moving(_) => std::future::pending().await,
    }
}

/// An exit by this signal.
fn killed_by(signal: i32) -> Exit {
    Exit { status: 128 + signal, out_of_memory: false }
}

/// Ends a build's output; a release command's is ended by who settles the release.
fn finish(outputs: &Outputs, dyno: DynoId, exit: Exit) {
    let verdict = if exit.status == 0 { Verdict::Succeeded } else { Verdict::Failed };
    if let Err(error) = outputs.finish(dyno, verdict) {
        let error: &dyn std::error::Error = &error;
        tracing::error!(error, "could not end the output of a build");
    }
}

//! The first phases: finding a process again, or preparing and booting one.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use model::DynoState;
use model::dyno::{DynoKind, StopReason};
use model::plan::Condition;
use model::steps::{Step, reached};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::attach::Session;
use crate::launch;
use crate::lobby::Client;
use crate::meters;
use crate::output::{self, AppLog, Sink};
use crate::runtime::{self, Over, Process, Runtime, Status};
use crate::streams::Streams;

use super::{Ending, Epitaph, Flow, Keeper, Phase, outgrown, over, told};

/// Between two knocks at a web dyno's port, at first and at most.
const FIRST_KNOCK: Duration = Duration::from_millis(5);
const LAST_KNOCK: Duration = Duration::from_millis(100);

/// A knock that is not answered in this time is not answered.
const KNOCK: Duration = Duration::from_secs(1);

impl Keeper {
    /// Finds the process that another server started, and goes on where that left off.
    pub(super) async fn answering(&mut self) -> Phase {
        self.recall();
        let mut process = match self.house.runtime.find(self.id()).await {
            Ok(process) => process,
            Err(error) => return Phase::Gone(self.vanished(&error).await),
        };
        match process.status().await {
            Status::Running => self.wire(process, None).await,
            Status::Over(over) => return self.was_quick(process, None, over).await,
        }
        if self.life.address.is_none() {
            self.located().await;
        }
        if let Some(why) = self.life.stop_reason {
            return Phase::Stopping { why };
        }
        if matches!(self.life.dyno.state, DynoState::Up | DynoState::Idle) {
            let known = self.life.dyno.state;
            self.found_frozen();
            self.serve();
            self.correct(known).await;
            return Phase::Up;
        }
        self.launched().await
    }

    /// A row that was told to stop no longer says what its dyno was before.
    fn recall(&mut self) {
        if self.life.stop_reason.is_some_and(|why| why != StopReason::Idling) {
            let was_up = self.life.dyno.up_at.is_some();
            self.life.dyno.state = if was_up { DynoState::Up } else { DynoState::Starting };
        }
    }

    /// Gets all that the process needs, a client included, and starts it.
    pub(super) async fn preparing(&mut self) -> Phase {
        let session = if self.is_attached() {
            match self.meet().await {
                Ok(session) => Some(session),
                Err(ending) => return Phase::Gone(ending),
            }
        } else {
            None
        };
        let Some(launch) = self.launch.take() else { return Phase::Gone(Ending::NeverBegan) };
        self.voice.starting(&launch.shown_command);
        if let Some(ending) = self.damaged(launch.slug.as_deref()).await {
            return Phase::Gone(ending);
        }
        let (mut process, address) = match self.house.runtime.start(*launch).await {
            Ok(started) => started,
            Err(error) => {
                let reason = error.chain();
                return Phase::Gone(Ending::Process(Over::Failed(reason)));
            }
        };
        self.reached_at(address).await;
        match process.status().await {
            Status::Running => self.wire(process, session).await,
            Status::Over(over) => return self.was_quick(process, session, over).await,
        }
        reached(Step::RunningSeen);
        self.launched().await
    }

    /// The process was over before it was seen running.
    async fn was_quick(&mut self, process: Process, session: Option<Session>, over: Over) -> Phase {
        if matches!(over, Over::Failed(_)) {
            self.process = Some(process);
            return Phase::Gone(Ending::Process(over));
        }
        self.wire(process, session).await;
        if let Some(address) = self.life.address.filter(|_| self.is_web()) {
            self.epitaph = Some(Epitaph { address, heard: found(None) });
        }
        if !self.is_web() && self.life.dyno.state == DynoState::Starting {
            self.come_up().await;
        }
        Phase::Gone(Ending::Process(over))
    }

    /// Waits until a web dyno's port answers.
    pub(super) async fn booting(&mut self, deadline: Instant) -> Phase {
        let Some(address) = self.life.address else {
            self.killed().await;
            let reason = "the dyno has no address".to_owned();
            return Phase::Gone(Ending::Process(Over::Failed(reason)));
        };
        let mut heard = None;
        let limit = self.boot;
        // Whichever comes first decides. A knock that is dropped is a connection closed.
        tokio::select! {
            () = knock(&self.house.runtime, address, &mut heard) => {}
            over = over(&mut self.process) => {
                self.epitaph = Some(Epitaph { address, heard: found(heard.as_ref()) });
                return Phase::Gone(Ending::Process(over));
            }
            bytes = outgrown(&mut self.metered) => return self.outgrown(bytes).await,
            why = told(&mut self.told) => return Phase::Stopping { why },
            () = sleep_until(deadline) => {
                self.voice.boot_timeout(limit, &verdict(address, heard.as_ref()));
                return Phase::Gone(Ending::Process(self.killed().await));
            }
        }
        self.come_up().await
    }

    /// The process runs: a web dyno boots, any other is up.
    async fn launched(&mut self) -> Phase {
        if self.is_web() {
            self.publish(Condition::Starting);
            self.boot = self.boot_limit().await;
            Phase::Booting { deadline: Instant::now() + self.boot }
        } else {
            self.come_up().await
        }
    }

    /// How long it may boot: the app's own number, else the operator's.
    async fn boot_limit(&self) -> Duration {
        let app = self.life.dyno.app;
        match self.house.rooms.store.read(move |db| store::apps::find(db, app)).await {
            Ok(app) => {
                let own = app.and_then(|app| app.boot_timeout_seconds);
                own.map_or(self.boot, |seconds| Duration::from_secs(seconds.into()))
            }
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(error, "could not read an app's boot time-out");
                self.boot
            }
        }
    }

    /// Compares the slug with its name.
    async fn damaged(&self, slug: Option<&Path>) -> Option<Ending> {
        match self.house.checksums.check(slug?).await {
            Ok(Ok(())) => None,
            Ok(Err(mismatch)) => Some(Ending::Damaged(mismatch)),
            Err(error) => {
                let reason = format!("could not read the slug: {error}");
                Some(Ending::Process(Over::Failed(reason)))
            }
        }
    }

    /// Writes and says that it is up.
    async fn come_up(&mut self) -> Phase {
        let (id, now) = (self.id(), self.house.now());
        self.voice.changed(self.life.dyno.state, DynoState::Up);
        self.life.dyno.state = DynoState::Up;
        self.life.dyno.up_at = Some(now);
        self.write(move |tx| store::dynos::came_up(tx, id, now)).await;
        reached(Step::UpWritten);
        self.serve();
        Phase::Up
    }

    /// Offers a web dyno to the router.
    fn serve(&mut self) {
        let web = self.life.address.filter(|_| self.is_web());
        let name = &self.life.dyno.name;
        self.backend = web.map(|at| Arc::new(self.rest.backend(self.id(), name, at, &self.frost)));
        self.publish(Condition::Up);
    }

    /// Finds out the address that an earlier server had no time to write down.
    async fn located(&mut self) {
        let (id, runtime) = (self.id(), &self.house.runtime);
        if let Some(address) = runtime.address(id, launch::port(id)) {
            self.reached_at(address).await;
        }
    }

    async fn reached_at(&mut self, address: SocketAddr) {
        let id = self.id();
        self.life.address = Some(address);
        self.write(move |tx| store::dynos::set_address(tx, id, address)).await;
        reached(Step::AddressWritten);
    }

    /// Waits for the client of an attached one-off (R13).
    async fn meet(&mut self) -> Result<Session, Ending> {
        self.voice.awaiting_client();
        // Whichever comes first decides; a client that is not taken is disconnected.
        let client = tokio::select! {
            client = self.door.recv() => client,
            _why = told(&mut self.told) => return Err(Ending::NeverBegan),
            () = sleep(self.house.config.timing.attach) => None,
        };
        self.door.close();
        let greeted = match client {
            Some(client) => self.greet(client).await.ok(),
            None => None,
        };
        greeted.ok_or_else(|| {
            self.voice.nobody_attached();
            Ending::NeverBegan
        })
    }

    async fn greet(&self, client: Client) -> io::Result<Session> {
        let command = self.life.dyno.command.clone();
        client.session(command, self.house.config.timing.attach_idle).await
    }

    /// Lets the process's streams flow: to the client, or to log and output.
    async fn wire(&mut self, mut process: Process, session: Option<Session>) {
        let streams = process.streams().await;
        self.process = Some(process);
        let streams = match streams {
            Ok(streams) => streams,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                tracing::error!(dyno.id = %self.id(), error, "could not read a dyno's output");
                return;
            }
        };
        if self.life.dyno.kind != DynoKind::Build {
            let (dyno, voice) = (&self.life.dyno, self.voice.clone());
            let metered = meters::watch(&self.house, dyno.id, dyno.app, voice, self.quota());
            self.metered = Some(metered);
        }
        self.flow = match (session, streams) {
            (Some(session), streams) => {
                let (exit, status) = oneshot::channel();
                self.exit = Some(exit);
                Flow::Moving(self.spawn_flow(session.relay(streams, status)))
            }
            (None, Streams::Output(outputs)) => {
                let sink = self.sink();
                let (house, cancel) = (self.house.clone(), self.house.cancel.clone());
                Flow::Moving(self.spawn_flow(async move {
                    match sink {
                        Sink { log: Some(log), raw: None } => {
                            house.collector.collect(outputs, log, cancel).await;
                        }
                        sink => output::pump(outputs, sink, cancel).await,
                    }
                    None
                }))
            }
            // An attached one-off that was found again: its client went with the old server.
            (None, streams) => Flow::Left(streams),
        };
    }

    /// Runs beside the dyno's task, so that output flows while that writes a row.
    pub(super) fn spawn_flow(
        &self,
        flow: impl Future<Output = Option<Streams>> + Send + 'static,
    ) -> tokio::task::JoinHandle<Option<Streams>> {
        let cancel = self.house.cancel.clone();
        self.house.tracker.spawn(async move {
            // A pump sees the cancellation itself, and first, to deliver what it has read.
            tokio::select! {
                biased;
                streams = flow => streams,
                () = cancel.cancelled() => None,
            }
        })
    }

    /// Output of builds is kept for the build; of all others it is the app's log.
    fn sink(&mut self) -> Sink {
        let dyno = &self.life.dyno;
        let logs = self.house.rooms.logs.clone();
        let log = (dyno.kind != DynoKind::Build)
            .then(|| AppLog::new(logs, dyno.app, &dyno.name, self.printed.clone()));
        Sink { log, raw: self.raw.take() }
    }

    /// The shim does not answer. How the process ended may have been written down.
    async fn vanished(&self, error: &runtime::Error) -> Ending {
        let id = self.id();
        match self.house.runtime.ending(id).await {
            Some(over) => Ending::Process(over),
            None => {
                let error: &dyn std::error::Error = error;
                tracing::warn!(dyno.id = %id, error, "a dyno was not found again");
                Ending::Lost
            }
        }
    }
}

/// Knocks until somebody opens; `heard` is what the last knock met.
async fn knock(runtime: &Runtime, address: SocketAddr, heard: &mut Option<io::Error>) {
    let mut pause = FIRST_KNOCK;
    loop {
        let opened = timeout(KNOCK, runtime.knock(address)).await;
        match opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
            Ok(()) => return,
            Err(error) => *heard = Some(error),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LAST_KNOCK);
    }
}

/// What was heard at an address, for people.
fn found(heard: Option<&io::Error>) -> String {
    heard.map_or_else(|| "no answer".to_owned(), ToString::to_string)
}

/// Why a boot failed, for people.
fn verdict(address: SocketAddr, heard: Option<&io::Error>) -> String {
    let heard = found(heard);
    let port = address.port();
    format!(
        "Nothing listened on {address} ({heard}). The web process must listen on 0.0.0.0 (not on \
         127.0.0.1 or localhost), on the port in $PORT, which was {port}"
    )
}

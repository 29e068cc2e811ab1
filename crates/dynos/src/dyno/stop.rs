//! The last phase of a process: leaving the routes, draining, SIGTERM, SIGKILL; or SIGHUP when its
//! client has left.

use std::sync::Arc;
use std::time::Duration;

use model::DynoState;
use model::dyno::{DynoKind, StopReason};
use model::plan::Condition;
use model::routes::Backend;
use model::steps::{Step, reached};
use tokio::time::{sleep, timeout};

use crate::runtime::Over;
use crate::streams::Streams;

use super::{Ending, Flow, Keeper, Phase, over, told};

const SIGHUP: i32 = 1;
const SIGTERM: i32 = 15;

/// How often a client's leaving is told to the process.
const HANGUPS: u32 = 3;

/// A killed process is over within this time, or the platform has lost it.
const KILL: Duration = Duration::from_secs(20);

/// How often the gate of a draining dyno is looked at.
const LOOK: Duration = Duration::from_millis(10);

impl Keeper {
    /// No new requests, then none at all, then SIGTERM, then SIGKILL. A build gets only the last.
    pub(super) async fn stopping(&mut self, why: StopReason) -> Phase {
        let (id, now) = (self.id(), self.house.now());
        let first = self.life.stop_reason.replace(why).is_none();
        let backend = self.backend.take();
        self.publish(Condition::Stopping);
        reached(Step::LeftRoutes);
        // An earlier server may have said it.
        if why == StopReason::Idling && first {
            self.voice.idling();
            self.voice.changed(self.life.dyno.state, DynoState::Down);
        }
        self.unfreeze();
        self.write(move |tx| store::dynos::was_told(tx, id, why, now)).await;
        reached(Step::StopWritten);
        if let Some(backend) = backend {
            let timing = self.house.config.timing;
            // A process that exits meanwhile has nothing to drain.
            tokio::select! {
                () = drain(&backend, timing.route_lag, timing.drain) => {}
                over = over(&mut self.process) => return Phase::Gone(Ending::Process(over)),
            }
        }
        // A build has nothing to save, and its directories are about to go.
        Phase::Gone(Ending::Process(match self.life.dyno.kind {
            DynoKind::Build => self.killed().await,
            DynoKind::Formation | DynoKind::Run | DynoKind::Release => self.terminated().await,
        }))
    }

    /// The client has left: SIGHUP, and R16 if that does not help.
    pub(super) async fn hang_up(&mut self, streams: Streams) -> Phase {
        // Nobody reads any more, but a process must not wait for that.
        self.flow = Flow::Moving(self.spawn_flow(async {
            streams.discard().await;
            None
        }));
        for _hangup in 0..HANGUPS {
            self.voice.hanging_up();
            self.signal(SIGHUP).await;
            // Whichever comes first decides.
            tokio::select! {
                over = over(&mut self.process) => return Phase::Gone(Ending::Process(over)),
                why = told(&mut self.told) => return Phase::Stopping { why },
                () = sleep(self.house.config.timing.hangup) => {}
            }
        }
        self.voice.detached();
        Phase::Gone(Ending::Process(self.killed().await))
    }

    /// Ends a process that uses too much memory (R15).
    pub(super) async fn outgrown(&mut self, bytes: u64) -> Phase {
        self.voice.outgrown(bytes, self.quota());
        Phase::Gone(Ending::Process(self.killed().await))
    }

    /// Ends the process at once.
    pub(super) async fn killed(&mut self) -> Over {
        if let Some(process) = &mut self.process {
            process.kill().await;
        }
        let over = timeout(KILL, over(&mut self.process)).await;
        over.unwrap_or_else(|_| Over::Failed("the dyno could not be killed".to_owned()))
    }

    /// Ends the process the polite way.
    async fn terminated(&mut self) -> Over {
        let grace = self.house.config.timing.stop_grace;
        self.voice.terminating();
        self.signal(SIGTERM).await;
        reached(Step::TermSent);
        match timeout(grace, over(&mut self.process)).await {
            Ok(over) => over,
            Err(_elapsed) => {
                self.voice.exit_timeout(grace);
                self.killed().await
            }
        }
    }

    async fn signal(&mut self, signal: i32) {
        if let Some(process) = &mut self.process {
            process.signal(signal).await;
        }
    }
}

/// Waits until the router has new routes, shuts the gate, and waits for the last request, at most
/// `limit`: longer ones, such as upgraded connections, are cut.
async fn drain(backend: &Arc<Backend>, lag: Duration, limit: Duration) {
    sleep(lag).await;
    backend.close();
    // The gate is a counter that the router's threads share; it tells nobody when it falls to zero.
    let empty = async {
        while backend.in_flight() > 0 {
            sleep(LOOK).await;
        }
    };
    let _drained = timeout(limit, empty).await;
}

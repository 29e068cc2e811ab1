//! The end of a dyno's life: last words, the row, and nothing left behind.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::dyno::{DynoKind, Exit, StopReason};
use model::plan::{Condition, End};
use model::steps::{Step, reached};
use model::{DynoId, DynoState, Timestamp};
use tokio::time::{sleep, timeout};

use crate::checksums::Mismatch;
use crate::manager::House;
use crate::runtime::{Over, Process};

use super::{Ending, Epitaph, Flow, Keeper, finish, killed_by};

/// Output that waits in the pipes is read within this time, or is not read.
const LAST_WORDS: Duration = Duration::from_secs(30);

/// Between two attempts to write the last row.
const RETRY: Duration = Duration::from_secs(1);

/// What a dyno leaves on the machine when its exit and output are kept.
pub(super) struct Remains {
    house: Arc<House>,
    dyno: DynoId,
    process: Option<Process>,
}

impl Remains {
    /// Takes it away.
    pub(super) async fn clean(self) {
        if let Some(process) = self.process {
            process.forget().await;
        }
        reached(Step::ShimLeft);
        self.house.runtime.clean(self.dyno).await;
        reached(Step::DirectoryRemoved);
    }
}

impl Keeper {
    /// Reads what it said last, speaks, writes and tells; the rest is to be cleaned up.
    pub(super) async fn gone(mut self, ending: Ending) -> Remains {
        reached(Step::ExitSeen);
        let exit = exit_of(&ending);
        self.metered = None;
        if let Some(client) = self.exit.take() {
            // The client may have left.
            let _left = client.send(exit.status);
        }
        self.hear_out().await;
        let (state, end) = self.state_after(&ending);
        self.say(&ending, exit, state);
        self.keep(&ending, exit);
        let now = self.house.now();
        self.write_end(state, exit, now).await;
        self.has_ended();
        self.backend = None;
        self.publish(Condition::Gone { at: now, end });
        Remains { house: self.house.clone(), dyno: self.id(), process: self.process.take() }
    }

    /// Its end is written.
    fn has_ended(&self) {
        reached(match self.life.dyno.kind {
            DynoKind::Formation => Step::EndWritten,
            DynoKind::Run | DynoKind::Release | DynoKind::Build => Step::OneOffFinished,
        });
    }

    /// Waits until its output is read.
    async fn hear_out(&mut self) {
        match std::mem::replace(&mut self.flow, Flow::Still) {
            Flow::Moving(mut task) => {
                if timeout(LAST_WORDS, &mut task).await.is_err() {
                    task.abort();
                }
            }
            Flow::Left(streams) => {
                let _heard = timeout(LAST_WORDS, streams.discard()).await;
            }
            Flow::Still => {}
        }
    }

    /// A formation dyno that nobody told to stop has crashed, whatever its status.
    fn state_after(&self, ending: &Ending) -> (DynoState, End) {
        let told = self.life.stop_reason.is_some() || matches!(ending, Ending::Lost);
        let idling = self.life.stop_reason == Some(StopReason::Idling);
        match (self.life.dyno.kind, told) {
            (DynoKind::Formation, true) if idling => (DynoState::Idle, End::Slept),
            (DynoKind::Formation, false) => (DynoState::Crashed, End::Crashed),
            (DynoKind::Formation, true) => (DynoState::Down, End::Stopped),
            (DynoKind::Run | DynoKind::Release | DynoKind::Build, _) => {
                (DynoState::Complete, End::Stopped)
            }
        }
    }

    fn say(&self, ending: &Ending, exit: Exit, state: DynoState) {
        match ending {
            Ending::Process(Over::Exited(_)) => {
                if exit.out_of_memory {
                    // The kernel was faster: it kills where the limit is reached.
                    self.voice.outgrown(self.quota() * 2 + self.quota() / 8, self.quota());
                }
                self.voice.exited(exit.status);
                if let Some(Epitaph { address, heard }) = &self.epitaph {
                    let printed = self.printed.load(Ordering::Relaxed);
                    self.voice.ended_too_soon(*address, heard, printed.into());
                }
            }
            Ending::Process(Over::Failed(reason)) => {
                tracing::error!(dyno.id = %self.id(), reason, "a dyno could not be run");
                self.voice.platform_error(reason);
            }
            Ending::Damaged(mismatch) => {
                let Mismatch { expected, actual } = mismatch;
                tracing::error!(dyno.id = %self.id(), expected, actual, "a slug is damaged");
                self.voice.checksum(expected, actual);
            }
            Ending::NeverBegan | Ending::Lost => {}
        }
        match self.life.stop_reason {
            // Its successor has said what there is to say, or it has itself.
            Some(StopReason::Restart | StopReason::Cycling | StopReason::Idling) => {}
            Some(StopReason::ScaledDown | StopReason::Cancelled) | None => {
                self.voice.changed(self.life.dyno.state, state);
            }
        }
    }

    /// Ends the output of a build. Whoever waits for its exit has then read all of it.
    fn keep(&mut self, ending: &Ending, exit: Exit) {
        if let (Some(raw), Ending::Process(Over::Failed(reason))) = (&self.raw, ending)
            && let Err(error) = raw.write(format!(" !     {reason}\n").as_bytes())
        {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, "could not keep the output of a dyno");
        }
        if self.life.dyno.kind == DynoKind::Build {
            let id = self.id();
            finish(&self.house.rooms.outputs, id, exit);
        }
    }

    /// Writes the last row, until it is written: others wait for it.
    async fn write_end(&self, state: DynoState, exit: Exit, now: Timestamp) {
        let (id, store) = (self.id(), &self.house.rooms.store);
        let write = || store.write(move |tx| store::dynos::ended(tx, id, state, exit, now));
        while let Err(error) = write().await {
            complain(id, &error);
            sleep(RETRY).await;
        }
    }
}

fn complain(dyno: DynoId, error: &store::Error) {
    let error: &dyn std::error::Error = error;
    tracing::error!(dyno.id = %dyno, error, "could not write the end of a dyno; trying again");
}

fn exit_of(ending: &Ending) -> Exit {
    match ending {
        Ending::Process(Over::Exited(exit)) => *exit,
        Ending::Process(Over::Failed(_)) | Ending::Damaged(_) => {
            Exit { status: 1, out_of_memory: false }
        }
        Ending::NeverBegan => killed_by(15),
        Ending::Lost => killed_by(9),
    }
}

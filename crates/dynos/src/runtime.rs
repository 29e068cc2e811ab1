//! Where processes run. The dyno tasks speak only to this.

use std::net::SocketAddr;

use model::dyno::Exit;
use model::{DynoId, Timestamp};
use sandbox::protocol::Exec;
use sandbox::usage::Memory;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::Config;
use crate::launch::Launch;
use crate::streams::Streams;

mod local;
mod shim;
#[cfg(test)]
pub(crate) mod sim;
mod slots;

/// Where processes run.
pub(crate) enum Runtime {
    /// On this machine, each in a shim.
    Local(Box<local::Local>),
    /// Nowhere, for tests of the reconciler.
    #[cfg(test)]
    Sim(sim::Sim),
}

/// A dyno's process, as its runtime sees it.
#[allow(clippy::large_enum_variant, reason = "the small variant is for tests only")]
pub(crate) enum Process {
    /// Behind a shim.
    Local(shim::Shim),
    /// Pretended.
    #[cfg(test)]
    Sim(sim::Pretended),
}

/// How a process is.
#[derive(Debug)]
pub(crate) enum Status {
    /// It runs.
    Running,
    /// It is over.
    Over(Over),
}

/// How a process came to be over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// It exited.
    Exited(Exit),
    /// It could not be started, or the platform lost it.
    Failed(String),
}

/// Why a process could not be started or found. The text is shown to the app's people.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's text says what was attempted")]
pub(crate) enum Error {
    #[error("all {0} places for dynos on this machine are taken")]
    Full(u32),
    #[error("could not {attempt}")]
    Io { attempt: &'static str, source: std::io::Error },
    #[error("the program around the dyno did not start: {0}")]
    Spawn(String),
    #[error("the program around the dyno is gone")]
    Gone,
    #[error("the program around the dyno speaks version {0}, which this server does not know")]
    Version(u32),
    #[error("the program around the dyno did not answer in time")]
    Silent,
    #[error(
        "the program around the dyno is of an older version, which cannot do that; restart the dyno"
    )]
    Old,
    #[error("could not {0}")]
    Exec(String),
}

/// A program that runs inside a dyno beside its own.
pub(crate) struct Inside {
    /// What its shim calls it.
    pub(crate) number: u32,
    pub(crate) streams: Streams,
    /// Tells its exit status; nothing when the dyno ends first.
    pub(crate) status: oneshot::Receiver<i32>,
}

impl Error {
    pub(crate) fn io(attempt: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { attempt, source }
    }

    /// The attempt and its causes in one line.
    pub(crate) fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        text
    }
}

impl Runtime {
    /// This machine.
    ///
    /// # Errors
    /// When the directory of dynos cannot be made or read.
    pub(crate) fn local(
        config: &Config,
        cancel: CancellationToken,
        tracker: TaskTracker,
    ) -> std::io::Result<Self> {
        local::Local::open(config, cancel, tracker).map(|local| Self::Local(Box::new(local)))
    }

    /// Processes are about to be started: what takes a while for all of them together begins now.
    pub(crate) fn expect_starts(&self) {
        match self {
            Self::Local(local) => local.expect_starts(),
            #[cfg(test)]
            Self::Sim(_) => {}
        }
    }

    /// Starts a process; answers it and where it is reached.
    ///
    /// # Errors
    /// When it could not be started. Nothing is left behind then.
    pub(crate) async fn start(&self, launch: Launch) -> Result<(Process, SocketAddr), Error> {
        match self {
            Self::Local(local) => {
                let (shim, address) = local.start(launch).await?;
                Ok((Process::Local(shim), address))
            }
            #[cfg(test)]
            Self::Sim(sim) => sim.start(launch).map(|(process, at)| (Process::Sim(process), at)),
        }
    }

    /// Dynos that left something here, alive or not.
    ///
    /// # Errors
    /// When that cannot be listed.
    pub(crate) async fn list(&self) -> std::io::Result<Vec<DynoId>> {
        match self {
            Self::Local(local) => local.list().await,
            #[cfg(test)]
            Self::Sim(sim) => Ok(sim.list()),
        }
    }

    /// Finds a process that another server started.
    ///
    /// # Errors
    /// [`Error::Gone`] when nothing is left of it.
    pub(crate) async fn find(&self, dyno: DynoId) -> Result<Process, Error> {
        match self {
            Self::Local(local) => local.find(dyno).await.map(Process::Local),
            #[cfg(test)]
            Self::Sim(sim) => sim.find(dyno).map(Process::Sim),
        }
    }

    /// Where a process that was told this port is reached.
    pub(crate) fn address(&self, dyno: DynoId, port: u16) -> Option<SocketAddr> {
        match self {
            Self::Local(local) => local.address(dyno, port),
            #[cfg(test)]
            Self::Sim(sim) => sim.address(dyno),
        }
    }

    /// What time it is there.
    pub(crate) fn now(&self) -> Timestamp {
        match self {
            Self::Local(_) => Timestamp::now(),
            #[cfg(test)]
            Self::Sim(sim) => sim.now(),
        }
    }

    /// Whether somebody listens at an address.
    ///
    /// # Errors
    /// What is heard instead.
    pub(crate) async fn knock(&self, address: SocketAddr) -> std::io::Result<()> {
        match self {
            Self::Local(_) => TcpStream::connect(address).await.map(drop),
            #[cfg(test)]
            Self::Sim(sim) => sim.knock(address),
        }
    }

    /// Memory that a dyno uses.
    ///
    /// # Errors
    /// When it is not (any more).
    pub(crate) fn memory(&self, dyno: DynoId) -> std::io::Result<Memory> {
        match self {
            Self::Local(local) => local.memory(dyno),
            #[cfg(test)]
            Self::Sim(sim) => sim.memory(dyno),
        }
    }

    /// How many of a dyno's threads want to run.
    ///
    /// # Errors
    /// When it is not (any more).
    pub(crate) fn runnable(&self, dyno: DynoId) -> std::io::Result<usize> {
        match self {
            Self::Local(local) => local.runnable(dyno),
            #[cfg(test)]
            Self::Sim(_) => Ok(1),
        }
    }

    /// Freezes a dyno in place.
    ///
    /// # Errors
    /// When it is not (any more), or does not freeze.
    pub(crate) async fn freeze(&self, dyno: DynoId) -> std::io::Result<()> {
        match self {
            Self::Local(local) => local.freeze(dyno).await,
            #[cfg(test)]
            Self::Sim(sim) => sim.set_frozen(dyno, true),
        }
    }

    /// Lets a frozen dyno run. Takes no time.
    ///
    /// # Errors
    /// When it is not (any more).
    pub(crate) fn thaw(&self, dyno: DynoId) -> std::io::Result<()> {
        match self {
            Self::Local(local) => local.thaw(dyno),
            #[cfg(test)]
            Self::Sim(sim) => sim.set_frozen(dyno, false),
        }
    }

    /// Whether a dyno is frozen.
    pub(crate) fn is_frozen(&self, dyno: DynoId) -> bool {
        match self {
            Self::Local(local) => local.is_frozen(dyno),
            #[cfg(test)]
            Self::Sim(sim) => sim.is_frozen(dyno),
        }
    }

    /// Takes back what can be of a frozen dyno's memory.
    ///
    /// # Errors
    /// When it is not (any more), or the machine cannot.
    pub(crate) async fn reclaim(&self, dyno: DynoId) -> std::io::Result<()> {
        match self {
            Self::Local(local) => local.reclaim(dyno).await,
            #[cfg(test)]
            Self::Sim(_) => Ok(()),
        }
    }

    /// How a process ended whose shim is gone, if that is known.
    pub(crate) async fn ending(&self, dyno: DynoId) -> Option<Over> {
        match self {
            Self::Local(local) => local.ending(dyno).await,
            #[cfg(test)]
            Self::Sim(_) => None,
        }
    }

    /// Takes away all that a dyno has left here. Its process must be over, or nobody's.
    pub(crate) async fn clean(&self, dyno: DynoId) {
        match self {
            Self::Local(local) => local.clean(dyno).await,
            #[cfg(test)]
            Self::Sim(sim) => sim.clean(dyno),
        }
    }
}

impl Process {
    /// Waits until it runs or is over.
    pub(crate) async fn status(&mut self) -> Status {
        match self {
            Self::Local(shim) => shim.status().await,
            #[cfg(test)]
            Self::Sim(pretended) => pretended.status().await,
        }
    }

    /// Its standard streams. Of a process that is over, what it said last may still be in them.
    ///
    /// # Errors
    /// When they are not handed over.
    pub(crate) async fn streams(&mut self) -> Result<Streams, Error> {
        match self {
            Self::Local(shim) => shim.streams().await,
            #[cfg(test)]
            Self::Sim(pretended) => pretended.streams(),
        }
    }

    /// Waits until it is over. May be dropped and called again.
    pub(crate) async fn over(&mut self) -> Over {
        match self {
            Self::Local(shim) => shim.over().await,
            #[cfg(test)]
            Self::Sim(pretended) => pretended.over().await,
        }
    }

    /// Sends a signal to every process of the dyno. One that is over does not mind.
    pub(crate) async fn signal(&mut self, signal: i32) {
        match self {
            Self::Local(shim) => shim.signal(signal).await,
            #[cfg(test)]
            Self::Sim(pretended) => pretended.signal(signal),
        }
    }

    /// Runs another program in the dyno.
    ///
    /// # Errors
    /// When it could not be started.
    pub(crate) async fn exec(&mut self, exec: Exec) -> Result<Inside, Error> {
        match self {
            Self::Local(shim) => shim.exec(exec).await,
            #[cfg(test)]
            Self::Sim(_) => Err(Error::Old),
        }
    }

    /// Sends a signal to such a program and its process group.
    pub(crate) async fn signal_inside(&mut self, number: u32, signal: i32) {
        match self {
            Self::Local(shim) => shim.signal_inside(number, signal).await,
            #[cfg(test)]
            Self::Sim(_) => {}
        }
    }

    /// Ends it at once.
    pub(crate) async fn kill(&mut self) {
        match self {
            Self::Local(shim) => shim.kill().await,
            #[cfg(test)]
            Self::Sim(pretended) => pretended.kill(),
        }
    }

    /// Its exit and output are kept: the runtime may forget it.
    pub(crate) async fn forget(self) {
        match self {
            Self::Local(shim) => shim.forget().await,
            #[cfg(test)]
            Self::Sim(_) => {}
        }
    }
}

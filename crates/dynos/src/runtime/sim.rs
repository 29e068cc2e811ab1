//! Pretended processes, for tests of the reconciler. What one does is its command: see [`Act`].

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::DynoId;
use model::dyno::Exit;
use sandbox::usage::Memory;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::launch::Launch;
use crate::streams::Streams;

use super::{Error, Over, Status};

/// A machine that only pretends. Its clones are the same machine, seen by other servers.
#[derive(Clone, Default)]
pub(crate) struct Sim(Arc<Mutex<Machine>>);

#[derive(Default)]
struct Machine {
    processes: HashMap<DynoId, Pretended>,
    launches: Vec<Launch>,
    memory: HashMap<DynoId, Memory>,
}

/// A pretended process, and all that is known of it.
#[derive(Clone)]
pub(crate) struct Pretended(Arc<Inner>);

struct Inner {
    act: Act,
    address: SocketAddr,
    over: watch::Sender<Option<Over>>,
    signals: Mutex<Vec<i32>>,
    frozen: AtomicBool,
    /// What reads its output; taken by the server that asks first.
    streams: Mutex<Option<(OwnedFd, OwnedFd)>>,
}

/// What a process does, by the first word of its command.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Act {
    /// `serve`: listens, and ends on SIGTERM.
    Serve,
    /// `stubborn`: listens, and does not care for SIGTERM.
    Stubborn,
    /// `work`: listens to nothing but SIGTERM.
    Work,
    /// `exit N`: says so and exits at once.
    Exit(i32),
    /// `refuse`: cannot be started.
    Refuse,
}

impl Act {
    fn of(command: &str) -> Self {
        let mut words = command.split(' ');
        match (words.next(), words.next()) {
            (Some("serve"), _) => Self::Serve,
            (Some("stubborn"), _) => Self::Stubborn,
            (Some("exit"), Some(status)) => Self::Exit(status.parse().expect("a status")),
            (Some("refuse"), _) => Self::Refuse,
            _ => Self::Work,
        }
    }
}

impl Sim {
    pub(super) fn start(&self, launch: Launch) -> Result<(Pretended, SocketAddr), Error> {
        let id = launch.id;
        let act = Act::of(launch.argv.last().expect("a command"));
        self.machine().launches.push(launch);
        if act == Act::Refuse {
            return Err(Error::Spawn("this machine refuses".into()));
        }
        let (out, err) = (std::io::pipe().expect("a pipe"), std::io::pipe().expect("a pipe"));
        // The port is free when it is told: a pretended dyno shares the host's network.
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let process = Pretended(Arc::new(Inner {
            act,
            address,
            over: watch::Sender::new(None),
            signals: Mutex::default(),
            frozen: AtomicBool::new(false),
            streams: Mutex::new(Some((out.0.into(), err.0.into()))),
        }));
        let listens = matches!(process.0.act, Act::Serve | Act::Stubborn);
        // One that does not listen leaves the port closed.
        tokio::spawn(process.clone().live(listens.then_some(listener), out.1, err.1));
        self.machine().processes.insert(id, process.clone());
        Ok((process, address))
    }

    pub(super) fn list(&self) -> Vec<DynoId> {
        self.machine().processes.keys().copied().collect()
    }

    pub(super) fn find(&self, dyno: DynoId) -> Result<Pretended, Error> {
        self.machine().processes.get(&dyno).cloned().ok_or(Error::Gone)
    }

    pub(super) fn address(&self, dyno: DynoId) -> Option<SocketAddr> {
        self.machine().processes.get(&dyno).map(|process| process.0.address)
    }

    pub(super) fn clean(&self, dyno: DynoId) {
        self.machine().processes.remove(&dyno);
    }

    /// Everything that was started, in order.
    pub(crate) fn launches(&self) -> Vec<Launch> {
        self.machine().launches.clone()
    }

    /// Puts an unknown process on the machine.
    pub(crate) fn haunt(&self, launch: Launch) {
        self.start(launch).expect("a process");
    }

    /// What a process uses from now on.
    pub(crate) fn uses(&self, dyno: DynoId, memory: Memory) {
        self.machine().memory.insert(dyno, memory);
    }

    pub(super) fn memory(&self, dyno: DynoId) -> std::io::Result<Memory> {
        let memory = self.machine().memory.get(&dyno).copied();
        memory.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    pub(super) fn set_frozen(&self, dyno: DynoId, frozen: bool) -> std::io::Result<()> {
        let process = self.find(dyno).map_err(std::io::Error::other)?;
        process.0.frozen.store(frozen, Ordering::SeqCst);
        Ok(())
    }

    pub(crate) fn is_frozen(&self, dyno: DynoId) -> bool {
        self.find(dyno).is_ok_and(|process| process.0.frozen.load(Ordering::SeqCst))
    }

    /// Ends a process as if by itself.
    pub(crate) fn crash(&self, dyno: DynoId, status: i32) {
        let process = self.find(dyno).expect("a process");
        process.end(status);
    }

    /// The machine loses power.
    pub(crate) fn lose_power(&self) {
        let processes = std::mem::take(&mut self.machine().processes);
        processes.into_values().for_each(|process| process.end(137));
    }

    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pretended {
    pub(super) async fn status(&self) -> Status {
        match self.0.over.borrow().clone() {
            Some(over) if !matches!(self.0.act, Act::Exit(_)) => Status::Over(over),
            _ => Status::Running,
        }
    }

    pub(super) fn streams(&self) -> Result<Streams, Error> {
        let streams = self.0.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let copy = streams.as_ref().map(|(out, err)| Ok([out.try_clone()?, err.try_clone()?]));
        let fds = copy.ok_or(Error::Gone)?.map_err(|source| Error::Io { attempt: "copy", source });
        Streams::wire(fds?.into()).map_err(Error::io("wire"))
    }

    pub(super) async fn over(&self) -> Over {
        let mut over = self.0.over.subscribe();
        let over = over.wait_for(Option::is_some).await.expect("we hold the sender").clone();
        over.expect("waited for")
    }

    pub(super) fn signal(&self, signal: i32) {
        self.0.signals.lock().unwrap_or_else(PoisonError::into_inner).push(signal);
        // A frozen process hears nothing.
        if self.0.frozen.load(Ordering::SeqCst) {
            return;
        }
        if signal == 15 && self.0.act != Act::Stubborn {
            self.end(128 + signal);
        }
    }

    pub(super) fn kill(&self) {
        self.end(137);
    }

    fn end(&self, status: i32) {
        let over = Over::Exited(Exit { status, out_of_memory: false });
        self.0.over.send_if_modified(|told| told.is_none() && told.replace(over).is_none());
    }

    async fn live(
        self,
        listener: Option<std::net::TcpListener>,
        mut out: std::io::PipeWriter,
        err: std::io::PipeWriter,
    ) {
        if let Act::Exit(status) = self.0.act {
            // Long enough for the server to hear that it runs.
            sleep(Duration::from_millis(5)).await;
            writeln!(out, "goodbye").expect("a reader");
            self.end(status);
        }
        self.over().await;
        drop((listener, out, err));
    }
}

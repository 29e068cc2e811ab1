//! Pretended processes, for tests of the reconciler. What one does is its command: see [`Act`]; in a
//! simulation its fate says more.

use std::collections::HashMap;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::dyno::Exit;
use model::routes::Backend;
use model::{DynoId, Timestamp};
use nix::errno::Errno;
use sandbox::usage::Memory;
use tokio::sync::watch;
use tokio::time::Instant;

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
    /// A time of its own: what it was at this instant. Else it is the host's.
    clock: Option<(Timestamp, Instant)>,
    /// Of those that are started from now on, the next one last.
    fates: Vec<Fate>,
    /// The ways in to web dynos, for the journal, and since when they have been seen shut.
    backends: HashMap<DynoId, (Arc<Backend>, Option<Timestamp>)>,
    journal: Vec<Event>,
}

/// What will become of a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    /// The machine refuses to start it.
    pub(crate) refused: bool,
    /// It listens after so long.
    pub(crate) boots: Duration,
    /// After SIGTERM it goes on for so long.
    pub(crate) lingers: Duration,
}

impl Default for Fate {
    fn default() -> Self {
        Self { refused: false, boots: Duration::ZERO, lingers: Duration::ZERO }
    }
}

/// What has happened on the machine.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A process was started, or was to be.
    Launched { dyno: DynoId, name: String },
    /// It was found listening.
    Opened { dyno: DynoId },
    /// The server sent it a signal, or SIGKILL.
    Signalled { dyno: DynoId, signal: i32, gate: Gate, at: Timestamp },
    /// It is over.
    Ended { dyno: DynoId },
}

/// How the way in to a dyno was when it got a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// There was none.
    None,
    /// A request could have come.
    Open,
    /// Shut for about so long, with so many still inside.
    Shut(Duration, u32),
}

/// A pretended process, and all that is known of it.
#[derive(Clone)]
pub(crate) struct Pretended(Arc<Inner>);

struct Inner {
    machine: Sim,
    dyno: DynoId,
    act: Act,
    fate: Fate,
    started: Timestamp,
    address: SocketAddr,
    over: watch::Sender<Option<Over>>,
    signals: Mutex<Vec<(i32, Timestamp)>>,
    frozen: AtomicBool,
    /// What reads its output; each server that asks gets a copy.
    streams: (OwnedFd, OwnedFd),
    /// What it prints to, until it is over.
    prints: Mutex<Option<(std::io::PipeWriter, std::io::PipeWriter)>>,
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
        let (id, now) = (launch.id, self.now());
        let act = Act::of(launch.argv.last().expect("a command"));
        let mut machine = self.machine();
        let name = launch.env.get("DYNO").cloned().unwrap_or_default();
        machine.journal.push(Event::Launched { dyno: id, name });
        machine.launches.push(launch);
        let fate = machine.fates.pop().unwrap_or_default();
        if act == Act::Refuse || fate.refused {
            return Err(Error::Spawn("this machine refuses".into()));
        }
        let port = 1024 + u16::try_from(machine.launches.len() % 60_000).expect("small");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let process = self.process(id, act, (fate, now), address);
        machine.processes.insert(id, process.clone());
        drop(machine);
        process.begin();
        Ok((process, address))
    }

    fn process(
        &self,
        dyno: DynoId,
        act: Act,
        (fate, started): (Fate, Timestamp),
        address: SocketAddr,
    ) -> Pretended {
        let (out, err) = (std::io::pipe().expect("a pipe"), std::io::pipe().expect("a pipe"));
        Pretended(Arc::new(Inner {
            machine: self.clone(),
            dyno,
            act,
            fate,
            started,
            address,
            over: watch::Sender::new(None),
            signals: Mutex::default(),
            frozen: AtomicBool::new(false),
            streams: (out.0.into(), err.0.into()),
            prints: Mutex::new(Some((out.1, err.1))),
        }))
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

    pub(super) fn now(&self) -> Timestamp {
        match self.machine().clock {
            Some((at, since)) => at + since.elapsed(),
            None => Timestamp::now(),
        }
    }

    pub(super) fn knock(&self, address: SocketAddr) -> std::io::Result<()> {
        let now = self.now();
        let mut machine = self.machine();
        let here = machine.processes.values().find(|process| process.0.address == address).cloned();
        let open = here.filter(|process| process.is_open(now));
        let process = open.ok_or_else(|| std::io::Error::from(Errno::ECONNREFUSED))?;
        machine.journal.push(Event::Opened { dyno: process.0.dyno });
        Ok(())
    }

    /// From now on it is this time, and goes on as this runtime's clock does.
    pub(crate) fn set_clock(&self, now: Timestamp) {
        self.machine().clock = Some((now, Instant::now()));
    }

    /// What it says to a driver that stands outside.
    pub(crate) fn time(&self) -> Timestamp {
        self.now()
    }

    /// What will become of the next process that is started.
    pub(crate) fn decide(&self, fate: Fate) {
        self.machine().fates = vec![fate];
    }

    /// Ends those that have been told to long enough ago.
    pub(crate) fn progress(&self) {
        let now = self.now();
        for (backend, shut) in self.machine().backends.values_mut() {
            if backend.is_closed() {
                shut.get_or_insert(now);
            }
        }
        let all: Vec<_> = self.machine().processes.values().cloned().collect();
        all.iter().for_each(|process| process.obey(now));
    }

    /// The journal is to know these ways in.
    pub(crate) fn knows(&self, backends: &[Arc<Backend>]) {
        let mut machine = self.machine();
        for one in backends {
            machine.backends.entry(one.dyno).or_insert_with(|| (one.clone(), None));
        }
    }

    /// They went with their server.
    pub(crate) fn forget_ways_in(&self) {
        self.machine().backends.clear();
    }

    /// What has happened so far.
    pub(crate) fn journal(&self) -> Vec<Event> {
        self.machine().journal.clone()
    }

    /// Processes that are not over.
    pub(crate) fn alive(&self) -> Vec<DynoId> {
        let machine = self.machine();
        let alive = machine.processes.iter().filter(|(_, one)| one.0.over.borrow().is_none());
        alive.map(|(&id, _)| id).collect()
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
        let (out, err) = &self.0.streams;
        let copies = out.try_clone().and_then(|out| Ok(vec![out, err.try_clone()?]));
        Streams::wire(copies.map_err(Error::io("copy"))?).map_err(Error::io("wire"))
    }

    pub(super) async fn over(&self) -> Over {
        let mut over = self.0.over.subscribe();
        let over = over.wait_for(Option::is_some).await.expect("we hold the sender").clone();
        over.expect("waited for")
    }

    pub(super) fn signal(&self, signal: i32) {
        self.note(signal);
        let now = self.0.machine.now();
        self.signals().push((signal, now));
        self.obey(now);
    }

    pub(super) fn kill(&self) {
        self.note(9);
        self.end(137);
    }

    /// Writes down that the server has sent a signal.
    fn note(&self, signal: i32) {
        let dyno = self.0.dyno;
        let now = self.0.machine.now();
        let mut machine = self.0.machine.machine();
        let gate = match machine.backends.get(&dyno) {
            None => Gate::None,
            Some((backend, _)) if !backend.is_closed() => Gate::Open,
            Some((backend, since)) => {
                let shut = since.map_or(Duration::ZERO, |since| now.since(since));
                Gate::Shut(shut, backend.in_flight())
            }
        };
        machine.journal.push(Event::Signalled { dyno, signal, gate, at: now });
    }

    /// Does as it was told, if it cares. A frozen process hears nothing.
    fn obey(&self, now: Timestamp) {
        let deaf = self.0.frozen.load(Ordering::SeqCst) || self.0.act == Act::Stubborn;
        let due =
            |&(signal, at): &(i32, Timestamp)| signal == 15 && at + self.0.fate.lingers <= now;
        let told = !deaf && self.signals().iter().any(due);
        if told {
            self.end(128 + 15);
        }
    }

    fn signals(&self) -> MutexGuard<'_, Vec<(i32, Timestamp)>> {
        self.0.signals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_open(&self, now: Timestamp) -> bool {
        let listens = matches!(self.0.act, Act::Serve | Act::Stubborn);
        let lives = self.0.over.borrow().is_none();
        listens && lives && self.0.started + self.0.fate.boots <= now
    }

    fn begin(&self) {
        if let Act::Exit(status) = self.0.act {
            if let Some((out, _)) = &mut *self.prints() {
                writeln!(out, "goodbye").expect("a reader");
            }
            self.end(status);
        }
    }

    fn prints(&self) -> MutexGuard<'_, Option<(std::io::PipeWriter, std::io::PipeWriter)>> {
        self.0.prints.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, status: i32) {
        let over = Over::Exited(Exit { status, out_of_memory: false });
        *self.prints() = None;
        let ended =
            self.0.over.send_if_modified(|told| told.is_none() && told.replace(over).is_none());
        if ended {
            let mut machine = self.0.machine.machine();
            machine.journal.push(Event::Ended { dyno: self.0.dyno });
        }
    }
}

//! The shim: starts one dyno, answers for it until it is over and a server knows how it ended.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::unistd::{Pid, dup2_stdin, dup2_stdout, setsid, write};

use crate::cgroup;
use crate::dyno::{self, Dyno};
use crate::error::{Attempt, Error, Result, chain};
use crate::exec::{self, Guest};
use crate::frames::Decoder;
use crate::oci;
use crate::protocol::{Ending, Event, Exec, MAX_FRAME, Request, SOCKET, Spec};
use crate::reception::{Heard, Reception, Visitor};
use crate::record::{self, Lock, RECORD, Record};
use crate::rehearsal::Rehearsal;
use crate::runtime::Runtime;
use crate::steps::{Step, reached};
use crate::streams::Streams;
use crate::sweep;
use crate::sys;

/// How far the dyno is.
enum State {
    Running(Dyno),
    Over(Ending, Option<Streams>),
}

/// What the shim was woken by.
#[derive(Clone, Copy)]
enum Wake {
    ProgramOver,
    Visit,
    Words,
    GuestOver(usize),
}

struct Shim {
    directory: PathBuf,
    id: String,
    runtime: Runtime,
    group: String,
    reception: Reception,
    visitor: Option<Visitor>,
    state: State,
    /// Programs beside the dyno's own.
    guests: Vec<Guest>,
    _lock: Lock,
}

/// The whole life of a shim. Answers when all traces of the dyno are gone.
pub fn live(directory: &Path) -> Result<()> {
    detach()?;
    reached(Step::Detached);
    let rehearsal = Rehearsal::begin();
    let mut lock = record::lock(directory)?;
    record::save(&mut lock, &Record { shim: Some(Pid::this().as_raw()), group: None })?;
    reached(Step::Recorded);
    let reception = Reception::open(directory)?;
    reached(Step::Listening);
    announce()?;
    reached(Step::Announced);
    let spec = read_spec()?;
    reached(Step::Instructed);
    let state = match dyno::start(&spec, &mut lock) {
        Ok(dyno) => State::Running(dyno),
        Err(error) => State::Over(failed(directory, &error)?, None),
    };
    rehearsal.end();
    let shim = Shim {
        directory: directory.to_owned(),
        runtime: dyno::runtime(&spec),
        group: oci::group(&spec),
        id: spec.id.clone(),
        reception,
        visitor: None,
        state,
        guests: Vec::new(),
        _lock: lock,
    };
    // The config vars are the dyno's business from here on.
    drop(spec);
    shim.serve()
}

/// Becomes a process of its own: no terminal, no process group and no descriptor of the server
/// reaches it, and whoever loses a parent in the dyno becomes its child.
fn detach() -> Result<()> {
    sys::close_inherited().attempt(|| "close inherited descriptors")?;
    sys::default_signals();
    // Blocked, not ignored: the dyno must not inherit it. Only SIGKILL ends a shim against its will.
    SigSet::all().thread_block().attempt(|| "block signals")?;
    match setsid() {
        Ok(_) | Err(Errno::EPERM) => {}
        Err(errno) => return Err(errno).attempt(|| "leave the server's session"),
    }
    prctl::set_child_subreaper(true).attempt(|| "take in orphans")
}

/// Tells the server that the socket listens.
fn announce() -> Result<()> {
    // A server that does not want to know has closed its end.
    let _ = write(io::stdout(), b"\n");
    let null = File::options().write(true).open("/dev/null").attempt(|| "open /dev/null")?;
    dup2_stdout(null).attempt(|| "close standard output")
}

fn read_spec() -> Result<Spec> {
    let attempt = || "read the dyno's specification";
    let mut decoder = Decoder::default();
    let mut bytes = Vec::new();
    let limit = u64::try_from(4 + MAX_FRAME).map_err(io::Error::other).attempt(attempt)?;
    io::stdin().lock().take(limit).read_to_end(&mut bytes).attempt(attempt)?;
    decoder.push(&bytes);
    let null = File::open("/dev/null").attempt(|| "open /dev/null")?;
    dup2_stdin(null).attempt(|| "close standard input")?;
    let spec = decoder.next().attempt(attempt)?;
    spec.ok_or_else(|| Error::Spec("the dyno's specification is cut off".into()))
}

fn failed(directory: &Path, error: &Error) -> Result<Ending> {
    let ending = Ending::Failed { reason: chain(error) };
    record::save_ending(directory, &ending)?;
    Ok(ending)
}

impl Shim {
    fn serve(mut self) -> Result<()> {
        reached(Step::Serving);
        loop {
            match self.wait()? {
                Wake::ProgramOver => self = self.finish()?,
                Wake::Visit => {
                    let newer = self.reception.admit(&self.id, &self.state.event());
                    if newer.is_some() {
                        self.visitor = newer;
                        // Their clients went with the server that the new one replaces.
                        self.signal_guests(Signal::SIGKILL);
                    }
                }
                Wake::GuestOver(index) => self.see_off(index),
                Wake::Words => {
                    if self.listen() {
                        reached(Step::Dismissed);
                        return self.vanish();
                    }
                }
            }
        }
    }

    /// Sleeps until something happens; the end of the program first, so that it is known to
    /// whoever comes in at that moment.
    fn wait(&self) -> Result<Wake> {
        let mut sources = vec![(self.reception.as_fd(), Wake::Visit)];
        if let Some(visitor) = &self.visitor {
            sources.insert(0, (visitor.as_fd(), Wake::Words));
        }
        if let State::Running(dyno) = &self.state {
            sources.insert(0, (dyno.over(), Wake::ProgramOver));
        }
        let guests = self.guests.iter().enumerate();
        sources.extend(guests.map(|(index, guest)| (guest.over(), Wake::GuestOver(index))));
        let mut polled: Vec<PollFd<'_>> =
            sources.iter().map(|(fd, _)| PollFd::new(*fd, PollFlags::POLLIN)).collect();
        loop {
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno).attempt(|| "wait for something to happen"),
            }
            let ready = polled.iter().position(|fd| fd.any() == Some(true));
            if let Some(index) = ready {
                return Ok(sources[index].1);
            }
        }
    }

    /// The program is over: on record first, then told.
    fn finish(mut self) -> Result<Self> {
        if let State::Running(dyno) = self.state {
            let (ending, streams) = dyno.finish()?;
            record::save_ending(&self.directory, &ending)?;
            reached(Step::EndingWritten);
            self.state = State::Over(ending, Some(streams));
        }
        let event = self.state.event();
        self.tell(&event);
        reached(Step::EndingTold);
        Ok(self)
    }

    /// Does what the visitor asks. Answers whether all is over and forgotten.
    fn listen(&mut self) -> bool {
        let heard = self.visitor.as_mut().map_or(Heard::Gone, Visitor::hear);
        let Heard::Requests(requests) = heard else {
            self.visitor = None;
            self.signal_guests(Signal::SIGHUP);
            return false;
        };
        requests.into_iter().any(|request| self.obey(request))
    }

    fn obey(&mut self, request: Request) -> bool {
        match (request, &mut self.state) {
            (Request::Forget, State::Over(..)) => return true,
            (Request::Streams, _) => self.hand_over(),
            // A process that cannot be signalled has ended or will be seen to end.
            (Request::Signal(number), State::Running(dyno)) => drop(dyno.signal(number)),
            (Request::Kill, State::Running(dyno)) => drop(dyno.kill()),
            (Request::Exec(exec), _) => self.take_in(&exec),
            (Request::SignalExec { number, signal }, _) => {
                let guest = self.guests.iter().find(|guest| guest.number == number);
                guest.into_iter().for_each(|guest| guest.signal(signal));
            }
            (Request::Status | Request::Forget, state) => {
                let event = state.event();
                self.tell(&event);
            }
            (Request::Signal(_) | Request::Kill, State::Over(..)) => {}
        }
        false
    }

    /// Hands over the streams; of a dyno that could not be started only the state.
    fn hand_over(&mut self) {
        let Some(visitor) = &self.visitor else { return };
        let Some(streams) = self.state.streams() else {
            let event = self.state.event();
            return self.tell(&event);
        };
        if visitor.tell(&Event::Streams, &streams.descriptors()).is_ok() {
            streams.let_input_go();
        } else {
            self.visitor = None;
        }
    }

    /// Runs a program beside the dyno's own.
    fn take_in(&mut self, exec: &Exec) {
        let number = exec.number;
        let begun = match &self.state {
            State::Running(_) if self.guests.len() < exec::MOST => {
                Guest::start(&self.runtime, exec)
            }
            State::Running(_) => Err(Error::Spec("too many programs run beside it".into())),
            State::Over(..) => Err(Error::Spec("the dyno is over".into())),
        };
        let (guest, streams) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                return self.tell(&Event::ExecFailed { number, reason: chain(&error) });
            }
        };
        self.guests.push(guest);
        let event = Event::ExecBegun { number };
        let heard = self.visitor.as_ref().map(|one| one.tell(&event, &streams.descriptors()));
        if !matches!(heard, Some(Ok(()))) {
            self.visitor = None;
            self.signal_guests(Signal::SIGKILL);
        }
    }

    /// A program beside the dyno's own is over.
    fn see_off(&mut self, index: usize) {
        let guest = self.guests.swap_remove(index);
        let (number, status) = (guest.number, guest.status());
        self.tell(&Event::ExecEnded { number, status });
    }

    fn signal_guests(&self, signal: Signal) {
        self.guests.iter().for_each(|guest| guest.signal(signal as i32));
    }

    /// A visitor that does not listen is let go; the next one hears the state again.
    fn tell(&mut self, event: &Event) {
        if let Some(visitor) = &self.visitor
            && visitor.tell(event, &[]).is_err()
        {
            self.visitor = None;
        }
    }

    /// Takes away all that was made. The visitor hears the connection close when it is done.
    fn vanish(self) -> Result<()> {
        // A container that could not be started is not known to the runtime; the group is looked
        // at in any case.
        let deleted = self.runtime.delete();
        reached(Step::ContainerDeleted);
        // A runtime that has started the program is not at work any more.
        let remove = if self.state.ran() { cgroup::remove } else { sweep::remove_group };
        let removed = remove(&self.group);
        reached(Step::GroupRemoved);
        for name in [SOCKET, RECORD] {
            let _ = fs::remove_file(self.directory.join(name));
        }
        reached(Step::RecordRemoved);
        removed.and(if self.state.ran() { deleted } else { Ok(()) })
    }
}

impl State {
    fn event(&self) -> Event {
        match self {
            Self::Running(dyno) => Event::Running { pid: dyno.pid.as_raw() },
            Self::Over(Ending::Exited { status, out_of_memory }, _) => {
                Event::Exited { status: *status, out_of_memory: *out_of_memory }
            }
            Self::Over(Ending::Failed { reason }, _) => Event::Failed { reason: reason.clone() },
        }
    }

    fn streams(&mut self) -> Option<&mut Streams> {
        match self {
            Self::Running(dyno) => Some(&mut dyno.streams),
            Self::Over(_, streams) => streams.as_mut(),
        }
    }

    fn ran(&self) -> bool {
        !matches!(self, Self::Over(Ending::Failed { .. }, _))
    }
}

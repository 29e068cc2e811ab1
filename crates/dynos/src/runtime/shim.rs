//! A connection to one dyno's shim.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Timestamp;
use model::dyno::Exit;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::Pid;
use sandbox::frames::{self, Decoder};
use sandbox::protocol::{Event, Exec, Request, SOCKET, VERSION};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::streams::Streams;

use super::{Error, Inside, Over, Status};

/// A shim that says nothing for so long where it must answer is given up.
const ANSWER: Duration = Duration::from_secs(30);

/// A connection to one dyno's shim.
pub(crate) struct Shim {
    dir: PathBuf,
    socket: UnixStream,
    decoder: Decoder,
    /// Events that came while another one was awaited.
    early: VecDeque<Event>,
    over: Option<Over>,
    /// Whether it can run other programs in the dyno.
    execs: bool,
    /// The last such program.
    number: u32,
    /// Who waits for their exit statuses.
    waiting: HashMap<u32, oneshot::Sender<i32>>,
}

impl Shim {
    /// Connects to the shim of the dyno in `dir`, and hears its greeting.
    ///
    /// # Errors
    /// [`Error::Gone`] when nobody listens.
    pub(super) async fn connect(dir: &Path) -> Result<Self, Error> {
        let socket = UnixStream::connect(dir.join(SOCKET)).await.map_err(|_| Error::Gone)?;
        let (decoder, early) = (Decoder::default(), VecDeque::new());
        let mut shim = Self {
            dir: dir.to_owned(),
            socket,
            decoder,
            early,
            over: None,
            execs: false,
            number: first_number(),
            waiting: HashMap::new(),
        };
        match timeout(ANSWER, shim.greet()).await {
            Ok(greeted) => greeted.map(|()| shim),
            Err(_elapsed) => {
                shim.slay();
                Err(Error::Silent)
            }
        }
    }

    /// Waits until the program runs or is over.
    pub(super) async fn status(&mut self) -> Status {
        let answer = async {
            loop {
                match self.event().await {
                    Ok(Event::Running { .. }) => return None,
                    Ok(event) => {
                        if let Some(over) = ending(event) {
                            return Some(over);
                        }
                    }
                    Err(_) => return Some(self.lost()),
                }
            }
        };
        match timeout(ANSWER, answer).await {
            Ok(None) => Status::Running,
            Ok(Some(over)) => Status::Over(self.ends(over)),
            Err(_elapsed) => {
                self.slay();
                Status::Over(self.ends(Over::Failed(Error::Silent.to_string())))
            }
        }
    }

    /// Its standard streams.
    ///
    /// # Errors
    /// When the shim does not hand them over.
    pub(super) async fn streams(&mut self) -> Result<Streams, Error> {
        self.ask(&Request::Streams).await;
        timeout(ANSWER, self.streams_event()).await.map_err(|_| Error::Silent)??;
        let fds = self.decoder.take_fds();
        Streams::wire(fds).map_err(Error::io("wire up the dyno's streams"))
    }

    /// Waits until the program is over. May be dropped and called again.
    pub(super) async fn over(&mut self) -> Over {
        loop {
            if let Some(over) = &self.over {
                return over.clone();
            }
            let over = match self.event().await {
                Ok(event) => ending(event),
                Err(_) => Some(self.lost()),
            };
            self.over = over;
        }
    }

    /// Sends a signal to every process of the dyno.
    pub(super) async fn signal(&mut self, signal: i32) {
        self.ask(&Request::Signal(signal)).await;
    }

    /// Ends the dyno at once.
    pub(super) async fn kill(&mut self) {
        self.ask(&Request::Kill).await;
    }

    /// Lets the shim clean up, and waits until it has left.
    pub(super) async fn forget(mut self) {
        self.ask(&Request::Forget).await;
        let left = async { while self.event().await.is_ok() {} };
        if timeout(ANSWER, left).await.is_err() {
            self.slay();
        }
    }

    /// Runs another program in the dyno.
    ///
    /// # Errors
    /// When it could not be started.
    pub(super) async fn exec(&mut self, exec: Exec) -> Result<Inside, Error> {
        if !self.execs {
            return Err(Error::Old);
        }
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let (tell, status) = oneshot::channel();
        self.waiting.insert(number, tell);
        self.ask(&Request::Exec(Exec { number, ..exec })).await;
        let begun = timeout(ANSWER, self.begun(number)).await.unwrap_or(Err(Error::Silent));
        if begun.is_err() {
            self.waiting.remove(&number);
        }
        begun?;
        let streams = Streams::wire(self.decoder.take_fds());
        let streams = streams.map_err(Error::io("wire up the program's streams"))?;
        Ok(Inside { number, streams, status })
    }

    /// Waits for the shim's answer about a program; keeps what comes before it.
    async fn begun(&mut self, wanted: u32) -> Result<(), Error> {
        let mut early = VecDeque::new();
        let answer = loop {
            match self.event().await {
                Ok(Event::ExecBegun { number }) if number == wanted => break Ok(()),
                Ok(Event::ExecFailed { number, reason }) if number == wanted => {
                    break Err(Error::Exec(reason));
                }
                Ok(event) => early.push_back(event),
                Err(_) => break Err(Error::Gone),
            }
        };
        self.early.append(&mut early);
        answer
    }

    /// Sends a signal to a program beside the dyno's own.
    pub(super) async fn signal_inside(&mut self, number: u32, signal: i32) {
        self.ask(&Request::SignalExec { number, signal }).await;
    }

    async fn greet(&mut self) -> Result<(), Error> {
        match self.event().await {
            // A server knows the version before its own, too; there has been none yet.
            Ok(Event::Hello { version: VERSION, execs, .. }) => {
                self.execs = execs;
                Ok(())
            }
            Ok(Event::Hello { version, .. }) => Err(Error::Version(version)),
            Ok(_) | Err(_) => Err(Error::Gone),
        }
    }

    /// Waits for the frame beside which the descriptors travel; keeps what comes before it.
    async fn streams_event(&mut self) -> Result<(), Error> {
        let mut early = VecDeque::new();
        loop {
            match self.event().await {
                Ok(Event::Streams) => break,
                Ok(event) => early.push_back(event),
                Err(source) => {
                    return Err(Error::Io { attempt: "get the dyno's streams", source });
                }
            }
        }
        self.early.append(&mut early);
        Ok(())
    }

    /// The next event. An error is the end of the connection. Loses nothing when dropped.
    async fn event(&mut self) -> io::Result<Event> {
        if let Some(event) = self.early.pop_front() {
            return Ok(event);
        }
        loop {
            match self.decoder.next()? {
                Some(Event::ExecEnded { number, status }) => {
                    // Who asked for it may have left.
                    let _left = self.waiting.remove(&number).map(|who| who.send(status));
                    continue;
                }
                Some(event) => return Ok(event),
                None => {}
            }
            self.socket.readable().await?;
            let (socket, decoder) = (&self.socket, &mut self.decoder);
            match socket.try_io(Interest::READABLE, || decoder.receive(socket.as_fd())) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends a request. When the shim is gone nobody minds: that is heard as an event.
    async fn ask(&mut self, request: &Request) {
        let Ok(frame) = frames::encode(request) else { return };
        let mut rest = frame.as_slice();
        while !rest.is_empty() {
            let socket = &self.socket;
            let sent =
                socket.async_io(Interest::WRITABLE, || frames::send(socket.as_fd(), rest, &[]));
            match timeout(ANSWER, sent).await {
                Ok(Ok(sent)) => rest = &rest[sent..],
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    fn ends(&mut self, over: Over) -> Over {
        self.over.insert(over).clone()
    }

    /// The shim left without a word; its file may still say how the program ended.
    fn lost(&self) -> Over {
        super::local::read_ending(&self.dir)
            .unwrap_or_else(|| Over::Failed("the program around the dyno was killed".to_owned()))
    }

    /// Kills a shim that does not answer. Its dyno dies with it.
    fn slay(&self) {
        let peer = getsockopt(&self.socket, PeerCredentials);
        if let Some(pid) = peer.ok().map(|peer| peer.pid()).filter(|&pid| pid > 1) {
            tracing::error!(pid, "a dyno's shim does not answer and is killed");
            // It may have died in this moment.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}

/// Programs of an earlier server may still be ending: numbers begin somewhere else each time.
fn first_number() -> u32 {
    let part = Timestamp::now().micros() & 0xffff_ffff;
    u32::try_from(part).unwrap_or_default()
}

/// How it ended, if this event says so.
fn ending(event: Event) -> Option<Over> {
    match event {
        Event::Exited { status, out_of_memory } => {
            Some(Over::Exited(Exit { status, out_of_memory }))
        }
        Event::Failed { reason } => Some(Over::Failed(reason)),
        Event::Hello { .. }
        | Event::Preparing
        | Event::Running { .. }
        | Event::Streams
        | Event::ExecBegun { .. }
        | Event::ExecFailed { .. }
        | Event::ExecEnded { .. } => None,
    }
}

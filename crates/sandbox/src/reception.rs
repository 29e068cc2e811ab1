//! Where servers come in: the shim's socket, one connection at a time, the newest one counts.

use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use crate::error::{Attempt, Result};
use crate::frames::{self, Decoder};
use crate::protocol::{Event, Request, SOCKET, VERSION};

/// A server that does not take a few hundred bytes for so long is not there.
const PATIENCE: Duration = Duration::from_secs(2);

/// The socket.
pub struct Reception {
    listener: UnixListener,
}

/// A connected server.
pub struct Visitor {
    stream: UnixStream,
    decoder: Decoder,
}

/// What came of listening to a visitor.
pub enum Heard {
    /// These requests, perhaps none yet.
    Requests(Vec<Request>),
    /// The visitor has left, or speaks another language.
    Gone,
}

impl Reception {
    /// Opens the socket in the dyno's directory.
    pub fn open(dyno: &Path) -> Result<Self> {
        let path = dyno.join(SOCKET);
        let _ = fs::remove_file(&path);
        let listener = UnixListener::bind(&path);
        let listener = listener.attempt(|| format!("listen on {}", path.display()))?;
        // A visitor may have left again before being let in.
        listener.set_nonblocking(true).attempt(|| "listen without waiting")?;
        Ok(Self { listener })
    }

    /// Lets in a visitor, with the greeting and the present state; none when it has left again.
    pub fn admit(&self, id: &str, present: &Event) -> Option<Visitor> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_write_timeout(Some(PATIENCE)).ok()?;
        let visitor = Visitor { stream, decoder: Decoder::default() };
        let hello = Event::Hello { version: VERSION, id: id.to_owned(), execs: true };
        visitor.tell(&hello, &[]).ok()?;
        visitor.tell(present, &[]).ok()?;
        Some(visitor)
    }
}

impl AsFd for Reception {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Visitor {
    /// Tells an event, with descriptors beside it.
    pub fn tell(&self, event: &Event, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        frames::send_all(self.stream.as_fd(), &frames::encode(event)?, fds)
    }

    /// Takes in what has arrived.
    pub fn hear(&mut self) -> Heard {
        let Ok(1..) = self.decoder.receive(self.stream.as_fd()) else { return Heard::Gone };
        // Nobody sends a shim descriptors; they are closed at once.
        drop(self.decoder.take_fds());
        let mut requests = Vec::new();
        loop {
            match self.decoder.next() {
                Ok(Some(request)) => requests.push(request),
                Ok(None) => return Heard::Requests(requests),
                Err(_) => return Heard::Gone,
            }
        }
    }
}

impl AsFd for Visitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

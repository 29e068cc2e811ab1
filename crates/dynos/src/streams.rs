//! A dyno's standard streams, as they came from its shim.

use std::io;
use std::os::fd::OwnedFd;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe;

/// Bytes that are read at once. Every dyno has a buffer of this size.
pub(crate) const CHUNK: usize = 16 * 1024;

/// A dyno's standard streams.
pub(crate) enum Streams {
    /// Two pipes to read.
    Output(Outputs),
    /// Three pipes.
    Pipes(Option<pipe::Sender>, Outputs),
    /// A pseudo-terminal.
    Pty(Pty),
}

/// Standard output and error.
pub(crate) struct Outputs {
    stdout: Option<pipe::Receiver>,
    stderr: Option<pipe::Receiver>,
}

impl Streams {
    /// Wires up received descriptors, in the protocol's order. Their number says what they are.
    ///
    /// # Errors
    /// When they are none of the three.
    pub(crate) fn wire(fds: Vec<OwnedFd>) -> io::Result<Self> {
        let mut fds = fds.into_iter();
        match (fds.next(), fds.next(), fds.next(), fds.next()) {
            (Some(master), None, None, None) => Ok(Self::Pty(Pty::wire(master)?)),
            (Some(stdout), Some(stderr), None, None) => {
                Ok(Self::Output(Outputs::wire(stdout, stderr)?))
            }
            (Some(stdin), Some(stdout), Some(stderr), None) => {
                let stdin = pipe::Sender::from_owned_fd(stdin)?;
                Ok(Self::Pipes(Some(stdin), Outputs::wire(stdout, stderr)?))
            }
            _ => Err(io::Error::other("not the descriptors that a dyno has")),
        }
    }

    /// Reads and throws away until the dyno has closed all of them.
    pub(crate) async fn discard(self) {
        let mut buffer = vec![0; CHUNK];
        match self {
            Self::Output(mut outputs) => while outputs.read(&mut buffer).await.is_some() {},
            Self::Pipes(stdin, mut outputs) => {
                drop(stdin);
                while outputs.read(&mut buffer).await.is_some() {}
            }
            Self::Pty(mut pty) => {
                while pty.screen.read(&mut buffer).await.is_ok_and(|length| length > 0) {}
            }
        }
    }
}

impl Outputs {
    /// Both, from their descriptors.
    pub(crate) fn wire(stdout: OwnedFd, stderr: OwnedFd) -> io::Result<Self> {
        let stdout = Some(pipe::Receiver::from_owned_fd(stdout)?);
        Ok(Self { stdout, stderr: Some(pipe::Receiver::from_owned_fd(stderr)?) })
    }

    /// The descriptors of those that have not ended.
    ///
    /// # Errors
    /// When they cannot be taken from the runtime.
    pub(crate) fn into_pipes(self) -> io::Result<Vec<(Stream, OwnedFd)>> {
        let both = [(Stream::Out, self.stdout), (Stream::Err, self.stderr)];
        let open = both.into_iter().filter_map(|(stream, pipe)| Some((stream, pipe?)));
        open.map(|(stream, pipe)| Ok((stream, pipe.into_nonblocking_fd()?))).collect()
    }

    /// Reads from whichever has something; `None` when both have ended. Loses nothing when dropped.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> Option<(Stream, usize)> {
        while self.stdout.is_some() || self.stderr.is_some() {
            // Both arms only wait for readiness; the reading is done below.
            let stream = tokio::select! {
                () = readable(self.stdout.as_ref()) => Stream::Out,
                () = readable(self.stderr.as_ref()) => Stream::Err,
            };
            let pipe = match stream {
                Stream::Out => &mut self.stdout,
                Stream::Err => &mut self.stderr,
            };
            match pipe.as_ref().map(|pipe| pipe.try_read(buffer)) {
                Some(Ok(length)) if length > 0 => return Some((stream, length)),
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                _ => *pipe = None,
            }
        }
        None
    }
}

/// Waits until there is something to read, or an end to see. For ever when there is no pipe.
async fn readable(pipe: Option<&pipe::Receiver>) {
    match pipe {
        // An error is seen again, and handled, when it is read.
        Some(pipe) => pipe.readable().await.unwrap_or_default(),
        None => std::future::pending().await,
    }
}

/// Which of the two outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// The master of a pseudo-terminal: one descriptor, twice, for its two directions.
pub(crate) struct Pty {
    pub(crate) screen: Screen,
    pub(crate) keyboard: pipe::Sender,
}

/// What the terminal shows.
pub(crate) struct Screen(pipe::Receiver);

impl Pty {
    fn wire(master: OwnedFd) -> io::Result<Self> {
        let flags = OFlag::from_bits_retain(fcntl(&master, FcntlArg::F_GETFL)?);
        fcntl(&master, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
        // A terminal is no pipe, but is read, written and waited for like one.
        let keyboard = pipe::Sender::from_owned_fd_unchecked(master.try_clone()?)?;
        Ok(Self { screen: Screen(pipe::Receiver::from_owned_fd_unchecked(master)?), keyboard })
    }
}

impl Screen {
    /// Reads once; 0 when every process has closed its side. Loses nothing when dropped.
    pub(crate) async fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer).await {
            Err(error) if error.raw_os_error() == Some(Errno::EIO as i32) => Ok(0),
            read => read,
        }
    }
}

//! A new server takes over from the one that runs: the listening sockets pass from process to
//! process, so that nobody who connects meanwhile is refused.
//!
//! The old server starts the new one, with a socket in the place of standard input, and hears from it
//! when it has read its settings. Then it ends everything but the requests under way, gives up the
//! data directory, and sends the listening sockets. What its last requests have to say to the log, it
//! sends after them.

use std::io::{BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use model::log::Source;
use model::{LogEntry, LogSink, Timestamp};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::environment;

/// The flag that says what standard input is.
pub const FLAG: &str = "--take-over";
/// The new server has read its settings.
const READY: u8 = b'r';
/// The new server serves.
const SERVING: u8 = b's';
/// A new server has so long to read its settings.
const START: Duration = Duration::from_secs(30);
/// It has so long to serve once it has the sockets: it may have a database to migrate.
const SERVE: Duration = Duration::from_secs(600);
/// The kernel passes no more at once.
const MAX_SOCKETS: usize = 250;

/// The server that is about to take over, seen from the old one.
pub struct Successor {
    line: UnixStream,
}

impl Successor {
    /// Starts the program anew, as it is on disk now, and waits until it has read its settings.
    /// Blocks.
    ///
    /// # Errors
    /// When it cannot be run, or ends before.
    pub fn start() -> anyhow::Result<Self> {
        let (line, its) = UnixStream::pair().context("make a socket pair")?;
        let program = environment::program().context("find this program's own file")?;
        let arguments = environment::arguments();
        let arguments = arguments.iter().skip(1).filter(|argument| *argument != FLAG);
        // The same program in the same environment; only a newer version of it.
        Command::new(&program)
            .args(arguments)
            .arg(FLAG)
            .stdin(Stdio::from(OwnedFd::from(its)))
            .spawn()
            .with_context(|| format!("run {}", program.display()))?;
        let mut successor = Self { line };
        successor.hear(READY, START).context("wait for the new server to read its settings")?;
        Ok(successor)
    }

    /// Gives it the listening sockets. From now on it is the server.
    ///
    /// # Errors
    /// When it has gone.
    pub fn give(&self, sockets: &[TcpListener]) -> anyhow::Result<()> {
        ensure!(sockets.len() <= MAX_SOCKETS, "too many sockets to pass on: {}", sockets.len());
        let count = [u8::try_from(sockets.len()).unwrap_or(u8::MAX)];
        let descriptors: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        ensure!(control.push(SendAncillaryMessage::ScmRights(&descriptors)), "no room for sockets");
        sendmsg(&self.line, &[IoSlice::new(&count)], &mut control, SendFlags::NOSIGNAL)
            .context("send the listening sockets")?;
        Ok(())
    }

    /// Waits until it serves. Blocks.
    ///
    /// # Errors
    /// When it ends instead.
    pub fn serves(&mut self) -> anyhow::Result<()> {
        self.hear(SERVING, SERVE).context("wait for the new server to serve")
    }

    /// Sends it log lines until an empty batch comes. Blocks.
    pub fn tell(mut self, lines: &Receiver<Vec<LogEntry>>) {
        while let Ok(batch) = lines.recv() {
            if batch.is_empty() {
                return;
            }
            let text: String = batch.iter().map(encoded).collect();
            if let Err(error) = self.line.write_all(text.as_bytes()) {
                tracing::warn!(%error, "the new server takes no more log lines");
                return;
            }
        }
    }

    fn hear(&mut self, wanted: u8, limit: Duration) -> anyhow::Result<()> {
        let mut word = [0];
        self.line.set_read_timeout(Some(limit))?;
        self.line.read_exact(&mut word).context("it has ended")?;
        ensure!(word[0] == wanted, "it says something else");
        Ok(())
    }
}

/// The server that is to be taken over from, seen from the new one.
pub struct Predecessor {
    line: UnixStream,
}

impl Predecessor {
    /// The server at the other end of standard input.
    ///
    /// # Errors
    /// When standard input is no socket.
    pub fn at_standard_input() -> anyhow::Result<Self> {
        let line = std::io::stdin().as_fd().try_clone_to_owned();
        Ok(Self { line: line.context("take the old server's socket")?.into() })
    }

    /// Says that the settings are read, and waits for the listening sockets. Blocks.
    ///
    /// # Errors
    /// When it does not send them.
    pub fn sockets(&mut self) -> anyhow::Result<Vec<TcpListener>> {
        self.line.write_all(&[READY]).context("greet the old server")?;
        let mut count = [0];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_SOCKETS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut message = [IoSliceMut::new(&mut count)];
        recvmsg(&self.line, &mut message, &mut control, RecvFlags::CMSG_CLOEXEC)
            .context("wait for the listening sockets")?;
        let sockets: Vec<TcpListener> = control
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
                _ => None,
            })
            .flatten()
            .map(TcpListener::from)
            .collect();
        ensure!(usize::from(count[0]) == sockets.len(), "some listening sockets are missing");
        if sockets.is_empty() {
            bail!("the old server has sent no listening sockets");
        }
        Ok(sockets)
    }

    /// Says that all is up, and takes in what the old server's last requests have to say.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn relieve(mut self, logs: LogSink) -> anyhow::Result<()> {
        // Whether it still hears this does not matter any more.
        let _ = self.line.write_all(&[SERVING]);
        let listen = move || {
            for line in BufReader::new(self.line).lines().map_while(Result::ok) {
                logs.send(decoded(&line).into_iter().collect());
            }
        };
        let thread = std::thread::Builder::new().name("late-lines".into()).spawn(listen);
        thread.map(drop).context("start a thread for the old server's last lines")
    }
}

/// One log line as a line of JSON.
fn encoded(entry: &LogEntry) -> String {
    let source = entry.source.as_str();
    let fields = (entry.app.to_string(), entry.at.micros(), source, &*entry.process, &entry.text);
    serde_json::to_string(&fields).map_or_else(|_| String::new(), |line| line + "\n")
}

fn decoded(line: &str) -> Option<LogEntry> {
    let (app, at, source, process, text): (String, i64, String, String, String) =
        serde_json::from_str(line).ok()?;
    let source = [Source::App, Source::Heroku].into_iter().find(|one| one.as_str() == source)?;
    let (app, process) = (app.parse().ok()?, Arc::from(process));
    Some(LogEntry { app, at: Timestamp::from_micros(at), source, process, text })
}

#[cfg(test)]
mod tests {
    use model::AppId;

    use super::*;

    #[test]
    fn sockets_and_last_lines_pass_from_one_server_to_the_next() {
        let (old, new) = UnixStream::pair().expect("a pair");
        let (mut old, mut new) = (Successor { line: old }, Predecessor { line: new });
        let bind = || TcpListener::bind("127.0.0.1:0").expect("a port");
        let sockets = [bind(), bind()];
        let addresses = sockets.each_ref().map(|socket| socket.local_addr().expect("bound"));
        old.give(&sockets).expect("given");
        drop(sockets);
        let taken = new.sockets().expect("taken");
        let at = |socket: &TcpListener| socket.local_addr().expect("bound");
        assert_eq!(taken.iter().map(at).collect::<Vec<_>>(), addresses);
        old.hear(READY, START).expect("a greeting");

        let (sink, lines, _) = LogSink::channel(8);
        new.relieve(sink).expect("a thread");
        old.serves().expect("it serves");
        let (late, left, _) = LogSink::channel(8);
        let app = AppId::random();
        late.say(app, Source::Heroku, "router", "at=info path=\"/\\n\" \u{e4}\u{1f600}");
        late.wake();
        old.tell(&left);
        let batch = lines.recv().expect("a batch");
        assert_eq!(
            (batch[0].app, batch[0].source, &*batch[0].process),
            (app, Source::Heroku, "router")
        );
        assert_eq!(batch[0].text, "at=info path=\"/\\n\" \u{e4}\u{1f600}");
    }

    #[test]
    fn a_server_that_ends_instead_is_noticed() {
        let (old, new) = UnixStream::pair().expect("a pair");
        drop(new);
        assert!(Successor { line: old }.serves().is_err());
        let (old, new) = UnixStream::pair().expect("a pair");
        drop(old);
        assert!(Predecessor { line: new }.sockets().is_err());
    }
}

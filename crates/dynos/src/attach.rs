//! The attached one-off: bytes between a client of `heroku run` and a dyno.
//!
//! What the official client expects: `rendezvous\r\n` alone, for it throws away the first chunk that
//! it gets; then raw bytes both ways. Standard input that is no terminal ends with one byte 0x04.
//! The exit status is a line of the output, see [`crate::sentinel`].

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf, pipe};
use tokio::sync::{Notify, oneshot};
use tokio::time::{sleep, timeout};

use crate::leaving::Leaving;
use crate::sentinel::{Piece, Sentinel};
use crate::streams::{self, CHUNK, Outputs, Streams};

/// What the client throws away.
const GREETING: &[u8] = b"rendezvous\r\n";

/// Long enough for what was written before to leave alone.
const PAUSE: Duration = Duration::from_millis(50);

/// A 0x04 that nothing follows in this time is the end of standard input, and not a byte of it.
const END: Duration = Duration::from_millis(250);

/// The exit status comes so soon after the last byte of output, or never.
const STATUS: Duration = Duration::from_secs(10);

/// End of transmission: what a client sends for the end of its standard input.
const EOT: u8 = 0x04;

/// A client that has joined.
pub(crate) struct Session {
    client: UnixStream,
    leaving: Leaving,
    /// The command as it was given.
    command: String,
    /// The session ends when no byte has passed for so long.
    idle: Duration,
}

/// Who ended a session.
enum Ended {
    Client,
    Dyno,
}

impl Session {
    /// Greets a client.
    ///
    /// # Errors
    /// When it has gone already, or cannot be watched.
    pub(crate) async fn begin(
        mut client: UnixStream,
        command: String,
        idle: Duration,
    ) -> io::Result<Self> {
        let leaving = Leaving::of(&client)?;
        client.write_all(GREETING).await?;
        sleep(PAUSE).await;
        Ok(Self { client, leaving, command, idle })
    }

    /// Waits until the client has left. May be dropped and called again.
    pub(crate) async fn left(&self) {
        self.leaving.seen().await;
    }

    /// Tells the client something before its program runs.
    ///
    /// # Errors
    /// When it has gone.
    pub(crate) async fn tell(&mut self, text: &str) -> io::Result<()> {
        self.client.write_all(format!("{text}\r\n").as_bytes()).await
    }

    /// Tells the client why nothing runs, and lets it go.
    pub(crate) async fn refuse(mut self, reason: &str) {
        let mut text = format!(" !     {reason}\r\n").into_bytes();
        let line = Sentinel::default().missing(&self.command, 1);
        let said = async {
            self.client.write_all(&text).await?;
            if let Some(line) = line {
                sleep(PAUSE).await;
                text = line;
                self.client.write_all(&text).await?;
            }
            self.client.shutdown().await
        };
        if let Err(error) = said.await {
            tracing::debug!(%error, "a client left before it was refused");
        }
    }

    /// Relays until the dyno has said all, or the client has left: then the streams come back.
    /// `exit` tells the dyno's exit status.
    pub(crate) async fn relay(
        self,
        mut streams: Streams,
        exit: oneshot::Receiver<i32>,
    ) -> Option<Streams> {
        let Self { client, leaving, command, idle } = self;
        let (reader, writer) = client.into_split();
        let activity = Notify::new();
        let mut screen = Screen { writer, sentinel: Sentinel::default(), activity: &activity };
        let mut keyboard = Keyboard { reader, activity: &activity };
        // Each arm that is dropped has nothing more to say: the other side is gone.
        let ended = tokio::select! {
            ended = both(&mut streams, &mut keyboard, &mut screen) => ended,
            () = leaving.seen() => Ended::Client,
            () = silence(&activity, idle) => Ended::Client,
        };
        match ended {
            Ended::Client => Some(streams),
            Ended::Dyno => {
                screen.finish(&command, exit).await;
                None
            }
        }
    }
}

/// Moves bytes both ways until one side has ended.
async fn both(
    streams: &mut Streams,
    keyboard: &mut Keyboard<'_>,
    screen: &mut Screen<'_>,
) -> Ended {
    match streams {
        // The keyboard of a dyno without standard input is only watched for the client's leaving.
        Streams::Output(outputs) => {
            let mut nowhere = None;
            tokio::select! {
                ended = screen.show_pipes(outputs) => ended,
                () = keyboard.type_into_pipe(&mut nowhere) => Ended::Client,
            }
        }
        Streams::Pipes(stdin, outputs) => tokio::select! {
            ended = screen.show_pipes(outputs) => ended,
            () = keyboard.type_into_pipe(stdin) => Ended::Client,
        },
        Streams::Pty(pty) => tokio::select! {
            ended = screen.show_terminal(&mut pty.screen) => ended,
            () = keyboard.type_into_terminal(&mut pty.keyboard) => Ended::Client,
        },
    }
}

/// Waits until nothing has happened for `idle`.
async fn silence(activity: &Notify, idle: Duration) {
    while timeout(idle, activity.notified()).await.is_ok() {}
}

/// From the dyno to the client.
struct Screen<'a> {
    writer: OwnedWriteHalf,
    sentinel: Sentinel,
    activity: &'a Notify,
}

impl Screen<'_> {
    async fn show_pipes(&mut self, outputs: &mut Outputs) -> Ended {
        let mut buffer = vec![0; CHUNK];
        while let Some((_, length)) = outputs.read(&mut buffer).await {
            if self.show(&buffer[..length]).await.is_err() {
                return Ended::Client;
            }
        }
        Ended::Dyno
    }

    async fn show_terminal(&mut self, terminal: &mut streams::Screen) -> Ended {
        let mut buffer = vec![0; CHUNK];
        loop {
            match terminal.read(&mut buffer).await {
                Ok(0) | Err(_) => return Ended::Dyno,
                Ok(length) => {
                    if self.show(&buffer[..length]).await.is_err() {
                        return Ended::Client;
                    }
                }
            }
        }
    }

    async fn show(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.activity.notify_one();
        for piece in self.sentinel.push(bytes) {
            match piece {
                Piece::Plain(bytes) => self.writer.write_all(&bytes).await?,
                Piece::Sentinel(line) => self.show_alone(&line).await?,
            }
        }
        Ok(())
    }

    /// Writes a line so that it reaches the client in one chunk.
    async fn show_alone(&mut self, line: &[u8]) -> io::Result<()> {
        sleep(PAUSE).await;
        self.writer.write_all(line).await
    }

    /// The last bytes, and the exit status if the shell ended without telling it.
    async fn finish(&mut self, command: &str, exit: oneshot::Receiver<i32>) {
        let rest = self.sentinel.finish();
        let status = timeout(STATUS, exit).await.ok().and_then(Result::ok);
        let line = status.and_then(|status| self.sentinel.missing(command, status));
        let said = async {
            self.writer.write_all(&rest).await?;
            if let Some(line) = line {
                self.show_alone(&line).await?;
            }
            self.writer.shutdown().await
        };
        if let Err(error) = said.await {
            tracing::debug!(%error, "a client left before the end of its one-off dyno's output");
        }
    }
}

/// From the client to the dyno.
struct Keyboard<'a> {
    reader: OwnedReadHalf,
    activity: &'a Notify,
}

impl Keyboard<'_> {
    /// Ends when the client has gone, or the terminal.
    async fn type_into_terminal(&mut self, terminal: &mut pipe::Sender) {
        let mut buffer = vec![0; CHUNK];
        while let Some(length) = self.read(&mut buffer).await {
            if terminal.write_all(&buffer[..length]).await.is_err() {
                // The output tells that the dyno has ended.
                std::future::pending::<()>().await;
            }
        }
    }

    /// Ends when the client has gone. The pipe is closed at the end of the client's input.
    async fn type_into_pipe(&mut self, pipe: &mut Option<pipe::Sender>) {
        let mut buffer = vec![0; CHUNK];
        // A 0x04 that came last and may be data or the end.
        let mut held = false;
        loop {
            let next = self.read(&mut buffer);
            let length = match held {
                false => next.await,
                true => match timeout(END, next).await {
                    Ok(length) => length,
                    Err(_nothing_followed) => {
                        (*pipe, held) = (None, false);
                        continue;
                    }
                },
            };
            let Some(length) = length else { return };
            let last = buffer[length - 1] == EOT;
            let data = &buffer[..length - usize::from(last)];
            for bytes in [if held { &[EOT][..] } else { &[] }, data] {
                write(pipe, bytes).await;
            }
            held = last;
        }
    }

    /// Reads once; `None` when the client has gone. Loses nothing when dropped.
    async fn read(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let length = self.reader.read(buffer).await.ok().filter(|&length| length > 0);
        self.activity.notify_one();
        length
    }
}

/// Writes all of it, or closes a pipe that nobody reads any more.
async fn write(pipe: &mut Option<pipe::Sender>, bytes: &[u8]) {
    if let Some(sender) = pipe
        && sender.write_all(bytes).await.is_err()
    {
        *pipe = None;
    }
}

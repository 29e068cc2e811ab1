//! One run of git over one HTTP request: the body goes to its standard input, its standard output
//! is the answer, both as they come.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::inflate::{Encoding, Inflater};

/// Bytes read from git at a time.
const CHUNK: usize = 32 * 1024;
/// Chunks that may wait for the client; then git waits.
const WAITING_CHUNKS: usize = 16;
/// How much of what git says to its standard error is kept for the log.
const COMPLAINT: usize = 4 * 1024;
/// From SIGTERM, on which git removes what it has not finished, to SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// What happens to git when the client goes away before the answer's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HangUp {
    /// It is ended: nobody wants the pack.
    End,
    /// It goes on: a build may be running, and the refs must come to show what was built.
    GoOn,
}

/// Bounds of one exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// The request, uncompressed, may not be larger.
    pub max_request_bytes: u64,
    /// A client may not be silent for longer while it sends.
    pub idle: Duration,
    /// All of it may not take longer.
    pub whole: Duration,
}

/// A started git and the request it reads.
pub(crate) struct Exchange {
    pub child: Child,
    pub request: Body,
    pub encoding: Encoding,
    pub bounds: Bounds,
    pub hang_up: HangUp,
    pub stop: CancellationToken,
}

/// Why an exchange ended early.
struct HungUp;

/// The answer's end of an exchange.
pub(crate) type Answers = mpsc::Sender<io::Result<Bytes>>;

/// A channel for the answer: the sender for [`Exchange::run`], and the body to answer with.
pub(crate) fn answer() -> (Answers, Body) {
    let (sender, receiver) = mpsc::channel(WAITING_CHUNKS);
    let stream = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let chunk = receiver.recv().await?;
        Some((chunk, receiver))
    });
    (sender, Body::from_stream(stream))
}

impl Exchange {
    /// Runs to the end, whether git ends by itself or has to be ended.
    pub(crate) async fn run(mut self, answers: Answers) {
        let group = self.child.id();
        let stop = self.stop.clone();
        let status = tokio::select! {
            // Dropping the talk closes git's standard input; what is left of it is ended below.
            status = self.talk(&answers) => status,
            // The server stops: git is told to, and drops what it has not finished.
            () = stop.cancelled() => None,
        };
        match status {
            Some(status) if status.success() => return,
            Some(_) => {}
            None => end(&mut self.child, group).await,
        }
        // A client that sees a whole answer, but not the end of git's protocol in it, would wait for
        // ever; the answer must be seen to break off.
        let broken = io::Error::new(io::ErrorKind::BrokenPipe, "git did not end well");
        let _ = answers.send(Err(broken)).await;
    }

    /// Carries request and answer. `None` when git did not end by itself.
    async fn talk(&mut self, answers: &Answers) -> Option<ExitStatus> {
        let (stdin, stdout, stderr) =
            (self.child.stdin.take()?, self.child.stdout.take()?, self.child.stderr.take()?);
        let request = std::mem::take(&mut self.request);
        let feed = feed(request, Inflater::new(self.encoding), stdin, self.bounds);
        // The answer stays open until the request is read: a client that is still sending would
        // otherwise see a broken connection instead of git's report.
        let carry = async {
            tokio::try_join!(
                feed.map(Ok),
                relay(stdout, answers, self.hang_up),
                log_complaint(stderr).map(Ok),
            )
        };
        let carried = tokio::time::timeout(self.bounds.whole, carry).await;
        if matches!(carried, Ok(Ok(_))) { self.child.wait().await.ok() } else { None }
    }
}

/// Request → git. Ends when the request ends, breaks, stalls or is too large; git then sees the end
/// of its input and judges for itself whether that was all. When git reads no more, the rest is
/// taken and thrown away.
async fn feed(request: Body, mut inflater: Inflater, stdin: ChildStdin, bounds: Bounds) {
    let mut chunks = request.into_data_stream();
    let mut stdin = Some(stdin);
    let mut left = bounds.max_request_bytes;
    while let Ok(Some(Ok(mut chunk))) = tokio::time::timeout(bounds.idle, chunks.next()).await {
        while !chunk.is_empty() {
            let Ok(part) = inflater.step(&mut chunk) else { return };
            let Some(rest) = left.checked_sub(part.len() as u64) else { return };
            left = rest;
            if let Some(pipe) = &mut stdin
                && pipe.write_all(&part).await.is_err()
            {
                stdin = None;
            }
        }
    }
}

/// Git → answer.
async fn relay(mut stdout: ChildStdout, answers: &Answers, hang_up: HangUp) -> Result<(), HungUp> {
    let mut buffer = bytes::BytesMut::with_capacity(CHUNK);
    loop {
        buffer.reserve(CHUNK);
        match stdout.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Ok(()),
            Ok(_) => {}
        }
        let gone = answers.send(Ok(buffer.split().freeze())).await.is_err();
        if gone && hang_up == HangUp::End {
            return Err(HungUp);
        }
    }
}

/// Git's own standard error, which the client does not see, goes to the server's log.
async fn log_complaint(mut stderr: ChildStderr) {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
        let room = COMPLAINT - kept.len();
        kept.extend_from_slice(&buffer[..count.min(room)]);
    }
    if !kept.is_empty() {
        let text = String::from_utf8_lossy(&kept);
        tracing::info!(text = text.trim(), "git complained");
    }
}

/// Ends git and everything it started: first so that it can clean up, then for certain.
async fn end(child: &mut Child, group: Option<u32>) {
    use nix::sys::signal::{Signal, killpg};
    let group = group.and_then(|id| i32::try_from(id).ok()).map(nix::unistd::Pid::from_raw);
    let Some(group) = group else { return };
    // An error means that nobody is left in the group.
    let _ = killpg(group, Signal::SIGTERM);
    if tokio::time::timeout(GRACE, child.wait()).await.is_err() {
        let _ = killpg(group, Signal::SIGKILL);
        let _ = child.wait().await;
    }
}

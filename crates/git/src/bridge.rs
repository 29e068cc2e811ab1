//! The server's side of the hooks' socket: takes a push's source in, has it built, and tells the
//! hook what the person should read and how it ended.
//!
//! A build belongs to the server once it is created: it goes on when hook or person go away.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use control::builds::{self, NewBuild};
use control::{Follow, releases, sources};
use model::BuildId;
use model::build::{BuildSource, BuildStatus};
use model::release::{Release, ReleaseStatus};
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};

use crate::push::Push;
use crate::state::Shared;
use crate::wire::{Frame, Hello, MAX_FRAME, Turn, Verdict, receive_async, send_async};
use crate::{GitError, GitState, transcript};

/// A hook that says nothing for so long while it should is gone.
const SILENCE: Duration = Duration::from_secs(60);
/// A build that prints nothing for so long is waiting for others.
const PATIENCE: Duration = Duration::from_secs(2);
/// Bytes of the source between socket and disk.
const IN_BETWEEN: usize = 4 * MAX_FRAME;

/// Serves hooks until the state's `stop` is cancelled. Start it before the listeners: a push without
/// it is declined.
///
/// # Errors
/// When the socket cannot be opened.
pub async fn serve_hooks(state: GitState) -> Result<(), GitError> {
    let shared = state.shared;
    let listener = listen(&shared)?;
    loop {
        let accepted = tokio::select! {
            // Nothing is lost when it is dropped: the connection waits in the kernel.
            accepted = listener.accept() => accepted,
            () = shared.stop.cancelled() => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => {
                let attended = attend(shared.clone(), stream);
                shared.tasks.spawn(attended);
            }
            Err(error) => {
                tracing::error!(%error, "could not accept a hook");
                // Out of descriptors, most likely; others must give some back first.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn listen(shared: &Shared) -> Result<UnixListener, GitError> {
    let path = &shared.config.hook_socket;
    let failed = |source| GitError::Listen { path: path.clone(), source };
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, private).map_err(failed)?;
    Ok(listener)
}

/// Why a hook is not attended to any further.
#[derive(Debug, thiserror::Error)]
enum BridgeError {
    #[error("talk to the hook")]
    Talk(#[from] io::Error),
    #[error("the hook names no push that is under way")]
    Stranger,
    #[error("the hook spoke out of order")]
    Order,
    #[error("the server is being stopped")]
    Stopping,
    #[error("build the push")]
    Control(#[from] control::Error),
}

async fn attend(shared: Arc<Shared>, stream: UnixStream) {
    let stop = shared.stop.clone();
    let ended = tokio::select! {
        ended = attend_push(&shared, stream) => ended,
        // The hook sees its connection end and declines; the build, if there is one, goes on.
        () = stop.cancelled() => Err(BridgeError::Stopping),
    };
    if let Err(error) = ended {
        tracing::info!(error = &error as &dyn std::error::Error, "a push's hook was left");
    }
}

async fn attend_push(shared: &Shared, stream: UnixStream) -> Result<(), BridgeError> {
    let (mut from, to) = stream.into_split();
    let mut hook = Hook { to };
    let Frame::Hello(hello) = patiently(&mut from).await? else { return Err(BridgeError::Order) };
    let push = shared.pushes.find(&hello.push).ok_or(BridgeError::Stranger)?;
    if !push.try_turn() {
        hook.say(transcript::WAITING).await?;
        wait_turn(&push, &mut from).await?;
    }
    let max_source_bytes = shared.config.max_source_bytes;
    hook.send(&Frame::Turn(Turn { max_source_bytes })).await?;
    let verdict = match take_in(shared, &push, &hello, &mut from).await {
        Ok(build) => {
            push.set_built(hello.branch);
            hook.say(transcript::BUILDING).await?;
            follow_build(shared, &push, build, &mut hook).await?
        }
        Err(BridgeError::Control(error)) => {
            refuse(&mut hook, &push, &error).await?;
            Verdict::Declined
        }
        Err(error) => return Err(error),
    };
    hook.send(&Frame::Verdict(verdict)).await?;
    Ok(())
}

async fn patiently(from: &mut OwnedReadHalf) -> Result<Frame, BridgeError> {
    match tokio::time::timeout(SILENCE, receive_async(from)).await {
        Ok(frame) => Ok(frame?),
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}

/// Waits for the turn, unless the hook goes away before.
async fn wait_turn(push: &Push, from: &mut OwnedReadHalf) -> Result<(), BridgeError> {
    tokio::select! {
        // Dropping it leaves the queue.
        () = push.wait_turn() => Ok(()),
        // The hook has nothing to say now: a frame, or the end, means that it no longer waits.
        frame = receive_async(from) => match frame {
            Ok(_) => Err(BridgeError::Order),
            Err(error) => Err(error.into()),
        },
    }
}

/// The source archive → the blob store → a pending build.
async fn take_in(
    shared: &Shared,
    push: &Push,
    hello: &Hello,
    from: &mut OwnedReadHalf,
) -> Result<BuildId, BridgeError> {
    let (pipe, archive) = tokio::io::duplex(IN_BETWEEN);
    let limit = shared.config.max_source_bytes;
    let (received, stored) =
        tokio::join!(receive_archive(from, pipe), sources::put(&shared.control, archive, limit));
    // A hook that went away leaves half an archive, which is stored in vain and collected.
    received?;
    let new = NewBuild {
        source: BuildSource::Stored(stored?.name),
        source_version: Some(hello.commit.clone()),
        buildpacks: Vec::new(),
    };
    Ok(builds::create(&shared.control, &push.account, push.app.id, new).await?.id)
}

/// Archive frames → `pipe`, up to the archive's end. When nobody reads the pipe any more, the reason
/// is the reader's to tell.
async fn receive_archive(
    from: &mut OwnedReadHalf,
    mut pipe: DuplexStream,
) -> Result<(), BridgeError> {
    loop {
        match patiently(from).await? {
            Frame::Archive(part) => {
                if pipe.write_all(&part).await.is_err() {
                    return Ok(());
                }
            }
            Frame::ArchiveEnd => return Ok(()),
            _ => return Err(BridgeError::Order),
        }
    }
}

/// Shows the build's output as it comes, then how it ended.
async fn follow_build(
    shared: &Shared,
    push: &Push,
    build: BuildId,
    hook: &mut Hook,
) -> Result<Verdict, BridgeError> {
    if let Some(mut output) = builds::follow(&shared.control, build).await? {
        // Dropping `next` while it waits loses nothing.
        match tokio::time::timeout(PATIENCE, output.next()).await {
            Ok(first) => hook.show(first?.unwrap_or_default()).await?,
            Err(_) => hook.say(transcript::WAITING).await?,
        }
        hook.copy(output).await?;
    }
    let build = builds::wait_ended(&shared.control, build).await?;
    if build.status != BuildStatus::Succeeded {
        hook.say(&transcript::rejected(push.app.name.as_str())).await?;
        return Ok(Verdict::Declined);
    }
    hook.say(transcript::VERIFIED).await?;
    if let Some(id) = build.release {
        let release = releases::find(&shared.control, id).await?;
        follow_release(shared, &release, hook).await?;
    }
    // A release command that fails does not undo the build: the push stands, the release does not.
    Ok(Verdict::Accepted)
}

/// Shows what the release command prints, if there is one, and how it ended.
async fn follow_release(
    shared: &Shared,
    release: &Release,
    hook: &mut Hook,
) -> Result<(), BridgeError> {
    if !release.has_output {
        return Ok(());
    }
    hook.say(transcript::RELEASE_COMMAND).await?;
    if let Some(output) = releases::follow(&shared.control, release.id).await? {
        hook.copy(output).await?;
    }
    let settled = releases::wait_settled(&shared.control, release.id).await?;
    let last = match settled.status {
        ReleaseStatus::Succeeded => transcript::RELEASE_DONE,
        ReleaseStatus::Failed | ReleaseStatus::Pending => transcript::RELEASE_FAILED,
    };
    hook.say(last).await?;
    Ok(())
}

async fn refuse(hook: &mut Hook, push: &Push, error: &control::Error) -> io::Result<()> {
    let text = match error {
        control::Error::TooLarge { limit } => {
            format!("The source is too large (max is {} MB).", limit / 1024 / 1024)
        }
        control::Error::Internal(cause) => {
            tracing::error!(app.id = %push.app.id, %cause, "a push could not be taken in");
            "Internal server error. Please try again later.".to_owned()
        }
        other => other.to_string(),
    };
    hook.say(&transcript::complaint(&text)).await?;
    hook.say(&format!("\n{}", transcript::rejected(push.app.name.as_str()))).await
}

/// The hook, as somebody to talk to.
struct Hook {
    to: OwnedWriteHalf,
}

impl Hook {
    async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        send_async(&mut self.to, frame).await
    }

    async fn say(&mut self, text: &str) -> io::Result<()> {
        self.send(&Frame::Say(Bytes::copy_from_slice(text.as_bytes()))).await
    }

    /// Shows an output to its end.
    async fn copy(&mut self, mut output: Follow) -> io::Result<()> {
        while let Some(bytes) = output.next().await? {
            self.show(bytes).await?;
        }
        Ok(())
    }

    async fn show(&mut self, mut bytes: Bytes) -> io::Result<()> {
        while !bytes.is_empty() {
            let part = bytes.split_to(bytes.len().min(MAX_FRAME));
            self.send(&Frame::Say(part)).await?;
        }
        Ok(())
    }
}

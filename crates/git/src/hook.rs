//! The `pre-receive` hook: the platform's own binary, run by git inside a push.
//!
//! Synchronous, single-threaded, without configuration of its own. Git has the pushed objects in a
//! quarantine that only this process (and git started by it) can see; if the hook declines, git
//! throws them away.

mod archive;
mod commit;
mod updates;

use std::ffi::OsString;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::ExitCode;

use crate::Git;
use crate::transcript;
use crate::wire::{self, Frame, Hello, Turn, Verdict};
use archive::ArchiveError;
use commit::{Commit, CommitError};
use updates::{Decision, Target};

/// The server's socket for hooks.
pub(crate) const SOCKET: &str = "HYTHE_HOOK_SOCKET";
/// The secret that names the push.
pub(crate) const PUSH: &str = "HYTHE_HOOK_PUSH";
/// The `git` program.
pub(crate) const GIT: &str = "HYTHE_HOOK_GIT";

/// What git tells its hook about the repository and the quarantine; handed on to the git that the
/// hook starts.
const FROM_GIT: [&str; 4] =
    ["GIT_DIR", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_QUARANTINE_PATH"];

/// The hook's file name, and so the last part of `argv[0]` when git runs it.
pub const FILE_NAME: &str = "pre-receive";

/// Everything the hook is told by its environment.
pub struct HookEnv {
    socket: PathBuf,
    push: String,
    git: Git,
    from_git: Vec<(&'static str, OsString)>,
}

/// The hook was not run by the platform's git.
#[derive(Debug, thiserror::Error)]
#[error("this program is run by git, as the hook of a push ({0} is not set)")]
pub struct NotAHook(&'static str);

impl HookEnv {
    /// Reads the environment through `get`, which the binary provides.
    ///
    /// # Errors
    /// When a variable is missing.
    pub fn read(get: impl Fn(&str) -> Option<OsString>) -> Result<Self, NotAHook> {
        let need = |name| get(name).ok_or(NotAHook(name));
        Ok(Self {
            socket: need(SOCKET)?.into(),
            push: need(PUSH)?.into_string().map_err(|_| NotAHook(PUSH))?,
            git: Git::at(PathBuf::from(need(GIT)?)),
            from_git: FROM_GIT.iter().filter_map(|&name| Some((name, get(name)?))).collect(),
        })
    }

    /// A git that sees the quarantine. Git runs hooks in the repository.
    fn command(&self) -> std::process::Command {
        let mut command = self.git.command(std::path::Path::new("."));
        command.envs(self.from_git.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Runs the hook. What it writes to standard error, git shows as `remote:` lines; its exit code is
/// the verdict on the push.
#[must_use]
pub fn main(env: &HookEnv) -> ExitCode {
    match decide(env) {
        Ok(Verdict::Accepted) => ExitCode::SUCCESS,
        Ok(Verdict::Declined) => ExitCode::FAILURE,
        Err(error) => {
            say(transcript::complaint(&error.to_string()).as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// Why a push is declined before its build. The text is shown to the person.
#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error("The list of refs could not be read: {0}")]
    Updates(#[source] io::Error),
    #[error(transparent)]
    Refused(#[from] updates::Refused),
    #[error(transparent)]
    Commit(#[from] CommitError),
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    #[error("The server cannot be reached: {0}. Please try again later.")]
    Connect(#[source] io::Error),
    #[error("The server ended the connection: {0}. Please try again later.")]
    Talk(#[source] io::Error),
}

fn decide(env: &HookEnv) -> Result<Verdict, HookError> {
    let updates = updates::read(io::stdin().lock()).map_err(HookError::Updates)?;
    match updates::decide(&updates)? {
        Decision::Accept => Ok(Verdict::Accepted),
        Decision::Skip => {
            say(transcript::SKIPPED.as_bytes());
            Ok(Verdict::Accepted)
        }
        Decision::Build(target) => build(env, &target),
    }
}

fn build(env: &HookEnv, target: &Target) -> Result<Verdict, HookError> {
    let commit = Commit::check(env, target)?;
    let mut server = UnixStream::connect(&env.socket).map_err(HookError::Connect)?;
    let hello = Hello {
        push: env.push.clone(),
        branch: target.branch.as_str().to_owned(),
        commit: target.new.clone(),
    };
    wire::send(&mut server, &Frame::Hello(hello)).map_err(HookError::Talk)?;
    let turn = match wait_turn(&mut server)? {
        Waited::Turn(turn) => turn,
        Waited::Over(verdict) => return Ok(verdict),
    };
    commit::check_unmoved(env, target)?;
    let contents = commit.contents(env)?;
    say(transcript::updated(contents.paths, &contents.tree).as_bytes());
    for warning in contents.warnings() {
        say(transcript::complaint(&warning).as_bytes());
    }
    match archive::send(env, &target.new, turn, &mut server) {
        Ok(()) => say(transcript::COMPRESSED.as_bytes()),
        // The server stopped listening: it has said, or will say, why.
        Err(ArchiveError::Server(_)) => {}
        Err(error) => return Err(error.into()),
    }
    follow(&mut server)
}

enum Waited {
    Turn(Turn),
    Over(Verdict),
}

/// Shows what the server says until it is this push's turn.
fn wait_turn(server: &mut UnixStream) -> Result<Waited, HookError> {
    loop {
        match wire::receive(server).map_err(HookError::Talk)? {
            Frame::Turn(turn) => return Ok(Waited::Turn(turn)),
            Frame::Verdict(verdict) => return Ok(Waited::Over(verdict)),
            Frame::Say(text) => say(&text),
            frame => return Err(HookError::Talk(unexpected(&frame))),
        }
    }
}

/// Shows what the server says until the verdict.
fn follow(server: &mut UnixStream) -> Result<Verdict, HookError> {
    loop {
        match wire::receive(server) {
            Ok(Frame::Say(text)) => say(&text),
            Ok(Frame::Verdict(verdict)) => return Ok(verdict),
            Ok(frame) => return Err(HookError::Talk(unexpected(&frame))),
            Err(_) => {
                say(transcript::LOST_SERVER.as_bytes());
                return Ok(Verdict::Declined);
            }
        }
    }
}

fn unexpected(_: &Frame) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "it said something out of order")
}

/// Writes to standard error. When nobody listens any more the push still has to be decided, so a
/// failure is no reason to stop.
fn say(text: &[u8]) {
    let _ = io::stderr().lock().write_all(text);
}

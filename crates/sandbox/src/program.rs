//! Other programs that are called: fixed environment, explicit arguments, an end to the waiting.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use nix::unistd::Pid;

use crate::error::{Attempt, Error, Result};
use crate::sys;

/// Where system programs are found.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Programs that are called here are done in milliseconds; one that hangs is killed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command with nothing of our own environment.
#[must_use]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", PATH).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Runs a command to its end with `input`, and answers what it printed.
///
/// # Errors
/// When it cannot be run, or ends with another status than 0; with what it said on standard error.
pub fn output(command: &mut Command, input: &str) -> Result<String> {
    let attempt = describe(command);
    let mut gather = || {
        let mut scratch = [tempfile()?, tempfile()?, tempfile()?];
        scratch[0].write_all(input.as_bytes())?;
        scratch[0].rewind()?;
        command.stdin(scratch[0].try_clone()?);
        command.stdout(scratch[1].try_clone()?);
        command.stderr(scratch[2].try_clone()?);
        Ok::<_, std::io::Error>(scratch)
    };
    let [_, mut out, mut err] = gather().attempt(|| attempt.clone())?;
    let status = run(command)?;
    let read = |file: &mut File| {
        let mut text = String::new();
        file.rewind().and_then(|()| file.read_to_string(&mut text)).map(|_| text)
    };
    if !status.success() {
        let said = read(&mut err).attempt(|| attempt.clone())?;
        return Err(Error::Program { attempt, said: or_status(said.trim(), status) });
    }
    read(&mut out).attempt(|| attempt)
}

/// Runs a command to its end, or kills it after a while.
///
/// # Errors
/// When it cannot be started or does not end.
pub fn run(command: &mut Command) -> Result<ExitStatus> {
    start(command)?.end()
}

/// A program that runs.
pub struct Running {
    child: Child,
    attempt: String,
}

/// Starts a command.
///
/// # Errors
/// When it cannot be started.
pub fn start(command: &mut Command) -> Result<Running> {
    let attempt = describe(command);
    let child = command.spawn().attempt(|| attempt.clone())?;
    Ok(Running { child, attempt })
}

impl Running {
    /// Waits for its end, or kills it after a while.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(self) -> Result<ExitStatus> {
        let Self { mut child, attempt } = self;
        if !ends_in_time(&child).attempt(|| attempt.clone())? {
            let _ = child.kill();
            let _ = child.wait();
            return Err(Error::Program { attempt, said: "it did not end in time".into() });
        }
        child.wait().attempt(|| attempt)
    }
}

/// What a program said, or how it ended when it said nothing.
#[must_use]
pub fn or_status(said: &str, status: ExitStatus) -> String {
    if said.is_empty() { status.to_string() } else { said.to_owned() }
}

fn ends_in_time(child: &Child) -> std::io::Result<bool> {
    let end = sys::pidfd_open(Pid::from_raw(child.id().cast_signed()))?;
    sys::wait_readable(end.as_fd(), PATIENCE)
}

/// A nameless file in memory: no pipe has to be emptied while waiting.
fn tempfile() -> std::io::Result<File> {
    let file = nix::sys::memfd::memfd_create("hythe", nix::sys::memfd::MFdFlags::MFD_CLOEXEC)?;
    Ok(File::from(file))
}

fn describe(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or_default();
    let first = command.get_args().next().unwrap_or_default();
    format!("run {} {}", name.to_string_lossy(), first.to_string_lossy()).trim_end().to_owned()
}

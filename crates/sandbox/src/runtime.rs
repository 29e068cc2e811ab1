//! The OCI runtime program: `crun`, or any other with the same command line.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::sys::resource::{Resource, getrlimit};
use nix::unistd::Pid;
use serde_json::Value;

use crate::error::{Attempt, Error, Result};
use crate::frames;
use crate::program;
use crate::protocol::{Limits, Terminal};
use crate::stage;
use crate::steps::{Step, reached};
use crate::streams::Streams;
use crate::sys;

/// The stage is the bundle, so that the runtime and we agree on what relative paths mean.
const CONFIGURATION: &str = "config.json";
const LOG: &str = "runtime.log";
const PID: &str = "pid";
const CONSOLE: &str = "console.sock";
/// What the runtime is to run beside the container's own program.
const PROCESS: &str = "process.json";

/// A container that the runtime has started.
pub struct Container {
    /// Its first process, a child of the shim.
    pub pid: Pid,
    /// The shim's ends of its standard streams.
    pub streams: Streams,
}

/// The runtime as the shim of one dyno uses it, on the stage.
pub struct Runtime {
    /// Such as `/usr/bin/crun`.
    pub program: PathBuf,
    /// The container's name.
    pub id: String,
    /// What each of its processes may use.
    pub limits: Limits,
}

impl Runtime {
    /// Starts the container with `configuration`.
    pub fn start(&self, configuration: &Value, terminal: Terminal) -> Result<Container> {
        write_json(CONFIGURATION, configuration)?;
        let mut command = self.command()?;
        command.args(["run", "--detach", "--bundle", "."]);
        let started = self.launch(command, terminal, "start the container");
        // It holds the config vars and has been read.
        let _ = fs::remove_file(CONFIGURATION);
        started
    }

    /// Starts another process in the container.
    pub fn exec(&self, process: &Value, terminal: Terminal) -> Result<Container> {
        write_json(PROCESS, process)?;
        let mut command = self.command()?;
        command.args(["exec", "--detach", "--process", PROCESS]);
        let started = self.launch(command, terminal, "start a process in the container");
        let _ = fs::remove_file(PROCESS);
        started
    }

    /// Lets the runtime start what the command says, and takes its streams.
    fn launch(&self, mut command: Command, terminal: Terminal, attempt: &str) -> Result<Container> {
        command.args(["--pid-file", PID]);
        sys::limit(&mut command, &self.limits()?);
        let console = match terminal {
            Terminal::Pty { .. } => Some(listen_for_console(&mut command)?),
            Terminal::Output | Terminal::Pipes => None,
        };
        command.arg(&self.id);
        let pipes = Streams::connect(&mut command, terminal)?;
        let running = program::start(&mut command)?;
        reached(Step::RuntimeSpawned);
        let status = running.end()?;
        // The copies of the container's ends must not keep its pipes open.
        drop(command);
        let _ = fs::remove_file(CONSOLE);
        if !status.success() {
            let said = program::or_status(&complaint(), status);
            return Err(Error::Program { attempt: attempt.into(), said });
        }
        let streams = match (pipes, console) {
            (Some(pipes), _) => pipes,
            (None, Some(listener)) => Streams::Pty(receive_console(&listener)?),
            (None, None) => return Err(Error::Spec("a dyno needs standard streams".into())),
        };
        let pid = read_pid()?;
        let _ = fs::remove_file(PID);
        Ok(Container { pid, streams })
    }

    /// Makes the runtime forget the container.
    pub fn delete(&self) -> Result<()> {
        let mut command = self.command()?;
        command.args(["delete", "--force", &self.id]);
        let status = program::run(&mut command)?;
        if status.success() {
            return Ok(());
        }
        let said = program::or_status(&complaint(), status);
        Err(Error::Program { attempt: "delete the container".into(), said })
    }

    /// The container's processes inherit them from the runtime, which need not have the right to change
    /// those of others. They are never above our own: raising one takes a right that root may lack.
    fn limits(&self) -> Result<[(Resource, u64); 3]> {
        let mut limits = [
            (Resource::RLIMIT_NOFILE, self.limits.open_files),
            (Resource::RLIMIT_NPROC, self.limits.pids.into()),
            (Resource::RLIMIT_CORE, 0),
        ];
        for (resource, limit) in &mut limits {
            let (_, hard) = getrlimit(*resource).attempt(|| "read a limit")?;
            *limit = hard.min(*limit);
        }
        Ok(limits)
    }

    /// Its own words go to the log; its standard streams are the container's. They are never the
    /// host's `/dev/null`: the runtime gives its streams to the container's user.
    fn command(&self) -> Result<Command> {
        let _ = fs::remove_file(LOG);
        let mut command = program::command(&self.program);
        command.args(["--root", stage::STATE, "--log", LOG, "--log-format", "json"]);
        let null = Path::new(stage::ROOT).join("dev/null");
        let null = File::options().read(true).write(true).open(null);
        let null = null.attempt(|| "open the dyno's null device")?;
        let again = || null.try_clone().attempt(|| "copy a descriptor");
        command.stdin(again()?).stdout(again()?).stderr(again()?);
        sys::unblock_signals_of(&mut command);
        sys::end_with_us(&mut command);
        Ok(command)
    }
}

/// Processes of a runtime that works for this dyno, as its arguments say.
///
/// # Errors
/// When the processes cannot be listed.
pub fn at_work(dyno: &OsStr) -> io::Result<Vec<Pid>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(number) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        if arguments(&entry.path()).is_some_and(|line| works_for(&line, dyno.as_bytes())) {
            found.push(Pid::from_raw(number));
        }
    }
    Ok(found)
}

/// What a process was started with. One whose first thread has ended may still be busy in others.
fn arguments(process: &Path) -> Option<Vec<u8>> {
    let read = |of: &Path| fs::read(of.join("cmdline")).ok().filter(|line| !line.is_empty());
    read(process).or_else(|| {
        let mut threads = fs::read_dir(process.join("task")).ok()?.flatten();
        threads.find_map(|thread| read(&thread.path()))
    })
}

/// Whether these arguments are such as [`Runtime`] gives.
fn works_for(line: &[u8], dyno: &[u8]) -> bool {
    let arguments: Vec<&[u8]> =
        line.strip_suffix(&[0]).unwrap_or_default().split(|b| *b == 0).collect();
    let root = [b"--root", stage::STATE.as_bytes()];
    arguments.last() == Some(&dyno) && arguments.windows(2).any(|two| two == root)
}

fn write_json(name: &str, content: &Value) -> Result<()> {
    let attempt = || "write the runtime's configuration";
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(0o600).open(name);
    let file = io::BufWriter::new(file.attempt(attempt)?);
    serde_json::to_writer(file, content).map_err(io::Error::from).attempt(attempt)
}

/// What the runtime logged as errors.
fn complaint() -> String {
    let log = fs::read_to_string(LOG).unwrap_or_default();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let words: Vec<String> =
        lines.filter_map(|line| Some(line.get("msg")?.as_str()?.trim().to_owned())).collect();
    words.join("; ")
}

fn read_pid() -> Result<Pid> {
    let text = fs::read_to_string(PID).attempt(|| "read the container's process id")?;
    let pid = text.trim().parse().map_err(io::Error::other);
    Ok(Pid::from_raw(pid.attempt(|| "read the container's process id")?))
}

fn listen_for_console(command: &mut Command) -> Result<UnixListener> {
    let listener = UnixListener::bind(CONSOLE).attempt(|| "listen for the terminal")?;
    // The runtime has sent it before it ends: nothing to wait for then.
    listener.set_nonblocking(true).attempt(|| "listen for the terminal")?;
    command.args(["--console-socket", CONSOLE]);
    Ok(listener)
}

fn receive_console(listener: &UnixListener) -> Result<OwnedFd> {
    let attempt = || "receive the terminal";
    let (connection, _) = listener.accept().attempt(attempt)?;
    let (_, fds) = frames::recv(connection.as_fd()).attempt(attempt)?;
    let missing = || io::Error::from(io::ErrorKind::UnexpectedEof);
    fds.into_iter().next().ok_or_else(missing).attempt(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_at_work_is_known_by_its_arguments() {
        let line = b"/usr/bin/crun\0--root\0state\0run\0--detach\0dyno-1\0";
        assert!(works_for(line, b"dyno-1"));
        assert!(!works_for(line, b"dyno-2"));
        assert!(!works_for(b"grep\0state\0dyno-1\0", b"dyno-1"));
        assert!(!works_for(b"", b"dyno-1"));
    }
}

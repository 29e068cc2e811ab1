//! Process 1 of a dyno: a fork of the shim that holds the process namespace open.
//!
//! It takes in orphans, passes signals on to every process, and ends the dyno by ending. It holds
//! nothing but the reading end of a pipe: when the shim goes, however it goes, the pipe ends, process
//! 1 ends, and the kernel ends every process of the dyno.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, wait, waitpid};
use nix::unistd::{Pid, dup2_stdin, read};

use crate::error::{Attempt, Error, Result};
use crate::ids::Users;
use crate::stage;
use crate::sys;

/// The dyno's process 1, as the shim sees it.
pub struct Init {
    pid: Pid,
    control: PipeWriter,
}

impl Init {
    /// Makes the process namespace, which belongs to the dyno's users, and in the dyno's root a `/proc`
    /// that shows it.
    pub fn start(users: &Users) -> Result<Self> {
        let (commands, control) = io::pipe().attempt(|| "make a pipe")?;
        let (mut ready, announce) = io::pipe().attempt(|| "make a pipe")?;
        let (mut told, tell) = io::pipe().attempt(|| "make a pipe")?;
        let namespace = users.namespace.try_clone().attempt(|| "copy a descriptor")?;
        let midwife = sys::fork_into(move || deliver(namespace, tell, commands, announce));
        let midwife = midwife.attempt(|| "fork")?;
        let pid = read_number(&mut told).and_then(|number| number.ok_or(Errno::EPIPE.into()));
        let _ = waitpid(midwife, None);
        let pid = Pid::from_raw(pid.attempt(|| "start process 1")?);
        let init = Self { pid, control };
        match read_number(&mut ready).attempt(|| "hear of process 1")? {
            None => init.show_processes().map(|()| init),
            Some(refusal) => {
                let source = io::Error::from_raw_os_error(refusal);
                Err(Error::System { attempt: "prepare process 1".into(), source })
            }
        }
    }

    /// Mounts the dyno's `/proc`. Only a process in the namespace that is shown can do so.
    fn show_processes(&self) -> Result<()> {
        let attempt = || "mount the dyno's /proc";
        let home = File::open("/proc/self/ns/pid").attempt(attempt)?;
        let there = File::open(self.namespace()).attempt(attempt)?;
        setns(there, CloneFlags::CLONE_NEWPID).attempt(attempt)?;
        let child = sys::fork_into(|| mount_processes().map_or_else(|errno| errno as i32, |()| 0));
        // What the shim starts from here on must be in its own namespace again.
        setns(home, CloneFlags::CLONE_NEWPID).attempt(attempt)?;
        match waitpid(child.attempt(attempt)?, None).attempt(attempt)? {
            WaitStatus::Exited(_, 0) => Ok(()),
            WaitStatus::Exited(_, errno) => Err(Errno::from_raw(errno)).attempt(attempt),
            _ => Err(Errno::EINTR).attempt(attempt),
        }
    }

    /// Where the runtime finds the process namespace.
    pub fn namespace(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/ns/pid", self.pid))
    }

    /// Sends a signal to every process of the dyno.
    pub fn signal(&mut self, number: u8) -> Result<()> {
        self.control.write_all(&[number]).attempt(|| format!("pass on signal {number}"))
    }

    /// Ends every process of the dyno, and waits until they have ended. Children of the runtime that
    /// became ours may be among them: process 1 does not go before those are waited for, too.
    pub fn end(self) {
        let _ = kill(self.pid, Signal::SIGKILL);
        while let Ok(status) = wait() {
            if status.pid() == Some(self.pid) {
                return;
            }
        }
    }
}

/// Goes among the dyno's users and gives birth to process 1 there, which is the shim's child.
fn deliver(
    users: OwnedFd,
    mut tell: PipeWriter,
    commands: PipeReader,
    announce: PipeWriter,
) -> i32 {
    let born = setns(users, CloneFlags::CLONE_NEWUSER)
        .and_then(|()| unshare(CloneFlags::CLONE_NEWPID))
        .map_err(io::Error::from)
        .and_then(|()| sys::fork_sibling(move || be_first(commands, announce)));
    let Ok(pid) = born else { return 1 };
    tell.write_all(&pid.as_raw().to_ne_bytes()).map_or(1, |()| 0)
}

/// The number that a child says; none when it ends without a word.
fn read_number(from: &mut PipeReader) -> io::Result<Option<i32>> {
    let mut bytes = [0; 4];
    match from.read_exact(&mut bytes) {
        Ok(()) => Ok(Some(i32::from_ne_bytes(bytes))),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

/// Processes of other users, process 1 above all, are not shown.
fn mount_processes() -> nix::Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let target = format!("{}/proc", stage::ROOT);
    mount(Some("proc"), &*target, Some("proc"), flags, Some("hidepid=2"))
}

/// The life of process 1.
fn be_first(commands: PipeReader, mut announce: PipeWriter) -> i32 {
    match prepare(commands, &announce) {
        Ok(()) => {
            drop(announce);
            obey()
        }
        Err(error) => {
            let code = error.raw_os_error().unwrap_or_default();
            let _ = announce.write_all(&code.to_ne_bytes());
            1
        }
    }
}

fn prepare(commands: PipeReader, announce: &PipeWriter) -> io::Result<()> {
    prctl::set_pdeathsig(Signal::SIGKILL)?;
    sys::ignore_children();
    stage::leave();
    dup2_stdin(&commands)?;
    drop(commands);
    sys::close_all_but_stdin_and(announce.as_raw_fd())?;
    prctl::set_no_new_privs()?;
    sys::keep_only_kill()
}

/// Each byte is a signal for all. Its standard input is the shim's pipe.
fn obey() -> i32 {
    let mut command = [0];
    while let Ok(1) = read(io::stdin(), &mut command) {
        if let Ok(signal) = Signal::try_from(i32::from(command[0])) {
            let everyone = Pid::from_raw(-1);
            let _ = kill(everyone, signal);
        }
    }
    0
}

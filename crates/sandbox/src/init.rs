//! Process 1 of a dyno: a fork of the shim that holds the process namespace open.
//!
//! It takes in orphans, passes signals on to every process, and ends the dyno by ending. It holds
//! nothing but the reading end of a pipe: when the shim goes, however it goes, the pipe ends, process
//! 1 ends, and the kernel ends every process of the dyno.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::wait;
use nix::unistd::{Pid, dup2_stdin, read};

use crate::error::{Attempt, Error, Result};
use crate::stage;
use crate::sys;

/// The dyno's process 1, as the shim sees it.
pub struct Init {
    pid: Pid,
    control: PipeWriter,
}

impl Init {
    /// Makes the process namespace, and in the dyno's root a `/proc` that shows it.
    pub fn start() -> Result<Self> {
        let home = File::open("/proc/self/ns/pid").attempt(|| "open the process namespace")?;
        let (commands, control) = io::pipe().attempt(|| "make a pipe")?;
        let (mut ready, announce) = io::pipe().attempt(|| "make a pipe")?;
        unshare(CloneFlags::CLONE_NEWPID).attempt(|| "make a process namespace")?;
        let pid = sys::fork_into(move || be_first(commands, announce));
        // What the shim starts from here on must be in its own namespace again.
        setns(home, CloneFlags::CLONE_NEWPID).attempt(|| "go back to the process namespace")?;
        let init = Self { pid: pid.attempt(|| "start process 1")?, control };
        let mut refusal = [0; 4];
        match ready.read_exact(&mut refusal) {
            Ok(()) => {
                let source = io::Error::from_raw_os_error(i32::from_ne_bytes(refusal));
                Err(Error::System { attempt: "prepare process 1".into(), source })
            }
            Err(_) => Ok(init),
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
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let target = format!("{}/proc", stage::ROOT);
    // Processes of other users, this one above all, are not shown.
    mount(Some("proc"), &*target, Some("proc"), flags, Some("hidepid=2"))?;
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

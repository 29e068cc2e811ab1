//! A program beside a dyno's own, in the same container (`heroku run:inside`).
//!
//! It has the dyno's user, namespaces, limits and filter of system calls, and ends with the dyno at
//! the latest. It belongs to the connection that asked for it: its streams are handed over and not
//! kept, and when the server goes it is hung up on.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, getpgid, getpgrp};

use crate::dyno::{is_plain, shell_status};
use crate::error::{Attempt, Error, Result};
use crate::oci;
use crate::protocol::Exec;
use crate::runtime::Runtime;
use crate::streams::Streams;
use crate::sys;

/// So many at one time.
pub const MOST: usize = 16;

/// A program that runs beside the dyno's own.
pub struct Guest {
    /// What the server calls it.
    pub number: u32,
    pid: Pid,
    over: OwnedFd,
}

impl Guest {
    /// Starts a program; answers it and its streams.
    pub fn start(runtime: &Runtime, exec: &Exec) -> Result<(Self, Streams)> {
        if exec.argv.is_empty() || !is_plain(&exec.cwd) {
            return Err(Error::Spec("there is no program to run, or nowhere to run it".into()));
        }
        let process = oci::process(&exec.argv, &exec.env, &exec.cwd, exec.terminal);
        let container = runtime.exec(&process, exec.terminal)?;
        let over = sys::pidfd_open(container.pid).attempt(|| "watch the program")?;
        Ok((Self { number: exec.number, pid: container.pid, over }, container.streams))
    }

    /// Readable when the program is over.
    pub fn over(&self) -> BorrowedFd<'_> {
        self.over.as_fd()
    }

    /// Sends a signal to the program and what it has started in its own process group.
    pub fn signal(&self, number: i32) {
        let Ok(signal) = Signal::try_from(number) else { return };
        // One that is over does not mind.
        let _gone = match self.group() {
            Some(group) => kill(Pid::from_raw(-group.as_raw()), signal),
            None => kill(self.pid, signal),
        };
    }

    /// The group it is in, of which a child of the runtime that is gone was the first; none as long as
    /// that is still the shim's own.
    fn group(&self) -> Option<Pid> {
        getpgid(Some(self.pid)).ok().filter(|group| *group != getpgrp())
    }

    /// The exit status of the program, which is over. What it left in its process group goes too:
    /// a shell may have started it after the signal that ended the shell.
    pub fn status(self) -> i32 {
        // The number of the group is not given away before its leader has been waited for.
        self.signal(Signal::SIGKILL as i32);
        // Nobody knows the status of one that the dyno's end has taken along: SIGKILL it was.
        waitpid(self.pid, None).map_or(128 + Signal::SIGKILL as i32, shell_status)
    }
}

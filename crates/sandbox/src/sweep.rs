//! Ending a dyno by force, and what is left to do when a shim was killed.
//!
//! Little: a dyno's processes end with its shim, and its mounts, disks and network interface with
//! them. What stays is its control group, and the files in its directory.

use std::fs;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::Group;
use crate::error::{Attempt, Error, Result};
use crate::protocol::SOCKET;
use crate::record::{self, Lock, RECORD};
use crate::sys;

/// So long a killed shim may take to go.
const PATIENCE: Duration = Duration::from_secs(5);

/// Removes the control group of all dynos of a server, and ends what is left in it.
///
/// # Errors
/// When a process in it does not die.
pub fn remove_groups(cgroup_parent: &str) -> Result<()> {
    Group::new(cgroup_parent)?.remove()
}

/// Ends whatever is left of a dyno, its shim included, and clears it away. What [`crate::ending`]
/// reads stays, for whoever asks how the dyno ended; when there is nothing to read, it crashed with
/// its shim.
///
/// # Errors
/// [`Error::Alive`] when the shim does not die; or when a process of the dyno does not.
pub fn sweep(dyno: &Path) -> Result<()> {
    let _lock = match record::lock(dyno) {
        Err(Error::Alive) => end_shim(dyno)?,
        other => other?,
    };
    if let Some(group) = record::peek(dyno).group {
        Group::new(&group)?.remove()?;
    }
    for name in [SOCKET, RECORD] {
        let _ = fs::remove_file(dyno.join(name));
    }
    Ok(())
}

/// Kills the shim that holds the record. As long as it does, the process number in it is its own.
fn end_shim(dyno: &Path) -> Result<Lock> {
    let Some(number) = record::peek(dyno).shim.filter(|number| *number > 1) else {
        return Err(Error::Alive);
    };
    let shim = Pid::from_raw(number);
    let Ok(over) = sys::pidfd_open(shim) else { return record::lock(dyno) };
    match record::lock(dyno) {
        Err(Error::Alive) => {}
        other => return other,
    }
    let _ = kill(shim, Signal::SIGKILL);
    sys::wait_readable(over.as_fd(), PATIENCE).attempt(|| "wait for the shim to go")?;
    record::lock(dyno)
}

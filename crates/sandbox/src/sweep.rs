//! Ending a dyno by force, and what is left to do when a shim was killed.
//!
//! Little: a dyno's processes end with its shim, and its mounts, disks and network interface with
//! them. What stays is its control group, the files in its directory, and perhaps the OCI runtime in
//! the middle of a start.
//!
//! A shim may be starting at this very moment, because whoever started it is gone. Whoever holds the
//! lock of the record has the directory: a sweep removes the record last, under its lock, and looks
//! again when the directory is not empty then. A shim that comes too late finds no directory, or a
//! record that has no name any more, and ends before it has made anything.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::cgroup::{self, Group};
use crate::error::{Attempt, Error, Result};
use crate::record::{self, Lock, RECORD};
use crate::runtime;
use crate::sys;

/// So long what was killed may take to go.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(2);

/// Removes the control group of all dynos of a server, and ends what is left in it.
///
/// # Errors
/// When a process in it does not die.
pub fn remove_groups(cgroup_parent: &str) -> Result<()> {
    cgroup::remove(cgroup_parent)
}

/// Ends whatever is left of a dyno, its shim included, and clears it away, its directory too. How it
/// ended ([`crate::ending`]) is to be read before; when there is nothing to read, it crashed with its
/// shim. What is gone already is no error.
///
/// # Errors
/// [`Error::Alive`] when the shim does not die; or when a process of the dyno does not.
pub fn sweep(dyno: &Path) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        match clear(dyno) {
            // A shim that has begun meanwhile, or one that was about to say who it is.
            Err(Error::Alive | Error::Swept) if Instant::now() < end => sleep(PAUSE),
            other => return other,
        }
    }
}

fn clear(dyno: &Path) -> Result<()> {
    let lock = match record::lock(dyno) {
        Err(error) if error.is(Errno::ENOENT) => return Ok(()),
        Err(Error::Alive) => end_shim(dyno)?,
        other => other?,
    };
    if let Some(group) = record::peek(dyno).group {
        remove_group(&group)?;
    }
    empty(dyno)?;
    let attempt = || format!("remove {}", dyno.display());
    fs::remove_file(dyno.join(RECORD)).attempt(attempt)?;
    let removed = fs::remove_dir(dyno);
    drop(lock);
    match removed {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Err(Error::Alive),
        other => other.attempt(attempt),
    }
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

/// Removes the control group of a dyno, and ends what is left in it.
pub fn remove_group(group: &str) -> Result<()> {
    let dyno = Path::new(group).file_name().unwrap_or_default();
    let group = Group::new(group)?;
    // What is frozen does not die.
    group.thaw();
    end_runtime(dyno)?;
    group.remove()
}

/// Ends what the runtime has started besides the container and left behind, as it does when it is
/// killed: that could make again what is removed.
fn end_runtime(dyno: &OsStr) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    loop {
        let working = runtime::at_work(dyno).attempt(|| "look for the runtime")?;
        if working.is_empty() {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(Error::Alive);
        }
        for process in working {
            let _ = kill(process, Signal::SIGKILL);
        }
        sleep(PAUSE);
    }
}

/// Removes what is in a dyno's directory, but for the record.
fn empty(dyno: &Path) -> Result<()> {
    let attempt = || format!("empty {}", dyno.display());
    for entry in fs::read_dir(dyno).attempt(attempt)? {
        let entry = entry.attempt(attempt)?;
        if entry.file_name() == RECORD {
            continue;
        }
        let is_directory = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let remove: fn(PathBuf) -> io::Result<()> = if is_directory {
            |path| fs::remove_dir_all(path)
        } else {
            |path| fs::remove_file(path)
        };
        match remove(entry.path()) {
            // A shim that ends by itself does the same.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.attempt(attempt)?,
        }
    }
    Ok(())
}

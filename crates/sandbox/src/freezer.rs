//! Freezing a dyno in place, and taking back the memory of one that is frozen.
//!
//! A frozen process does not notice: no signal reaches it, its connections stay open, and the kernel
//! takes new ones in its name. It lasts until it is thawed, whoever comes and goes meanwhile. The
//! server does this by itself, without the shim; that thaws a dyno only to end it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::cgroup::{self, Version};

/// Where the host's control groups are.
const MOUNTED: &str = "/sys/fs/cgroup";

/// Processes that are in the middle of something are frozen when they are through it.
const PATIENCE: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(1);

/// The files of one dyno's group that this is about.
struct Files {
    version: Version,
    freezer: PathBuf,
    memory: PathBuf,
}

/// Freezes all processes of a dyno. Blocks until they are, for a second at most.
///
/// # Errors
/// When the dyno has no control group, or does not freeze; it is thawed again then.
pub fn freeze(parent: &str, dyno: &str) -> io::Result<()> {
    let files = Files::of(parent, dyno)?;
    let end = Instant::now() + PATIENCE;
    loop {
        if files.freeze_once()? {
            return Ok(());
        }
        files.order(State::Thawed)?;
        if Instant::now() > end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        sleep(PAUSE);
    }
}

/// Lets a dyno run again. One that is not frozen does not mind.
///
/// # Errors
/// When the dyno has no control group.
pub fn thaw(parent: &str, dyno: &str) -> io::Result<()> {
    Files::of(parent, dyno)?.order(State::Thawed)
}

/// Whether a dyno is frozen, or is to be.
///
/// # Errors
/// When the dyno has no control group.
pub fn is_frozen(parent: &str, dyno: &str) -> io::Result<bool> {
    let files = Files::of(parent, dyno)?;
    let text = fs::read_to_string(files.switch())?;
    Ok(matches!(text.trim(), "FROZEN" | "FREEZING" | "1"))
}

/// Has the kernel take back what it can of a dyno's memory: file pages, and what fits in a swap
/// device. Blocks as long as that takes.
///
/// # Errors
/// When the dyno has no control group, or the kernel does not do this.
pub fn reclaim(parent: &str, dyno: &str) -> io::Result<()> {
    let files = Files::of(parent, dyno)?;
    match files.version {
        Version::V1 => fs::write(files.memory.join("memory.force_empty"), "0"),
        Version::V2 => {
            let all = fs::read_to_string(files.memory.join("memory.current"))?;
            match fs::write(files.memory.join("memory.reclaim"), all.trim()) {
                // It could not get all of it.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
                other => other,
            }
        }
    }
}

enum State {
    Frozen,
    Thawed,
}

impl Files {
    fn of(parent: &str, dyno: &str) -> io::Result<Self> {
        let version = cgroup::version().map_err(io::Error::other)?;
        let below = |hierarchy: &str| Path::new(MOUNTED).join(hierarchy).join(parent).join(dyno);
        let (freezer, memory) = match version {
            Version::V1 => (below("freezer"), below("memory")),
            Version::V2 => (below(""), below("")),
        };
        Ok(Self { version, freezer, memory })
    }

    fn switch(&self) -> PathBuf {
        self.freezer.join(match self.version {
            Version::V1 => "freezer.state",
            Version::V2 => "cgroup.freeze",
        })
    }

    /// Whether everything freezes within a moment. With version 1 it may never: a process in the middle
    /// of an `exec` waits for its own threads to end, and these are frozen already.
    fn freeze_once(&self) -> io::Result<bool> {
        let end = Instant::now() + MOMENT;
        self.order(State::Frozen)?;
        while !self.has_frozen()? {
            if Instant::now() > end {
                return Ok(false);
            }
            sleep(PAUSE);
            if self.version == Version::V1 {
                // Processes that were born meanwhile are frozen by the next order only.
                self.order(State::Frozen)?;
            }
        }
        Ok(true)
    }

    fn order(&self, state: State) -> io::Result<()> {
        let word = match (self.version, state) {
            (Version::V1, State::Frozen) => "FROZEN",
            (Version::V1, State::Thawed) => "THAWED",
            (Version::V2, State::Frozen) => "1",
            (Version::V2, State::Thawed) => "0",
        };
        fs::write(self.switch(), word)
    }

    fn has_frozen(&self) -> io::Result<bool> {
        match self.version {
            Version::V1 => Ok(fs::read_to_string(self.switch())?.trim() == "FROZEN"),
            Version::V2 => {
                let events = fs::read_to_string(self.freezer.join("cgroup.events"))?;
                Ok(events.lines().any(|line| line == "frozen 1"))
            }
        }
    }
}

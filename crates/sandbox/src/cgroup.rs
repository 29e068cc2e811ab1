//! The control group of a dyno, on hosts of version 1, of version 2, and of both.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::statfs::{CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC, statfs};
use nix::unistd::Pid;

use crate::error::{Attempt, Error, Result};

/// Where the host's control groups are.
pub const MOUNTED: &str = "/sys/fs/cgroup";

/// Where a version 2 hierarchy is beside version 1.
const HYBRID: &str = "/sys/fs/cgroup/unified";

/// What the host's control groups are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// A hierarchy per controller.
    V1,
    /// One hierarchy.
    V2,
}

/// A dyno's group.
#[derive(Clone, Debug)]
pub struct Group {
    version: Version,
    path: PathBuf,
}

/// The host's version.
///
/// # Errors
/// When no control groups are mounted where they belong.
pub fn version() -> Result<Version> {
    let kind = statfs(MOUNTED).attempt(|| format!("look at {MOUNTED}"))?.filesystem_type();
    Ok(if kind == CGROUP2_SUPER_MAGIC { Version::V2 } else { Version::V1 })
}

/// A version 2 hierarchy beside version 1 that holds a controller. `crun` refuses to work where it
/// sees one, so the shim hides it from it.
#[must_use]
pub fn hybrid() -> Option<&'static Path> {
    let path = Path::new(HYBRID);
    let controllers = fs::read_to_string(path.join("cgroup.controllers")).unwrap_or_default();
    (!controllers.trim().is_empty()).then_some(path)
}

/// The controllers that dynos are limited by and that the host lacks.
#[must_use]
pub fn missing_controllers() -> Vec<&'static str> {
    let wanted = ["cpu", "memory", "pids"];
    let v2 = fs::read_to_string(Path::new(MOUNTED).join("cgroup.controllers")).unwrap_or_default();
    let has = |name: &&str| {
        v2.split_whitespace().any(|each| each == *name) || Path::new(MOUNTED).join(name).is_dir()
    };
    wanted.into_iter().filter(|name| !has(name)).collect()
}

/// Whether version 1 accounts for swap, so that a limit can be set.
#[must_use]
pub fn limits_swap() -> bool {
    Path::new(MOUNTED).join("memory/memory.memsw.limit_in_bytes").exists()
        || version().is_ok_and(|version| version == Version::V2)
}

/// Kills whatever is left in the group at `path` and removes it from every hierarchy.
///
/// # Errors
/// When something stays alive.
pub fn remove(path: &str) -> Result<()> {
    Group::new(path)?.remove()
}

impl Group {
    /// The group at `path` below the root of every hierarchy.
    ///
    /// # Errors
    /// When no control groups are mounted.
    pub fn new(path: &str) -> Result<Self> {
        Ok(Self { version: version()?, path: PathBuf::from(path.trim_start_matches('/')) })
    }

    /// Limits what waits in TCP connections. Version 1 counts it apart from other memory, and without a
    /// limit of its own not at all, though the machine has little of it; it must be set before there is
    /// a connection. Version 2 counts it as memory.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn limit_connections(&self, bytes: u64) -> Result<()> {
        if self.version == Version::V2 {
            return Ok(());
        }
        let group = Path::new(MOUNTED).join("memory").join(&self.path);
        let attempt = || "limit the memory of connections";
        fs::create_dir_all(&group).attempt(attempt)?;
        match fs::write(group.join("memory.kmem.tcp.limit_in_bytes"), bytes.to_string()) {
            // A kernel that does not count it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other.attempt(attempt),
        }
    }

    /// How often the kernel killed a process here for memory.
    #[must_use]
    pub fn memory_kills(&self) -> u64 {
        let file = match self.version {
            Version::V1 => {
                Path::new(MOUNTED).join("memory").join(&self.path).join("memory.oom_control")
            }
            Version::V2 => Path::new(MOUNTED).join(&self.path).join("memory.events"),
        };
        let text = fs::read_to_string(file).unwrap_or_default();
        let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
        count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
    }

    /// Lets whatever is frozen in the group run, so that signals reach it. A group of many dynos is
    /// not frozen as a whole.
    pub fn thaw(&self) {
        // Nothing may be frozen, or there: both are as wished.
        let _ = match self.version {
            Version::V1 => {
                let group = Path::new(MOUNTED).join("freezer").join(&self.path);
                fs::write(group.join("freezer.state"), "THAWED")
            }
            Version::V2 => {
                fs::write(Path::new(MOUNTED).join(&self.path).join("cgroup.freeze"), "0")
            }
        };
    }

    /// Kills whatever is left in the group and removes it from every hierarchy.
    ///
    /// # Errors
    /// When something stays alive.
    pub fn remove(&self) -> Result<()> {
        self.thaw();
        for directory in self.directories()? {
            remove_directory(&directory)?;
        }
        Ok(())
    }

    fn directories(&self) -> Result<Vec<PathBuf>> {
        let mut all = vec![Path::new(MOUNTED).join(&self.path)];
        if self.version == Version::V1 {
            all.clear();
            for entry in fs::read_dir(MOUNTED).attempt(|| format!("list {MOUNTED}"))? {
                let entry = entry.attempt(|| format!("list {MOUNTED}"))?;
                all.push(entry.path().join(&self.path));
            }
        }
        all.retain(|directory| is_group(directory));
        Ok(all)
    }
}

/// Whether this is a control group, and not a directory in the place of a hidden hierarchy.
fn is_group(directory: &Path) -> bool {
    let kind = statfs(directory).map(|found| found.filesystem_type());
    kind.is_ok_and(|kind| [CGROUP_SUPER_MAGIC, CGROUP2_SUPER_MAGIC].contains(&kind))
}

/// Version 1 tells nobody when a group becomes empty, so this looks again and again: processes that
/// were killed take a moment to go.
fn remove_directory(group: &Path) -> Result<()> {
    const PAUSE: Duration = Duration::from_millis(5);
    const ATTEMPTS: u32 = 1000;
    let attempt = || format!("remove the control group {}", group.display());
    for _ in 0..ATTEMPTS {
        for below in subgroups(group) {
            remove_directory(&below)?;
        }
        match fs::remove_dir(group) {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => kill_all(group),
            Err(error) => return Err(error).attempt(attempt),
        }
        sleep(PAUSE);
    }
    Err(Error::Program { attempt: attempt(), said: "something in it does not die".into() })
}

fn subgroups(group: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn kill_all(group: &Path) {
    let processes = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    for pid in processes.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid > 0) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

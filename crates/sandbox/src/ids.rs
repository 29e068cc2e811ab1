//! Which host ids a dyno's own ids are.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process;

use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{Pid, Uid, pause};

use crate::error::{Attempt, Result};
use crate::sys;

/// The dyno's user and group, seen from inside.
pub const USER: u32 = 1000;

/// How many ids a dyno has.
pub const COUNT: u32 = 65_536;

/// The mapping of one dyno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    base: u32,
    user: u32,
}

/// A dyno's mapping, and a user namespace that has it.
pub struct Users {
    /// The mapping.
    pub ids: Ids,
    /// The namespace, to show mounts through and to run the dyno in.
    pub namespace: OwnedFd,
}

/// Some ids in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First id inside.
    pub inside: u32,
    /// First id on the host.
    pub host: u32,
    /// How many.
    pub size: u32,
}

impl Ids {
    /// Every id is the dyno's own: those from `base` on.
    #[must_use]
    pub fn own(base: u32) -> Self {
        Self { base, user: base + USER }
    }

    /// As [`Ids::own`], but the user is host id 1000, which all such dynos share. For file systems
    /// that cannot show their files under other ids.
    #[must_use]
    pub fn with_shared_user(base: u32) -> Self {
        Self { base, user: USER }
    }

    /// The host's id for an id inside.
    #[must_use]
    pub fn host(self, inside: u32) -> u32 {
        if inside == USER { self.user } else { self.base + inside }
    }

    /// The mapping as the kernel wants it.
    #[must_use]
    pub fn ranges(self) -> Vec<Range> {
        if self.user == self.base + USER {
            return vec![Range { inside: 0, host: self.base, size: COUNT }];
        }
        let after = USER + 1;
        vec![
            Range { inside: 0, host: self.base, size: USER },
            Range { inside: USER, host: self.user, size: 1 },
            Range { inside: after, host: self.base + after, size: COUNT - after },
        ]
    }

    fn map_and_open(self, process: Pid) -> Result<OwnedFd> {
        let text: String = self
            .ranges()
            .iter()
            .map(|range| format!("{} {} {}\n", range.inside, range.host, range.size))
            .collect();
        for map in ["uid_map", "gid_map"] {
            let path = format!("/proc/{process}/{map}");
            fs::write(&path, &text).attempt(|| "map ids in a new user namespace")?;
        }
        let path = format!("/proc/{process}/ns/user");
        Ok(File::open(path).attempt(|| "open a new user namespace")?.into())
    }
}

impl Users {
    /// A user namespace with this mapping and nobody in it. It belongs to the first of its ids, not to
    /// root: what the kernel counts for each user (inotify instances, queues, waiting signals) is
    /// counted for that one then, and no dyno takes it from the others or from the host's root.
    ///
    /// # Errors
    /// When the system refuses user namespaces.
    pub fn with(ids: Ids) -> Result<Self> {
        let (mut ready, announce) = io::pipe().attempt(|| "make a pipe")?;
        let shim = Pid::this();
        let child = sys::fork_into(move || {
            let made = become_new_users(Uid::from_raw(ids.base), shim);
            drop(announce);
            made.map_or(1, |()| wait_to_be_killed())
        })
        .attempt(|| "fork")?;
        // The child holds the other end until its namespace exists.
        let _ = ready.read(&mut [0]);
        let namespace = ids.map_and_open(child);
        let _ = kill(child, Signal::SIGKILL);
        let _ = waitpid(child, None);
        Ok(Self { ids, namespace: namespace? })
    }

    /// Where the runtime finds the namespace.
    pub fn path(&self) -> PathBuf {
        format!("/proc/{}/fd/{}", process::id(), self.namespace.as_raw_fd()).into()
    }
}

fn become_new_users(owner: Uid, shim: Pid) -> io::Result<()> {
    sys::keep_rights_as(owner)?;
    unshare(CloneFlags::CLONE_NEWUSER)?;
    sys::end_with(shim)
}

fn wait_to_be_killed() -> ! {
    loop {
        pause();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_ids_are_one_range() {
        let ids = Ids::own(500_000);
        assert_eq!(ids.host(0), 500_000);
        assert_eq!(ids.host(USER), 501_000);
        assert_eq!(ids.ranges(), [Range { inside: 0, host: 500_000, size: 65_536 }]);
    }

    #[test]
    fn a_shared_user_is_cut_out_of_the_range() {
        let ids = Ids::with_shared_user(500_000);
        assert_eq!(ids.host(999), 500_999);
        assert_eq!(ids.host(USER), 1000);
        assert_eq!(ids.host(1001), 501_001);
        assert_eq!(ids.ranges().iter().map(|range| range.size).sum::<u32>(), 65_536);
    }
}

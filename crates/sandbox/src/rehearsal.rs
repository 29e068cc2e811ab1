//! The wait before a process can join a control group, had early.
//!
//! Before it moves a process from one group to another, the kernel waits until every processor has
//! passed a quiet point: about ten milliseconds, half of what a runtime takes to start a container.
//! Joins right after another do not wait. So a child of the shim joins the group that it is in
//! already, which changes nothing, while the dyno's files are put together; when the runtime comes
//! to it, the wait is over.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::wait::waitpid;
use nix::unistd::Pid;

use crate::cgroup::{MOUNTED, Version, version};
use crate::sys;

/// The child that waits.
pub struct Rehearsal {
    child: Option<Pid>,
}

impl Rehearsal {
    /// Begins the wait. Where that cannot be done, the runtime waits in its place.
    pub fn begin() -> Self {
        let join = |members: PathBuf| {
            sys::fork_into(move || {
                join(&members);
                0
            })
        };
        Self { child: own_members().and_then(|members| join(members).ok()) }
    }

    /// Sees the child off.
    pub fn end(self) {
        if let Some(child) = self.child {
            let _ = waitpid(child, None);
        }
    }
}

/// The same wait on the calling thread, for a server that is about to start shims: theirs are shorter
/// then. It joins the group that it is in.
pub fn rehearse() {
    own_members().into_iter().for_each(|members| join(&members));
}

/// A refusal is no failure: then whoever comes to it later waits.
fn join(members: &Path) {
    let _ = fs::write(members, "0");
}

fn own_members() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    members(&groups, version().ok()?)
}

/// The list of members of a process's own group, as `/proc/self/cgroup` names it. Any hierarchy
/// would do: the wait is for all of them.
fn members(groups: &str, version: Version) -> Option<PathBuf> {
    let (controllers, mounted) = match version {
        Version::V1 => ("pids", Path::new(MOUNTED).join("pids")),
        Version::V2 => ("", PathBuf::from(MOUNTED)),
    };
    let path = groups.lines().find_map(|line| {
        let (names, path) = line.split_once(':')?.1.split_once(':')?;
        names.split(',').any(|name| name == controllers).then_some(path)
    })?;
    Some(mounted.join(path.trim_start_matches('/')).join("cgroup.procs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processs_own_group_is_found_in_either_version() {
        let first = "9:name=systemd:/init\n8:cpuset,pids:/system/hythe\n0::/\n";
        let found = members(first, Version::V1).unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/pids/system/hythe/cgroup.procs"));
        let found = members("0::/system.slice/hythe.service\n", Version::V2).unwrap();
        assert_eq!(found, Path::new("/sys/fs/cgroup/system.slice/hythe.service/cgroup.procs"));
        assert_eq!(members("1:cpu:/\n", Version::V1), None);
    }
}

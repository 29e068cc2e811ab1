//! The six usual devices, terminals and shared memory.

use std::os::unix::fs::chown;
use std::path::Path;

use nix::mount::MsFlags;
use nix::sys::stat::{Mode, SFlag, fchmodat, makedev, mknodat};

use crate::error::{Attempt, Result};
use crate::ids::Ids;
use crate::tree::{Root, magic};

/// Name, major and minor number.
const DEVICES: [(&str, u64, u64); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

const LINKS: [(&str, &str); 5] = [
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
];

/// Group that owns terminals.
const TTY: u32 = 5;

/// Makes `/dev`. The nodes are new ones: a runtime that changes the owner of a standard stream
/// cannot change the host's `/dev/null` by that.
pub fn make(root: &Root, ids: Ids) -> Result<()> {
    let owner = ids.host(0);
    let options = format!("mode=0755,size=64k,uid={owner},gid={owner}");
    root.mount("tmpfs", "/dev", MsFlags::MS_NOEXEC, &options)?;
    let directory = root.directory(Path::new("/dev"))?;
    let everyone = Mode::from_bits_truncate(0o666);
    for (name, major, minor) in DEVICES {
        let attempt = || format!("make the device {name}");
        mknodat(&directory, name, SFlag::S_IFCHR, everyone, makedev(major, minor))
            .attempt(attempt)?;
        fchmodat(&directory, name, everyone, nix::sys::stat::FchmodatFlags::FollowSymlink)
            .attempt(attempt)?;
    }
    for (name, to) in LINKS {
        root.link(name, Path::new(to))?;
    }
    // The runtime opens it with the rights that it has inside.
    let console = root.file(Path::new("/dev/console"))?;
    chown(magic(&console), Some(owner), Some(owner)).attempt(|| "give the console away")?;
    let tty = ids.host(TTY);
    let terminals = format!("newinstance,ptmxmode=0666,mode=0620,gid={tty}");
    root.mount("devpts", "/dev/pts", MsFlags::MS_NOEXEC, &terminals)?;
    let memory = format!("mode=1777,size=64m,uid={owner},gid={owner}");
    root.mount("tmpfs", "/dev/shm", MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, &memory)
}

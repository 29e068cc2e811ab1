//! Where the programs are that Hythe runs: Debian's places, else the first one on the usual path.

use std::path::{Path, PathBuf};

const DIRECTORIES: [&str; 6] =
    ["/usr/bin", "/usr/sbin", "/usr/local/bin", "/usr/local/sbin", "/bin", "/sbin"];

/// The default OCI runtime.
pub fn runtime() -> PathBuf {
    find("crun")
}

/// git.
pub fn git() -> PathBuf {
    find("git")
}

/// The slug packer.
pub fn mksquashfs() -> PathBuf {
    find("mksquashfs")
}

fn find(name: &str) -> PathBuf {
    let candidates = DIRECTORIES.iter().map(|directory| Path::new(directory).join(name));
    let first = candidates.clone().find(|path| path.is_file());
    first.unwrap_or_else(|| Path::new(DIRECTORIES[0]).join(name))
}

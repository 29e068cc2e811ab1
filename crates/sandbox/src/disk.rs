//! What a dyno writes, and the limit of it.
//!
//! On a disk it is an ext4 file system without a journal in a sparse file that is unlinked before it
//! is used: making and mounting it takes about 3 ms, its pages can be reclaimed, and nothing is left
//! of it when its last mount goes, whoever was killed. In memory it is a tmpfs, faster still, but
//! whatever is written counts as the dyno's memory.

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::mount::{MsFlags, mount as system_mount};

use crate::error::{Attempt, Result};
use crate::loop_device;
use crate::program;
use crate::stage;

/// Smallest disk: a file system needs some room for itself.
const SMALLEST: u64 = 4 * 1024 * 1024;

const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Mounts the disk of the dyno `id` at [`stage::DISK`].
pub fn mount(scratch: Option<&Path>, id: &str, bytes: u64) -> Result<()> {
    let bytes = bytes.max(SMALLEST);
    match scratch {
        Some(directory) => on_disk(directory, id, bytes),
        None => in_memory(bytes),
    }
}

fn in_memory(bytes: u64) -> Result<()> {
    // As many inodes as ext4 would give, so that a flood of empty files ends, too.
    let options = format!("mode=0755,size={bytes},nr_inodes={}", bytes / BYTES_PER_INODE);
    system_mount(Some("tmpfs"), stage::DISK, Some("tmpfs"), FLAGS, Some(&*options))
        .attempt(|| "mount a disk in memory")
}

/// Apps of Node and Python are many small files.
const BYTES_PER_INODE: u64 = 8192;

fn on_disk(directory: &Path, id: &str, bytes: u64) -> Result<()> {
    let file = nameless(directory, id, bytes)?;
    make_file_system(&file)?;
    let device = loop_device::own(&file)?;
    let flags = FLAGS | MsFlags::MS_NOATIME;
    let options = "nobarrier,noinit_itable,errors=remount-ro";
    system_mount(Some(&device.path), stage::DISK, Some("ext4"), flags, Some(options))
        .attempt(|| "mount a disk")
}

fn nameless(directory: &Path, id: &str, bytes: u64) -> Result<File> {
    let path = directory.join(format!("{id}.disk"));
    let attempt = || format!("make the disk {}", path.display());
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(&path).attempt(attempt)?;
    fs::remove_file(&path).attempt(attempt)?;
    file.set_len(bytes).attempt(attempt)?;
    Ok(file)
}

fn make_file_system(file: &File) -> Result<()> {
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let inodes = BYTES_PER_INODE.to_string();
    let mut mkfs = program::command("mkfs.ext4");
    mkfs.args(["-q", "-F", "-m", "0", "-O", "^has_journal", "-i", &inodes]);
    mkfs.args(["-E", "lazy_itable_init=1,nodiscard", &path]);
    program::output(&mut mkfs, "").map(drop)
}

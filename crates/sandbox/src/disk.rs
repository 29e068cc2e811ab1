//! What a dyno writes, and the limit of it.
//!
//! On a disk it is an ext4 file system without a journal in a sparse file without a name: its pages can be reclaimed, and nothing is left of it when its last mount goes, whoever
//! was killed. It is a copy of a template, made once per size, because a copy of the few blocks that
//! are not empty takes a tenth of the time that `mkfs` does. In memory it is a tmpfs, faster still, but
//! whatever is written counts as the dyno's memory.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::mount::{MsFlags, mount as system_mount};
use nix::unistd::{Whence, linkat, lseek};

use crate::error::{Attempt, Result};
use crate::loop_device;
use crate::program;
use crate::stage;

/// Smallest disk: a file system needs some room for itself.
const SMALLEST: u64 = 4 * 1024 * 1024;

const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Mounts a disk at [`stage::DISK`].
pub fn mount(scratch: Option<&Path>, bytes: u64) -> Result<()> {
    let bytes = bytes.max(SMALLEST);
    match scratch {
        Some(directory) => on_disk(directory, bytes),
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

fn on_disk(directory: &Path, bytes: u64) -> Result<()> {
    let attempt = || format!("make a disk in {}", directory.display());
    let file = nameless(directory, bytes).attempt(attempt)?;
    let template = template(directory, bytes)?;
    copy_data(&template, &file).attempt(|| "copy an empty disk")?;
    let device = loop_device::own(&file)?;
    let flags = FLAGS | MsFlags::MS_NOATIME;
    let options = "nobarrier,noinit_itable,errors=remount-ro";
    system_mount(Some(&device.path), stage::DISK, Some("ext4"), flags, Some(options))
        .attempt(|| "mount a disk")
}

/// A sparse file that never has a name: nothing is left of it, whenever its maker is killed.
fn nameless(directory: &Path, bytes: u64) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600).custom_flags(libc::O_TMPFILE);
    let file = options.open(directory)?;
    file.set_len(bytes)?;
    Ok(file)
}

/// An empty file system of this size. Whoever needs it first makes it; several at a time make equal
/// ones, and the first stays.
fn template(directory: &Path, bytes: u64) -> Result<File> {
    let path = directory.join(format!("empty-{LAYOUT}-{bytes}.disk"));
    let attempt = || format!("make the disk {}", path.display());
    match File::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => return other.attempt(attempt),
    }
    let file = nameless(directory, bytes).attempt(attempt)?;
    make_file_system(&file)?;
    // Whoever finds it after a power cut finds all of it.
    file.sync_all().attempt(attempt)?;
    let unnamed = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    match linkat(AT_FDCWD, &unnamed, AT_FDCWD, &path, AtFlags::AT_SYMLINK_FOLLOW) {
        Ok(()) | Err(Errno::EEXIST) => Ok(file),
        Err(errno) => Err(errno).attempt(attempt),
    }
}

/// Copies what is not a hole: a few runs of some blocks.
fn copy_data(from: &File, to: &File) -> io::Result<()> {
    let mut offset = 0;
    loop {
        let start = match lseek(from, offset, Whence::SeekData) {
            Err(Errno::ENXIO) => return Ok(()),
            other => other?,
        };
        offset = lseek(from, start, Whence::SeekHole)?;
        let length = usize::try_from(offset - start).map_err(io::Error::other)?;
        let at = u64::try_from(start).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        from.read_exact_at(&mut bytes, at)?;
        to.write_all_at(&bytes, at)?;
    }
}

/// Raised when the options below change, so that an old template is not taken for a new one.
const LAYOUT: u32 = 1;

fn make_file_system(file: &File) -> Result<()> {
    let path = format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd());
    let inodes = BYTES_PER_INODE.to_string();
    let mut mkfs = program::command("mkfs.ext4");
    mkfs.args(["-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode,sparse_super2"]);
    mkfs.args(["-i", &inodes]);
    mkfs.args(["-E", "lazy_itable_init=1,nodiscard,packed_meta_blocks=1", &path]);
    program::output(&mut mkfs, "").map(drop)
}

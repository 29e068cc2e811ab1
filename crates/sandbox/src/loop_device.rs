//! Files as block devices. Nothing has to be undone: a device lets go of its file by itself when
//! the last mount of it has gone, also when that is because its owner was killed.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::linux::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::error::{Attempt, Result};
use crate::sys;

/// Another process may take the free device first; so often do we look for another.
const ATTEMPTS: usize = 64;

/// A loop device that stays attached as long as this value or a mount of it lives.
pub struct LoopDevice {
    /// Such as `/dev/loop7`.
    pub path: PathBuf,
    _hold: File,
}

/// The read-only device of an image; all dynos of a slug share one, and with it the pages read.
pub fn share(image: &Path) -> Result<LoopDevice> {
    let attempt = || format!("attach the image {}", image.display());
    let file = File::open(image).attempt(attempt)?;
    // Two starts at the same time must not both find none and attach two.
    let lock = Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, errno)| errno);
    let file = lock.attempt(attempt)?;
    if let Some(found) = find(image, &file).attempt(attempt)? {
        return Ok(found);
    }
    attach(&file, sys::LO_FLAGS_READ_ONLY | sys::LO_FLAGS_AUTOCLEAR).attempt(attempt)
}

/// A writable device for a file of one's own.
pub fn own(file: &File) -> Result<LoopDevice> {
    attach(file, sys::LO_FLAGS_AUTOCLEAR).attempt(|| "attach a file as a disk")
}

/// The device that an image is attached to already.
fn find(image: &Path, file: &File) -> io::Result<Option<LoopDevice>> {
    let wanted = file.metadata()?;
    for entry in fs::read_dir("/sys/block")? {
        let entry = entry?;
        let Ok(backing) = fs::read_to_string(entry.path().join("loop/backing_file")) else {
            continue;
        };
        if Path::new(backing.trim_end()).file_name() != image.file_name() {
            continue;
        }
        let path = Path::new("/dev").join(entry.file_name());
        let Ok(hold) = File::open(&path) else { continue };
        // The name may be another file's; and the device may have been let go meanwhile.
        let same = sys::loop_info(&hold).is_ok_and(|info| {
            info.inode == wanted.st_ino()
                && info.device == wanted.st_dev()
                && info.flags & sys::LO_FLAGS_READ_ONLY != 0
        });
        if same {
            return Ok(Some(LoopDevice { path, _hold: hold }));
        }
    }
    Ok(None)
}

fn attach(file: &File, flags: u32) -> io::Result<LoopDevice> {
    let control = OpenOptions::new().read(true).write(true).open("/dev/loop-control")?;
    let writable = flags & sys::LO_FLAGS_READ_ONLY == 0;
    for _ in 0..ATTEMPTS {
        let path = PathBuf::from(format!("/dev/loop{}", sys::free_loop_device(&control)?));
        let hold = OpenOptions::new().read(true).write(writable).open(&path)?;
        match sys::configure_loop(&hold, file, flags) {
            Ok(()) => return Ok(LoopDevice { path, _hold: hold }),
            Err(error) if error.raw_os_error() == Some(Errno::EBUSY as i32) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EBUSY.into())
}

//! Packs a compiled tree into a slug: one read-only squashfs image.
//!
//! Only we make these images, because a kernel parses them when they are mounted. Nothing in the
//! tree is followed, extended attributes are left out, every file belongs to the dyno's user, and no
//! file is setuid. The image depends on the tree alone: the same tree, times included, gives the
//! same bytes. Times of files stay as they are, since web servers make ETags of them.

use std::ffi::OsString;
use std::path::Path;

use crate::archive::OWNER;
use crate::config::Config;
use crate::program::{self, ProgramError};

/// Packs `tree` into the file `image`, which must not exist.
///
/// # Errors
/// When mksquashfs cannot be run or fails.
pub async fn pack(config: &Config, tree: &Path, image: &Path) -> Result<(), ProgramError> {
    let owner = OWNER.to_string();
    let processors = config.bounds.pack_processors.max(1).to_string();
    let options = [
        ["-comp", "zstd"],
        ["-Xcompression-level", "3"],
        ["-force-uid", &owner],
        ["-force-gid", &owner],
        ["-action", "chmod(ug-s)@true"],
        ["-mkfs-time", "0"],
        ["-processors", &processors],
        ["-mem", "256M"],
    ];
    let flags = ["-no-xattrs", "-noappend", "-no-recovery", "-no-progress", "-quiet"];
    let mut arguments: Vec<OsString> = vec![tree.into(), image.into()];
    arguments.extend(options.iter().flatten().map(OsString::from));
    arguments.extend(flags.iter().map(OsString::from));
    program::run(&config.programs.mksquashfs, arguments).await.map(drop)
}

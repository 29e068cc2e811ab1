//! The shim's own workshop: a file system in memory that only its mount namespace sees.
//!
//! All that is needed to run a dyno is put together here: its root, its slug, the runtime's
//! configuration with the config vars in it. It has no name outside, is on no disk, and is gone with
//! the last process of the dyno.

use std::env;
use std::fs;
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::error::{Attempt, Result};

/// Where it is in the shim's mount namespace: over a directory that is on every host, that everybody
/// may pass through, and that nobody needs here. The runtime opens the dyno's root with the rights of
/// the dyno's users, who could not pass through the dyno's own directory. Once entered it is the
/// working directory, and all the paths below are relative to it: short, and free of any character
/// that mount options give a meaning.
const STAGE: &str = "/sys/firmware";

/// The dyno's `/`.
pub const ROOT: &str = "root";
/// What makes the dyno's root its own: configuration files and mount points.
pub const BASE: &str = "base";
/// A whole root that the dyno's is laid over.
pub const UNDER: &str = "under";
/// The slug's image.
pub const SLUG: &str = "slug";
/// What the dyno writes.
pub const DISK: &str = "disk";
/// The runtime's own state.
pub const STATE: &str = "state";

/// Leaves the host's mount namespace for one that hears of the host's changes but is not heard,
/// and makes the stage there the working directory.
pub fn enter() -> Result<()> {
    unshare(CloneFlags::CLONE_NEWNS).attempt(|| "make a mount namespace")?;
    let nothing: Option<&str> = None;
    let quiet = MsFlags::MS_SLAVE | MsFlags::MS_REC;
    mount(nothing, "/", nothing, quiet, nothing).attempt(|| "leave the host's mounts alone")?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    mount(Some("tmpfs"), STAGE, Some("tmpfs"), flags, Some("mode=0711,size=16m"))
        .attempt(|| "mount the stage")?;
    env::set_current_dir(STAGE).attempt(|| "enter the stage")?;
    for name in [ROOT, BASE, UNDER, SLUG, DISK, STATE] {
        fs::create_dir(name).attempt(|| format!("make the directory {name}"))?;
    }
    Ok(())
}

/// Stands somewhere else, so that the stage can go: with the last process that sees it.
pub fn leave() {
    let _ = env::set_current_dir("/");
}

/// Covers a directory with an empty one, in this namespace only. What is covered is not written to:
/// it may be a file system that the whole machine shares.
pub fn hide(path: &Path) -> Result<()> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some("tmpfs"), path, Some("tmpfs"), flags, Some("mode=0755,size=1m"))
        .attempt(|| format!("hide {}", path.display()))
}

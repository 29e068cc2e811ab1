//! What the builder is told when it starts.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What the builder is told when it starts. Made once, by the binary.
#[derive(Clone, Debug)]
pub struct Config {
    /// One directory for each build that runs is made here, and removed after it. On a disk with
    /// room for sources and slugs; emptied at start.
    pub work_dir: PathBuf,
    /// Config vars of a running build are put here as files, so better not on a disk. Emptied at
    /// start.
    pub secrets_dir: PathBuf,
    /// The built-in buildpacks are written here.
    pub buildpacks_dir: PathBuf,
    /// Programs of the machine.
    pub programs: Programs,
    /// What builds may use.
    pub bounds: Bounds,
    /// Variables that the operator adds to the environment of every build, such as `HTTPS_PROXY`.
    pub env: BTreeMap<String, String>,
}

/// Programs of the machine.
#[derive(Clone, Debug)]
pub struct Programs {
    /// From Debian's squashfs-tools.
    pub mksquashfs: PathBuf,
    /// From coreutils; removes trees of any depth.
    pub rm: PathBuf,
    /// From coreutils; measures trees of any depth.
    pub du: PathBuf,
}

impl Default for Programs {
    fn default() -> Self {
        Self {
            mksquashfs: "/usr/bin/mksquashfs".into(),
            rm: "/usr/bin/rm".into(),
            du: "/usr/bin/du".into(),
        }
    }
}

/// What builds may use. Memory, CPU and processes of a build are limited where its container is
/// made (`dynos`); here is what else is bounded.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Builds that run at one time, each of another app.
    pub concurrent: usize,
    /// A build must be done after so long.
    pub time: Duration,
    /// The memory limit of a build's container, for the words that say it was passed.
    pub memory_bytes: u64,
    /// A larger slug is refused.
    pub slug_bytes: u64,
    /// When the disk of `work_dir` has less room left, no build starts and those that run end.
    pub free_bytes: u64,
    /// A cache of one app beyond this is thrown away.
    pub app_cache_bytes: u64,
    /// Beyond this, caches of the apps that have not been built for longest are thrown away.
    pub all_caches_bytes: u64,
    /// Processors that packing a slug may use.
    pub pack_processors: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        const GIB: u64 = 1 << 30;
        Self {
            concurrent: 1,
            time: Duration::from_secs(900),
            memory_bytes: 2 * GIB,
            slug_bytes: 500 << 20,
            free_bytes: GIB,
            app_cache_bytes: 2 * GIB,
            all_caches_bytes: 20 * GIB,
            pack_processors: 2,
        }
    }
}

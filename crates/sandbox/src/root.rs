//! What a dyno sees as `/`.
//!
//! It is put together by the shim before the OCI runtime is called, which only has to enter it:
//! no path that a stranger chose is ever resolved by the runtime, and every mount belongs to a mount
//! namespace above the dyno's, where the dyno could not take it away even with every right of its own.

mod app;
mod dev;
mod etc;
mod shown;

use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use self::shown::Shown;
use crate::error::{Attempt, Result};
use crate::ids::{Ids, Users};
use crate::protocol::{self, Spec};
use crate::stage;
use crate::steps::{Step, reached};
use crate::tree::{Access, Root};

/// Puts the root together at [`stage::ROOT`]. Answers the users that its files belong to.
///
/// # Errors
/// When the system refuses a step, or the specification asks for what cannot be.
pub fn assemble(spec: &Spec) -> Result<Users> {
    let shown = Shown::take(spec)?;
    reached(Step::UsersMade);
    shown.attach_slug()?;
    let ids = shown.users.ids;
    base(&spec.root, ids)?;
    let root = Root::open(Path::new(stage::ROOT))?;
    if matches!(spec.root, protocol::Root::Host) {
        host_programs(&root)?;
    }
    etc::write(&root, spec)?;
    dev::make(&root, ids)?;
    control_group_files(&root, spec.limits.memory_quota_bytes)?;
    app::writable(&root, spec, ids)?;
    for path in ["/proc", "/run"] {
        root.directory(Path::new(path))?;
    }
    shown.attach_mounts(&root, spec)?;
    Ok(shown.users)
}

/// The lowest layer: empty, or a directory under a layer of our own additions.
fn base(from: &protocol::Root, ids: Ids) -> Result<()> {
    let owner = ids.host(0);
    let options = format!("mode=0755,size=4m,nr_inodes=4096,uid={owner},gid={owner}");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    let target = match from {
        protocol::Root::Host => stage::ROOT,
        protocol::Root::Directory(_) => stage::BASE,
    };
    mount(Some("tmpfs"), target, Some("tmpfs"), flags, Some(&*options))
        .attempt(|| "mount a root")?;
    if let protocol::Root::Directory(directory) = from {
        app::layer_over(directory)?;
    }
    Ok(())
}

/// The machine's own programs: `/usr`, and its old names as they are on the host.
fn host_programs(root: &Root) -> Result<()> {
    root.show(Path::new("/usr"), Path::new("/usr"), Access::Read)?;
    for name in ["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"] {
        let path = Path::new(name);
        if let Ok(to) = path.read_link() {
            root.link(name, &to)?;
        } else if path.is_dir() {
            root.show(path, path, Access::Read)?;
        }
    }
    Ok(())
}

/// Programs size themselves by the cgroup v1 memory file, whatever the host has; newer ones by that
/// of v2. Of the rest of `/sys` only the processors are shown.
fn control_group_files(root: &Root, memory: u64) -> Result<()> {
    root.mount("tmpfs", "/sys", MsFlags::MS_NODEV | MsFlags::MS_NOEXEC, "mode=0755,size=64k")?;
    let limit = format!("{memory}\n");
    root.directory(Path::new("/sys/fs/cgroup/memory"))?;
    root.write("/sys/fs/cgroup/memory/memory.limit_in_bytes", limit.as_bytes())?;
    root.write("/sys/fs/cgroup/memory.max", limit.as_bytes())?;
    let processors = PathBuf::from("/sys/devices/system/cpu");
    if processors.is_dir() {
        root.show(&processors, &processors, Access::Read)?;
    }
    root.make_read_only("/sys")
}

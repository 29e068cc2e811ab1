//! The parts of a dyno's root that it may write to, and the image that `/app` begins with.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::chown;
use std::path::Path;

use nix::mount::{MsFlags, mount};

use crate::disk;
use crate::error::{Attempt, Result};
use crate::ids::{Ids, USER};
use crate::protocol::Spec;
use crate::stage;
use crate::steps::{Step, reached};
use crate::tree::{Access, Root, detached, magic, move_to};

const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Mounts `directory` as the root, under a layer of our own in [`stage::BASE`].
pub fn layer_over(directory: &Path) -> Result<()> {
    let tree = detached(directory, Access::Read, None)?;
    move_to(&tree, Path::new(stage::UNDER))?;
    for name in ["upper", "work"] {
        let path = Path::new(stage::BASE).join(name);
        fs::create_dir(&path).attempt(|| "make a layer")?;
    }
    let (under, base) = (stage::UNDER, stage::BASE);
    let options = format!("lowerdir={under},upperdir={base}/upper,workdir={base}/work,volatile");
    mount(Some("overlay"), stage::ROOT, Some("overlay"), FLAGS, Some(&*options))
        .attempt(|| format!("layer over the root {}", directory.display()))
}

/// Gives the dyno its `/app`, `/tmp` and `/var/tmp`, on one disk with one limit.
pub fn writable(root: &Root, spec: &Spec, ids: Ids) -> Result<()> {
    disk::mount(spec.scratch.as_deref(), spec.limits.disk_bytes)?;
    reached(Step::DiskMounted);
    let disk = Path::new(stage::DISK);
    make_directory(&disk.join("upper"), 0o755, ids.host(USER))?;
    make_directory(&disk.join("work"), 0o700, ids.host(0))?;
    for (name, target) in [("tmp", "/tmp"), ("var-tmp", "/var/tmp")] {
        make_directory(&disk.join(name), 0o1777, ids.host(0))?;
        root.show(&disk.join(name), Path::new(target), Access::Write)?;
    }
    let app = Path::new("/app");
    if spec.slug.is_none() {
        return root.show(&disk.join("upper"), app, Access::Write);
    }
    let point = root.directory(app)?;
    let (slug, disk) = (stage::SLUG, stage::DISK);
    let options = format!(
        "lowerdir={slug},upperdir={disk}/upper,workdir={disk}/work,volatile,redirect_dir=on"
    );
    mount(Some("overlay"), &magic(&point), Some("overlay"), FLAGS, Some(&*options))
        .attempt(|| "mount /app over the slug")
}

fn make_directory(path: &Path, mode: u32, owner: u32) -> Result<()> {
    let attempt = || format!("make the directory {}", path.display());
    DirBuilder::new().create(path).attempt(attempt)?;
    // The mode asked of the system call is subject to the umask; this one is not.
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
        .attempt(attempt)?;
    chown(path, Some(owner), Some(owner)).attempt(attempt)
}

//! The parts of a dyno's root that it may write to, and the image that `/app` begins with.

use std::fs::{self, DirBuilder};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::chown;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::disk;
use crate::error::{Attempt, Result};
use crate::ids::{Ids, USER};
use crate::loop_device;
use crate::protocol::Spec;
use crate::stage;
use crate::sys::{self, MountAttributes};
use crate::tree::{Access, Root, magic};

const FLAGS: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV);

/// Mounts the slug, if there is one, so that its files are the dyno's. Answers the mapping that
/// makes them so, and a user namespace that has it.
///
/// Where the kernel cannot show a squashfs under other ids (before Linux 6.2), the dyno's user is
/// host id 1000 itself, to whom the files in the image belong.
pub fn slug(spec: &Spec) -> Result<(Ids, OwnedFd)> {
    let own = Ids::own(spec.id_base);
    let namespace = own.namespace()?;
    let Some(image) = &spec.slug else { return Ok((own, namespace)) };
    let device = loop_device::share(image)?;
    let flags = FLAGS | MsFlags::MS_RDONLY;
    let nothing: Option<&str> = None;
    mount(Some(&device.path), stage::SLUG, Some("squashfs"), flags, nothing)
        .attempt(|| format!("mount the slug {}", image.display()))?;
    let path = Path::new(stage::SLUG);
    let tree = sys::open_tree(path).attempt(|| "take the slug's mount")?;
    let ids = MountAttributes { set: 0, ids: Some(namespace.as_fd()) };
    match sys::mount_setattr(tree.as_fd(), ids) {
        Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => {
            let shared = Ids::with_shared_user(spec.id_base);
            return Ok((shared, shared.namespace()?));
        }
        other => other.attempt(|| "show the slug under the dyno's ids")?,
    }
    let point = fs::File::open(path).attempt(|| "open the slug's mount")?;
    sys::move_mount(tree.as_fd(), point.as_fd()).attempt(|| "mount the slug again")?;
    Ok((own, namespace))
}

/// Mounts `directory` as the root, under a layer of our own in [`stage::BASE`].
pub fn layer_over(directory: &Path) -> Result<()> {
    let tree = crate::tree::detached(directory, Access::Read, None)?;
    let point = fs::File::open(stage::UNDER).attempt(|| "open a mount point")?;
    sys::move_mount(tree.as_fd(), point.as_fd())
        .attempt(|| format!("mount the root {}", directory.display()))?;
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
    disk::mount(spec.scratch.as_deref(), &spec.id, spec.limits.disk_bytes)?;
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

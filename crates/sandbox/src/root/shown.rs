//! What the host lends a dyno that must belong to the dyno's own ids: its slug, and its mounts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::error::{Attempt, Result};
use crate::ids::Ids;
use crate::loop_device;
use crate::protocol::{Mount, Spec};
use crate::stage;
use crate::tree::{Access, Root, detached, move_to};

/// Detached mounts, and the mapping under which their files belong to the dyno.
pub struct Shown {
    /// The mapping.
    pub ids: Ids,
    slug: Option<OwnedFd>,
    mounts: Vec<OwnedFd>,
}

impl Shown {
    /// Takes all of it. Where a file system cannot be shown under other ids (a squashfs before Linux
    /// 6.2, an overlay), the dyno's user is host id 1000 itself, to whom the files belong.
    pub fn take(spec: &Spec) -> Result<Self> {
        if let Some(image) = &spec.slug {
            mount_image(image)?;
        }
        let own = Ids::own(spec.id_base);
        let namespace = own.namespace()?;
        match Self::take_as(spec, own, Some(namespace.as_fd())) {
            Err(error) if error.is(Errno::EINVAL) => {
                Self::take_as(spec, Ids::with_shared_user(spec.id_base), None)
            }
            other => other,
        }
    }

    fn take_as(spec: &Spec, ids: Ids, namespace: Option<BorrowedFd<'_>>) -> Result<Self> {
        let take = |path: &Path, access| detached(path, access, namespace);
        let slug = spec.slug.as_ref().map(|_| take(Path::new(stage::SLUG), Access::Read));
        let mounts = spec.mounts.iter().map(|mount| take(&mount.source, access(mount)));
        Ok(Self { ids, slug: slug.transpose()?, mounts: mounts.collect::<Result<_>>()? })
    }

    /// Puts the slug where `/app` is layered over it.
    pub fn attach_slug(&self) -> Result<()> {
        let Some(tree) = &self.slug else { return Ok(()) };
        move_to(tree, Path::new(stage::SLUG))
    }

    /// Puts the mounts at their places inside.
    pub fn attach_mounts(&self, root: &Root, spec: &Spec) -> Result<()> {
        for (tree, mount) in self.mounts.iter().zip(&spec.mounts) {
            root.attach(tree, &mount.source, &mount.target)?;
        }
        Ok(())
    }
}

fn access(mount: &Mount) -> Access {
    if mount.writable { Access::Write } else { Access::Read }
}

fn mount_image(image: &Path) -> Result<()> {
    let device = loop_device::share(image)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RDONLY;
    let nothing: Option<&str> = None;
    mount(Some(&device.path), stage::SLUG, Some("squashfs"), flags, nothing)
        .attempt(|| format!("mount the slug {}", image.display()))
}

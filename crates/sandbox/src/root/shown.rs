//! What the host lends a dyno that must belong to the dyno's own ids: its slug, and its mounts.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};

use crate::error::{Attempt, Result};
use crate::ids::{Ids, Users};
use crate::loop_device;
use crate::protocol::{Mount, Spec};
use crate::stage;
use crate::steps::{Step, reached};
use crate::tree::{Access, Root, detached, move_to};

/// Detached mounts, and the mapping under which their files belong to the dyno.
pub struct Shown {
    /// The dyno's users.
    pub users: Users,
    slug: Option<OwnedFd>,
    mounts: Vec<OwnedFd>,
}

impl Shown {
    /// Takes all of it. Where a file system cannot be shown under other ids (a squashfs before Linux
    /// 6.2, an overlay), the dyno's user is host id 1000 itself, to whom the files belong.
    pub fn take(spec: &Spec) -> Result<Self> {
        if let Some(image) = &spec.slug {
            mount_image(image)?;
            reached(Step::SlugMounted);
        }
        let own = Users::with(Ids::own(spec.id_base))?;
        match take(spec, Some(own.namespace.as_fd())) {
            Ok((slug, mounts)) => Ok(Self { users: own, slug, mounts }),
            Err(error) if error.is(Errno::EINVAL) => {
                let users = Users::with(Ids::with_shared_user(spec.id_base))?;
                let (slug, mounts) = take(spec, None)?;
                Ok(Self { users, slug, mounts })
            }
            Err(error) => Err(error),
        }
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

/// The slug and the mounts, shown through a user namespace if there is one.
fn take(spec: &Spec, users: Option<BorrowedFd<'_>>) -> Result<(Option<OwnedFd>, Vec<OwnedFd>)> {
    let take = |path: &Path, access| detached(path, access, users);
    let slug = spec.slug.as_ref().map(|_| take(Path::new(stage::SLUG), Access::Read));
    let mounts = spec.mounts.iter().map(|mount| take(&mount.source, access(mount)));
    Ok((slug.transpose()?, mounts.collect::<Result<_>>()?))
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

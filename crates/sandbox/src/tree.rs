//! Mounts that are made apart from any path, and the paths inside a dyno's root that they go to.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::mount::{MsFlags, mount};
use nix::sys::stat::{Mode, mkdirat};

use crate::error::{Attempt, Error, Result};
use crate::sys::{self, MountAttributes};

/// Whether what is mounted may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// By whoever the files' modes allow.
    Write,
    /// By nobody.
    Read,
}

/// A detached copy of what is at `source`: without set-user-id and devices, and with ids shown
/// through the user namespace `ids` if one is given.
pub fn detached(source: &Path, access: Access, ids: Option<BorrowedFd<'_>>) -> Result<OwnedFd> {
    let tree = sys::open_tree(source).attempt(|| format!("take {}", source.display()))?;
    let read_only = if access == Access::Read { libc::MOUNT_ATTR_RDONLY } else { 0 };
    let set = libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | read_only;
    sys::mount_setattr(tree.as_fd(), MountAttributes { set, ids })
        .attempt(|| format!("show {} under a dyno's ids", source.display()))?;
    Ok(tree)
}

/// Attaches a tree at a directory of the stage.
pub fn move_to(tree: &OwnedFd, place: &Path) -> Result<()> {
    let attempt = || format!("mount at {}", place.display());
    let point = File::open(place).attempt(attempt)?;
    sys::move_mount(tree.as_fd(), point.as_fd()).attempt(attempt)
}

/// The root of a dyno in the making. Paths are resolved without following a symbolic link and
/// without leaving it.
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// The directory `path`, which is or will be a dyno's `/`.
    pub fn open(path: &Path) -> Result<Self> {
        let attempt = || format!("open the root {}", path.display());
        let file = File::open(path).attempt(attempt)?;
        Ok(Self { fd: file.into() })
    }

    /// The directory at an absolute path inside, made when it is missing.
    pub fn directory(&self, path: &Path) -> Result<OwnedFd> {
        let attempt = || format!("make the directory {} inside", path.display());
        let mut at = self.fd.try_clone().attempt(attempt)?;
        for name in names(path)? {
            at = step(&at, name).attempt(attempt)?;
        }
        Ok(at)
    }

    /// The file at an absolute path inside, made empty when it is missing.
    pub fn file(&self, path: &Path) -> Result<OwnedFd> {
        let (parent, name) = self.parent(path)?;
        let attempt = || format!("make the file {} inside", path.display());
        let made = resolve(&parent, name, OFlag::O_CREAT | OFlag::O_WRONLY).attempt(attempt)?;
        drop(made);
        resolve(&parent, name, OFlag::O_PATH).attempt(attempt)
    }

    /// Writes a file, in place of whatever has its name.
    pub fn write(&self, path: &str, content: &[u8]) -> Result<()> {
        let (parent, name) = self.parent(Path::new(path))?;
        let attempt = || format!("write {path} inside");
        remove(&parent, name).attempt(attempt)?;
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY;
        let file = resolve(&parent, name, flags).attempt(attempt)?;
        io::Write::write_all(&mut File::from(file), content).attempt(attempt)
    }

    /// Makes a symbolic link, in place of whatever has its name.
    pub fn link(&self, path: &str, to: &Path) -> Result<()> {
        let (parent, name) = self.parent(Path::new(path))?;
        let attempt = || format!("link {path} inside");
        remove(&parent, name).attempt(attempt)?;
        nix::unistd::symlinkat(to, &parent, name).attempt(attempt)
    }

    /// Shows what is at `source` on the host at `target` inside.
    pub fn show(&self, source: &Path, target: &Path, access: Access) -> Result<()> {
        self.attach(&detached(source, access, None)?, source, target)
    }

    /// Attaches a tree that was taken at `source` at `target` inside.
    pub fn attach(&self, tree: &OwnedFd, source: &Path, target: &Path) -> Result<()> {
        let kind = source.metadata().attempt(|| format!("look at {}", source.display()))?;
        let point = if kind.is_dir() { self.directory(target) } else { self.file(target) }?;
        sys::move_mount(tree.as_fd(), point.as_fd())
            .attempt(|| format!("mount {} at {}", source.display(), target.display()))
    }

    /// Mounts a file system without a device, such as `tmpfs`, at `target` inside.
    pub fn mount(&self, kind: &str, target: &str, flags: MsFlags, options: &str) -> Result<()> {
        let point = self.directory(Path::new(target))?;
        let flags = flags | MsFlags::MS_NOSUID;
        mount(Some(kind), &magic(&point), Some(kind), flags, Some(options))
            .attempt(|| format!("mount {kind} at {target}"))
    }

    /// Makes the mount at `target` read-only for good.
    pub fn make_read_only(&self, target: &str) -> Result<()> {
        let point = self.directory(Path::new(target))?;
        let nothing: Option<&str> = None;
        let flags = MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
        let flags = flags | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
        mount(nothing, &magic(&point), nothing, flags, nothing)
            .attempt(|| format!("make {target} read-only"))
    }

    fn parent<'p>(&self, path: &'p Path) -> Result<(OwnedFd, &'p OsStr)> {
        let name = path.file_name().ok_or_else(|| unusable(path))?;
        let parent = path.parent().ok_or_else(|| unusable(path))?;
        Ok((self.directory(parent)?, name))
    }
}

/// A path by which the kernel reaches an open directory, whatever happens to its name.
pub fn magic(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

fn names(path: &Path) -> Result<Vec<&OsStr>> {
    if !path.is_absolute() {
        return Err(unusable(path));
    }
    let parts = path.components().filter(|part| *part != Component::RootDir);
    let names = parts.map(|part| match part {
        Component::Normal(name) => Ok(name),
        _ => Err(unusable(path)),
    });
    names.collect()
}

fn unusable(path: &Path) -> Error {
    Error::Spec(format!("{} is no plain absolute path", path.display()))
}

fn step(at: &OwnedFd, name: &OsStr) -> Result<OwnedFd, Errno> {
    match mkdirat(at, name, Mode::from_bits_truncate(0o755)) {
        Ok(()) | Err(Errno::EEXIST) => resolve(at, name, OFlag::O_DIRECTORY | OFlag::O_PATH),
        // On a read-only file system the directory may be there all the same.
        Err(Errno::EROFS) => resolve(at, name, OFlag::O_DIRECTORY | OFlag::O_PATH),
        Err(errno) => Err(errno),
    }
}

fn resolve(at: &OwnedFd, name: &OsStr, flags: OFlag) -> Result<OwnedFd, Errno> {
    let mode = if flags.contains(OFlag::O_CREAT) { 0o644 } else { 0 };
    let how = OpenHow::new()
        .flags(flags | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW)
        .mode(Mode::from_bits_truncate(mode))
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH);
    openat2(at, name, how)
}

fn remove(at: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match nix::unistd::unlinkat(at, name, nix::unistd::UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => Ok(()),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_made_as_needed() {
        let place = tempfile::tempdir().unwrap();
        let root = Root::open(place.path()).unwrap();
        root.directory(Path::new("/a/b/c")).unwrap();
        root.write("/a/b/c/d", b"text").unwrap();
        root.write("/a/b/c/d", b"other").unwrap();
        assert_eq!(std::fs::read(place.path().join("a/b/c/d")).unwrap(), b"other");
        root.file(Path::new("/a/e")).unwrap();
        assert!(place.path().join("a/e").is_file());
    }

    #[test]
    fn no_path_leads_out() {
        let place = tempfile::tempdir().unwrap();
        let root_path = place.path().join("root");
        std::fs::create_dir(&root_path).unwrap();
        std::os::unix::fs::symlink(place.path(), root_path.join("out")).unwrap();
        let root = Root::open(&root_path).unwrap();
        assert!(root.directory(Path::new("/out/made")).is_err());
        assert!(root.directory(Path::new("/../made")).is_err());
        assert!(root.directory(Path::new("made")).is_err());
        assert!(root.file(Path::new("/out/file")).is_err());
        assert!(!place.path().join("made").exists());
        assert!(!place.path().join("file").exists());
    }

    #[test]
    fn writing_replaces_a_link_and_not_what_it_points_to() {
        let place = tempfile::tempdir().unwrap();
        let precious = place.path().join("precious");
        std::fs::write(&precious, "kept").unwrap();
        let root_path = place.path().join("root");
        std::fs::create_dir(&root_path).unwrap();
        std::os::unix::fs::symlink(&precious, root_path.join("file")).unwrap();
        Root::open(&root_path).unwrap().write("/file", b"new").unwrap();
        assert_eq!(std::fs::read(&precious).unwrap(), b"kept");
        assert_eq!(std::fs::read(root_path.join("file")).unwrap(), b"new");
    }
}

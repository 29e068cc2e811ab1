//! Unpacks a source archive into a build tree, trusting nothing in it.
//!
//! The tree is new and only this function writes it while it runs, so what it finds on disk is what
//! it made itself. Promises: nothing is written outside the tree; no device, pipe, setuid bit or
//! foreign owner comes to be; bytes, entries and depth are bounded. Symlinks are kept as they are,
//! wherever they point: they are resolved only inside the build's own container, and no code on
//! this side of it ever follows one.

mod headers;

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown, symlink};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use flate2::read::MultiGzDecoder;
use tar::EntryType;

use headers::Pending;

/// How large a source may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files, directories and links together.
    pub entries: u64,
}

/// Heroku's limit on a checkout is 1 GB.
pub const DEFAULT_LIMITS: Limits = Limits { bytes: 1 << 30, entries: 250_000 };

/// Ids on disk of everything a build owns. Containers map them one to one to their own ids.
pub const OWNER: u32 = 1000;

const MAX_DEPTH: usize = 128;
const MAX_PATH: usize = 4096;

/// Why a source archive was refused. The text is shown to people.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Not gzip, not tar, or cut off.
    #[error("the source is not a readable tar.gz archive")]
    Format(#[source] io::Error),
    /// A name that is absolute, climbs out, or is too long or deep.
    #[error("the source holds a path that is not allowed: {0:?}")]
    Path(PathBuf),
    /// Something lies below what is not a directory, such as a symlink.
    #[error("the source holds {0:?}, which lies below something that is not a directory")]
    Through(PathBuf),
    /// Two entries of one name that cannot replace each other.
    #[error("the source holds {0:?} twice, once as a directory")]
    Twice(PathBuf),
    /// A device, a pipe or another kind that source code does not need.
    #[error("the source holds {0:?}, which is neither a file, a directory nor a link")]
    Kind(PathBuf),
    /// A hard link to what is not a file of this archive.
    #[error("the source holds a hard link {0:?} to something that is not one of its files")]
    HardLink(PathBuf),
    /// Over the limit on bytes.
    #[error("the source is larger than {}", crate::sizes::human(*.0))]
    Bytes(u64),
    /// Over the limit on entries.
    #[error("the source holds more than {0} files")]
    Entries(u64),
    /// A slug without an app.
    #[error("the slug has no directory ./app, which holds the app")]
    NoApp,
    /// The disk failed.
    #[error("writing {0:?} of the source failed")]
    Write(PathBuf, #[source] io::Error),
}

/// Unpacks the tar.gz `archive` into the empty directory `tree`. An archive that consists of one
/// directory, as code hosts make them, is taken as that directory's content.
///
/// # Errors
/// Names the first entry refused. The tree is then half written and must be thrown away.
pub fn unpack(archive: &Path, tree: &Path, limits: Limits) -> Result<(), ArchiveError> {
    extract(archive, tree, limits)?;
    hoist(tree)
        .and_then(|()| own(tree))
        .map_err(|source| ArchiveError::Write(PathBuf::from("."), source))
}

/// Unpacks a slug's tar.gz into the empty directory `tree`, and answers where its app is: all of a
/// slug is in `./app`, and what lies beside it does not count (Heroku, "Creating slugs from scratch").
///
/// # Errors
/// As [`unpack`]; and when there is no app.
pub fn unpack_slug(archive: &Path, tree: &Path, limits: Limits) -> Result<PathBuf, ArchiveError> {
    extract(archive, tree, limits)?;
    let app = tree.join("app");
    let is_dir = fs::symlink_metadata(&app).is_ok_and(|found| found.is_dir());
    if is_dir { Ok(app) } else { Err(ArchiveError::NoApp) }
}

fn extract(archive: &Path, tree: &Path, limits: Limits) -> Result<(), ArchiveError> {
    let file = File::open(archive).map_err(ArchiveError::Format)?;
    // Headers, padding and long names come on top of file content.
    let ceiling = limits.bytes.saturating_add(limits.entries.saturating_mul(2048));
    let plain = MultiGzDecoder::new(io::BufReader::new(file)).take(ceiling);
    let mut tree = Tree { root: tree, limits, bytes: 0, entries: 0, dirs: HashSet::new() };
    let mut tar = tar::Archive::new(plain);
    let mut pending = Pending::default();
    for entry in tar.entries().map_err(ArchiveError::Format)?.raw(true) {
        let mut entry = entry.map_err(ArchiveError::Format)?;
        tree.count()?;
        if pending.absorb(&mut entry)? {
            continue;
        }
        let name = std::mem::take(&mut pending).names(&entry)?;
        tree.add(&mut entry, &name)?;
    }
    // A stream that ended exactly at the ceiling looks like a clean end; it is a bomb.
    if tar.into_inner().limit() == 0 {
        return Err(ArchiveError::Bytes(limits.bytes));
    }
    Ok(())
}

/// The names of one entry, as bytes: extended headers are already applied.
struct Names {
    path: PathBuf,
    link: PathBuf,
}

struct Tree<'a> {
    root: &'a Path,
    limits: Limits,
    bytes: u64,
    entries: u64,
    /// Directories made so far. A directory is never replaced, so the set stays true.
    dirs: HashSet<PathBuf>,
}

impl Tree<'_> {
    fn count(&mut self) -> Result<(), ArchiveError> {
        self.entries += 1;
        let over = self.entries > self.limits.entries;
        if over { Err(ArchiveError::Entries(self.limits.entries)) } else { Ok(()) }
    }

    fn add<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        names: &Names,
    ) -> Result<(), ArchiveError> {
        let kind = entry.header().entry_type();
        let path = inside(&names.path)?;
        // Git's own data is never part of a source, and a hook in it never of ours.
        if path.components().any(|part| part.as_os_str() == ".git") {
            return Ok(());
        }
        // Old writers mark a directory only by the slash at the end of its name.
        let old_dir = kind.is_file() && names.path.as_os_str().as_bytes().ends_with(b"/");
        if kind == EntryType::Directory || old_dir {
            return self.directory(&path);
        }
        self.make_room(&path)?;
        match kind {
            EntryType::Regular | EntryType::Continuous => self.file(entry, &path),
            EntryType::Symlink => self.symlink(&names.link, &path),
            EntryType::Link => self.hard_link(&names.link, &path),
            _ => Err(ArchiveError::Kind(path)),
        }
    }

    /// Makes `path` and its parents directories.
    fn directory(&mut self, path: &Path) -> Result<(), ArchiveError> {
        let mut so_far = PathBuf::new();
        for part in path.components() {
            so_far.push(part);
            if self.dirs.contains(&so_far) {
                continue;
            }
            let target = self.root.join(&so_far);
            match fs::create_dir(&target) {
                Ok(()) => finish(&target, 0o755, None),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return Err(ArchiveError::Through(so_far));
                }
                Err(error) => Err(error),
            }
            .map_err(|source| ArchiveError::Write(so_far.clone(), source))?;
            self.dirs.insert(so_far.clone());
        }
        Ok(())
    }

    /// Makes the parents of `path` and removes an earlier file or link of that name.
    fn make_room(&mut self, path: &Path) -> Result<(), ArchiveError> {
        if path.as_os_str().is_empty() || self.dirs.contains(path) {
            return Err(ArchiveError::Twice(path.to_owned()));
        }
        if let Some(parent) = path.parent() {
            self.directory(parent)?;
        }
        match fs::remove_file(self.root.join(path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ArchiveError::Write(path.to_owned(), error))
            }
            _ => Ok(()),
        }
    }

    fn file<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        path: &Path,
    ) -> Result<(), ArchiveError> {
        let size = entry.size();
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.limits.bytes {
            return Err(ArchiveError::Bytes(self.limits.bytes));
        }
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
        let mtime = entry.header().mtime().unwrap_or(0);
        let target = self.root.join(path);
        let failed = |source| ArchiveError::Write(path.to_owned(), source);
        let mut file = create_new(&target).map_err(failed)?;
        copy(entry, &mut file, size).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::UnexpectedEof => ArchiveError::Format(error),
            _ => failed(error),
        })?;
        let mode = if executable { 0o755 } else { 0o644 };
        finish(&target, mode, Some((&file, mtime))).map_err(failed)
    }

    fn symlink(&self, link: &Path, path: &Path) -> Result<(), ArchiveError> {
        let failed = |source| ArchiveError::Write(path.to_owned(), source);
        let target = self.root.join(path);
        symlink(link, &target).map_err(failed)?;
        own(&target).map_err(failed)
    }

    fn hard_link(&self, link: &Path, path: &Path) -> Result<(), ArchiveError> {
        let refused = || ArchiveError::HardLink(path.to_owned());
        let link = inside(link)?;
        let parent_made = link
            .parent()
            .is_some_and(|parent| parent.as_os_str().is_empty() || self.dirs.contains(parent));
        let source = self.root.join(&link);
        let is_file = fs::symlink_metadata(&source).is_ok_and(|found| found.is_file());
        if !parent_made || !is_file {
            return Err(refused());
        }
        // `linkat` without AT_SYMLINK_FOLLOW; the source is a plain file anyway.
        fs::hard_link(source, self.root.join(path))
            .map_err(|source| ArchiveError::Write(path.to_owned(), source))
    }
}

/// `path` as plain names below the root; empty for the root itself.
fn inside(path: &Path) -> Result<PathBuf, ArchiveError> {
    let refused = || ArchiveError::Path(path.to_owned());
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(name) if !has_nul(name) => clean.push(name),
            _ => return Err(refused()),
        }
    }
    let too_long = clean.as_os_str().len() > MAX_PATH || clean.components().count() > MAX_DEPTH;
    let too_long_name = clean.components().any(|part| part.as_os_str().len() > 255);
    if too_long || too_long_name { Err(refused()) } else { Ok(clean) }
}

fn has_nul(name: &OsStr) -> bool {
    name.as_bytes().contains(&0)
}

fn copy(from: &mut impl Read, to: &mut File, size: u64) -> io::Result<()> {
    let copied = io::copy(from, to)?;
    if copied == size { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Gives a file or directory of ours its final mode, owner and time. Changing the owner clears
/// setuid bits, so the mode comes last.
fn finish(path: &Path, mode: u32, times: Option<(&File, u64)>) -> io::Result<()> {
    own(path)?;
    if let Some((file, mtime)) = times {
        // Web servers derive ETags from the time, so it must be the source's own.
        let at = UNIX_EPOCH + Duration::from_secs(mtime.min(u64::from(u32::MAX)));
        file.set_modified(at)?;
    }
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Gives `path` itself, never what it points at, to the build's user.
pub(crate) fn own(path: &Path) -> io::Result<()> {
    lchown(path, Some(OWNER), Some(OWNER))
}

/// Replaces `tree` by its only entry if that is a directory.
fn hoist(tree: &Path) -> io::Result<()> {
    let mut entries = fs::read_dir(tree)?;
    let (Some(only), None) = (entries.next().transpose()?, entries.next()) else {
        return Ok(());
    };
    if !only.file_type()?.is_dir() {
        return Ok(());
    }
    // The directory may hold an entry of its own name, so it first leaves the tree.
    let aside = tree.with_extension("hoisted");
    fs::rename(only.path(), &aside)?;
    fs::remove_dir(tree)?;
    fs::rename(&aside, tree)
}

#[cfg(test)]
mod tests;

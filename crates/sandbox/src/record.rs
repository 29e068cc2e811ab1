//! What is written in a dyno's directory: who its shim is, and how the dyno ended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use crate::error::{Attempt, Error, Result};
use crate::protocol::{ENDING, Ending};

/// Name of the record's file.
pub const RECORD: &str = "shim.json";

/// What outlives a shim that is killed, and so must be known to sweep up after it.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Record {
    /// The shim's process.
    pub shim: Option<i32>,
    /// Path of the dyno's control group; none until it may exist.
    pub group: Option<String>,
}

/// The record's file. As long as this value lives, the shim does.
pub type Lock = Flock<File>;

/// What the record says, whoever holds it.
pub fn peek(dyno: &Path) -> Record {
    let text = fs::read(dyno.join(RECORD)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Opens the record's file and locks it.
///
/// # Errors
/// [`Error::Alive`] when a shim holds it, or a sweep; [`Error::Swept`] when a sweep has removed it between
/// its opening and its locking.
pub fn lock(dyno: &Path) -> Result<Lock> {
    let path = dyno.join(RECORD);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(&path).attempt(|| format!("open {}", path.display()))?;
    let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| Error::Alive)?;
    let links = lock.metadata().attempt(|| format!("look at {}", path.display()))?.nlink();
    if links == 0 { Err(Error::Swept) } else { Ok(lock) }
}

/// Writes the record.
pub fn save(lock: &mut Lock, record: &Record) -> Result<()> {
    let attempt = || "write the shim's record";
    let text = serde_json::to_vec(record).map_err(io::Error::from).attempt(attempt)?;
    lock.set_len(0).attempt(attempt)?;
    lock.rewind().attempt(attempt)?;
    lock.write_all(&text).attempt(attempt)
}

/// Says how the dyno ended. Whoever reads the file finds all of it or nothing.
pub fn save_ending(dyno: &Path, ending: &Ending) -> Result<()> {
    let path = dyno.join(ENDING);
    let attempt = || format!("write {}", path.display());
    let text = serde_json::to_vec(ending).map_err(io::Error::from).attempt(attempt)?;
    let unfinished = path.with_extension("new");
    fs::write(&unfinished, text).attempt(attempt)?;
    fs::rename(&unfinished, &path).attempt(attempt)
}

/// How the dyno of this directory ended; none when it runs, or when its shim was killed.
///
/// # Errors
/// When the file is there but cannot be read.
pub fn ending(dyno: &Path) -> Result<Option<Ending>> {
    let path = dyno.join(ENDING);
    let attempt = || format!("read {}", path.display());
    let text = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.attempt(attempt)?,
    };
    serde_json::from_slice(&text).map_err(io::Error::from).attempt(attempt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ending_is_read_back() {
        let dyno = tempfile::tempdir().unwrap();
        assert_eq!(ending(dyno.path()).unwrap(), None);
        let wanted = Ending::Exited { status: 137, out_of_memory: true };
        save_ending(dyno.path(), &wanted).unwrap();
        assert_eq!(ending(dyno.path()).unwrap(), Some(wanted));
    }

    #[test]
    fn a_record_is_held_by_one() {
        let dyno = tempfile::tempdir().unwrap();
        let mut first = lock(dyno.path()).unwrap();
        assert!(matches!(lock(dyno.path()), Err(Error::Alive)));
        save(&mut first, &Record { shim: None, group: Some("/a/b".into()) }).unwrap();
        drop(first);
        assert!(lock(dyno.path()).is_ok());
        assert_eq!(peek(dyno.path()).group.as_deref(), Some("/a/b"));
    }
}

//! Whether slugs are still what was stored. A slug is named by its SHA-256; each is read once in a
//! server's life, and again only when its file has changed.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use store::blobs;
use tokio::sync::OnceCell;

/// So many verdicts are remembered; beyond it all are forgotten, which costs only time.
const REMEMBERED: usize = 4096;

/// A slug's bytes are not those that its name promises (R17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mismatch {
    pub(crate) expected: String,
    pub(crate) actual: String,
}

/// A file as it was when it was read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Version {
    path: PathBuf,
    inode: u64,
    bytes: u64,
    changed: (i64, i64),
}

/// The SHA-256 of a file, once somebody has computed it; others wait for it.
type Verdict = Arc<OnceCell<String>>;

/// What has been checked.
#[derive(Default)]
pub(crate) struct Checksums(Mutex<HashMap<Version, Verdict>>);

impl Checksums {
    /// Compares the slug at `path` with its name.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn check(&self, path: &Path) -> io::Result<Result<(), Mismatch>> {
        let metadata = tokio::fs::metadata(path).await?;
        let version = Version {
            path: path.to_owned(),
            inode: metadata.ino(),
            bytes: metadata.len(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        };
        let verdict = self.verdict(version);
        let file = path.to_owned();
        let read = || async {
            let read = tokio::task::spawn_blocking(move || blobs::digest(&file)).await;
            read.unwrap_or_else(|panic| Err(io::Error::other(panic)))
        };
        let actual = verdict.get_or_try_init(read).await?;
        let expected = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(if *actual == expected {
            Ok(())
        } else {
            Err(Mismatch { expected, actual: actual.clone() })
        })
    }

    fn verdict(&self, version: Version) -> Verdict {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.entry(version).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_changed_slug_is_noticed_and_a_good_one_is_read_once() {
        let dir = tempfile::tempdir().expect("a directory");
        let name = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let path = dir.path().join(name);
        std::fs::write(&path, "hello").expect("written");
        let checksums = Checksums::default();
        for _again in 0..2 {
            assert_eq!(checksums.check(&path).await.expect("read"), Ok(()));
        }
        assert_eq!(checksums.0.lock().expect("whole").len(), 1);
        std::fs::write(&path, "hellO").expect("written");
        let mismatch = checksums.check(&path).await.expect("read").expect_err("changed");
        assert_eq!(mismatch.expected, name);
        assert_ne!(mismatch.actual, name);
        std::fs::remove_file(&path).expect("removed");
        assert!(checksums.check(&path).await.is_err());
    }
}

//! Immutable bytes, named by their SHA-256: slugs and source archives.
//!
//! A blob is visible only when it is whole and on the disk: it is written beside its place, synced,
//! and renamed. Putting the same bytes twice is putting them once.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Timestamp;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt};

use crate::{Error, Result};

/// Bytes moved at a time.
const CHUNK: usize = 128 * 1024;

/// What was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Its name: lower-case hex SHA-256 of its bytes.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// Where blobs are kept.
#[derive(Clone, Debug)]
pub enum BlobStore {
    /// A directory of this machine.
    Fs(Arc<Directory>),
}

/// A directory of blobs.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    // Held while a blob gets its name and while an old one is deleted, so that a blob that is put
    // again is never deleted as the old one.
    naming: Mutex<()>,
}

impl BlobStore {
    /// A store in the directory `root`, which is made if there is none. Half-written files of an
    /// earlier run are removed.
    ///
    /// # Errors
    /// When the directory cannot be made or cleaned.
    pub fn open(root: &Path) -> Result<Self> {
        let incoming = root.join("incoming");
        if incoming.exists() {
            fs::remove_dir_all(&incoming).map_err(failed("clean", &incoming))?;
        }
        fs::create_dir_all(&incoming).map_err(failed("make", &incoming))?;
        Ok(Self::Fs(Arc::new(Directory { root: root.to_owned(), naming: Mutex::new(()) })))
    }

    /// Stores what `reader` gives, at most `limit` bytes.
    ///
    /// # Errors
    /// When there are more bytes, or reading or writing fails. Nothing is left behind then.
    pub async fn put(&self, reader: impl AsyncRead + Unpin, limit: u64) -> Result<Blob> {
        let mut reader = reader;
        let mut incoming = self.directory().incoming(limit)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            let count = reader.read(&mut chunk).await;
            let count = count.map_err(|source| Error::Incoming { source })?;
            if count == 0 {
                break;
            }
            // Into the page cache: as short as a lock. The sync below is what takes time.
            incoming.write(&chunk[..count])?;
        }
        let directory = self.directory().clone();
        let kept = tokio::task::spawn_blocking(move || incoming.keep(&directory));
        kept.await.unwrap_or(Err(Error::Panicked))
    }

    /// As [`BlobStore::put`], for a thread that may block.
    ///
    /// # Errors
    /// As [`BlobStore::put`].
    pub fn put_blocking(&self, mut reader: impl Read, limit: u64) -> Result<Blob> {
        let mut incoming = self.directory().incoming(limit)?;
        let mut chunk = vec![0; CHUNK];
        loop {
            match reader.read(&mut chunk) {
                Ok(0) => return incoming.keep(self.directory()),
                Ok(count) => incoming.write(&chunk[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Incoming { source }),
            }
        }
    }

    /// Where the blob is on this machine, to be mounted or read. It need not exist.
    ///
    /// # Errors
    /// When `name` is not a blob's name.
    pub fn path(&self, name: &str) -> Result<PathBuf> {
        self.directory().path(name)
    }

    /// The blob, opened for reading; `None` when there is none.
    ///
    /// # Errors
    /// When `name` is not a blob's name or the file cannot be opened.
    pub async fn get(&self, name: &str) -> Result<Option<tokio::fs::File>> {
        let path = self.path(name)?;
        match tokio::fs::File::open(&path).await {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("open", &path)(source)),
        }
    }

    /// Deletes the blob if it was put more than `age` ago; answers whether it did.
    ///
    /// # Errors
    /// When `name` is not a blob's name or the file cannot be deleted.
    pub fn delete_older(&self, name: &str, age: Duration) -> Result<bool> {
        let path = self.path(name)?;
        let _naming = self.directory().naming.lock().unwrap_or_else(PoisonError::into_inner);
        let put_at = match fs::metadata(&path).and_then(|metadata| metadata.modified()) {
            Ok(put_at) => moment(put_at),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(failed("look at", &path)(source)),
        };
        if Timestamp::now().since(put_at) < age {
            return Ok(false);
        }
        fs::remove_file(&path).map_err(failed("delete", &path))?;
        Ok(true)
    }

    /// Names of all blobs, in no order.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn list(&self) -> Result<Vec<String>> {
        let root = &self.directory().root;
        let mut names = Vec::new();
        for shelf in entries(root)?.into_iter().filter(|path| is_shelf(path)) {
            let files = entries(&shelf)?;
            let file_names = files.iter().filter_map(|path| path.file_name()?.to_str());
            names.extend(file_names.filter(|name| is_name(name)).map(str::to_owned));
        }
        Ok(names)
    }

    fn directory(&self) -> &Arc<Directory> {
        let Self::Fs(directory) = self;
        directory
    }
}

impl Directory {
    fn path(&self, name: &str) -> Result<PathBuf> {
        if is_name(name) {
            Ok(self.root.join(&name[..2]).join(name))
        } else {
            Err(Error::BlobName(name.to_owned()))
        }
    }

    fn incoming(&self, limit: u64) -> Result<Incoming> {
        let path = self.root.join("incoming").join(uuid::Uuid::new_v4().to_string());
        let file = File::create_new(&path).map_err(failed("make", &path))?;
        Ok(Incoming { file, path, hash: Sha256::new(), bytes: 0, limit })
    }
}

/// A blob on its way in. Dropped before it is kept, it is gone.
struct Incoming {
    file: File,
    path: PathBuf,
    hash: Sha256,
    bytes: u64,
    limit: u64,
}

impl Incoming {
    fn write(&mut self, chunk: &[u8]) -> Result<()> {
        self.bytes += chunk.len() as u64;
        if self.bytes > self.limit {
            return Err(Error::TooLarge { limit: self.limit });
        }
        self.hash.update(chunk);
        self.file.write_all(chunk).map_err(failed("write", &self.path))
    }

    fn keep(self, directory: &Directory) -> Result<Blob> {
        self.file.sync_all().map_err(failed("sync", &self.path))?;
        let name = hex(&self.hash.clone().finalize());
        let path = directory.path(&name)?;
        let shelf = directory.root.join(&name[..2]);
        fs::create_dir_all(&shelf).map_err(failed("make", &shelf))?;
        {
            let _naming = directory.naming.lock().unwrap_or_else(PoisonError::into_inner);
            // Over an equal blob too: it becomes young again, and garbage collection lets it be.
            fs::rename(&self.path, &path).map_err(failed("name", &path))?;
        }
        File::open(&shelf).and_then(|shelf| shelf.sync_all()).map_err(failed("sync", &shelf))?;
        Ok(Blob { name, bytes: self.bytes })
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        // After `keep` the file has another name and this finds nothing.
        let _ = fs::remove_file(&self.path);
    }
}

/// The SHA-256 of a file as it is now, in lower-case hex: of a blob that is whole, its name.
///
/// # Errors
/// When it cannot be read.
pub fn digest(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => hash.update(&chunk[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hex(&hash.finalize()))
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(directory).map_err(failed("list", directory))?;
    read.map(|entry| entry.map(|entry| entry.path()).map_err(failed("list", directory))).collect()
}

fn is_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_shelf(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.len() == 2)
}

/// A file's time in our own terms.
pub(crate) fn moment(time: std::time::SystemTime) -> Timestamp {
    let since = time.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

fn failed<'a>(attempt: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + use<'a> {
    move |source| Error::File { attempt, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;

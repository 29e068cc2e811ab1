//! What builds and release commands print: bounded append-only files that can be followed.
//!
//! A follower gets everything from the start, then what comes, and its end when the output is
//! finished. An output that was not finished when the server stopped is ended at the next start,
//! unless its writer comes back ([`Outputs::create`] appends).

mod follow;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use model::Timestamp;
use tokio::sync::watch;
use uuid::Uuid;

use crate::blobs::moment;
use crate::{Error, Result};

pub use follow::Follow;

/// No output grows beyond this.
pub const MAX_BYTES: u64 = 300 * 1024 * 1024;

/// What is written in place of what does not fit.
pub const CUT: &str = "\n !     Output is longer than 300 MB; the rest is not kept.\n";

/// Whose output: a build's, a release command's, or a build dyno's raw one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OutputId(Uuid);

impl From<model::BuildId> for OutputId {
    fn from(id: model::BuildId) -> Self {
        Self(id.uuid())
    }
}

impl From<model::ReleaseId> for OutputId {
    fn from(id: model::ReleaseId) -> Self {
        Self(id.uuid())
    }
}

impl From<model::DynoId> for OutputId {
    fn from(id: model::DynoId) -> Self {
        Self(id.uuid())
    }
}

/// How the work that printed ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Well.
    Succeeded,
    /// Badly.
    Failed,
}

/// A directory of outputs. Cheap to clone.
#[derive(Clone)]
pub struct Outputs(Arc<Inner>);

struct Inner {
    root: PathBuf,
    limit: u64,
    // Outputs that are being written by this process.
    live: Mutex<HashMap<OutputId, watch::Sender<Progress>>>,
}

/// How far an output has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    bytes: u64,
    finished: bool,
}

impl Outputs {
    /// Outputs in the directory `root`, which is made if there is none.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn open(root: &Path) -> Result<Self> {
        Self::open_limited(root, MAX_BYTES)
    }

    fn open_limited(root: &Path, limit: u64) -> Result<Self> {
        fs::create_dir_all(root).map_err(failed("make", root))?;
        Ok(Self(Arc::new(Inner { root: root.to_owned(), limit, live: Mutex::default() })))
    }

    /// Begins an output, or comes back to one: later writes are appended. Until it is finished its
    /// followers wait for more.
    ///
    /// # Errors
    /// When the file cannot be made or opened.
    pub fn create(&self, id: impl Into<OutputId>) -> Result<OutputWriter> {
        let id = id.into();
        let path = self.0.path(id);
        let file = File::options().append(true).create(true).open(&path);
        let file = file.map_err(failed("open", &path))?;
        let bytes = file.metadata().map_err(failed("look at", &path))?.len();
        let progress = self.0.progress(id, bytes);
        let written = Mutex::new(Written { file, bytes });
        Ok(OutputWriter { id, path, written, progress, outputs: self.clone() })
    }

    /// Ends an output; its followers end after the last byte. Ending it again changes nothing.
    ///
    /// # Errors
    /// When the mark cannot be written; the followers end nevertheless.
    pub fn finish(&self, id: impl Into<OutputId>, verdict: Verdict) -> Result<()> {
        let id = id.into();
        let path = self.0.mark(id);
        let word = match verdict {
            Verdict::Succeeded => "succeeded",
            Verdict::Failed => "failed",
        };
        let marked = if path.exists() { Ok(()) } else { fs::write(&path, word) };
        let live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(progress) = live {
            progress.send_modify(|progress| progress.finished = true);
        }
        marked.map_err(failed("mark", &path))
    }

    /// How it ended; `None` while it has not, or when the server died before it did.
    #[must_use]
    pub fn verdict(&self, id: impl Into<OutputId>) -> Option<Verdict> {
        match fs::read_to_string(self.0.mark(id.into())).ok()?.as_str() {
            "succeeded" => Some(Verdict::Succeeded),
            _ => Some(Verdict::Failed),
        }
    }

    /// Follows an output from its start; `None` when there is none (yet).
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub async fn follow(&self, id: impl Into<OutputId>) -> Result<Option<Follow>> {
        let id = id.into();
        // Looked up before the file is opened: an output that is finished in between is complete
        // in the file.
        let progress = {
            let live = self.0.live.lock().unwrap_or_else(PoisonError::into_inner);
            live.get(&id).map(watch::Sender::subscribe)
        };
        let path = self.0.path(id);
        match tokio::fs::File::open(&path).await {
            Ok(file) => Ok(Some(Follow::new(file, progress))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(failed("open", &path)(source)),
        }
    }

    /// Removes outputs that nothing was written to for `age`, except those being written.
    ///
    /// # Errors
    /// When the directory cannot be read or a file cannot be deleted.
    pub fn delete_older(&self, age: Duration) -> Result<()> {
        let root = &self.0.root;
        for entry in fs::read_dir(root).map_err(failed("list", root))? {
            let path = entry.map_err(failed("list", root))?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok()).map(OutputId);
            let Some(id) = id.filter(|id| !self.is_live(*id)) else { continue };
            let written = fs::metadata(self.0.path(id)).and_then(|data| data.modified());
            // No text file: the mark of an output that was removed in part.
            let old = written.map_or(true, |at| Timestamp::now().since(moment(at)) >= age);
            if old {
                self.delete(id)?;
            }
        }
        Ok(())
    }

    fn is_live(&self, id: OutputId) -> bool {
        self.0.live.lock().unwrap_or_else(PoisonError::into_inner).contains_key(&id)
    }

    /// Removes an output.
    ///
    /// # Errors
    /// When a file cannot be deleted.
    pub fn delete(&self, id: impl Into<OutputId>) -> Result<()> {
        let id = id.into();
        for path in [self.0.path(id), self.0.mark(id)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("delete", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Inner {
    /// What the writers of an output share with its followers. One that is finished stays so.
    fn progress(&self, id: OutputId, bytes: u64) -> watch::Sender<Progress> {
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        // `finish` makes its mark before it takes the lock: one of the two sees the other.
        if self.mark(id).exists() {
            return watch::Sender::new(Progress { bytes, finished: true });
        }
        live.entry(id)
            .or_insert_with(|| watch::Sender::new(Progress { bytes, finished: false }))
            .clone()
    }

    fn path(&self, id: OutputId) -> PathBuf {
        self.root.join(format!("{}.txt", id.0))
    }

    fn mark(&self, id: OutputId) -> PathBuf {
        self.root.join(format!("{}.end", id.0))
    }
}

/// Writes one output. Dropping it does not end the output: who settles the work does.
pub struct OutputWriter {
    id: OutputId,
    path: PathBuf,
    written: Mutex<Written>,
    progress: watch::Sender<Progress>,
    outputs: Outputs,
}

struct Written {
    file: File,
    bytes: u64,
}

impl OutputWriter {
    /// Appends `bytes`, as far as they fit: beyond [`MAX_BYTES`] a note says that the rest is not
    /// kept. Once the output is finished nothing is added any more. It goes to the page cache and does not wait for the disk.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = self.outputs.0.limit;
        if written.bytes > limit || self.progress.borrow().finished {
            return Ok(());
        }
        let room = usize::try_from(limit - written.bytes).unwrap_or(usize::MAX);
        let (fitting, rest) = bytes.split_at(bytes.len().min(room));
        written.append(fitting).map_err(failed("write", &self.path))?;
        if !rest.is_empty() {
            // The note takes the count beyond the limit: it is written once.
            written.append(CUT.as_bytes()).map_err(failed("write", &self.path))?;
        }
        self.progress.send_modify(|progress| progress.bytes = written.bytes);
        Ok(())
    }

    /// Ends the output.
    ///
    /// # Errors
    /// As [`Outputs::finish`].
    pub fn finish(self, verdict: Verdict) -> Result<()> {
        self.outputs.finish(self.id, verdict)
    }
}

impl Written {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }
}

fn failed<'a>(attempt: &'static str, path: &'a Path) -> impl Fn(io::Error) -> Error + use<'a> {
    move |source| Error::File { attempt, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests;

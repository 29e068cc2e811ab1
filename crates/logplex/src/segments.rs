//! What is kept of one app's lines on disk: a journal of the newest, and files of blocks.
//!
//! A directory per app: `journal` takes lines as they come; when it is large enough it becomes one
//! compressed block behind the last in the newest `FIRST-ID.seg`. Files are append-only and are
//! deleted whole. One thread writes; anybody may read meanwhile: a journal is never cut or
//! overwritten, but unlinked once its block stands, so a reader sees each line at least once and
//! tells repetitions by their ids.

mod block;
mod bytes;
mod journal;
mod words;

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::ops::{ControlFlow, Range};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use model::{AppId, Timestamp};

use crate::record::Record;

pub(crate) use block::{Block, Head};
pub(crate) use words::is_word;

/// Compression: fast enough for a flood, and a third of what text takes.
const LEVEL: i32 = 1;

const JOURNAL: &str = "journal";

/// What is kept of one app.
#[derive(Clone, Debug)]
pub(crate) struct Segments {
    directory: PathBuf,
}

/// One file of blocks.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub first_id: u64,
    pub path: PathBuf,
    pub bytes: u64,
    /// When its newest block was written.
    pub modified: Timestamp,
}

/// Writes the journals of all apps into blocks.
pub(crate) struct Sealer {
    words: words::Words,
    /// A journal of this size becomes a block.
    pub journal_bytes: u64,
    /// A file of this size gets no further block.
    pub segment_bytes: u64,
}

/// Whether a block is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    Read,
    Skip,
    Stop,
}

/// How reading went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Blocks that could not be read because they are damaged.
    pub damaged: u64,
    /// The newest id there was.
    pub newest: u64,
}

/// The apps that have something on disk.
pub(crate) fn apps(directory: &Path) -> io::Result<Vec<AppId>> {
    let mut apps = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if let Ok(app) = name.parse() {
            apps.push(app);
        } else if name.ends_with(".log") || name.ends_with(".old") {
            // How lines were kept before there were segments.
            fs::remove_file(entry.path())?;
        }
    }
    Ok(apps)
}

/// The words of a text, as [`Head::may_hold`] wants them.
pub(crate) fn word_hashes(text: &str) -> Vec<u64> {
    let mut hashes = Vec::new();
    words::hashes(text.as_bytes(), |hash| hashes.push(hash));
    hashes
}

impl Sealer {
    /// A sealer that makes blocks and files of these sizes.
    pub fn new(journal_bytes: u64, segment_bytes: u64) -> Self {
        Self { words: words::Words::default(), journal_bytes, segment_bytes }
    }
}

impl Segments {
    /// Those of one app, whether there are any or not.
    pub fn new(directory: &Path, app: AppId) -> Self {
        Self { directory: directory.join(app.to_string()) }
    }

    /// Cuts off what a crash left half written. Gives the newest id.
    pub fn recover(&self) -> io::Result<Option<u64>> {
        let sealed = match self.files()?.last() {
            Some(file) => cut_torn_block(&file.path)?,
            None => None,
        };
        let journal = journal::recover(&self.journal())?;
        let last = journal.ids.last().copied();
        if last.is_some_and(|last| Some(last) <= sealed) {
            // The crash came between its block and its end.
            fs::remove_file(self.journal())?;
        }
        Ok(last.max(sealed))
    }

    /// Appends lines. Answers whether they filled a block. When only the block cannot be made, the
    /// lines are kept all the same, and the next ones try again.
    pub fn append<'a>(
        &self,
        records: impl Iterator<Item = &'a Record>,
        sealer: &mut Sealer,
    ) -> io::Result<bool> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let length = journal::append(&self.journal(), records)?;
        if length < sealer.journal_bytes {
            return Ok(false);
        }
        let sealed = self.seal(sealer);
        if let Err(error) = &sealed {
            let path = self.directory.display();
            tracing::warn!(%path, %error, "cannot make a block of a log journal");
        }
        Ok(sealed.is_ok())
    }

    /// Deletes everything.
    pub fn delete(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.directory) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> io::Result<u64> {
        let files: u64 = self.files()?.iter().map(|file| file.bytes).sum();
        let journal = fs::metadata(self.journal()).map_or(0, |metadata| metadata.len());
        Ok(files + journal)
    }

    /// When the journal was last written; `None` when there is none.
    pub fn journal_modified(&self) -> Option<Timestamp> {
        fs::metadata(self.journal()).ok()?.modified().ok().map(timestamp)
    }

    /// Deletes the journal.
    pub fn delete_journal(&self) -> io::Result<()> {
        fs::remove_file(self.journal())
    }

    /// The files of blocks, oldest first.
    pub fn files(&self) -> io::Result<Vec<SegmentFile>> {
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let stem = name.to_str().and_then(|name| name.strip_suffix(".seg"));
            let Some(first_id) = stem.and_then(|stem| stem.parse().ok()) else { continue };
            let metadata = entry.metadata()?;
            let modified = timestamp(metadata.modified()?);
            files.push(SegmentFile {
                first_id,
                path: entry.path(),
                bytes: metadata.len(),
                modified,
            });
        }
        files.sort_by_key(|file| file.first_id);
        Ok(files)
    }

    /// The time of the oldest line.
    pub fn oldest(&self) -> io::Result<Option<Timestamp>> {
        if let Some(first) = self.files()?.first() {
            let file = File::open(&first.path)?;
            let head = block::read_head(&file, 0, first.bytes)?;
            return Ok(head.map(|(_, head)| head.from));
        }
        Ok(journal::read(&self.journal())?.times.first().copied())
    }

    /// Shows blocks, the newest first, with the rows whose ids are below `before`; `want` looks at
    /// heads and spares the reading of blocks. No line is shown twice.
    pub fn newest_first(
        &self,
        before: u64,
        mut want: impl FnMut(&Head) -> Want,
        mut show: impl FnMut(&Block, Range<usize>) -> ControlFlow<()>,
    ) -> io::Result<Walked> {
        // First the journal: what is sealed meanwhile is then met as a block.
        let journal = journal::read(&self.journal())?;
        let mut walk = Walk { before, may_grow: true, walked: Walked::default() };
        walk.walked.newest = journal.ids.last().copied().unwrap_or(0);
        if walk.show(&journal, &mut show).is_break() {
            return Ok(walk.walked);
        }
        for file in self.files()?.iter().rev().filter(|file| file.first_id < before) {
            if walk.file(file, &mut want, &mut show)?.is_break() {
                break;
            }
            walk.may_grow = false;
        }
        Ok(walk.walked)
    }

    fn journal(&self) -> PathBuf {
        self.directory.join(JOURNAL)
    }

    /// The journal becomes a block.
    fn seal(&self, sealer: &mut Sealer) -> io::Result<()> {
        let block = journal::read(&self.journal())?;
        let Some(&first_id) = block.ids.first() else { return fs::remove_file(self.journal()) };
        let bytes = block.encode(&mut sealer.words, LEVEL)?;
        let newest = self.files()?.pop().filter(|file| file.bytes < sealer.segment_bytes);
        let path = newest
            .map_or_else(|| self.directory.join(format!("{first_id:020}.seg")), |file| file.path);
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let before = file.metadata()?.len();
        file.write_all(&bytes).inspect_err(|_| {
            // Half a block must not stand before the next one.
            let _ = file.set_len(before);
        })?;
        fs::remove_file(self.journal())
    }
}

/// A walk through blocks.
struct Walk {
    /// Lines from this id on were shown.
    before: u64,
    /// The newest file may end in a block that is just being written.
    may_grow: bool,
    walked: Walked,
}

impl Walk {
    fn file(
        &mut self,
        file: &SegmentFile,
        want: &mut impl FnMut(&Head) -> Want,
        show: &mut impl FnMut(&Block, Range<usize>) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let open = match File::open(&file.path) {
            // Deleted meanwhile, as the oldest files are.
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Ok(ControlFlow::Continue(()));
            }
            open => open?,
        };
        let length = open.metadata()?.len();
        let (mut heads, mut offset) = (Vec::new(), 0);
        while let Some((place, head)) = block::read_head(&open, offset, length)? {
            offset = place.end();
            self.walked.newest = self.walked.newest.max(head.last_id);
            match want(&head) {
                Want::Read => heads.push((place, Some(head))),
                Want::Skip => {}
                // What is older than this one is not wanted, and that is all before it.
                Want::Stop => {
                    heads.clear();
                    heads.push((place, None));
                }
            }
        }
        self.walked.damaged += u64::from(offset < length && !self.may_grow);
        for (place, head) in heads.iter().rev() {
            let Some(head) = head else { return Ok(ControlFlow::Break(())) };
            match block::read(&open, *place, head)? {
                Some(block) if self.show(&block, show).is_break() => {
                    return Ok(ControlFlow::Break(()));
                }
                Some(_) => {}
                None => self.walked.damaged += 1,
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn show(
        &mut self,
        block: &Block,
        show: &mut impl FnMut(&Block, Range<usize>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let rows = 0..block.ids.partition_point(|&id| id < self.before);
        if rows.is_empty() {
            return ControlFlow::Continue(());
        }
        self.before = block.ids[0];
        show(block, rows)
    }
}

/// Cuts off the last file's half-written block. Gives the newest id of the others.
fn cut_torn_block(path: &Path) -> io::Result<Option<u64>> {
    let file = File::options().read(true).write(true).open(path)?;
    let length = file.metadata()?.len();
    let (mut offset, mut last, mut last_place) = (0, None, None);
    while let Some((place, head)) = block::read_head(&file, offset, length)? {
        offset = place.end();
        last = Some(head.last_id);
        last_place = Some((place, head));
    }
    if offset < length {
        tracing::warn!(path = %path.display(), cut = length - offset, "cut a torn log segment");
        file.set_len(offset)?;
    }
    // A machine without power may have kept the file's length but not its bytes.
    if let Some((place, head)) = last_place
        && block::read(&file, place, &head)?.is_none()
    {
        tracing::warn!(path = %path.display(), "the last block of a log segment is damaged");
    }
    Ok(last)
}

fn timestamp(time: SystemTime) -> Timestamp {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;

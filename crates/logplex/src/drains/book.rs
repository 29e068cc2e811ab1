//! What one drain has done, and how far it came: kept in a small file, so that a server that was
//! killed goes on where it stopped.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{DrainId, Timestamp};

use super::buffer::announced;
use crate::record::Record;

/// How a drain fares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainStatus {
    /// What it does now.
    pub state: DrainState,
    /// Lines that wait to be sent.
    pub waiting: u64,
    /// Lines that the receiver has taken.
    pub delivered: u64,
    /// Lines that it will not see.
    pub lost: u64,
    /// Since when lines are counted.
    pub since: Timestamp,
    /// When it last took some.
    pub last_delivered_at: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: Option<DrainError>,
}

/// What a drain does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DrainState {
    /// Nothing was to be sent yet, or not for long.
    Idle,
    /// The receiver takes lines.
    Delivering,
    /// It has not taken any since.
    Failing {
        /// Since the first failure after the last success.
        since: Timestamp,
    },
}

/// Something that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrainError {
    /// What.
    pub text: String,
    /// When.
    pub at: Timestamp,
}

/// What one drain has done.
pub(crate) struct Book {
    page: Mutex<Page>,
    file: Option<File>,
}

struct Page {
    /// Every line up to this one was read or is said to be lost.
    position: u64,
    /// Every line up to this one has arrived or is said to be lost.
    arrived: u64,
    delivered: u64,
    /// Lines of which the receiver knows that it will not see them.
    announced: u64,
    /// What was announced before this run of the server.
    announced_before: u64,
    since: Timestamp,
    state: DrainState,
    last_delivered_at: Option<Timestamp>,
    last_error: Option<DrainError>,
}

impl Book {
    /// The drain's book. Without a directory, or with one that fails, it is not kept.
    pub fn open(directory: Option<&Path>, drain: DrainId) -> Self {
        let opened = directory.map(|directory| open(&path(directory, drain)));
        let (file, text) = match opened {
            None => (None, String::new()),
            Some(Ok((file, text))) => (Some(file), text),
            Some(Err(error)) => {
                tracing::warn!(%error, drain.id = %drain, "cannot keep a drain's place");
                (None, String::new())
            }
        };
        let [position, arrived, delivered, announced, since] = parse(&text).unwrap_or_default();
        let since = match since {
            0 => Timestamp::now(),
            micros => Timestamp::from_micros(micros.cast_signed()),
        };
        let page = Page {
            position,
            arrived,
            delivered,
            announced,
            announced_before: announced,
            since,
            state: DrainState::Idle,
            last_delivered_at: None,
            last_error: None,
        };
        Self { page: Mutex::new(page), file }
    }

    /// The last line of which nothing more is to be said; `None` at a drain's beginning.
    pub fn position(&self) -> Option<u64> {
        Some(self.page().position).filter(|position| *position > 0)
    }

    /// The last line that is known to have arrived.
    pub fn arrived(&self) -> u64 {
        self.page().arrived
    }

    /// A new drain begins behind this line.
    pub fn begin(&self, position: u64) {
        let mut page = self.page();
        (page.position, page.arrived) = (position, position);
        self.keep(&page);
    }

    /// Nothing more is to be said of the lines up to this one.
    pub fn reached(&self, position: u64) {
        let mut page = self.page();
        if position > page.position {
            page.position = position;
            self.keep(&page);
        }
    }

    /// These have arrived, all but `refused` of them.
    pub fn delivered(&self, records: &[Arc<Record>], refused: u64) {
        let Some(last) = records.iter().map(|record| record.id).max() else { return };
        let mut page = self.page();
        let before = page.arrived;
        // What is sent again after a reset is not counted again.
        let is_new = |record: &&Arc<Record>| record.lost == 0 && record.id > before;
        let lines = records.iter().filter(is_new).count() as u64;
        let notices = records.iter().filter(|record| record.id >= before);
        page.announced += notices.filter_map(|record| announced(record)).sum::<u64>();
        page.arrived = before.max(last);
        page.delivered += lines.saturating_sub(refused);
        page.state = DrainState::Delivering;
        page.last_delivered_at = Some(Timestamp::now());
        self.keep(&page);
    }

    /// Something went wrong.
    pub fn failed(&self, text: String) {
        let mut page = self.page();
        let at = Timestamp::now();
        if !matches!(page.state, DrainState::Failing { .. }) {
            page.state = DrainState::Failing { since: at };
        }
        page.last_error = Some(DrainError { text, at });
    }

    /// How it fares, where `waiting` lines wait and `lost` are lost in this run of the server.
    pub fn status(&self, waiting: usize, lost: u64) -> DrainStatus {
        let page = self.page();
        DrainStatus {
            state: page.state,
            waiting: waiting as u64,
            delivered: page.delivered,
            lost: page.announced_before + lost,
            since: page.since,
            last_delivered_at: page.last_delivered_at,
            last_error: page.last_error.clone(),
        }
    }

    fn keep(&self, page: &Page) {
        let Some(file) = &self.file else { return };
        let since = page.since.micros().cast_unsigned();
        let numbers = [page.position, page.arrived, page.delivered, page.announced, since];
        // One small write into one page of the cache: a killed process leaves all of it or none.
        // After a power cut the line's check may not fit; then the drain begins anew.
        if let Err(error) = file.write_all_at(line(numbers).as_bytes(), 0) {
            tracing::debug!(%error, "cannot keep a drain's place");
        }
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        self.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets a drain's place.
pub(crate) fn delete(directory: &Path, drain: DrainId) {
    // A file that stays costs nothing: ids do not come again.
    let _ = std::fs::remove_file(path(directory, drain));
}

/// The drains that have a book.
pub(crate) fn list(directory: &Path) -> Vec<DrainId> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

fn path(directory: &Path, drain: DrainId) -> PathBuf {
    directory.join(drain.to_string())
}

fn open(path: &Path) -> io::Result<(File, String)> {
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    let mut bytes = [0; 256];
    let length = file.read_at(&mut bytes, 0)?;
    Ok((file, String::from_utf8_lossy(&bytes[..length]).into_owned()))
}

/// Five numbers and a check of them, always of the same length.
fn line(numbers: [u64; 5]) -> String {
    let [a, b, c, d, e] = numbers;
    let text = format!("{a:020} {b:020} {c:020} {d:020} {e:020}");
    format!("{text} {:016x}\n", check(&text))
}

fn parse(text: &str) -> Option<[u64; 5]> {
    let (numbers, sum) = text.lines().next()?.rsplit_once(' ')?;
    if u64::from_str_radix(sum, 16).ok()? != check(numbers) {
        return None;
    }
    let numbers: Option<Vec<u64>> = numbers.split(' ').map(|number| number.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// FNV-1a.
fn check(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_goes_on_where_it_stopped() {
        let directory = tempfile::tempdir().expect("a directory");
        let drain = DrainId::random();
        let open = || Book::open(Some(directory.path()), drain);
        let book = open();
        assert_eq!(book.position(), None);
        book.begin(6);
        let text = "Error L10 (output buffer overflow): 3 messages dropped since then.";
        let note = |id, lost| Arc::new(Record { lost, ..Record::note(id, Timestamp::now(), text) });
        book.delivered(&[note(7, 0), note(8, 3), note(9, 0)], 0);
        book.delivered(&[note(9, 0)], 0);
        let before = open().status(0, 0);
        assert_eq!((before.delivered, before.lost, before.state), (2, 3, DrainState::Idle));
        assert_eq!((book.status(1, 5).waiting, book.status(1, 5).lost), (1, 5));
        assert_eq!((open().position(), open().arrived()), (Some(6), 9));
        book.reached(9);
        assert_eq!(open().position(), Some(9));
        assert_eq!(list(directory.path()), [drain]);
        delete(directory.path(), drain);
        assert_eq!(open().position(), None);
    }

    #[test]
    fn a_torn_line_is_no_place() {
        let whole = line([1, 2, 3, 4, 5]);
        assert_eq!(parse(&whole), Some([1, 2, 3, 4, 5]));
        assert_eq!(parse(&whole[..40]), None);
        assert_eq!(parse(&whole.replace("0002", "0003")), None);
        assert_eq!(parse(""), None);
    }
}

//! Looking for lines in everything that is kept of an app: in memory and on disk.
//!
//! The newest lines are found first. A search ends after so many lines or so much time, and says
//! where the next one may go on.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::Timestamp;
use model::log::Source;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::disk::Disk;
use crate::query::is_process;
use crate::record::Record;
use crate::segments::{Block, Head, Segments, Want};
use crate::terms::Terms;

/// One search takes no more time; the next goes on.
const MAX_TIME: Duration = Duration::from_secs(2);

/// Nor gives more lines.
pub const MAX_FOUND: usize = 10_000;

/// Lines that are handed over together.
const HAND_OVER: usize = 256;

/// Hand-overs that may wait for the reader; then the search waits.
const MAX_WAITING: usize = 8;

/// Lines may be written down so much later than they were said.
const LATE: Duration = Duration::from_hours(1);

/// What a line must be.
#[derive(Clone, Debug, Default)]
pub enum Choice<T> {
    /// Anything.
    #[default]
    Any,
    /// This.
    Only(T),
    /// Anything but this.
    Not(T),
}

impl<T> Choice<T> {
    fn allows(&self, is: impl Fn(&T) -> bool) -> bool {
        match self {
            Self::Any => true,
            Self::Only(wanted) => is(wanted),
            Self::Not(unwanted) => !is(unwanted),
        }
    }
}

/// Which lines are looked for.
#[derive(Clone, Debug, Default)]
pub struct Search {
    /// Words in the line.
    pub terms: Terms,
    /// A process or a process type.
    pub dyno: Choice<String>,
    /// A part of the platform.
    pub source: Choice<Source>,
    /// Said then or later.
    pub from: Option<Timestamp>,
    /// Said before then.
    pub until: Option<Timestamp>,
    /// Only lines with ids below this one: where an earlier search ended.
    pub before: Option<u64>,
    /// So many lines at most.
    pub lines: usize,
}

/// A line that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// Its place in the stream.
    pub id: u64,
    /// When it was said.
    pub at: Timestamp,
    /// Which part of the platform spoke.
    pub source: Source,
    /// Which process.
    pub process: Arc<str>,
    /// What.
    pub text: Box<str>,
}

/// How a search ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct End {
    /// Where the next search goes on; `None` when all was looked at.
    pub next: Option<u64>,
    /// The time of the oldest line that is kept.
    pub kept_since: Option<Timestamp>,
    /// Parts that could not be read because they are damaged.
    pub damaged: u64,
    /// Why the search failed.
    pub error: Option<String>,
}

/// A part of the answer. The end is the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Lines, the newest first.
    Hits(Vec<Hit>),
    /// The end.
    End(End),
}

/// A search under way. Dropping it ends the search.
pub struct Searching {
    parts: mpsc::Receiver<Part>,
}

impl Searching {
    /// The next part; `None` behind the end.
    pub async fn next(&mut self) -> Option<Part> {
        self.parts.recv().await
    }
}

/// What is looked through.
pub(crate) struct Field {
    /// Lines in memory, the newest first.
    pub recent: Vec<Arc<Record>>,
    /// All others have lower ids.
    pub before: u64,
    pub disk: Arc<Disk>,
    pub segments: Option<Segments>,
    /// Older lines are not shown.
    pub oldest: Timestamp,
    /// A reader that takes nothing for so long has its search ended: others wait for its place.
    pub patience: Duration,
}

/// Begins a search, once there is a place for it.
pub(crate) fn begin(field: Field, search: Search, places: Arc<Semaphore>) -> Searching {
    let (sender, parts) = mpsc::channel(MAX_WAITING);
    tokio::spawn(async move {
        // Closed never: then there is no search, and the reader sees the end.
        let Ok(place) = places.acquire_owned().await else { return };
        tokio::task::spawn_blocking(move || run(&field, search, sender, &place));
    });
    Searching { parts }
}

fn run(field: &Field, search: Search, parts: mpsc::Sender<Part>, _place: &OwnedSemaphorePermit) {
    let mut hunt = Hunt::new(search, field, parts);
    let mut end = End::default();
    if hunt.memory(&field.recent).is_continue()
        && let Some(segments) = &field.segments
    {
        field.disk.flush();
        match hunt.disk(segments, field.before) {
            Ok(damaged) => end.damaged = damaged,
            Err(error) => end.error = Some(format!("The kept lines cannot be read: {error}.")),
        }
        end.kept_since = segments.oldest().ok().flatten();
    }
    end.next = hunt.next;
    end.kept_since = end.kept_since.or_else(|| field.recent.last().map(|record| record.at));
    hunt.finish(end);
}

struct Hunt {
    search: Search,
    hashes: Vec<u64>,
    from: Timestamp,
    until: Timestamp,
    before: u64,
    stop_at: Instant,
    left: usize,
    ready: Vec<Hit>,
    /// Where the next search goes on, once this one has stopped.
    next: Option<u64>,
    patience: Duration,
    parts: mpsc::Sender<Part>,
}

impl Hunt {
    fn new(search: Search, field: &Field, parts: mpsc::Sender<Part>) -> Self {
        Self {
            hashes: search.terms.hashes(),
            from: search.from.map_or(field.oldest, |from| from.max(field.oldest)),
            until: search.until.unwrap_or(Timestamp::from_micros(i64::MAX)),
            before: search.before.unwrap_or(u64::MAX),
            stop_at: Instant::now() + MAX_TIME,
            left: search.lines.min(MAX_FOUND),
            ready: Vec::new(),
            next: None,
            patience: field.patience,
            search,
            parts,
        }
    }

    fn memory(&mut self, records: &[Arc<Record>]) -> ControlFlow<()> {
        for record in records {
            let is_wanted = record.id < self.before
                && self.is_in_time(record.at)
                && self.is_process(record.source, &record.process);
            if is_wanted && self.search.terms.match_lower(&lower(&record.text)) {
                self.found(hit(record))?;
            }
        }
        ControlFlow::Continue(())
    }

    fn disk(&mut self, segments: &Segments, before: u64) -> std::io::Result<u64> {
        let before = before.min(self.before);
        // Looking at a head needs what `show` changes not: a copy keeps the two apart.
        let sieve = Sieve {
            search: self.search.clone(),
            hashes: self.hashes.clone(),
            from: self.from,
            until: self.until,
        };
        let walked = segments.newest_first(
            before,
            |head| sieve.want(head),
            |block, rows| self.show(block, rows),
        )?;
        Ok(walked.damaged)
    }

    fn show(&mut self, block: &Block, rows: Range<usize>) -> ControlFlow<()> {
        if Instant::now() >= self.stop_at {
            self.next = Some(block.ids[rows.end - 1] + 1);
            return ControlFlow::Break(());
        }
        let matching: Vec<usize> = self.matching(block, rows);
        for row in matching.into_iter().rev() {
            self.found(hit(&block.record(row)))?;
        }
        ControlFlow::Continue(())
    }

    /// The rows that match, oldest first.
    fn matching(&self, block: &Block, rows: Range<usize>) -> Vec<usize> {
        let is_wanted = |row: usize| {
            let (source, process) = block.process(row);
            self.is_in_time(block.times[row]) && self.is_process(source, process)
        };
        if self.search.terms.is_empty() {
            return rows.filter(|&row| is_wanted(row)).collect();
        }
        let texts = lower(&block.texts);
        let line = |row: usize| {
            let start = row.checked_sub(1).map_or(0, |before| block.ends[before]);
            &texts[start..block.ends[row]]
        };
        if !self.search.terms.has_wanted() {
            let matches = |&row: &usize| is_wanted(row) && self.search.terms.match_lower(line(row));
            return rows.filter(matches).collect();
        }
        let (mut found, mut from) = (Vec::new(), 0);
        while let Some(at) = self.search.terms.next_candidate(&texts, from) {
            // A place may lie across two lines; then neither need match, and is looked at in vain.
            let row = block.ends.partition_point(|&end| end <= at);
            if row >= rows.end {
                break;
            }
            if is_wanted(row) && self.search.terms.match_lower(line(row)) {
                found.push(row);
            }
            from = block.ends[row];
        }
        found
    }

    fn is_in_time(&self, at: Timestamp) -> bool {
        at >= self.from && at < self.until
    }

    fn is_process(&self, source: Source, process: &str) -> bool {
        is_chosen(&self.search, source, process)
    }

    fn found(&mut self, hit: Hit) -> ControlFlow<()> {
        let id = hit.id;
        self.left = self.left.saturating_sub(1);
        self.ready.push(hit);
        if self.left == 0 {
            self.next = Some(id);
            return ControlFlow::Break(());
        }
        if self.ready.len() >= HAND_OVER { self.hand_over() } else { ControlFlow::Continue(()) }
    }

    fn hand_over(&mut self) -> ControlFlow<()> {
        if self.ready.is_empty() {
            return ControlFlow::Continue(());
        }
        let hits = Part::Hits(std::mem::take(&mut self.ready));
        self.send(hits)
    }

    /// Fails when the reader has gone, or takes nothing; then nobody wants the rest.
    fn send(&self, part: Part) -> ControlFlow<()> {
        let sent = self.parts.send_timeout(part, self.patience);
        match tokio::runtime::Handle::current().block_on(sent) {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    }

    fn finish(mut self, end: End) {
        if self.hand_over().is_continue() {
            let _gone = self.send(Part::End(end));
        }
    }
}

/// Tells which blocks are worth reading.
struct Sieve {
    search: Search,
    hashes: Vec<u64>,
    from: Timestamp,
    until: Timestamp,
}

impl Sieve {
    fn want(&self, head: &Head) -> Want {
        if head.until + LATE < self.from {
            return Want::Stop;
        }
        let is_worth = head.until >= self.from
            && head.from < self.until
            && head.has_process(|source, process| is_chosen(&self.search, source, process))
            && head.may_hold(&self.hashes);
        if is_worth { Want::Read } else { Want::Skip }
    }
}

fn is_chosen(search: &Search, source: Source, process: &str) -> bool {
    search.source.allows(|wanted| *wanted == source)
        && search.dyno.allows(|wanted| is_process(process, wanted))
}

fn lower(text: &str) -> Vec<u8> {
    text.as_bytes().to_ascii_lowercase()
}

fn hit(record: &Record) -> Hit {
    let Record { id, at, source, process, text, .. } = record;
    Hit { id: *id, at: *at, source: *source, process: process.clone(), text: text.clone() }
}

#[cfg(test)]
mod tests;

//! Lines that are not in memory any more, from disk.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::sync::Arc;

use model::Timestamp;

use crate::disk::Disk;
use crate::query::Filter;
use crate::record::Record;
use crate::segments::{Segments, Want};

/// A reader gets no more bytes of the past.
const MAX_BYTES: usize = 8 << 20;

/// A reader who comes back gets no more lines of the past.
pub(crate) const MAX_MISSED: usize = 10_000;

/// What a reader wants of the lines before those in memory.
pub(crate) struct History {
    pub disk: Arc<Disk>,
    pub segments: Segments,
    pub filter: Filter,
    /// Lines with ids below this one,
    pub before: u64,
    /// so many of them at most,
    pub count: usize,
    /// not older than this,
    pub oldest: Timestamp,
    /// and only those after this one, with a note if some are missing.
    pub after: Option<After>,
}

/// The last line a reader has seen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct After {
    pub id: u64,
    /// The first id given by this run of the server. From here on ids have no jumps.
    pub run_start: u64,
}

/// What was found.
#[derive(Default)]
struct Found {
    /// The newest first.
    records: Vec<Arc<Record>>,
    bytes: usize,
    /// The oldest id that was looked at.
    first: Option<u64>,
}

impl History {
    /// Reads it, oldest first. Blocks.
    pub fn load(&self) -> Vec<Arc<Record>> {
        self.disk.flush();
        let mut found = Found::default();
        let seen = self.after.map_or(0, |after| after.id);
        // Whether a line was there that the reader has seen, so that all behind it are.
        let reached = Cell::new(false);
        let walked = self.segments.newest_first(
            self.before,
            |head| match () {
                () if head.last_id <= seen => {
                    reached.set(true);
                    Want::Stop
                }
                () if self.after.is_some() => Want::Read,
                () if head.has_process(|source, process| self.filter.wants(source, process)) => {
                    Want::Read
                }
                () => Want::Skip,
            },
            |block, rows| {
                for row in rows.rev() {
                    if block.ids[row] <= seen {
                        reached.set(true);
                        return ControlFlow::Break(());
                    }
                    let lost = block.lost(row) > 0 && self.after.is_some();
                    let (source, process) = block.process(row);
                    found.first = Some(block.ids[row]);
                    if block.times[row] < self.oldest
                        || !(lost || self.filter.wants(source, process))
                    {
                        continue;
                    }
                    if found.records.len() >= self.count || found.bytes >= MAX_BYTES {
                        found.first = block.ids.get(row + 1).copied().or(found.first);
                        return ControlFlow::Break(());
                    }
                    found.push(block.record(row));
                }
                ControlFlow::Continue(())
            },
        );
        match walked {
            Ok(walked) => self.finish(found, reached.get(), walked.newest),
            Err(error) => {
                tracing::warn!(%error, "cannot read kept log lines");
                let text = format!("The kept lines of this log cannot be read: {error}.");
                vec![Arc::new(Record::note(self.before.saturating_sub(1), Timestamp::now(), text))]
            }
        }
    }

    fn finish(&self, mut found: Found, reached: bool, newest: u64) -> Vec<Arc<Record>> {
        found.records.reverse();
        let Some(after) = self.after else { return found.records };
        let first = found.first.unwrap_or(self.before);
        let mut records = Vec::new();
        if !reached {
            records.extend(gone(after, first));
        }
        records.append(&mut found.records);
        if newest >= after.run_start && newest.max(after.id) + 1 < self.before {
            records.extend(gone(After { id: newest.max(after.id), ..after }, self.before));
        }
        records
    }
}

impl Found {
    fn push(&mut self, record: Record) {
        self.bytes += record.bytes();
        self.records.push(Arc::new(record));
    }
}

/// The newest `max` kept lines between two ids, oldest first, and how many of the others there are.
/// Blocks.
pub(crate) fn between(
    segments: &Segments,
    after: u64,
    before: u64,
    max: usize,
) -> std::io::Result<(u64, Vec<Arc<Record>>)> {
    let (mut records, mut others) = (Vec::new(), 0);
    segments.newest_first(
        before,
        |head| if head.last_id <= after { Want::Stop } else { Want::Read },
        |block, rows| {
            for row in rows.rev() {
                if block.ids[row] <= after {
                    return ControlFlow::Break(());
                }
                if records.len() < max {
                    records.push(Arc::new(block.record(row)));
                } else {
                    others += block.lost(row).max(1);
                }
            }
            ControlFlow::Continue(())
        },
    )?;
    records.reverse();
    Ok((others, records))
}

/// Says what is missing between the last line a reader saw and the first that it gets. Only ids
/// of this run of the server can be counted; the count is of all lines, whatever the filter.
pub(crate) fn gone(after: After, first: u64) -> Option<Arc<Record>> {
    let next = after.id.saturating_add(1);
    if next >= first {
        return None;
    }
    let text = if next >= after.run_start {
        let count = first - next;
        format!("This session was interrupted: {count} messages since then are no longer kept.")
    } else {
        "This session was interrupted: some messages since then may no longer be kept.".to_owned()
    };
    Some(Arc::new(Record::note(first.saturating_sub(1), Timestamp::now(), text)))
}

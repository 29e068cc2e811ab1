//! The newest lines of one app, bounded by number and by bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use model::Timestamp;

use crate::query::Filter;
use crate::record::Record;

/// The newest lines of one app, oldest first.
pub(crate) struct Ring {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    max_lines: usize,
    max_bytes: usize,
}

impl Ring {
    /// An empty ring.
    pub fn new(max_lines: usize, max_bytes: usize) -> Self {
        Self { records: VecDeque::new(), bytes: 0, max_lines, max_bytes }
    }

    /// Adds the newest line; the oldest ones leave as bounds demand. The newest always stays.
    pub fn push(&mut self, record: Arc<Record>) {
        self.bytes += record.bytes();
        self.records.push_back(record);
        while self.records.len() > self.max_lines || self.bytes > self.max_bytes {
            if self.records.len() == 1 {
                break;
            }
            self.evict();
        }
    }

    /// Drops the oldest line and gives the bytes won: 0 when there is none.
    pub fn evict(&mut self) -> usize {
        let bytes = self.records.pop_front().map_or(0, |record| record.bytes());
        self.bytes -= bytes;
        bytes
    }

    /// Lines kept.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Bytes in use.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The id of the oldest line.
    pub fn first_id(&self) -> Option<u64> {
        self.records.front().map(|record| record.id)
    }

    /// All lines, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &Arc<Record>> {
        self.records.iter().rev()
    }

    /// The newest `count` lines that match and are not older than `oldest`, oldest first.
    pub fn recent(&self, filter: &Filter, count: usize, oldest: Timestamp) -> Vec<Arc<Record>> {
        let wanted = |record: &&Arc<Record>| record.at >= oldest && filter.matches(record);
        let mut found: Vec<_> =
            self.records.iter().rev().filter(wanted).take(count).cloned().collect();
        found.reverse();
        found
    }

    /// All matching lines behind the one with this id, oldest first. One that says that lines are
    /// lost matches every filter: some might have matched.
    pub fn after(&self, filter: &Filter, id: u64) -> Vec<Arc<Record>> {
        let start = self.records.partition_point(|record| record.id <= id);
        let wanted = |record: &&Arc<Record>| record.lost > 0 || filter.matches(record);
        self.records.range(start..).filter(wanted).cloned().collect()
    }
}

#[cfg(test)]
mod tests;

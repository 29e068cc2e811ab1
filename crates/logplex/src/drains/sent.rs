//! Lines that were written to a connection and may not have arrived.
//!
//! TCP says what the other side's machine has taken, not what its program has read. So a line stays
//! here until it is acknowledged, and a while longer: when the connection is reset, what the
//! program had not read is gone, and is sent again. A receiver may see a line twice, but none is
//! lost without a word. Nothing here is asynchronous or knows a socket.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::buffer::Pool;
use crate::record::Record;

/// An acknowledged line may still be unread for this long, when its reader keeps up.
const UNREAD: Duration = Duration::from_millis(500);

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By us, when the receiver had no reason to leave anything unread.
    ByUs,
    /// By the receiver, or by what is between: what was acknowledged may be unread. Even an orderly
    /// end says nothing of what came in between the end of writing and the end of reading.
    ByReceiver,
}

/// How many bytes of lines that arrived are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    /// So many always,
    pub always: usize,
    /// and so many while all drains together have room.
    pub most: usize,
}

/// Lines on their way, oldest first.
pub(crate) struct Sent {
    entries: VecDeque<Entry>,
    /// To be written again, older than all that waits elsewhere.
    again: VecDeque<Arc<Record>>,
    keep: Keep,
    pool: Arc<Pool>,
    /// Bytes of the lines that have arrived and are still kept.
    arrived_bytes: usize,
    again_bytes: usize,
    borrowed: usize,
    widest: u32,
    read: u64,
}

struct Entry {
    record: Arc<Record>,
    /// Where the connection's bytes had come to when all of this line was written.
    end: u64,
    acknowledged: Option<Instant>,
}

/// What the kernel said of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gauge {
    /// So many of its bytes are acknowledged.
    pub acknowledged: u64,
    /// The other side has room for so many.
    pub window: u32,
}

impl Sent {
    /// Nothing is on its way.
    pub fn new(keep: Keep, pool: Arc<Pool>) -> Self {
        Self {
            entries: VecDeque::new(),
            again: VecDeque::new(),
            keep,
            pool,
            arrived_bytes: 0,
            again_bytes: 0,
            borrowed: 0,
            widest: 0,
            read: 0,
        }
    }

    /// Whether nothing is on its way or waits to be written again.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.again.is_empty()
    }

    /// The last line that is not kept any more: it is taken to be read, and all before it.
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Whether the receiver's program seems to read what its machine takes.
    pub fn reader_keeps_up(&self, gauge: Gauge) -> bool {
        gauge.window >= self.widest / 2
    }

    /// Whether every line is acknowledged.
    pub fn is_acknowledged(&self) -> bool {
        self.again.is_empty() && self.entries.back().is_none_or(|last| last.acknowledged.is_some())
    }

    /// Lines that are to be written again, the oldest ones.
    pub fn take_again(&mut self, most: usize) -> Vec<Arc<Record>> {
        let count = most.min(self.again.len());
        let taken: Vec<_> = self.again.drain(..count).collect();
        self.again_bytes -= taken.iter().map(|record| record.bytes()).sum::<usize>();
        self.borrow();
        taken
    }

    /// These are about to be written.
    pub fn begin(&mut self, records: Vec<Arc<Record>>) {
        for record in records {
            self.entries.push_back(Entry { record, end: u64::MAX, acknowledged: None });
        }
    }

    /// What was begun is written, up to this byte of the connection.
    pub fn end(&mut self, end: u64) {
        let unended = self.entries.iter_mut().rev().take_while(|entry| entry.end == u64::MAX);
        unended.for_each(|entry| entry.end = end);
    }

    /// Learns what has arrived; answers the lines that arrived only now.
    pub fn settle(&mut self, gauge: Gauge, now: Instant) -> Vec<Arc<Record>> {
        let known = self.entries.partition_point(|entry| entry.acknowledged.is_some());
        let arrived = self.entries.partition_point(|entry| entry.end <= gauge.acknowledged);
        let mut new = Vec::with_capacity(arrived.saturating_sub(known));
        for entry in self.entries.range_mut(known.min(arrived)..arrived) {
            entry.acknowledged = Some(now);
            self.arrived_bytes += entry.record.bytes();
            new.push(entry.record.clone());
        }
        self.widest = self.widest.max(gauge.window);
        self.release(gauge, now);
        new
    }

    /// The connection is no more. What may be unread is written again on the next one. Answers the
    /// lines that are known to have arrived only now.
    pub fn disconnect(&mut self, ended: Ended, gauge: Gauge, now: Instant) -> Vec<Arc<Record>> {
        let arrived = self.settle(gauge, now);
        if ended == Ended::ByUs {
            let known = self.entries.partition_point(|entry| entry.acknowledged.is_some());
            for entry in self.entries.drain(..known) {
                self.read = self.read.max(entry.record.id);
            }
        }
        let entries = self.entries.drain(..).map(|entry| entry.record);
        let mut again: VecDeque<_> = entries.collect();
        again.append(&mut self.again);
        self.again = again;
        self.again_bytes = self.again.iter().map(|record| record.bytes()).sum();
        (self.arrived_bytes, self.widest) = (0, 0);
        self.borrow();
        arrived
    }

    /// All that is not known to have been read, oldest first.
    pub fn take_rest(&mut self) -> Vec<Arc<Record>> {
        let unacknowledged = |entry: Entry| entry.acknowledged.is_none().then_some(entry.record);
        let mut rest: Vec<_> = self.entries.drain(..).filter_map(unacknowledged).collect();
        rest.extend(self.again.drain(..));
        (self.arrived_bytes, self.again_bytes) = (0, 0);
        self.borrow();
        rest
    }

    /// Lets go of what has surely been read, and of the oldest acknowledged lines beyond the bound.
    fn release(&mut self, gauge: Gauge, now: Instant) {
        let reader_keeps_up = self.reader_keeps_up(gauge);
        self.borrow();
        while let Some(first) = self.entries.front() {
            let Some(at) = first.acknowledged else { break };
            let is_read = reader_keeps_up && now.duration_since(at) >= UNREAD;
            if !is_read && !self.is_over() {
                break;
            }
            self.arrived_bytes -= first.record.bytes();
            self.read = self.read.max(first.record.id);
            self.entries.pop_front();
            self.borrow();
        }
    }

    fn is_over(&self) -> bool {
        let bytes = self.arrived_bytes;
        bytes > self.keep.always && (bytes > self.keep.most || !self.pool.has_room())
    }

    /// Tells the pool what is borrowed.
    fn borrow(&mut self) {
        let kept = self.arrived_bytes + self.again_bytes;
        let borrowed = kept.saturating_sub(self.keep.always);
        if borrowed != self.borrowed {
            self.pool.change(self.borrowed, borrowed);
            self.borrowed = borrowed;
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.pool.change(self.borrowed, 0);
    }
}

#[cfg(test)]
mod tests;

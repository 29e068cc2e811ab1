//! Byte buffers that are lent only while there is something in them.
//!
//! Storage comes from a pool of the thread and goes back as soon as a buffer is empty and nothing is
//! about to be read, so an idle connection holds none.
//!
//! A buffer is a queue in three parts: bytes already judged and ready to go on (`ready`), bytes read
//! but not yet judged (`raw`), and room. Judging may shorten what it judges, never lengthen it, so it
//! happens in place.

use std::cell::{Cell, RefCell};
use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::ReadBuf;

use crate::socket::Socket;

/// Storage of a fresh buffer.
pub const BASE: usize = 16 * 1024;
/// The same when the thread's buffers hold very much already.
const SMALL: usize = 2 * 1024;
/// Storage of a buffer through which a large body flows.
pub const BULK: usize = 64 * 1024;
/// Pieces of either size that a thread keeps for later.
const KEPT: usize = 128;

/// When all buffers of a thread hold so much, fresh ones are small and none grows for a slow reader.
const PLENTY: usize = 64 * 1024 * 1024;
/// When they hold so much, none grows at all: a head that does not fit is never complete, and its
/// connection ends by the time-out of heads.
const MOST: usize = 3 * PLENTY;

thread_local! {
    /// What all buffers of this thread hold.
    static HELD: Cell<usize> = const { Cell::new(0) };
    static POOL: RefCell<[Vec<Vec<u8>>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// A queue of bytes: ready, raw, room.
#[derive(Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    ready: usize,
    end: usize,
}

impl Buffer {
    /// Bytes that may go on.
    pub fn ready(&self) -> &[u8] {
        &self.bytes[self.start..self.ready]
    }

    /// Bytes not yet judged.
    pub fn raw(&self) -> &[u8] {
        &self.bytes[self.ready..self.end]
    }

    /// Nothing in it at all.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Takes `count` ready bytes away: they have gone on.
    pub fn sent(&mut self, count: usize) {
        debug_assert!(self.start + count <= self.ready, "only ready bytes go on");
        self.start += count;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Judges the next `count` raw bytes ready as they are.
    pub fn pass(&mut self, count: usize) {
        debug_assert!(self.ready + count <= self.end, "only what was read is judged");
        self.ready += count;
    }

    /// Throws the next `count` raw bytes away. Nothing may be ready: order would be lost.
    pub fn skip(&mut self, count: usize) {
        debug_assert!(self.start == self.ready && self.ready + count <= self.end, "skip is first");
        self.start += count;
        self.ready = self.start;
        if self.is_empty() {
            self.clear();
        }
    }

    /// Throws everything away.
    pub const fn clear(&mut self) {
        (self.start, self.ready, self.end) = (0, 0, 0);
    }

    /// Judges raw bytes in place: `judge` leaves what may go on at the front of the slice and says
    /// how much that is, and of how many bytes.
    pub fn judge<E>(
        &mut self,
        judge: impl FnOnce(&mut [u8]) -> Result<Judged, E>,
    ) -> Result<Judged, E> {
        let judged = judge(&mut self.bytes[self.ready..self.end])?;
        debug_assert!(judged.passed <= judged.consumed, "judging never lengthens");
        if judged.passed < judged.consumed {
            let rest = self.ready + judged.consumed..self.end;
            self.bytes.copy_within(rest, self.ready + judged.passed);
            self.end -= judged.consumed - judged.passed;
        }
        self.ready += judged.passed;
        if self.is_empty() {
            self.clear();
        }
        Ok(judged)
    }

    /// Reads once from `socket`. `Ok(0)` is the end of the stream. A buffer that is full already
    /// grows to at most `limit`; one that cannot grow is `Pending` without a wake-up: the caller
    /// asks again after something has gone on.
    pub fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        limit: usize,
    ) -> Poll<io::Result<usize>> {
        if !self.make_room(limit) {
            return Poll::Pending;
        }
        let mut read = ReadBuf::new(&mut self.bytes[self.end..]);
        let result = socket.poll_read(cx, &mut read);
        let count = read.filled().len();
        self.end += count;
        if result.is_pending() {
            self.release();
        }
        ready!(result)?;
        Poll::Ready(Ok(count))
    }

    /// Puts bytes in as if they had been read, for what was read ahead elsewhere.
    #[cfg(test)]
    pub fn put(&mut self, bytes: &[u8]) {
        while self.bytes.len() - self.end < bytes.len() {
            let before = self.bytes.len();
            self.bytes.resize((before * 2).max(BASE), 0);
            HELD.set(HELD.get() + self.bytes.len() - before);
        }
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Swaps an empty small buffer for a large one, before a large body.
    pub fn widen(&mut self) {
        if self.is_empty() && self.bytes.len() < BULK && may_stretch() {
            give_back(std::mem::take(&mut self.bytes));
            self.bytes = lend(BULK);
        }
    }

    /// Gives the storage back if nothing is in it.
    pub fn release(&mut self) {
        if self.is_empty() && !self.bytes.is_empty() {
            give_back(std::mem::take(&mut self.bytes));
            self.clear();
        }
    }

    fn make_room(&mut self, limit: usize) -> bool {
        if self.end < self.bytes.len() {
            return true;
        }
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.ready -= self.start;
            self.end -= self.start;
            self.start = 0;
        } else if self.bytes.is_empty() {
            self.bytes = lend(BASE);
        } else if self.bytes.len() < limit && HELD.get() < MOST {
            let before = self.bytes.len();
            // Fresh storage is zero without being touched; what is never used is never real.
            let mut larger = vec![0; (before * 2).min(limit)];
            larger[..before].copy_from_slice(&self.bytes);
            give_back(std::mem::replace(&mut self.bytes, larger));
            HELD.set(HELD.get() + self.bytes.len());
        } else {
            return false;
        }
        true
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        give_back(std::mem::take(&mut self.bytes));
    }
}

/// What became of raw bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// Raw bytes looked at and done with.
    pub consumed: usize,
    /// Bytes that may go on in their place.
    pub passed: usize,
}

fn lend(size: usize) -> Vec<u8> {
    let size = if size == BASE && !may_stretch() { SMALL } else { size };
    HELD.set(HELD.get() + size);
    let kept = class(size).and_then(|class| POOL.with_borrow_mut(|pool| pool[class].pop()));
    kept.unwrap_or_else(|| vec![0; size])
}

/// Whether this thread's buffers may grow for slow readers.
pub fn may_stretch() -> bool {
    HELD.get() < PLENTY
}

/// Which storage is kept for later.
const fn class(size: usize) -> Option<usize> {
    match size {
        BASE => Some(0),
        BULK => Some(1),
        _ => None,
    }
}

fn give_back(bytes: Vec<u8>) {
    HELD.set(HELD.get().saturating_sub(bytes.len()));
    let Some(class) = class(bytes.len()) else { return };
    // At the thread's end the pool may be gone already; then the storage is simply freed.
    let _ = POOL.try_with(|pool| {
        let mut pool = pool.borrow_mut();
        if pool[class].len() < KEPT {
            pool[class].push(bytes);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn judging_shortens_in_place_and_keeps_what_follows() {
        let mut buffer = Buffer::default();
        buffer.put(b"abXXcdrest");
        let judged = buffer.judge(|raw| {
            raw.copy_within(4..6, 2);
            Ok::<_, ()>(Judged { consumed: 6, passed: 4 })
        });
        assert_eq!(judged, Ok(Judged { consumed: 6, passed: 4 }));
        assert_eq!(buffer.ready(), b"abcd");
        assert_eq!(buffer.raw(), b"rest");
        buffer.sent(4);
        buffer.skip(4);
        assert!(buffer.is_empty());
    }

    #[test]
    fn an_empty_buffer_gives_its_storage_back() {
        let mut buffer = Buffer::default();
        buffer.put(b"x");
        buffer.release();
        assert_eq!(buffer.raw(), b"x", "not while something is in it");
        buffer.skip(1);
        buffer.release();
        assert!(buffer.bytes.is_empty());
    }

    #[test]
    fn what_all_buffers_hold_is_bounded() {
        let mut many = Vec::new();
        let grown = |limit: usize| {
            let mut buffer = Buffer::default();
            while buffer.make_room(limit) {
                buffer.end = buffer.bytes.len();
            }
            buffer
        };
        while may_stretch() {
            many.push(grown(1024 * 1024));
        }
        let small = many.len();
        while HELD.get() < MOST {
            many.push(grown(1024 * 1024));
        }
        many.push(grown(1024 * 1024));
        assert_eq!(many[small - 1].bytes.len(), 1024 * 1024);
        assert_eq!(many.last().map(|last| last.bytes.len()), Some(SMALL), "it may not grow");
        assert!(HELD.get() < MOST + 2 * 1024 * 1024);
        drop(many);
        assert_eq!(HELD.get(), 0, "all is given back");
        assert_eq!(grown(BASE).bytes.len(), BASE);
    }
}

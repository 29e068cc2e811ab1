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
/// Storage of a buffer through which a large body flows.
pub const BULK: usize = 64 * 1024;
/// Pieces of either size that a thread keeps for later.
const KEPT: usize = 128;

/// Most bytes beyond [`BULK`] that all buffers of a thread together may hold for slow readers.
const MAX_STRETCHED: usize = 64 * 1024 * 1024;

thread_local! {
    static STRETCHED: Cell<usize> = const { Cell::new(0) };
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
            let size = (self.bytes.len() * 2).max(BASE);
            self.bytes.resize(size, 0);
        }
        self.bytes[self.end..self.end + bytes.len()].copy_from_slice(bytes);
        self.end += bytes.len();
    }

    /// Swaps an empty small buffer for a large one, before a large body.
    pub fn widen(&mut self) {
        if self.is_empty() && self.bytes.len() < BULK {
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
        } else if self.bytes.len() < limit {
            let before = self.bytes.len();
            self.bytes.resize((before * 2).min(limit), 0);
            stretched(|sum| sum + self.bytes.len().saturating_sub(before.max(BULK)));
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
    let class = usize::from(size != BASE);
    POOL.with_borrow_mut(|pool| pool[class].pop()).unwrap_or_else(|| vec![0; size])
}

/// Whether this thread's buffers may grow for slow readers.
pub fn may_stretch() -> bool {
    STRETCHED.get() < MAX_STRETCHED
}

fn stretched(change: impl FnOnce(usize) -> usize) {
    STRETCHED.set(change(STRETCHED.get()));
}

fn give_back(bytes: Vec<u8>) {
    stretched(|sum| sum.saturating_sub(bytes.len().saturating_sub(BULK)));
    let class = match bytes.len() {
        BASE => 0,
        BULK => 1,
        _ => return,
    };
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
}

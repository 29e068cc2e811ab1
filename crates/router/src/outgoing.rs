//! A head, or a whole small answer, on its way out.
//!
//! It is kept until its message is over, because a request whose connection turns out stale is sent
//! again. The storage is the thread's and is lent for the time of one message.

use std::cell::RefCell;

/// Pieces of storage that a thread keeps for later.
const KEPT: usize = 256;
/// Larger ones are not kept.
const MAX_KEPT_BYTES: usize = 16 * 1024;

thread_local! {
    static POOL: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes to be written before anything else.
#[derive(Default)]
pub struct Outgoing {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outgoing {
    /// The bytes, to be added to. Nothing of them may have been sent.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        debug_assert!(self.sent == 0, "a head is written before it is sent");
        if self.bytes.capacity() == 0 {
            self.bytes = POOL.with_borrow_mut(Vec::pop).unwrap_or_else(|| Vec::with_capacity(1024));
        }
        &mut self.bytes
    }

    /// What has not been sent yet.
    pub fn left(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Notes that `count` more bytes were sent.
    pub const fn sent(&mut self, count: usize) {
        self.sent += count;
    }

    /// Whether any of it has been sent.
    pub const fn has_begun(&self) -> bool {
        self.sent > 0
    }

    /// All of it is to be sent again.
    pub const fn rewind(&mut self) {
        self.sent = 0;
    }

    /// The message is over: gives the storage back.
    pub fn clear(&mut self) {
        self.sent = 0;
        let mut bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() == 0 || bytes.capacity() > MAX_KEPT_BYTES {
            return;
        }
        bytes.clear();
        // At the thread's end the pool may be gone already; then the storage is simply freed.
        let _ = POOL.try_with(|pool| {
            let mut pool = pool.borrow_mut();
            if pool.len() < KEPT {
                pool.push(bytes);
            }
        });
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        self.clear();
    }
}

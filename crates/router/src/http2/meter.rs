//! How much work a client makes without asking for anything.
//!
//! `h2` bounds the memory of every flood, but answers each ping, setting and reset as fast as a
//! client can send them. The meter reads along: frames that bring no request and no body cost credit,
//! bytes that are written to the client and time bring it back. Without credit a client is hung up on
//! (RFC 9113, 10.5), which is how rapid resets, floods of settings, pings, priorities, window updates
//! and empty frames, and heads in crumbs all end.
//!
//! It also sees that a connection begins with settings (RFC 9113, 3.4), which `h2` does not ask for.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use h2::Reason;
use tokio::time::Instant;

/// What a client has at first, and at most. A page's worth of cancelled images is well within it.
const CREDIT: u32 = 1000;
/// What a second brings back.
const PER_SECOND: u32 = 200;
/// As many bytes written bring one back: whoever downloads must tell that its window is open.
const BYTES_PER_CREDIT: usize = 512;
/// A connection begins with these bytes, which are no frame.
const PREFACE: usize = 24;
/// A frame's head.
const HEAD: usize = 9;
/// The kind of frame that has to come first.
const SETTINGS: u8 = 0x4;

/// A connection's meter.
pub struct Meter {
    frames: RefCell<Frames>,
    credit: Cell<u32>,
    since: Cell<Instant>,
    verdict: Cell<Option<Reason>>,
}

/// Where in the stream of frames the reader stands.
struct Frames {
    head: [u8; HEAD],
    /// Bytes of the head that have come.
    known: usize,
    /// Bytes to be passed over.
    skip: usize,
    /// The kind of the first frame.
    first: Option<u8>,
}

impl Meter {
    /// With all credit, at the start of a connection.
    pub fn new() -> Self {
        let (frames, credit) = (RefCell::new(Frames::new()), Cell::new(CREDIT));
        Self { frames, credit, since: Cell::new(Instant::now()), verdict: Cell::new(None) }
    }

    /// Counts the frames that begin in `bytes`.
    pub fn read(&self, bytes: &[u8]) {
        let mut frames = self.frames.borrow_mut();
        let cost = frames.cost(bytes);
        if frames.first.is_some_and(|kind| kind != SETTINGS) {
            self.verdict.set(Some(Reason::PROTOCOL_ERROR));
        }
        if cost == 0 {
            return;
        }
        let now = Instant::now();
        let gained = earned(now.duration_since(self.since.get()));
        if gained > 0 {
            self.since.set(now);
        }
        let credit = (self.credit.get() + gained).min(CREDIT);
        self.credit.set(credit.saturating_sub(cost));
        if cost >= credit {
            self.verdict.set(Some(Reason::ENHANCE_YOUR_CALM));
        }
    }

    /// The client has been sent so many bytes.
    pub fn wrote(&self, count: usize) {
        let gained = u32::try_from(count / BYTES_PER_CREDIT).unwrap_or(CREDIT).min(CREDIT);
        if gained > 0 {
            self.credit.set((self.credit.get() + gained).min(CREDIT));
        }
    }

    /// Why the client is to be hung up on. Once there is a reason it stays.
    pub fn verdict(&self) -> Option<Reason> {
        self.verdict.get()
    }
}

fn earned(time: Duration) -> u32 {
    let gained = time.as_millis() * u128::from(PER_SECOND) / 1000;
    u32::try_from(gained).unwrap_or(CREDIT).min(CREDIT)
}

impl Frames {
    const fn new() -> Self {
        Self { head: [0; HEAD], known: 0, skip: PREFACE, first: None }
    }

    fn cost(&mut self, mut bytes: &[u8]) -> u32 {
        let mut cost: u32 = 0;
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];
            let count = (HEAD - self.known).min(bytes.len());
            self.head[self.known..self.known + count].copy_from_slice(&bytes[..count]);
            self.known += count;
            bytes = &bytes[count..];
            if self.known == HEAD {
                self.known = 0;
                let [a, b, c, kind, flags, ..] = self.head;
                self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
                self.first.get_or_insert(kind);
                cost = cost.saturating_add(price(kind, flags, self.skip));
            }
        }
        cost
    }
}

/// What a frame costs (RFC 9113, section 6).
const fn price(kind: u8, flags: u8, length: usize) -> u32 {
    const END_STREAM: u8 = 0x1;
    match kind {
        // DATA
        0x0 if length == 0 && flags & END_STREAM == 0 => 5,
        // HEADERS
        0x0 | 0x1 => 0,
        // RST_STREAM
        0x3 => 4,
        // SETTINGS, CONTINUATION
        SETTINGS | 0x9 => 10,
        // PING
        0x6 => 2,
        // PRIORITY, WINDOW_UPDATE, and those that are ignored
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(HEAD + usize::from(length), 0xff);
        frame
    }

    fn cost(bytes: &[u8], piece: usize) -> u32 {
        let mut frames = Frames::new();
        bytes.chunks(piece).map(|piece| frames.cost(piece)).sum()
    }

    fn begin(meter: &Meter) {
        meter.read(&[0; PREFACE]);
        meter.read(&frame(SETTINGS, 0, 0));
    }

    #[test]
    fn settings_come_first() {
        let meter = Meter::new();
        meter.read(&[0; PREFACE]);
        meter.read(&frame(6, 0, 8));
        assert_eq!(meter.verdict(), Some(Reason::PROTOCOL_ERROR));
    }

    #[test]
    fn frames_cost_the_same_however_they_are_cut() {
        let mut bytes = vec![0; PREFACE];
        for (kind, flags, length) in
            [(4, 0, 0), (1, 5, 30), (0, 0, 200), (0, 0, 0), (0, 1, 0), (3, 0, 4), (6, 0, 8)]
        {
            bytes.extend(frame(kind, flags, length));
        }
        for piece in 1..bytes.len() {
            assert_eq!(cost(&bytes, piece), 10 + 5 + 4 + 2, "in pieces of {piece}");
        }
    }

    #[test]
    fn a_flood_uses_the_credit_up_and_a_download_keeps_it() {
        let pings: Vec<u8> = frame(6, 0, 8).repeat(600);
        let meter = Meter::new();
        begin(&meter);
        meter.read(&pings);
        assert_eq!(meter.verdict(), Some(Reason::ENHANCE_YOUR_CALM));
        meter.wrote(1 << 30);
        assert!(meter.verdict().is_some(), "it is over once it is over");

        let updates: Vec<u8> = frame(8, 0, 4).repeat(2);
        let meter = Meter::new();
        begin(&meter);
        for _ in 0..10_000 {
            meter.wrote(16 * 1024);
            meter.read(&updates);
        }
        assert_eq!(meter.verdict(), None);
    }
}

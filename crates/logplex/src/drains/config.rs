//! Bounds, times and doors of drains.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::time::Duration;

use model::drain::Reach;

use super::buffer::Bounds;

/// What is on its way through a TCP connection.
#[derive(Clone, Copy, Debug)]
pub struct Transit {
    /// Bytes written that the other side has not acknowledged.
    pub unacknowledged: u64,
    /// Bytes that the other side has room for.
    pub window: u32,
}

/// Asks the kernel what is on its way through a connection. This room has no way of its own to.
pub type TransitOf = fn(BorrowedFd<'_>) -> io::Result<Transit>;

/// How drains work.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where drains' places are kept; `None` forgets them at the end.
    pub directory: Option<PathBuf>,
    /// Which addresses receivers may have.
    pub reach: Reach,
    /// A file of certificates (PEM) that are trusted beside the machine's.
    pub authorities: Option<PathBuf>,
    /// Asks the kernel about connections.
    pub transit: TransitOf,
    /// Bytes that all drains together may have waiting beyond what each always may.
    pub shared_bytes: usize,
    /// How long things may take.
    pub timing: Timing,
    /// How much may wait for one drain.
    pub bounds: Bounds,
}

/// How long things may take.
#[derive(Clone, Debug)]
pub struct Timing {
    /// A connection must be there within this time, names and TLS included.
    pub connect: Duration,
    /// A request must be answered within this time (Heroku: 5 s).
    pub request: Duration,
    /// The same over OTLP (its specification: 10 s).
    pub otlp_request: Duration,
    /// A syslog receiver that has read nothing for so long is left.
    pub stall: Duration,
    /// A connection that is not used is closed (Heroku: 4 min).
    pub idle: Duration,
    /// A connection is not used for longer (Heroku: 5 h).
    pub age: Duration,
    /// Lines gather for so long before they are one request.
    pub gather: Duration,
    /// Wait after the first failure to connect; then it doubles,
    pub first_wait: Duration,
    /// up to this.
    pub longest_wait: Duration,
    /// Wait before a request is tried a second time; then it doubles,
    pub first_retry: Duration,
    /// up to this.
    pub longest_retry: Duration,
    /// No receiver is left alone for longer because it asks for it.
    pub longest_retry_after: Duration,
    /// A batch that nobody takes is lost after this time.
    pub give_up: Duration,
    /// A drain's losses are said in the app's stream at most so often.
    pub tell_every: Duration,
    /// What waits when the server stops may still be sent for so long.
    pub flush: Duration,
}

impl Config {
    /// Heroku's numbers where nothing speaks against them.
    #[must_use]
    pub fn new(transit: TransitOf) -> Self {
        Self {
            directory: None,
            reach: Reach::default(),
            authorities: None,
            transit,
            shared_bytes: 16 << 20,
            timing: Timing::default(),
            bounds: Bounds {
                lines: 1024,
                bytes: 320 << 10,
                most_lines: 16 << 10,
                most_bytes: 4 << 20,
            },
        }
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(5),
            otlp_request: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            idle: Duration::from_secs(240),
            age: Duration::from_secs(5 * 3600),
            gather: Duration::from_millis(50),
            first_wait: Duration::from_millis(250),
            longest_wait: Duration::from_secs(60),
            first_retry: Duration::from_millis(250),
            longest_retry: Duration::from_secs(10),
            longest_retry_after: Duration::from_secs(60),
            give_up: Duration::from_secs(60),
            tell_every: Duration::from_secs(60),
            flush: Duration::from_secs(1),
        }
    }
}

//! Heads of requests and responses: found, judged strictly, and written anew.
//!
//! [`Scan`] finds a head's end and refuses what cannot be a head while it is still arriving;
//! `httparse` then judges names and values; [`request`] and [`response`] judge what the fields mean
//! together and write the head that goes on. What goes on is canonical by construction: nothing is
//! copied that was not judged.

pub mod request;
pub mod response;

use std::ops::Range;

/// Most fields in one head.
pub const MAX_FIELDS: usize = 1000;
/// Longest name of a request's field.
pub const MAX_NAME: usize = 1000;
/// Longest value of a request's field.
pub const MAX_VALUE: usize = 8192;
/// Longest request line and longest status line.
pub const MAX_FIRST_LINE: usize = 8192;
/// Longest field of a response.
pub const MAX_RESPONSE_FIELD: usize = 512 * 1024;
/// Longest `Set-Cookie` field of a response.
pub const MAX_COOKIE: usize = 8192;
/// Largest head of a request. Heroku tells no such limit; a thousand usual fields fit.
pub const MAX_REQUEST_HEAD: usize = 128 * 1024;
/// Largest head of a response.
pub const MAX_RESPONSE_HEAD: usize = 1024 * 1024;

/// Bytes that cannot become a head, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoHead {
    /// A line ends in a bare LF.
    BareLf,
    /// The first line is too long.
    FirstLine,
    /// Some other line is too long.
    Line,
    /// Too many lines, or too much of all.
    Size,
}

/// Looks for the end of a head as it arrives; remembers where it was, so no byte is looked at twice.
#[derive(Clone, Copy, Debug)]
pub struct Scan {
    line_start: usize,
    seen: usize,
    lines: usize,
    max_line: usize,
    max_head: usize,
}

impl Scan {
    /// For the head of a request.
    pub const fn request() -> Self {
        Self::new(MAX_NAME + MAX_VALUE + 16, MAX_REQUEST_HEAD)
    }

    /// For the head of a response.
    pub const fn response() -> Self {
        Self::new(MAX_RESPONSE_FIELD, MAX_RESPONSE_HEAD)
    }

    const fn new(max_line: usize, max_head: usize) -> Self {
        Self { line_start: 0, seen: 0, lines: 0, max_line, max_head }
    }

    /// Whether it is for the head of a request.
    #[cfg(any(test, feature = "properties"))]
    pub const fn is_of_request(&self) -> bool {
        self.max_head == MAX_REQUEST_HEAD
    }

    /// Length of the head that `bytes` starts with; `None` if its end has not arrived.
    pub fn find_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, NoHead> {
        while let Some(offset) = memchr::memchr(b'\n', &bytes[self.seen..]) {
            let end = self.seen + offset;
            if end == self.line_start || bytes[end - 1] != b'\r' {
                return Err(NoHead::BareLf);
            }
            let length = end - 1 - self.line_start;
            self.check(length)?;
            (self.line_start, self.seen) = (end + 1, end + 1);
            self.lines += 1;
            if length == 0 {
                return Ok(Some(end + 1));
            }
        }
        self.seen = bytes.len();
        self.check((bytes.len() - self.line_start).saturating_sub(1))?;
        if bytes.len() >= self.max_head { Err(NoHead::Size) } else { Ok(None) }
    }

    fn check(&self, line: usize) -> Result<(), NoHead> {
        match self.lines {
            0 if line > MAX_FIRST_LINE => Err(NoHead::FirstLine),
            lines if lines > MAX_FIELDS && line > 0 => Err(NoHead::Size),
            1.. if line > self.max_line => Err(NoHead::Line),
            _ => Ok(()),
        }
    }
}

/// Where the first line of a head is, without its CRLF.
fn first_line(head: &[u8]) -> Range<usize> {
    0..memchr::memchr(b'\r', head).unwrap_or(head.len())
}

/// Writes a number in decimal digits.
fn put_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut first = digits.len();
    loop {
        first -= 1;
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[first..]);
}

/// Writes `name: number`.
fn put_numeric(out: &mut Vec<u8>, name: &str, number: u64) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    put_number(out, number);
    out.extend_from_slice(b"\r\n");
}

/// Writes `name: value`.
fn put(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field whose value is that of all fields of one kind, and then one more member.
fn put_joined<'a>(
    out: &mut Vec<u8>,
    name: &str,
    values: impl Iterator<Item = &'a [u8]>,
    last: &[u8],
) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    for value in values.filter(|value| !value.is_empty()) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
    out.extend_from_slice(last);
    out.extend_from_slice(b"\r\n");
}

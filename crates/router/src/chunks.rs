//! The chunked transfer coding, read strictly and written canonically, in place.
//!
//! What goes on is either the same chunks without extensions, leading zeros or anything odd
//! ([`Emit::Chunks`]), or their content alone ([`Emit::Content`], for HTTP/1.0 clients). The last
//! chunk and its trailers are one piece: nothing of it goes on before all of it is known to be good,
//! so a receiver never takes a broken body for a whole one.

use crate::buffer::Judged;
use crate::fields;

/// Longest size line taken, with its extensions.
const MAX_SIZE_LINE: usize = 1024;
/// Longest last chunk taken, with all trailers.
const MAX_TAIL: usize = 8 * 1024;

/// In which form content goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Emit {
    /// As chunks, trailers included.
    Chunks,
    /// Bare; trailers are dropped.
    Content,
}

/// Bytes that are no chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed chunk")]
pub struct BadChunk;

/// Where in a chunked body the reader stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Size,
    Data(u64),
    DataEnd,
    Done,
}

/// Reader of one chunked body.
#[derive(Clone, Debug)]
pub struct Chunks {
    at: At,
    emit: Emit,
    content: u64,
}

impl Chunks {
    /// A reader at the start of a body.
    pub const fn new(emit: Emit) -> Self {
        Self { at: At::Size, emit, content: 0 }
    }

    /// Whether the last chunk has been read.
    pub const fn is_done(&self) -> bool {
        matches!(self.at, At::Done)
    }

    /// Bytes of content read so far.
    pub const fn content(&self) -> u64 {
        self.content
    }

    /// Judges `bytes` in place. Incomplete lines are left for the next time, and so is what is bad
    /// after something good: the good goes on first.
    pub fn judge(&mut self, bytes: &mut [u8]) -> Result<Judged, BadChunk> {
        let mut done = Judged { consumed: 0, passed: 0 };
        while !self.is_done() {
            match self.step(bytes, &mut done) {
                Ok(true) => {}
                Err(bad) if done.consumed == 0 => return Err(bad),
                Ok(false) | Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Judges one piece; `false` if it has not wholly arrived.
    fn step(&mut self, bytes: &mut [u8], done: &mut Judged) -> Result<bool, BadChunk> {
        let rest = &bytes[done.consumed..];
        match self.at {
            At::Size => return self.size(bytes, done),
            At::Data(_) if rest.is_empty() => return Ok(false),
            At::Data(left) => {
                let count = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                pass(bytes, done, count, count);
                self.content += count as u64;
                let left = left - count as u64;
                self.at = if left == 0 { At::DataEnd } else { At::Data(left) };
            }
            At::DataEnd => {
                match rest {
                    [b'\r', b'\n', ..] => {}
                    [] | [b'\r'] => return Ok(false),
                    _ => return Err(BadChunk),
                }
                pass(bytes, done, 2, if self.emit == Emit::Chunks { 2 } else { 0 });
                self.at = At::Size;
            }
            At::Done => return Ok(false),
        }
        Ok(true)
    }

    fn size(&mut self, bytes: &mut [u8], done: &mut Judged) -> Result<bool, BadChunk> {
        let Some(line) = line(&bytes[done.consumed..], MAX_SIZE_LINE)? else { return Ok(false) };
        let (digits, size) = hex(line)?;
        let line = line.len() + 2;
        if size == 0 {
            return self.tail(bytes, done, line);
        }
        let zeros = bytes[done.consumed..].iter().take_while(|&&b| b == b'0').count();
        match self.emit {
            Emit::Content => pass(bytes, done, line, 0),
            Emit::Chunks => {
                // Leading zeros go, then the digits stay, then an extension goes, the line end stays.
                pass(bytes, done, zeros, 0);
                pass(bytes, done, digits - zeros, digits - zeros);
                pass(bytes, done, line - digits - 2, 0);
                pass(bytes, done, 2, 2);
            }
        }
        self.at = At::Data(size);
        Ok(true)
    }

    /// The last chunk with its trailers, as one piece. `size_line` is the length of its first line.
    fn tail(
        &mut self,
        bytes: &mut [u8],
        done: &mut Judged,
        size_line: usize,
    ) -> Result<bool, BadChunk> {
        let mut end = size_line;
        loop {
            let rest = &bytes[done.consumed + end..];
            let Some(trailer) = line(rest, MAX_TAIL.saturating_sub(end))? else { return Ok(false) };
            end += trailer.len() + 2;
            if trailer.is_empty() {
                break;
            }
            if !fields::is_good_trailer(trailer) {
                return Err(BadChunk);
            }
        }
        match self.emit {
            Emit::Content => pass(bytes, done, end, 0),
            Emit::Chunks => {
                // All but one of the zeros and any extension go; the rest stays.
                bytes[done.consumed + size_line - 3] = b'0';
                pass(bytes, done, size_line - 3, 0);
                pass(bytes, done, end - size_line + 3, end - size_line + 3);
            }
        }
        self.at = At::Done;
        Ok(true)
    }
}

/// Moves the next `keep` of `count` bytes on and drops the others.
fn pass(bytes: &mut [u8], done: &mut Judged, count: usize, keep: usize) {
    if keep > 0 && done.passed < done.consumed {
        bytes.copy_within(done.consumed..done.consumed + keep, done.passed);
    }
    done.consumed += count;
    done.passed += keep;
}

/// The first line of `bytes` without its CRLF; `None` if it has not wholly arrived.
fn line(bytes: &[u8], limit: usize) -> Result<Option<&[u8]>, BadChunk> {
    let window = &bytes[..bytes.len().min(limit)];
    match memchr::memchr(b'\n', window) {
        Some(0) => Err(BadChunk),
        Some(end) if window[end - 1] != b'\r' => Err(BadChunk),
        Some(end) if window[..end - 1].contains(&b'\r') => Err(BadChunk),
        Some(end) => Ok(Some(&window[..end - 1])),
        None if bytes.len() >= limit => Err(BadChunk),
        None => Ok(None),
    }
}

/// The size a size line tells, and how many digits tell it. After the digits only an extension of
/// printable characters may follow.
fn hex(line: &[u8]) -> Result<(usize, u64), BadChunk> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let text = std::str::from_utf8(&line[..digits]).map_err(|_| BadChunk)?;
    // Sixteen digits fill a u64; a larger chunk is an attack.
    if !(1..=16).contains(&digits) {
        return Err(BadChunk);
    }
    let size = u64::from_str_radix(text, 16).map_err(|_| BadChunk)?;
    if size > i64::MAX as u64 {
        return Err(BadChunk);
    }
    match &line[digits..] {
        [] => Ok((digits, size)),
        [b';', extension @ ..] if extension.iter().all(|&b| fields::is_value_byte(b)) => {
            Ok((digits, size))
        }
        _ => Err(BadChunk),
    }
}

#[cfg(test)]
mod tests;

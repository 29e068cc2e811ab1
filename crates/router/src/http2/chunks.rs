//! A response's chunks, taken apart: HTTP/2 frames bodies itself.
//!
//! The chunks were written by the router's own engine or by the platform, so they are canonical;
//! anything else is an error, and the stream is reset.

use std::io;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest trailer section, as in [`crate::chunks`].
const MAX_TAIL: usize = 8 * 1024;
/// How a body ends that has no trailers, from its last chunk's line end on.
pub const USUAL_END: &[u8] = b"\r\n0\r\n\r\n";

/// Where in a chunked body the reader stands.
#[derive(Debug, PartialEq, Eq)]
enum At {
    /// In a size line.
    Size(u64),
    /// Before a size line's LF.
    SizeEnd(u64),
    /// So much content is to come.
    Content(u64),
    /// Before the CR after content.
    ContentEnd,
    /// Before its LF.
    ContentEndLf,
    /// After the last chunk.
    Tail,
    Done,
}

/// Reader of one chunked body.
#[derive(Debug)]
pub struct Unchunked {
    at: At,
    tail: Vec<u8>,
}

impl Unchunked {
    /// At the start of a body.
    pub const fn new() -> Self {
        Self { at: At::Size(0), tail: Vec::new() }
    }

    /// Reads what frames content; answers how many bytes of `bytes` that was.
    pub fn syntax(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for (count, &byte) in bytes.iter().enumerate() {
            self.at = match (&self.at, byte) {
                (At::Content(_) | At::Done, _) => return Ok(count),
                (At::Size(size), b'\r') => At::SizeEnd(*size),
                (At::Size(size), digit) => At::Size(push(*size, digit)?),
                (At::SizeEnd(0), b'\n') => At::Tail,
                (At::SizeEnd(size), b'\n') => At::Content(*size),
                (At::ContentEnd, b'\r') => At::ContentEndLf,
                (At::ContentEndLf, b'\n') => At::Size(0),
                (At::Tail, byte) if self.tail.len() < MAX_TAIL => {
                    self.tail.push(byte);
                    let ended = self.tail == b"\r\n" || self.tail.ends_with(b"\r\n\r\n");
                    if ended { At::Done } else { At::Tail }
                }
                (At::SizeEnd(_) | At::ContentEnd | At::ContentEndLf | At::Tail, _) => {
                    return Err(io::ErrorKind::InvalidData.into());
                }
            };
        }
        Ok(bytes.len())
    }

    /// Content that comes next.
    pub const fn content(&self) -> u64 {
        if let At::Content(left) = self.at { left } else { 0 }
    }

    /// So much of it has been taken.
    pub fn take(&mut self, count: u64) {
        let left = self.content().saturating_sub(count);
        self.at = if left == 0 { At::ContentEnd } else { At::Content(left) };
    }

    /// Whether the body is over.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// Its trailers, once it is over.
    pub fn trailers(&self) -> io::Result<HeaderMap> {
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        let mut trailers = HeaderMap::new();
        for line in self.tail.split(|&b| b == b'\n').map(<[u8]>::trim_ascii) {
            if line.is_empty() {
                continue;
            }
            let colon = line.iter().position(|&b| b == b':').ok_or_else(bad)?;
            let name = HeaderName::from_bytes(&line[..colon]).map_err(|_| bad())?;
            let value = line[colon + 1..].trim_ascii();
            trailers.append(name, HeaderValue::from_bytes(value).map_err(|_| bad())?);
        }
        Ok(trailers)
    }
}

/// `size` with one more hexadecimal digit.
fn push(size: u64, digit: u8) -> io::Result<u64> {
    let digit = char::from(digit).to_digit(16).map(u64::from);
    let size = digit.and_then(|digit| size.checked_mul(16)?.checked_add(digit));
    size.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Content and trailers of `wire`, which comes in pieces of `size`.
    fn read(wire: &[u8], size: usize) -> io::Result<(Vec<u8>, HeaderMap)> {
        let (mut chunks, mut content) = (Unchunked::new(), Vec::new());
        for mut piece in wire.chunks(size) {
            while !piece.is_empty() && !chunks.is_done() {
                piece = &piece[chunks.syntax(piece)?..];
                let count = usize::try_from(chunks.content()).unwrap().min(piece.len());
                if count > 0 {
                    content.extend_from_slice(&piece[..count]);
                    chunks.take(count as u64);
                    piece = &piece[count..];
                }
            }
        }
        assert!(chunks.is_done(), "it ends");
        Ok((content, chunks.trailers()?))
    }

    #[test]
    fn content_and_trailers_are_the_same_however_they_are_cut() {
        let wire = b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\nx-sum: 2\r\n\r\n";
        for size in 1..=wire.len() {
            let (content, trailers) = read(wire, size).unwrap();
            assert_eq!(content, b"abc0123456789abcdef");
            assert_eq!(trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["1", "2"]);
        }
        assert_eq!(read(b"0\r\n\r\n", 1).unwrap(), (Vec::new(), HeaderMap::new()));
    }

    #[test]
    fn what_is_not_canonical_is_an_error() {
        for wire in ["g\r\n", "3 \r\nabc\r\n", "3\nabc", "1\r\nab\r\n", "11111111111111111\r\n"] {
            assert!(read(wire.as_bytes(), 64).is_err(), "{wire:?}");
        }
    }
}

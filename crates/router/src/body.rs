//! How a message's body is framed, and how much of it has gone by.

use crate::buffer::{Buffer, Judged};
use crate::chunks::{BadChunk, Chunks, Emit};

/// How the end of a body is found.
#[derive(Clone, Debug)]
enum Framing {
    Length(u64),
    Chunked(Chunks),
    UntilClose { ended: bool },
}

/// A body on its way.
#[derive(Clone, Debug)]
pub struct Body {
    framing: Framing,
    seen: u64,
}

impl Body {
    /// No body.
    pub const fn none() -> Self {
        Self::length(0)
    }

    /// `length` bytes.
    pub const fn length(length: u64) -> Self {
        Self { framing: Framing::Length(length), seen: 0 }
    }

    /// Chunks.
    pub const fn chunked(emit: Emit) -> Self {
        Self { framing: Framing::Chunked(Chunks::new(emit)), seen: 0 }
    }

    /// Everything up to the end of the stream.
    pub const fn until_close() -> Self {
        Self { framing: Framing::UntilClose { ended: false }, seen: 0 }
    }

    /// Whether all of it has been judged.
    pub const fn is_done(&self) -> bool {
        match &self.framing {
            Framing::Length(left) => *left == 0,
            Framing::Chunked(chunks) => chunks.is_done(),
            Framing::UntilClose { ended } => *ended,
        }
    }

    /// Bytes of content judged so far.
    pub const fn seen(&self) -> u64 {
        match &self.framing {
            Framing::Chunked(chunks) => chunks.content(),
            Framing::Length(_) | Framing::UntilClose { .. } => self.seen,
        }
    }

    /// Whether much more is known to come, so that a large buffer pays.
    pub const fn is_bulky(&self) -> bool {
        match &self.framing {
            Framing::Length(left) => *left > crate::buffer::BASE as u64,
            Framing::Chunked(_) => self.seen() > 0,
            // May be somebody's keystrokes: each read is forwarded at once, as one TLS record.
            Framing::UntilClose { .. } => false,
        }
    }

    /// Judges the raw bytes of `buffer`; those after the body's end stay raw.
    pub fn judge(&mut self, buffer: &mut Buffer) -> Result<(), BadChunk> {
        let raw = buffer.raw().len();
        if raw == 0 {
            return Ok(());
        }
        match &mut self.framing {
            Framing::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(raw);
                *left -= count as u64;
                self.seen += count as u64;
                buffer.pass(count);
            }
            Framing::Chunked(chunks) => {
                let _: Judged = buffer.judge(|bytes| chunks.judge(bytes))?;
            }
            Framing::UntilClose { .. } => {
                self.seen += raw as u64;
                buffer.pass(raw);
            }
        }
        Ok(())
    }

    /// The stream has ended; whether that may be.
    pub const fn end_of_stream(&mut self) -> bool {
        match &mut self.framing {
            Framing::UntilClose { ended } => {
                *ended = true;
                true
            }
            Framing::Length(_) | Framing::Chunked(_) => self.is_done(),
        }
    }
}

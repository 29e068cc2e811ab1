//! A stream's request, read as the bytes of an HTTP/1.1 request.
//!
//! Bytes are taken from the client's flow control window only when somebody reads them: a dyno that
//! reads slowly slows its client down.

use std::io::{self, Write as _};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::RecvStream;
use tokio::io::ReadBuf;

use super::request;

/// How the body is framed in HTTP/1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// By its `content-length`, to which `h2` holds the client.
    Length,
    /// By chunks.
    Chunked,
    /// It is a tunnel: its bytes are another protocol's.
    Tunnel,
}

/// A request that is being read.
pub struct Upload {
    body: RecvStream,
    framing: Framing,
    /// What is read before `data`: the head, and what frames chunks.
    text: Vec<u8>,
    read: usize,
    data: Bytes,
    ended: bool,
}

impl Upload {
    /// A request that begins with `head`.
    pub const fn new(head: Vec<u8>, framing: Framing, body: RecvStream) -> Self {
        let ended = matches!(framing, Framing::None);
        Self { body, framing, text: head, read: 0, data: Bytes::new(), ended }
    }

    /// Whether all of it has been read.
    pub fn is_over(&self) -> bool {
        self.ended && self.text.is_empty() && self.data.is_empty()
    }

    /// Whether its end is the end of everything that the client says.
    pub fn is_tunnel(&self) -> bool {
        self.framing == Framing::Tunnel
    }

    /// Reads what there is; 0 bytes mean that all of it has been read.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        loop {
            self.give(buf);
            let count = buf.filled().len() - before;
            if buf.remaining() == 0 || self.is_over() {
                return Poll::Ready(Ok(count));
            }
            match self.poll_more(cx) {
                Poll::Ready(Ok(())) => {}
                // An error is still there when it is asked for again.
                Poll::Ready(Err(_)) | Poll::Pending if count > 0 => return Poll::Ready(Ok(count)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Gives what has come.
    fn give(&mut self, buf: &mut ReadBuf<'_>) {
        loop {
            let text = &self.text[self.read..];
            let count = text.len().min(buf.remaining());
            buf.put_slice(&text[..count]);
            self.read += count;
            if self.read < self.text.len() {
                return;
            }
            self.text.clear();
            self.read = 0;
            if self.data.is_empty() {
                return;
            }
            let count = self.data.len().min(buf.remaining());
            buf.put_slice(&self.data[..count]);
            self.data.advance(count);
            // It cannot fail: no more is released than was received.
            let _ = self.body.flow_control().release_capacity(count);
            if !self.data.is_empty() {
                return;
            }
            if self.framing == Framing::Chunked {
                self.text.extend_from_slice(b"\r\n");
            }
        }
    }

    /// Takes the next frame in.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(self.body.poll_data(cx)) {
            // An empty chunk would end the body.
            Some(Ok(data)) if data.is_empty() => {}
            Some(Ok(data)) => {
                if self.framing == Framing::Chunked {
                    write!(self.text, "{:x}\r\n", data.len())?;
                }
                self.data = data;
            }
            Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
            None => {
                let trailers = ready!(self.body.poll_trailers(cx)).map_err(io::Error::other)?;
                self.ended = true;
                if self.framing == Framing::Chunked {
                    self.text.extend_from_slice(b"0\r\n");
                    for (name, value) in trailers.iter().flatten() {
                        request::put(&mut self.text, name.as_str().as_bytes(), value.as_bytes());
                    }
                    self.text.extend_from_slice(b"\r\n");
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

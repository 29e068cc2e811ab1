//! The bytes of an HTTP/2 connection, with a meter on them.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Meter;
use crate::socket::Socket;

/// A connection whose frames are counted as they come. It is shared with whoever closes it: `h2`
/// keeps what it is given, and drops it at once.
pub struct Metered {
    socket: Rc<RefCell<Socket>>,
    meter: Rc<Meter>,
}

impl Metered {
    /// Puts `meter` on `socket`.
    pub const fn new(socket: Rc<RefCell<Socket>>, meter: Rc<Meter>) -> Self {
        Self { socket, meter }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.verdict().is_some() {
            // Nothing more is heard. Whoever polls looks at the meter next, so no wake-up is needed.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(self.socket.borrow_mut().poll_read(cx, buf))?;
        self.meter.read(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let count = ready!(self.socket.borrow_mut().poll_write_both(cx, bytes, &[]))?;
        self.meter.wrote(count);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.borrow_mut().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.borrow_mut().poll_finish(cx)
    }
}

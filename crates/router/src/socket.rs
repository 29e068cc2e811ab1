//! One connection's bytes, plain or through TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::http2::Stream;

/// A connection to a client or a dyno.
pub enum Socket {
    /// Bytes as they are.
    Plain(TcpStream),
    /// Bytes inside TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// The near end of a pair whose far end the platform serves.
    Unix(UnixStream),
    /// A client's stream of an HTTP/2 connection.
    Stream(Box<Stream>),
}

impl Socket {
    /// The TLS session, if there is one.
    pub fn tls(&self) -> Option<&rustls::ServerConnection> {
        match self {
            Self::Plain(_) | Self::Unix(_) | Self::Stream(_) => None,
            Self::Tls(stream) => Some(stream.get_ref().1),
        }
    }

    /// Reads once.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Stream(stream) => stream.poll_read(cx, buf),
        }
    }

    /// Writes some of `first`, then of `second`, in one call if it can be.
    pub fn poll_write_both(
        &mut self,
        cx: &mut Context<'_>,
        first: &[u8],
        second: &[u8],
    ) -> Poll<io::Result<usize>> {
        let only = if first.is_empty() { second } else { first };
        let both = [IoSlice::new(first), IoSlice::new(second)];
        let count = if first.is_empty() || second.is_empty() {
            ready!(match self {
                Self::Plain(stream) => Pin::new(stream).poll_write(cx, only),
                Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, only),
                Self::Unix(stream) => Pin::new(stream).poll_write(cx, only),
                Self::Stream(stream) => stream.poll_write(cx, only),
            })
        } else {
            ready!(match self {
                Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, &both),
                Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write_vectored(cx, &both),
                Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, &both),
                Self::Stream(stream) => stream.poll_write(cx, first),
            })
        }?;
        if count == 0 {
            Poll::Ready(Err(io::ErrorKind::WriteZero.into()))
        } else {
            Poll::Ready(Ok(count))
        }
    }

    /// Sends what TLS still holds back.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            // What a stream is given is sent by its connection.
            Self::Plain(_) | Self::Unix(_) | Self::Stream(_) => Poll::Ready(Ok(())),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    /// Says that nothing more will be written. Reading goes on.
    pub fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Stream(stream) => Poll::Ready(stream.finish()),
        }
    }

    /// Whether something, be it the end, can be read, as far as the runtime has noticed.
    pub fn has_known_news(&self) -> bool {
        match self {
            Self::Plain(stream) => !would_block(stream.try_read(&mut [0])),
            // Only connections to dynos are asked, and those are plain.
            Self::Tls(_) | Self::Unix(_) | Self::Stream(_) => true,
        }
    }

    /// Whether something, be it the end, can be read. Asks the kernel.
    pub fn has_news(&self) -> bool {
        let mut byte = [std::mem::MaybeUninit::uninit()];
        match self {
            Self::Plain(stream) => !would_block(socket2::SockRef::from(stream).peek(&mut byte)),
            Self::Tls(_) | Self::Unix(_) | Self::Stream(_) => true,
        }
    }
}

fn would_block(result: io::Result<usize>) -> bool {
    result.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

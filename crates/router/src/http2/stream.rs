//! One stream, as the connection of a client that sends one request over HTTP/1.1.

use std::io;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;
use tokio::io::ReadBuf;
use uuid::Uuid;

use super::download::Download;
use super::request;
use super::upload::Upload;

/// Room for a usual head.
const HEAD: usize = 512;

/// A stream. Reading gives the request; when that is over, nothing until the response is over, and
/// then the end. Dropping it before resets the stream.
pub struct Stream {
    upload: Upload,
    download: Download,
    /// Who waits for the end.
    reader: Option<Waker>,
}

impl Stream {
    /// The stream that `request` has opened. `nonce` is used if it asks for a WebSocket.
    pub fn new(request: Request<RecvStream>, respond: SendResponse<Bytes>, nonce: Uuid) -> Self {
        let (parts, body) = request.into_parts();
        let framing = request::framing(&parts, body.is_end_stream());
        let mut head = Vec::with_capacity(HEAD);
        request::write(&parts, framing, nonce, &mut head);
        let upload = Upload::new(head, framing, body);
        let download = Download::new(respond, parts.method);
        Self { upload, download, reader: None }
    }

    /// Reads once.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.upload.is_over() && ready!(self.upload.poll_read(cx, buf))? > 0 {
            return Poll::Ready(Ok(()));
        }
        if self.download.is_over() || self.upload.is_tunnel() {
            return Poll::Ready(Ok(()));
        }
        if self.download.poll_reset(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        self.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Writes some of `bytes`, which are not empty.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = self.download.poll_write(cx, bytes);
        self.notice_end();
        result
    }

    /// Says that nothing more will be written.
    pub fn finish(&mut self) -> io::Result<()> {
        let result = self.download.finish();
        self.notice_end();
        result
    }

    fn notice_end(&mut self) {
        if self.download.is_over()
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
    }
}

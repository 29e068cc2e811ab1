//! A stream's response, written as the bytes of an HTTP/1.1 response.
//!
//! Nothing is taken that the client's flow control window has no room for, so a client that reads
//! slowly slows its dyno down, and is found idle, as over HTTP/1.1.

use std::io;
use std::mem::MaybeUninit;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode};
use httparse::Header;

use super::chunks::{USUAL_END, Unchunked};
use crate::head::{MAX_FIELDS, MAX_RESPONSE_HEAD};

/// How far the response has come.
#[derive(Debug)]
enum State {
    /// A head is to come, of which this has.
    Head(Vec<u8>),
    /// So much body is to come.
    Length(u64),
    /// Chunks are to come.
    Chunks(Unchunked),
    /// Everything to come is body.
    UntilEnd,
    Done,
}

/// A response that is being written.
pub struct Download {
    respond: SendResponse<Bytes>,
    body: Option<SendStream<Bytes>>,
    method: Method,
    state: State,
}

impl Download {
    /// The response to a request with this method.
    pub const fn new(respond: SendResponse<Bytes>, method: Method) -> Self {
        Self { respond, body: None, method, state: State::Head(Vec::new()) }
    }

    /// Whether all of it has been written.
    pub const fn is_over(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// Ready when the client wants no more of the response, or is gone.
    pub fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.body {
            Some(body) => body.poll_reset(cx).map(|_| ()),
            None => self.respond.poll_reset(cx).map(|_| ()),
        }
    }

    /// Writes some of `bytes`.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.state {
            State::Head(_) => Poll::Ready(self.write_head(bytes)),
            State::Length(left) => {
                let count = ready!(self.poll_room(cx, at_most(left, bytes.len())))?;
                let left = left - count as u64;
                self.send(&bytes[..count], left == 0)?;
                if left > 0 {
                    self.state = State::Length(left);
                }
                Poll::Ready(Ok(count))
            }
            State::Chunks(_) => self.poll_write_chunks(cx, bytes),
            State::UntilEnd => {
                let count = ready!(self.poll_room(cx, bytes.len()))?;
                self.send(&bytes[..count], false)?;
                Poll::Ready(Ok(count))
            }
            // What comes after the end is nobody's.
            State::Done => Poll::Ready(Ok(bytes.len())),
        }
    }

    /// Ends a body that ends with its connection.
    pub fn finish(&mut self) -> io::Result<()> {
        match self.state {
            State::UntilEnd => self.send(&[], true),
            State::Done => Ok(()),
            State::Head(_) | State::Length(_) | State::Chunks(_) => {
                Err(io::ErrorKind::UnexpectedEof.into())
            }
        }
    }

    /// Takes a head in, or a part of it; answers how many bytes that was.
    fn write_head(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let State::Head(held) = &mut self.state else { return Ok(0) };
        let before = held.len();
        if before == 0
            && let Some((length, head)) = Head::read(bytes)?
        {
            return self.answer(head).map(|()| length);
        }
        held.extend_from_slice(bytes);
        if held.len() > MAX_RESPONSE_HEAD + bytes.len() {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let held = std::mem::take(held);
        match Head::read(&held)? {
            Some((length, head)) => {
                self.state = State::Head(Vec::new());
                self.answer(head).map(|()| length - before)
            }
            None => {
                self.state = State::Head(held);
                Ok(bytes.len())
            }
        }
    }

    fn answer(&mut self, head: Head) -> io::Result<()> {
        let Head { mut response, length, chunked } = head;
        let status = response.status();
        if status == StatusCode::SWITCHING_PROTOCOLS && self.method == Method::CONNECT {
            // RFC 8441, 5: the tunnel is open; keys are not exchanged.
            *response.status_mut() = StatusCode::OK;
            response.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
            self.state = State::UntilEnd;
            self.body =
                Some(self.respond.send_response(response, false).map_err(io::Error::other)?);
            return Ok(());
        }
        if status.is_informational() {
            return self.respond.send_informational(response).map_err(io::Error::other);
        }
        let bodiless = self.method == Method::HEAD
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        self.state = match length {
            _ if bodiless => State::Done,
            _ if chunked => State::Chunks(Unchunked::new()),
            Some(0) => State::Done,
            Some(length) => State::Length(length),
            None => State::UntilEnd,
        };
        let over = self.is_over();
        self.body = Some(self.respond.send_response(response, over).map_err(io::Error::other)?);
        Ok(())
    }

    fn poll_write_chunks(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut done = 0;
        loop {
            let State::Chunks(chunks) = &mut self.state else { return Poll::Ready(Ok(done)) };
            done += chunks.syntax(&bytes[done..])?;
            if chunks.is_done() {
                let trailers = chunks.trailers()?;
                self.end(trailers)?;
                return Poll::Ready(Ok(done));
            }
            let rest = &bytes[done..];
            let content = chunks.content();
            let want = at_most(content, rest.len());
            if want == 0 {
                return Poll::Ready(Ok(done));
            }
            let count = match self.poll_room(cx, want) {
                Poll::Ready(count) => count?,
                Poll::Pending if done > 0 => return Poll::Ready(Ok(done)),
                Poll::Pending => return Poll::Pending,
            };
            done += count;
            if count as u64 == content && rest[count..].starts_with(USUAL_END) {
                self.send(&rest[..count], true)?;
                return Poll::Ready(Ok(done + USUAL_END.len()));
            }
            self.send(&rest[..count], false)?;
            if let State::Chunks(chunks) = &mut self.state {
                chunks.take(count as u64);
            }
        }
    }

    /// How much of `wanted` the client's window has room for.
    fn poll_room(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        body.reserve_capacity(wanted);
        loop {
            let room = body.capacity();
            if room > 0 {
                return Poll::Ready(Ok(room.min(wanted)));
            }
            match ready!(body.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            }
        }
    }

    fn send(&mut self, bytes: &[u8], last: bool) -> io::Result<()> {
        if last {
            self.state = State::Done;
        }
        let body = self.body.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        body.send_data(Bytes::copy_from_slice(bytes), last).map_err(io::Error::other)
    }

    fn end(&mut self, trailers: http::HeaderMap) -> io::Result<()> {
        if trailers.is_empty() {
            return self.send(&[], true);
        }
        self.state = State::Done;
        let body = self.body.as_mut().ok_or(io::ErrorKind::NotConnected)?;
        body.send_trailers(trailers).map_err(io::Error::other)
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.is_over() {
            // Half an answer must not look like a whole one.
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
    }
}

/// A response's head, and how its body is framed in HTTP/1.1.
struct Head {
    response: Response<()>,
    length: Option<u64>,
    chunked: bool,
}

impl Head {
    /// The head that `bytes` starts with, and its length; `None` if its end has not come.
    fn read(bytes: &[u8]) -> io::Result<Option<(usize, Self)>> {
        let bad = || io::Error::from(io::ErrorKind::InvalidData);
        let mut storage = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parse = config.parse_response_with_uninit_headers(&mut parsed, bytes, &mut storage);
        let httparse::Status::Complete(size) = parse.map_err(|_| bad())? else { return Ok(None) };
        let status =
            parsed.code.and_then(|code| StatusCode::from_u16(code).ok()).ok_or_else(bad)?;
        let mut head = Self { response: Response::new(()), length: None, chunked: false };
        *head.response.status_mut() = status;
        // One piece of memory for all values.
        let text = Bytes::copy_from_slice(&bytes[..size]);
        for field in &*parsed.headers {
            let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| bad())?;
            let start = field.value.as_ptr() as usize - bytes.as_ptr() as usize;
            let value = text.slice(start..start + field.value.len());
            let value = HeaderValue::from_maybe_shared(value).map_err(|_| bad())?;
            head.add(name, value)?;
        }
        Ok(Some((size, head)))
    }

    /// Takes one field in. Those of a connection have no place in HTTP/2.
    fn add(&mut self, name: HeaderName, value: HeaderValue) -> io::Result<()> {
        if name == TRANSFER_ENCODING {
            self.chunked = true;
            return Ok(());
        }
        if name == CONNECTION
            || name == UPGRADE
            || name == "keep-alive"
            || name == "proxy-connection"
        {
            return Ok(());
        }
        if name == CONTENT_LENGTH {
            let length = value.to_str().ok().and_then(|text| text.parse().ok());
            self.length = Some(length.ok_or(io::ErrorKind::InvalidData)?);
        }
        self.response.headers_mut().append(name, value);
        Ok(())
    }
}

fn at_most(limit: u64, count: usize) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX).min(count)
}

//! One request and its response, between one client and one dyno.
//!
//! Both directions move at once from the first byte on: a response may come before the request has
//! been sent, and then reaches the client.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use model::codes::HCode;

use crate::admission::Origin;
use crate::body::Body;
use crate::buffer::BASE;
use crate::chunks::Emit;
use crate::head::request::{Afterwards, Request, Verb};
use crate::head::response::{Response, Reuse};
use crate::head::{MAX_RESPONSE_HEAD, Scan};
use crate::thread::Thread;
use crate::timer::Timer;
use crate::transfer::{Broken, End, Transfer, Waits};

/// How far the request has been sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Upload {
    /// Some of it has not.
    Sending,
    /// All of it has.
    Sent,
    /// The dyno takes no more of it; it may have answered nevertheless.
    Refused,
}

/// Why there is no response to relay. Nothing has been sent to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// A used connection was closed before the request got anywhere: send it on another.
    Stale,
    /// The dyno or the client failed.
    Error(HCode),
    /// The client's body is malformed.
    BadBody,
}

/// A response that was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// The status the client got.
    pub status: u16,
    /// Bytes of body sent to it.
    pub bytes: u64,
    /// What was told to the client about its connection; a broken response closes it in any case.
    pub afterwards: Afterwards,
    /// How it broke, if it did.
    pub broken: Option<HCode>,
}

/// What the dyno answers with.
pub enum Answer {
    /// A response that now is to be relayed.
    Response(Download),
    /// It takes up another protocol; its head for the client is written.
    Upgrade(Transfer),
}

/// A response's body on its way.
pub struct Download {
    transfer: Transfer,
    status: u16,
    afterwards: Afterwards,
    reuse: Reuse,
}

/// A request on its way.
pub struct Exchange<'a> {
    /// What they share.
    pub thread: &'a Thread,
    /// The request.
    pub request: &'a Request,
    /// Who sent it.
    pub client: &'a mut End,
    /// Who is to answer it. Its head is the request's.
    pub dyno: &'a mut End,
    /// The connection's timer.
    pub timer: &'a mut Timer,
    origin: Origin,
    upload: Upload,
    sending: Transfer,
    scan: Scan,
}

impl<'a> Exchange<'a> {
    /// Of `request` from `client` with `dyno`.
    pub fn new(
        (thread, request): (&'a Thread, &'a Request),
        client: &'a mut End,
        (dyno, origin): (&'a mut End, Origin),
        timer: &'a mut Timer,
    ) -> Self {
        let body = match request.body {
            declared if declared.chunked => Body::chunked(Emit::Chunks),
            declared => Body::length(declared.length.unwrap_or_default()),
        };
        timer.set(thread.timeouts.idle);
        let (sending, scan) = (Transfer::new(body), Scan::response());
        let upload = Upload::Sending;
        Self { thread, request, client, dyno, timer, origin, upload, sending, scan }
    }

    /// Sends the request until the head of its answer has arrived and is written for the client.
    pub async fn answer(&mut self) -> Result<Answer, Failure> {
        let length = poll_fn(|cx| self.poll_head(cx)).await?;
        let response = Response::read(&self.dyno.input.raw()[..length]).map_err(Failure::Error)?;
        if response.is_upgrade() && !self.request.upgrades {
            return Err(Failure::Error(HCode::H17));
        }
        let status = response.status;
        let (body, reuse) = (response.body(self.request), response.reuse(self.request));
        let afterwards = self.afterwards(&response);
        response.write(self.request, afterwards, self.client.head.bytes());
        let upgrade = response.is_upgrade();
        self.dyno.input.skip(length);
        if upgrade {
            return Ok(Answer::Upgrade(self.unsent()));
        }
        let transfer = Transfer::new(body).reading_ahead(self.thread.limits.response_buffer);
        Ok(Answer::Response(Download { transfer, status, afterwards, reuse }))
    }

    /// Relays the response to its end. Also tells whether the dyno's connection can be used again.
    pub async fn relay(&mut self, mut download: Download) -> Result<(Relayed, Reuse), Failure> {
        let broken = poll_fn(|cx| self.poll_relay(cx, &mut download)).await.err();
        if let Some(code) = broken
            && !self.client.head.has_begun()
        {
            return Err(Failure::Error(code));
        }
        let Download { transfer, status, afterwards, reuse } = download;
        let bytes = transfer.body.seen();
        let clean = broken.is_none() && self.upload == Upload::Sent && self.dyno.input.is_empty();
        let reuse = if clean { reuse } else { Reuse::Drop };
        Ok((Relayed { status, bytes, afterwards, broken }, reuse))
    }

    /// Whether the client has still body to send that nobody will read.
    pub const fn is_unfinished(&self) -> bool {
        !matches!(self.upload, Upload::Sent)
    }

    /// What has not been sent of the request.
    fn unsent(&mut self) -> Transfer {
        let body =
            if self.upload == Upload::Sent { Body::none() } else { self.sending.body.clone() };
        Transfer::new(body)
    }

    fn afterwards(&self, response: &Response<'_>) -> Afterwards {
        let ends = self.upload == Upload::Sent
            && response.delimits_itself(self.request)
            && !self.thread.drain.is_cancelled();
        if ends { self.request.afterwards } else { Afterwards::Close }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        self.poll_upload(cx)?;
        loop {
            if let Some(length) = self.find_head()? {
                return Poll::Ready(Ok(length));
            }
            match self.dyno.poll_fill(cx, MAX_RESPONSE_HEAD) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) if count > 0 => self.timer.set(self.thread.timeouts.idle),
                Poll::Ready(_) => return Poll::Ready(Err(self.dyno_left())),
            }
        }
        self.watch_client(cx).map_err(Failure::Error)?;
        ready!(self.timer.poll(cx));
        Poll::Ready(Err(Failure::Error(self.head_timeout())))
    }

    /// Length of the final response's head, if it has arrived. Interim ones are swallowed.
    fn find_head(&mut self) -> Result<Option<usize>, Failure> {
        loop {
            let raw = self.dyno.input.raw();
            let length = match self.scan.find_end(raw) {
                Ok(Some(length)) => length,
                Ok(None) => return Ok(None),
                Err(reason) => return Err(Failure::Error(reason.into())),
            };
            // Only a status that starts with 1 can be interim; others are read once, by the caller.
            let maybe_interim = raw.get(9) == Some(&b'1');
            if !maybe_interim || !Response::read(&raw[..length]).is_ok_and(|r| r.is_interim()) {
                return Ok(Some(length));
            }
            self.dyno.input.skip(length);
            self.scan = Scan::response();
        }
    }

    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        if self.upload != Upload::Sending {
            return Ok(());
        }
        let result = self.sending.poll(cx, self.client, self.dyno);
        match result {
            Poll::Pending => {
                if self.sending.has_moved() {
                    self.timer.set(self.thread.timeouts.idle);
                }
                return Ok(());
            }
            Poll::Ready(Ok(())) => self.upload = Upload::Sent,
            Poll::Ready(Err(Broken::Receiver)) => self.upload = Upload::Refused,
            Poll::Ready(Err(Broken::Sender)) => return Err(Failure::Error(HCode::H27)),
            Poll::Ready(Err(Broken::Malformed)) => return Err(Failure::BadBody),
        }
        self.timer.set(self.thread.timeouts.first_byte);
        Ok(())
    }

    /// Notices a client that goes away while it has nothing to send. What it sends is kept for later,
    /// as much as fits.
    fn watch_client(&mut self, cx: &mut Context<'_>) -> Result<(), HCode> {
        if self.upload == Upload::Sending {
            return Ok(());
        }
        loop {
            match self.client.poll_fill(cx, BASE) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Err(HCode::H27),
            }
        }
    }

    fn poll_relay(
        &mut self,
        cx: &mut Context<'_>,
        download: &mut Download,
    ) -> Poll<Result<(), HCode>> {
        self.poll_upload(cx).map_err(|failure| match failure {
            Failure::Error(code) => code,
            // The status is out already: all that is left is to cut.
            Failure::BadBody | Failure::Stale => HCode::H27,
        })?;
        let transfer = &mut download.transfer;
        match transfer.poll(cx, self.dyno, self.client) {
            Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
            Poll::Ready(Err(Broken::Receiver)) => return Poll::Ready(Err(HCode::H27)),
            Poll::Ready(Err(Broken::Sender)) => return Poll::Ready(Err(HCode::H18)),
            Poll::Ready(Err(Broken::Malformed)) => return Poll::Ready(Err(HCode::H17)),
            Poll::Pending => {}
        }
        if transfer.has_moved() {
            self.timer.set(self.thread.timeouts.idle);
        }
        self.watch_client(cx)?;
        ready!(self.timer.poll(cx));
        Poll::Ready(Err(match download.transfer.waits {
            Waits::ForReceiver => HCode::H28,
            Waits::ForSender => HCode::H15,
        }))
    }

    fn dyno_left(&self) -> Failure {
        let silent = self.dyno.input.is_empty();
        if silent && self.origin == Origin::Pooled && self.can_be_sent_again() {
            return Failure::Stale;
        }
        let complete = silent && self.upload == Upload::Sent;
        Failure::Error(if complete { HCode::H13 } else { HCode::H18 })
    }

    /// Whether sending the request again can do no harm that sending it once has not done.
    fn can_be_sent_again(&self) -> bool {
        let has_body = self.request.body.chunked || self.request.body.length.is_some_and(|n| n > 0);
        let untouched = !self.dyno.head.has_begun();
        let harmless = has_body || self.request.verb != Verb::Other;
        untouched || (self.sending.sent == 0 && harmless)
    }

    const fn head_timeout(&self) -> HCode {
        match (self.upload, self.sending.waits) {
            (Upload::Sending, Waits::ForSender) => HCode::H28,
            (Upload::Sending, Waits::ForReceiver) => HCode::H15,
            (Upload::Sent | Upload::Refused, _) => HCode::H12,
        }
    }
}

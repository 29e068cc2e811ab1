//! One request and its response, between one client and one dyno.
//!
//! Both directions move at once from the first byte on: a response may come before the request has
//! been sent, and then reaches the client.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use model::DynoId;
use model::codes::HCode;
use model::routes::Continuation;

use crate::admission::Origin;
use crate::body::Body;
use crate::buffer::BASE;
use crate::chunks::Emit;
use crate::head::request::{Afterwards, Request, Verb, Version};
use crate::head::response::{Response, Reuse, Told};
use crate::head::{MAX_RESPONSE_HEAD, Scan};
use crate::pace::{Pace, TooSlow};
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

/// Signs of life taken before one answer.
const MAX_INTERIM: usize = 32;

/// What becomes of a dyno's `100 Continue`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hundred {
    /// The client did not ask for it, or has it from the router.
    Swallowed,
    /// The client waits for it.
    Awaited,
    /// The client has it.
    Relayed,
}

/// What has arrived of a dyno's answer.
enum Arrived {
    /// A head of this length: the answer's.
    Answer(usize),
    /// A sign of life; it is written for the client if it is for it.
    Interim,
    /// Not enough.
    Part,
}

/// Why there is no response to relay. Nothing of one has been sent to the client.
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
    pace: Pace,
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
    pace: Pace,
    scan: Scan,
    interim: usize,
    hundred: Hundred,
    session: Option<DynoId>,
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
        Self {
            thread,
            request,
            client,
            dyno,
            timer,
            origin,
            upload: Upload::Sending,
            sending: Transfer::new(body),
            pace: Pace::new(thread, Waits::ForSender),
            scan: Scan::response(),
            interim: 0,
            hundred: Hundred::Swallowed,
            session: None,
        }
    }

    /// The same, where `continuation` says who tells the client to continue.
    pub fn continued_by(mut self, continuation: Continuation) -> Self {
        if self.request.expects_continue && continuation == Continuation::Dyno {
            self.hundred = Hundred::Awaited;
        }
        self
    }

    /// The same, where the visitor is told to stay with a dyno.
    pub fn staying_with(self, session: Option<DynoId>) -> Self {
        Self { session, ..self }
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
        let told = Told { afterwards, session: self.session };
        response.write(self.request, told, self.client.head.bytes());
        let upgrade = response.is_upgrade();
        self.dyno.input.skip(length);
        if upgrade {
            return Ok(Answer::Upgrade(self.unsent()));
        }
        let transfer = Transfer::new(body).reading_ahead(self.thread.limits.response_buffer);
        let pace = Pace::new(self.thread, Waits::ForReceiver);
        Ok(Answer::Response(Download { transfer, pace, status, afterwards, reuse }))
    }

    /// Relays the response to its end. Also tells whether the dyno's connection can be used again.
    pub async fn relay(&mut self, mut download: Download) -> Result<(Relayed, Reuse), Failure> {
        let broken = poll_fn(|cx| self.poll_relay(cx, &mut download)).await.err();
        if let Some(code) = broken
            && !self.client.head.has_begun()
        {
            return Err(Failure::Error(code));
        }
        let Download { transfer, status, afterwards, reuse, .. } = download;
        let bytes = transfer.body.seen();
        let clean = broken.is_none() && self.upload == Upload::Sent && self.dyno.input.is_empty();
        let reuse = if clean { reuse } else { Reuse::Drop };
        Ok((Relayed { status, bytes, afterwards, broken }, reuse))
    }

    /// Whether the client has still body to send that nobody will read.
    pub const fn is_unfinished(&self) -> bool {
        !matches!(self.upload, Upload::Sent)
    }

    /// Whether the client, after this failure, can be told nothing: it has gone, or has half of
    /// something already.
    pub const fn leaves_nothing_to_say(&self, code: HCode) -> bool {
        matches!(code, HCode::H27 | HCode::H28) || self.client.head.has_begun()
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
            && !self.thread.is_draining();
        if ends { self.request.afterwards } else { Afterwards::Close }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Failure>> {
        self.poll_upload(cx)?;
        if self.upload == Upload::Sending && self.pace.check(&self.sending) == Err(TooSlow) {
            return Poll::Ready(Err(Failure::Error(HCode::H28)));
        }
        loop {
            if self.poll_interim(cx)?.is_pending() {
                break;
            }
            match self.look()? {
                Arrived::Answer(length) => return Poll::Ready(Ok(length)),
                Arrived::Interim => continue,
                Arrived::Part => {}
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

    /// Finds the end of the next head of the dyno's.
    fn look(&mut self) -> Result<Arrived, Failure> {
        let raw = self.dyno.input.raw();
        let length = match self.scan.find_end(raw) {
            Ok(Some(length)) => length,
            Ok(None) => return Ok(Arrived::Part),
            Err(reason) => return Err(Failure::Error(reason.into())),
        };
        // Only a status that starts with 1 can be interim; others are read once, by the caller.
        let maybe_interim = raw.get(9) == Some(&b'1');
        match maybe_interim.then(|| Response::read(&raw[..length])) {
            Some(Ok(response)) if response.is_interim() => {
                let goes_on = passes(&response, self.request.version, &mut self.hundred)?;
                if goes_on {
                    response.write_interim(self.client.head.bytes());
                }
            }
            _ => return Ok(Arrived::Answer(length)),
        }
        self.interim += 1;
        if self.interim > MAX_INTERIM {
            return Err(Failure::Error(HCode::H17));
        }
        self.dyno.input.skip(length);
        self.scan = Scan::response();
        Ok(Arrived::Interim)
    }

    /// Sends a sign of life on, before anything else is heard of the dyno.
    fn poll_interim(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        if self.client.head.left().is_empty() {
            return Ok(Poll::Ready(()));
        }
        match self.client.poll_write_head(cx) {
            Poll::Pending => Ok(Poll::Pending),
            Poll::Ready(Ok(())) => {
                self.client.head.clear();
                Ok(Poll::Ready(()))
            }
            Poll::Ready(Err(_)) => Err(Failure::Error(HCode::H27)),
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
        download.pace.check(transfer).map_err(|TooSlow| HCode::H28)?;
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
        let untouched = !self.dyno.head.has_begun();
        let harmless = self.request.has_body() || self.request.verb != Verb::Other;
        untouched || (self.sending.sent == 0 && harmless)
    }

    const fn head_timeout(&self) -> HCode {
        match (self.upload, self.sending.waits) {
            // The client may be waiting for the dyno's word.
            (Upload::Sending, Waits::ForSender) if matches!(self.hundred, Hundred::Awaited) => {
                HCode::H12
            }
            (Upload::Sending, Waits::ForSender) => HCode::H28,
            (Upload::Sending, Waits::ForReceiver) => HCode::H15,
            (Upload::Sent | Upload::Refused, _) => HCode::H12,
        }
    }
}

/// Whether the client gets a sign of life. A client of HTTP/1.0 knows none.
fn passes(
    response: &Response<'_>,
    version: Version,
    hundred: &mut Hundred,
) -> Result<bool, Failure> {
    match (response.status, *hundred) {
        (100, Hundred::Swallowed) => Ok(false),
        (100, Hundred::Awaited) => {
            *hundred = Hundred::Relayed;
            Ok(true)
        }
        // After it only an answer may come.
        (100, Hundred::Relayed) => Err(Failure::Error(HCode::H17)),
        _ => Ok(version != Version::Http10),
    }
}

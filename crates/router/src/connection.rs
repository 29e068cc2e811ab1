//! One client's connection: request after request, each answered in turn.

use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use model::AppId;
use model::codes::HCode;
use model::routes::{AppRoute, Target};
use tokio_util::sync::WaitForCancellationFuture;

use crate::answer;
use crate::buffer::BASE;
use crate::challenges;
use crate::head::request::{self, Afterwards, Origin, Refusal, Request, Verb, Version};
use crate::head::{MAX_REQUEST_HEAD, Scan};
use crate::log_line::Record;
use crate::outgoing::Outgoing;
use crate::pages::Page;
use crate::relay::{self, Secret};
use crate::socket::Socket;
use crate::thread::Thread;
use crate::timer::Timer;
use crate::transfer::End;

/// A client's connection and what is known of it.
pub struct Connection {
    /// What its thread's connections share.
    pub thread: Rc<Thread>,
    /// The connection itself.
    pub client: End,
    /// Its only timer.
    pub timer: Timer,
    /// Who connected.
    pub peer: SocketAddr,
    /// The same, as requests tell it.
    pub origin: Origin,
    /// Its part of log lines: `tls=… tls_version=…`.
    pub tls: &'static str,
    /// The name that the client asked a certificate for, in lower case.
    pub sni: Option<Rc<str>>,
}

/// What becomes of the connection after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The next request.
    KeepAlive,
    /// It is the platform's, from the request on that was just heard.
    Platform,
    /// It is over: everything was said.
    Close,
    /// It is over, but the client may still be sending: its bytes must be read for a while, or the
    /// answer could be lost with the connection.
    Linger,
    /// It is over at once: an answer is incomplete.
    Cut,
}

/// What the client says next.
enum Heard {
    /// A request's head of this length.
    Head(usize),
    /// A rendezvous secret.
    Secret(Secret),
    /// Something that is not taken.
    Refused(Refusal),
    /// Nothing more.
    End,
}

/// Where a request's host leads.
enum Way {
    App(Arc<AppRoute>),
    Platform,
    Nowhere,
    /// An app, but not the one that the client's TLS session is for.
    Misdirected(AppId),
}

/// Whether anything was said on the connection before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    First,
    Later,
}

impl Connection {
    /// Serves the connection to its end.
    pub async fn serve(mut self: Box<Self>) {
        let thread = self.thread.clone();
        let mut drained = pin!(thread.drain.cancelled());
        let mut turn = Turn::First;
        // What is rarely or shortly needed is boxed: while it idles, a connection is only this.
        loop {
            let next = match self.hear(drained.as_mut(), turn).await {
                Heard::Head(length) => Box::pin(self.respond(length)).await,
                Heard::Refused(refusal) => Box::pin(self.refuse(refusal)).await,
                Heard::Secret(secret) => return Box::pin(relay::rendezvous(self, secret)).await,
                Heard::End => Next::Close,
            };
            self.client.head.clear();
            turn = Turn::Later;
            match next {
                Next::KeepAlive => {}
                Next::Platform => return Box::pin(relay::http(self)).await,
                Next::Close => return Box::pin(self.finish()).await,
                Next::Linger => return Box::pin(self.linger()).await,
                Next::Cut => return,
            }
        }
    }

    /// Serves the one request of an HTTP/2 stream.
    pub async fn serve_stream(mut self: Box<Self>) {
        let next = match poll_fn(|cx| self.poll_stream_head(cx)).await {
            Heard::Head(length) => self.respond(length).await,
            Heard::Refused(refusal) => self.refuse(refusal).await,
            Heard::Secret(_) | Heard::End => return,
        };
        match next {
            Next::Platform => Box::pin(relay::http(self)).await,
            Next::Cut => {}
            Next::KeepAlive | Next::Close | Next::Linger => {
                // If the response is incomplete, the stream is reset.
                let _ = poll_fn(|cx| self.client.socket.poll_finish(cx)).await;
            }
        }
    }

    /// The head of a stream's request is there from the start.
    fn poll_stream_head(&mut self, cx: &mut Context<'_>) -> Poll<Heard> {
        let mut scan = Scan::request();
        while let Poll::Ready(Ok(count)) = self.client.poll_fill(cx, MAX_REQUEST_HEAD)
            && count > 0
        {
            if let Some(heard) = self.look(&mut scan, Turn::Later) {
                return Poll::Ready(heard);
            }
        }
        Poll::Ready(Heard::End)
    }

    /// Answers the request whose head of `length` bytes has been heard.
    async fn respond(&mut self, length: usize) -> Next {
        let (request, forward) = match self.read(length) {
            Ok(read) => read,
            Err(refusal) => return self.refuse(refusal).await,
        };
        if let Some(text) = self.challenge(length, &request) {
            self.client.input.skip(length);
            return challenges::say(self, &request, &text).await;
        }
        match self.way(&request) {
            // The platform reads the head itself.
            Way::Platform => Next::Platform,
            Way::App(app) => {
                self.client.input.skip(length);
                answer::answer(self, (&request, app), forward).await
            }
            Way::Misdirected(app) => {
                self.client.input.skip(length);
                self.misdirected(app, &request).await
            }
            Way::Nowhere => {
                self.client.input.skip(length);
                self.show(&Page::no_such_app(), &request).await
            }
        }
    }

    /// Waits for the next request's head. While nothing has come, no buffer is held, and a router
    /// that drains ends the connection.
    async fn hear(
        &mut self,
        drained: Pin<&mut WaitForCancellationFuture<'_>>,
        turn: Turn,
    ) -> Heard {
        let mut drained = Some(drained);
        let mut scan = Scan::request();
        self.timer.set(match turn {
            _ if !self.client.input.is_empty() => self.thread.timeouts.request_head,
            Turn::First | Turn::Later => self.thread.timeouts.client_keep_alive,
        });
        poll_fn(|cx| {
            loop {
                if let Some(heard) = self.look(&mut scan, turn) {
                    return Poll::Ready(heard);
                }
                let was_idle = self.client.input.is_empty();
                match self.client.poll_fill(cx, MAX_REQUEST_HEAD) {
                    Poll::Ready(Ok(count)) if count > 0 && was_idle => {
                        self.timer.set(self.thread.timeouts.request_head);
                    }
                    Poll::Ready(Ok(count)) if count > 0 => {}
                    Poll::Ready(_) => return Poll::Ready(Heard::End),
                    Poll::Pending => return self.poll_patience(cx, &mut drained),
                }
            }
        })
        .await
    }

    fn poll_patience(
        &mut self,
        cx: &mut Context<'_>,
        drained: &mut Option<Pin<&mut WaitForCancellationFuture<'_>>>,
    ) -> Poll<Heard> {
        if let Some(drain) = drained
            && self.client.input.is_empty()
            && drain.as_mut().poll(cx).is_ready()
        {
            // A request may be on its way; closing at once would look like a refusal.
            *drained = None;
            self.timer.set(self.thread.timeouts.farewell);
        }
        self.timer.poll(cx).map(|()| Heard::End)
    }

    /// What has been heard so far, if it is enough.
    fn look(&mut self, scan: &mut Scan, turn: Turn) -> Option<Heard> {
        if turn == Turn::First && self.client.socket.tls().is_some() {
            match relay::secret(self.client.input.raw()) {
                relay::Look::Secret(secret) => return Some(Heard::Secret(secret)),
                relay::Look::Perhaps => return None,
                relay::Look::No => {}
            }
        }
        // Some clients send an empty line after a body.
        while self.client.input.raw().starts_with(b"\r\n") {
            self.client.input.skip(2);
        }
        let raw = self.client.input.raw();
        if raw.is_empty() || raw == b"\r" {
            return None;
        }
        match scan.find_end(raw) {
            Ok(Some(length)) => Some(Heard::Head(length)),
            Ok(None) => None,
            Err(reason) => Some(Heard::Refused(reason.into())),
        }
    }

    /// Judges the head heard and writes what goes to a dyno. The head itself stays in the input.
    fn read(&mut self, length: usize) -> Result<(Request, Outgoing), Refusal> {
        let mut head = Outgoing::default();
        let raw = &self.client.input.raw()[..length];
        let dice = &mut *self.thread.dice.borrow_mut();
        let mut request = request::read(raw, &self.origin, dice, head.bytes())?;
        if let Socket::Stream(_) = self.client.socket {
            request.version = Version::Http2;
        }
        Ok((request, head))
    }

    /// What a certificate authority is to hear.
    fn challenge(&self, length: usize, request: &Request) -> Option<Arc<str>> {
        let head = &self.client.input.raw()[..length];
        challenges::answer_to(head, request, &self.thread.routes.peek())
    }

    fn way(&self, request: &Request) -> Way {
        let table = self.thread.routes.peek();
        let target = table.lookup(&request.host);
        let shown = match &self.sni {
            Some(name) if **name != *request.host => table.lookup(name),
            Some(_) | None => Target::Unknown,
        };
        match (target, shown) {
            (Target::App(app), Target::App(shown)) if app.app != shown.app => {
                Way::Misdirected(app.app)
            }
            (Target::App(app), _) => Way::App(app.clone()),
            (Target::Platform, _) => Way::Platform,
            (Target::Unknown, _) => Way::Nowhere,
        }
    }

    /// The client reuses a connection that it has opened for another app, or pretends to: it is to
    /// open another (RFC 9110, 7.4 and 15.5.20).
    async fn misdirected(&mut self, app: AppId, request: &Request) -> Next {
        let next = self.show(&Page::refusal(Refusal::Misdirected), request).await;
        let record = Record::early(HCode::H31);
        self.thread.traffic.note(app, &record);
        self.thread.log.add(app, record.line(request, self.tls));
        next
    }

    /// Answers with a page, because there is no dyno to ask.
    pub async fn show(&mut self, page: &Page, request: &Request) -> Next {
        let next = self.after_unread(request);
        self.write(page, request.verb, next).await
    }

    /// What becomes of the connection when nothing of the request's body has been read.
    pub fn after_unread(&self, request: &Request) -> Next {
        if request.has_body() { Next::Linger } else { self.after(request.afterwards) }
    }

    /// What becomes of the connection when the request has been read.
    pub fn after(&self, wish: Afterwards) -> Next {
        match wish {
            Afterwards::KeepAlive if !self.thread.is_draining() => Next::KeepAlive,
            Afterwards::KeepAlive | Afterwards::Close => Next::Close,
        }
    }

    /// Answers a request that is not taken. Where the next would begin is anybody's guess.
    async fn refuse(&mut self, reason: Refusal) -> Next {
        self.write(&Page::refusal(reason), Verb::Other, Next::Linger).await
    }

    /// Writes an answer, within the time a client may be idle.
    pub async fn write(&mut self, page: &Page, verb: Verb, next: Next) -> Next {
        let afterwards = match next {
            Next::KeepAlive => Afterwards::KeepAlive,
            Next::Platform | Next::Close | Next::Linger | Next::Cut => Afterwards::Close,
        };
        self.client.head.clear();
        page.write(verb, afterwards, self.client.head.bytes());
        if self.write_head().await { next } else { Next::Cut }
    }

    /// Writes the client's head; false if the client does not take it.
    pub async fn write_head(&mut self) -> bool {
        self.timer.set(self.thread.timeouts.idle);
        poll_fn(|cx| match self.client.poll_write_head(cx) {
            Poll::Ready(result) => Poll::Ready(result.is_ok()),
            Poll::Pending => self.timer.poll(cx).map(|()| false),
        })
        .await
    }

    /// Ends the connection after its last answer.
    async fn finish(self: Box<Self>) {
        let tls = self.client.socket.tls().is_some();
        if tls || !self.client.input.is_empty() || self.client.socket.has_known_news() {
            // Closing with bytes unread would tear the connection down and the answer with it.
            self.linger().await;
        }
    }

    /// Says that nothing more will be said, then reads and throws away what still comes, for a while.
    pub async fn linger(mut self: Box<Self>) {
        self.timer.set(self.thread.timeouts.linger);
        poll_fn(|cx| {
            // First, because somebody who never stops sending would use up the task's time slice.
            if self.timer.poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let _said_or_gone = ready!(self.client.socket.poll_finish(cx));
            loop {
                self.client.input.clear();
                match ready!(self.client.poll_fill(cx, BASE)) {
                    Ok(count) if count > 0 => {}
                    Ok(_) | Err(_) => return Poll::Ready(()),
                }
            }
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size<A, F: Future>(_: impl FnOnce(A) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn an_idle_connection_is_small() {
        let (connection, task) = (size_of::<Connection>(), size(Connection::serve));
        let both = connection + task;
        assert!(both < 900, "the buffers it gives back would not matter: {connection} + {task}");
    }
}

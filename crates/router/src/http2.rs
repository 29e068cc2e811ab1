//! HTTP/2 towards clients, forwarded as HTTP/1.1.
//!
//! The `h2` crate speaks the protocol. Each of its streams is made to look like a client's HTTP/1.1
//! connection that carries one request ([`stream`]): the head it "sends" is judged by the same rules,
//! and the request goes the same way through admission, exchange and log as any other. This file
//! serves one connection: it accepts streams, ends it when it idles or the router drains, and hangs
//! up on clients that only keep the router busy ([`meter`]).

mod chunks;
mod download;
mod meter;
mod metered;
mod request;
mod stream;
mod upload;

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::ReadBuf;
use tokio::time::timeout;
use tokio_util::sync::WaitForCancellationFuture;

use crate::connection::Connection;
use crate::head::request::{Origin, VIA2};
use crate::socket::Socket;
use crate::thread::Thread;
use crate::timer::Timer;
use crate::transfer::End;
pub use meter::Meter;
use metered::Metered;
pub use stream::Stream;

/// Streams a client may have open at once.
const MAX_STREAMS: u32 = 100;
/// Bytes of a request's fields, as RFC 9113 (6.5.2) counts them.
const MAX_HEADER_LIST: u32 = 32 * 1024;
/// Body bytes that a client may send ahead on one stream.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Body bytes that a client may send ahead on all streams together.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of one response that may wait for the connection.
const SEND_BUFFER: usize = 64 * 1024;
/// Streams that a client may make us reset by its errors, over a connection's whole life.
const MAX_ERRORS: usize = 100;
/// Streams that the client has reset before they were looked at.
const MAX_UNSEEN_RESETS: usize = 20;
/// A client that floods is listened to for so long after the last word.
const LAST_WORD: Duration = Duration::from_millis(100);

type Server = h2::server::Connection<Metered, Bytes>;

/// Serves a connection on which the client has chosen HTTP/2, to its end.
pub async fn serve(connection: Box<Connection>) {
    let Connection { thread, client, timer, peer, mut origin, tls, sni } = *connection;
    origin.via = VIA2;
    let meter = Rc::new(Meter::new());
    let socket = Rc::new(RefCell::new(client.socket));
    let io = Metered::new(socket.clone(), meter.clone());
    let limit = thread.timeouts.request_head;
    let Ok(Ok(server)) = timeout(limit, builder().handshake(io)).await else { return };
    let drain = thread.drain.clone();
    let mut drained = pin!(drain.cancelled());
    let caller = Caller { peer, origin, tls, sni };
    let mut serving = Serving { server, meter, thread, caller, timer, state: State::Open };
    poll_fn(|cx| serving.poll(cx, drained.as_mut())).await;
    let Serving { server, mut timer, thread, state, .. } = serving;
    drop(server);
    let patience = match state {
        State::Open | State::Leaving => thread.timeouts.linger,
        State::HangingUp => LAST_WORD.min(thread.timeouts.linger),
    };
    timer.set(patience);
    poll_fn(|cx| poll_linger(cx, &mut socket.borrow_mut(), &mut timer)).await;
}

/// Reads and throws away what the client has sent before it heard the last word: closing with bytes
/// unread would tear the connection down, and what was written last with it.
fn poll_linger(cx: &mut Context<'_>, socket: &mut Socket, timer: &mut Timer) -> Poll<()> {
    // First, because somebody who never stops sending would use up the task's time slice.
    if timer.poll(cx).is_ready() {
        return Poll::Ready(());
    }
    let _said_or_gone = ready!(socket.poll_finish(cx));
    let mut waste = [MaybeUninit::uninit(); 4096];
    loop {
        let mut waste = ReadBuf::uninit(&mut waste);
        match ready!(socket.poll_read(cx, &mut waste)) {
            Ok(()) if !waste.filled().is_empty() => {}
            Ok(()) | Err(_) => return Poll::Ready(()),
        }
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(MAX_STREAMS)
        .enable_connect_protocol()
        .max_header_list_size(MAX_HEADER_LIST)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_local_error_reset_streams(Some(MAX_ERRORS))
        .max_pending_accept_reset_streams(MAX_UNSEEN_RESETS);
    builder
}

/// How far the end of a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Streams are accepted.
    Open,
    /// The client was told to open no more.
    Leaving,
    /// The client misbehaves; it is told so, and then it is over.
    HangingUp,
}

/// One connection at work.
struct Serving {
    server: Server,
    meter: Rc<Meter>,
    thread: Rc<Thread>,
    caller: Caller,
    timer: Timer,
    state: State,
}

/// Whose connection it is: what its streams inherit.
struct Caller {
    peer: SocketAddr,
    origin: Origin,
    tls: &'static str,
    sni: Option<Rc<str>>,
}

impl Serving {
    /// Ready when the connection is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        drained: Pin<&mut WaitForCancellationFuture<'_>>,
    ) -> Poll<()> {
        if self.state == State::Open && drained.poll(cx).is_ready() {
            self.leave();
        }
        loop {
            match self.server.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => self.open(request, respond),
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => match self.meter.verdict() {
                    Some(reason) if self.state != State::HangingUp => self.hang_up(reason),
                    Some(_) | None => return self.poll_patience(cx),
                },
            }
        }
    }

    /// Ready when the client has idled, or taken its leave, for too long.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timeouts = self.thread.timeouts;
        // Streams have deadlines of their own; the connection's begin when the last has ended.
        if self.server.has_streams() && self.state != State::HangingUp {
            self.timer.set(match self.state {
                State::Open => timeouts.client_keep_alive,
                State::Leaving | State::HangingUp => timeouts.linger,
            });
        }
        while self.timer.poll(cx).is_ready() {
            match self.state {
                State::Leaving | State::HangingUp if !self.server.has_streams() => {
                    return Poll::Ready(());
                }
                State::HangingUp => return Poll::Ready(()),
                State::Leaving => self.timer.set(timeouts.linger),
                State::Open => {
                    self.leave();
                    // The farewell is written by the next look at the connection.
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        Poll::Pending
    }

    /// Asks the client to open no more streams; those open end as usual.
    fn leave(&mut self) {
        self.state = State::Leaving;
        self.server.graceful_shutdown();
        self.timer.set(self.thread.timeouts.linger);
    }

    fn hang_up(&mut self, reason: Reason) {
        tracing::debug!(peer = %self.caller.peer, %reason, "an HTTP/2 client is hung up on");
        self.state = State::HangingUp;
        self.server.abrupt_shutdown(reason);
        self.timer.set(self.thread.timeouts.linger);
    }

    /// Answers a request in a task of its own.
    fn open(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        let thread = &self.thread;
        let Some(place) = Place::take(&thread.streams, thread.limits.streams_per_thread) else {
            // It may be sent again, here or elsewhere (RFC 9113, 8.7).
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        };
        let nonce = thread.dice.borrow_mut().uuid();
        let stream = Socket::Stream(Box::new(Stream::new(request, respond, nonce)));
        let connection = Connection {
            thread: thread.clone(),
            client: End::new(stream),
            timer: Timer::new(thread.timeouts.idle),
            peer: self.caller.peer,
            origin: self.caller.origin.clone(),
            tls: self.caller.tls,
            sni: self.caller.sni.clone(),
        };
        thread.tasks.spawn_local(async move {
            Box::new(connection).serve_stream().await;
            drop(place);
        });
    }
}

/// A stream's place among all of its thread; dropping it gives it back.
struct Place(Rc<Cell<usize>>);

impl Place {
    fn take(streams: &Rc<Cell<usize>>, limit: usize) -> Option<Self> {
        let open = streams.get();
        if open >= limit {
            return None;
        }
        streams.set(open + 1);
        Some(Self(streams.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}

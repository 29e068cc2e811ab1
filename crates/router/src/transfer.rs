//! Bytes on their way from one connection to the other.
//!
//! A transfer writes what is ready, judges what has arrived, and reads more only when all of that has
//! gone on: one buffer per direction is all a slow receiver can pile up. It is polled rather than
//! awaited, because both directions of one exchange share both connections.

use std::io;
use std::task::{Context, Poll, ready};

use crate::body::Body;
use crate::buffer::{BASE, Buffer, may_stretch};
use crate::outgoing::Outgoing;
use crate::socket::Socket;

/// One end of an exchange: a connection, what was read from it, and a head to be written to it
/// before anything else.
pub struct End {
    /// The connection.
    pub socket: Socket,
    /// Bytes read from it.
    pub input: Buffer,
    /// A head to be written to it.
    pub head: Outgoing,
}

impl End {
    /// A fresh end.
    pub fn new(socket: Socket) -> Self {
        Self { socket, input: Buffer::default(), head: Outgoing::default() }
    }

    /// Reads once into the input, which grows to `limit` at most. `Ok(0)` is the end of the stream.
    pub fn poll_fill(&mut self, cx: &mut Context<'_>, limit: usize) -> Poll<io::Result<usize>> {
        self.input.poll_fill(cx, &mut self.socket, limit)
    }

    /// Writes the whole head.
    pub fn poll_write_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.head.left().is_empty() {
            let count = ready!(self.socket.poll_write_both(cx, self.head.left(), &[]))?;
            self.head.sent(count);
        }
        self.socket.poll_flush(cx)
    }
}

/// Why a transfer cannot go on.
#[derive(Debug)]
pub enum Broken {
    /// The sender went away before the body's end.
    Sender,
    /// The receiver takes nothing more.
    Receiver,
    /// What the sender sends is no body.
    Malformed,
}

/// What a pending transfer waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// The sender's bytes.
    ForSender,
    /// The receiver's taking them.
    ForReceiver,
}

/// A body on its way, with what the transfer has done so far.
pub struct Transfer {
    /// The body.
    pub body: Body,
    /// What it waits for, after a `Pending`.
    pub waits: Waits,
    /// Raised with every byte that moves; see [`Transfer::has_moved`].
    moved: bool,
    /// Bytes of the body's wire form that were written.
    pub sent: u64,
    /// How much is read ahead of a receiver that is slow.
    ahead: usize,
    /// The sender was found gone while reading ahead.
    sender_gone: bool,
}

impl Transfer {
    /// A transfer of `body`, to start with the receiver's head.
    pub const fn new(body: Body) -> Self {
        let waits = Waits::ForSender;
        Self { body, waits, moved: false, sent: 0, ahead: 0, sender_gone: false }
    }

    /// The same, but up to `ahead` bytes are taken from the sender although the receiver is slow.
    pub const fn reading_ahead(self, ahead: usize) -> Self {
        Self { ahead, ..self }
    }

    /// Whether any byte has moved since this was asked last.
    pub const fn has_moved(&mut self) -> bool {
        std::mem::replace(&mut self.moved, false)
    }

    /// Moves bytes until the body has wholly gone on.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut End,
        to: &mut End,
    ) -> Poll<Result<(), Broken>> {
        loop {
            let before = from.input.raw().len();
            self.body.judge(&mut from.input).map_err(|_| Broken::Malformed)?;
            let unjudged = from.input.raw().len();
            match self.poll_write(cx, &mut from.input, to) {
                Poll::Ready(written) => written.map_err(|_| Broken::Receiver)?,
                Poll::Pending => {
                    self.read_ahead(cx, from);
                    return Poll::Pending;
                }
            }
            self.waits = Waits::ForReceiver;
            // Before waiting for the sender, the receiver must have everything so far.
            ready!(to.socket.poll_flush(cx)).map_err(|_| Broken::Receiver)?;
            if self.body.is_done() {
                return Poll::Ready(Ok(()));
            }
            if unjudged > 0 && unjudged < before {
                // What is left is either incomplete or bad; the next look tells.
                continue;
            }
            self.waits = Waits::ForSender;
            if self.sender_gone {
                return Poll::Ready(Err(Broken::Sender));
            }
            if self.body.is_bulky() {
                from.input.widen();
            }
            match ready!(from.poll_fill(cx, BASE)) {
                Ok(0) if self.body.end_of_stream() => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(Broken::Sender)),
                Ok(_) => self.moved = true,
            }
        }
    }

    /// Frees the sender from a slow receiver. What is bad or missing is found out by and by, when all
    /// before it has been written.
    fn read_ahead(&mut self, cx: &mut Context<'_>, from: &mut End) {
        while !self.body.is_done() && !self.sender_gone && may_stretch() {
            match from.poll_fill(cx, self.ahead) {
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(Err(_)) => self.sender_gone = true,
                Poll::Ready(Ok(_)) | Poll::Pending => return,
            }
            if self.body.judge(&mut from.input).is_err() {
                return;
            }
        }
    }

    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        input: &mut Buffer,
        to: &mut End,
    ) -> Poll<io::Result<()>> {
        self.waits = Waits::ForReceiver;
        loop {
            let head = to.head.left();
            let head_left = head.len();
            if head_left == 0 && input.ready().is_empty() {
                return Poll::Ready(Ok(()));
            }
            let count = ready!(to.socket.poll_write_both(cx, head, input.ready()))?;
            self.moved = true;
            to.head.sent(count.min(head_left));
            let body = count.saturating_sub(head_left);
            input.sent(body);
            self.sent += body as u64;
        }
    }
}

//! Two connections joined, byte for byte: an upgraded connection, or one that is the platform's.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::body::Body;
use crate::buffer::BASE;
use crate::timer::Timer;
use crate::transfer::{Broken, End, Transfer};

/// How long a pipe may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// While both may speak; `None` for ever.
    pub idle: Option<Duration>,
    /// After the far end has said everything.
    pub linger: Duration,
}

/// How a pipe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both have said everything, or one has gone.
    Closed,
    /// Nothing was said for too long.
    Silent,
}

/// Joins `near` (a client) and `far` until both have said everything. `first` is what `near` still
/// has to send before its bytes are the pipe's. Also tells how many bytes went from `far` to `near`.
///
/// When `far` goes away, `near` gets all it has said, and what `near` still sends is read and thrown
/// away for a while: closing at once would tear the connection down and the last words with it.
pub async fn join(
    (near, far): (&mut End, &mut End),
    first: Transfer,
    patience: Patience,
    timer: &mut Timer,
) -> (Outcome, u64) {
    let mut up = Flow { transfer: first, state: State::First };
    let mut down = Flow { transfer: Transfer::new(Body::until_close()), state: State::Open };
    timer.set(patience.idle.unwrap_or(patience.linger));
    let outcome = poll_fn(|cx| {
        let was_over = down.state == State::Done;
        match (up.poll_up(cx, near, far), down.poll_down(cx, far, near)) {
            (Poll::Ready(Err(Gone)), _) | (_, Poll::Ready(Err(Gone))) => {
                return Poll::Ready(Outcome::Closed);
            }
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => return Poll::Ready(Outcome::Closed),
            (_, _) => {}
        }
        let over = down.state == State::Done;
        let limit = if over { Some(patience.linger) } else { patience.idle };
        let Some(limit) = limit else { return Poll::Pending };
        if up.transfer.has_moved() | down.transfer.has_moved() || over != was_over {
            timer.set(limit);
        }
        timer.poll(cx).map(|()| if over { Outcome::Closed } else { Outcome::Silent })
    });
    let outcome = outcome.await;
    (outcome, down.transfer.body.seen())
}

/// The client has gone: nothing is left to be done.
struct Gone;

/// One direction.
struct Flow {
    transfer: Transfer,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// A framed body goes first.
    First,
    Open,
    /// The sender has said everything; the receiver is to be told.
    Finishing,
    /// The receiver has gone; what the sender says is thrown away.
    Discarding,
    Done,
}

impl Flow {
    /// From the client.
    fn poll_up(
        &mut self,
        cx: &mut Context<'_>,
        near: &mut End,
        far: &mut End,
    ) -> Poll<Result<(), Gone>> {
        loop {
            match ready!(self.poll(cx, near, far)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Broken::Sender) => return Poll::Ready(Err(Gone)),
                Err(Broken::Receiver | Broken::Malformed) => self.state = State::Discarding,
            }
        }
    }

    /// To the client.
    fn poll_down(
        &mut self,
        cx: &mut Context<'_>,
        far: &mut End,
        near: &mut End,
    ) -> Poll<Result<(), Gone>> {
        loop {
            match ready!(self.poll(cx, far, near)) {
                Ok(()) => return Poll::Ready(Ok(())),
                Err(Broken::Receiver) => return Poll::Ready(Err(Gone)),
                // A reset ends the stream as well as an end does.
                Err(Broken::Sender | Broken::Malformed) => self.state = State::Finishing,
            }
        }
    }

    /// Ready when this direction has ended.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut End,
        to: &mut End,
    ) -> Poll<Result<(), Broken>> {
        loop {
            match self.state {
                State::First => {
                    ready!(self.transfer.poll(cx, from, to))?;
                    self.transfer = Transfer::new(Body::until_close());
                    self.state = State::Open;
                }
                State::Open => {
                    ready!(self.transfer.poll(cx, from, to))?;
                    self.state = State::Finishing;
                }
                State::Finishing => {
                    ready!(to.socket.poll_finish(cx)).map_err(|_| Broken::Receiver)?;
                    self.state = State::Done;
                }
                State::Discarding => {
                    from.input.clear();
                    match ready!(from.poll_fill(cx, BASE)) {
                        Ok(count) if count > 0 => {}
                        Ok(_) | Err(_) => self.state = State::Done,
                    }
                }
                State::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

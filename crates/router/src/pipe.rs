//! Two connections joined, byte for byte: an upgraded connection, or one that is the platform's.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use crate::body::Body;
use crate::timer::Timer;
use crate::transfer::{Broken, End, Transfer};

/// How long a pipe may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// So long, then it is cut.
    Idle(Duration),
    /// For ever; but so long at most after the far end has said everything.
    Linger(Duration),
}

/// How a pipe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Both have said everything, or one has gone.
    Closed,
    /// Nothing was said for too long.
    Silent,
}

/// Joins `near` and `far` until both have said everything. `first` is what `near` still has to send
/// before its bytes are the pipe's. Also tells how many bytes went from `far` to `near`.
pub async fn join(
    (near, far): (&mut End, &mut End),
    first: Transfer,
    patience: Patience,
    timer: &mut Timer,
) -> (Outcome, u64) {
    let mut up = Flow { transfer: first, state: State::First };
    let mut down = Flow { transfer: Transfer::new(Body::until_close()), state: State::Open };
    let (Patience::Idle(limit) | Patience::Linger(limit)) = patience;
    timer.set(limit);
    let outcome = poll_fn(|cx| {
        let was_done = down.state == State::Done;
        let (Ok(up_state), Ok(down_state)) =
            (settle(up.poll(cx, near, far)), settle(down.poll(cx, far, near)))
        else {
            return Poll::Ready(Outcome::Closed);
        };
        if up_state.is_ready() && down_state.is_ready() {
            return Poll::Ready(Outcome::Closed);
        }
        let moved = up.transfer.has_moved() | down.transfer.has_moved();
        if moved || was_done != (down.state == State::Done) {
            timer.set(limit);
        }
        if matches!(patience, Patience::Linger(_)) && down.state != State::Done {
            return Poll::Pending;
        }
        timer.poll(cx).map(|()| Outcome::Silent)
    });
    let outcome = outcome.await;
    (outcome, down.transfer.body.seen())
}

/// Turns a direction's end or failure inside out.
fn settle(poll: Poll<Result<(), Broken>>) -> Result<Poll<()>, Broken> {
    match poll {
        Poll::Ready(Err(broken)) => Err(broken),
        Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
        Poll::Pending => Ok(Poll::Pending),
    }
}

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
    Done,
}

impl Flow {
    /// Ready when this direction has ended in good order.
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
                State::Done => return Poll::Ready(Ok(())),
            }
        }
    }
}

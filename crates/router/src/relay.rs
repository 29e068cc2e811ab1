//! Connections that are not for an app: handed over to the platform, and copied ever after.
//!
//! The platform gets one end of a Unix socket pair and need not know of TLS; the router copies
//! between the other end and the client, each read at once, half-closes included.

use std::io;
use std::os::unix::net::UnixStream as StdStream;

use tokio::net::UnixStream;
use tokio::sync::mpsc::error::TrySendError;

use crate::body::Body;
use crate::config::Handover;
use crate::connection::{Connection, Next};
use crate::head::request::Verb;
use crate::pages::Page;
use crate::pipe::{self, Patience};
use crate::socket::Socket;
use crate::transfer::{End, Transfer};

use leaving::Leaving;

mod leaving;

/// What a rendezvous secret starts with.
const PREFIX: &[u8] = b"rv.";
/// Length of a secret: the prefix and 40 lower-case hex digits.
const LENGTH: usize = 43;

/// A rendezvous secret at the start of a connection.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// With the line end, if there is one.
    length: usize,
}

/// Whether a connection starts with a secret.
pub enum Look {
    /// It does.
    Secret(Secret),
    /// Too early to tell.
    Perhaps,
    /// It does not.
    No,
}

/// Looks for a secret at the start of `raw`. Some clients end its line, some do not.
pub fn secret(raw: &[u8]) -> Look {
    let digit = |b: &u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
    let seen = &raw[..raw.len().min(LENGTH)];
    let prefix = seen.len().min(PREFIX.len());
    if seen[..prefix] != PREFIX[..prefix] || !seen[prefix..].iter().all(digit) {
        return Look::No;
    }
    if seen.len() < LENGTH {
        return Look::Perhaps;
    }
    let line_end = if raw[LENGTH..].starts_with(b"\r\n") { 2 } else { 0 };
    let text = String::from_utf8_lossy(seen).into_owned();
    Look::Secret(Secret { text, length: LENGTH + line_end })
}

/// Hands over an HTTP connection, from the request on whose head is in the input.
pub async fn http(connection: Box<Connection>) {
    let (peer, tls) = (connection.peer, connection.origin.proto == "https");
    hand_over(connection, |stream| Handover::Http { stream, peer, tls }).await;
}

/// Hands over the client of a one-off dyno. When it leaves, the platform's end is closed at once,
/// whatever is still on the way to it.
pub async fn rendezvous(mut connection: Box<Connection>, secret: Secret) {
    let peer = connection.peer;
    connection.client.input.skip(secret.length);
    let leaving = Leaving::of(&connection.client.socket);
    let wrap = |stream| Handover::Rendezvous { secret: secret.text, stream, peer };
    // Dropped, the first closes both connections; the second only watches.
    tokio::select! {
        () = hand_over(connection, wrap) => {}
        () = leaving.seen() => {}
    }
}

async fn hand_over(mut connection: Box<Connection>, wrap: impl FnOnce(StdStream) -> Handover) {
    let far = match pair() {
        Ok((near, far)) => match connection.thread.handover.try_send(wrap(far)) {
            Ok(()) => Ok(near),
            Err(TrySendError::Full(_)) => Err("the platform is busy"),
            Err(TrySendError::Closed(_)) => Err("the platform is gone"),
        },
        Err(_) => Err("there is no socket pair left"),
    };
    match far {
        Ok(far) => {
            let mut far = End::new(Socket::Unix(far));
            let first = Transfer::new(Body::none());
            let patience = Patience { idle: None, linger: connection.thread.timeouts.linger };
            let ends = (&mut connection.client, &mut far);
            let _ = pipe::join(ends, first, patience, &mut connection.timer).await;
        }
        Err(reason) => {
            tracing::warn!(peer = %connection.peer, "a connection for the platform is refused: {reason}");
            connection.write(&Page::busy(), Verb::Other, Next::Linger).await;
            connection.linger().await;
        }
    }
}

/// A pair of connected sockets, both non-blocking.
fn pair() -> io::Result<(UnixStream, StdStream)> {
    let (near, far) = StdStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    Ok((UnixStream::from_std(near)?, far))
}

//! Noticing that a client has left although nobody reads what it has sent.
//!
//! The end of a connection stands behind the bytes before it, and those may wait for a program that
//! does not read. So the kernel is asked through a second registration of the same socket, whose
//! readiness is nobody else's.

use std::future::pending;
use std::io;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::socket::Socket;

/// A client that has been silent for so long is asked whether it is there …
const SILENCE: Duration = Duration::from_secs(10);
/// … again and again …
const AGAIN: Duration = Duration::from_secs(5);
/// … and has left when it has acknowledged nothing for so long, be it a question or an output.
const LOST: Duration = Duration::from_secs(40);

/// What was sent right before the end is still passed on, if somebody takes it.
const LAST_BYTES: Duration = Duration::from_millis(200);

/// A second look at a client's socket.
pub struct Leaving(Option<TcpStream>);

impl Leaving {
    /// Of this client, which is asked from now on whether it is there. On a socket that cannot be
    /// watched its reader alone notices.
    pub fn of(client: &Socket) -> Self {
        let stream = match client {
            Socket::Plain(stream) => stream,
            Socket::Tls(stream) => stream.get_ref().0,
            Socket::Unix(_) | Socket::Stream(_) => return Self(None),
        };
        let again = look_again(stream);
        if let Err(error) = &again {
            tracing::warn!(%error, "could not watch a client of a one-off dyno");
        }
        Self(again.ok())
    }

    /// Waits until the client has left: by an end, by a reset, or by its silence.
    pub async fn seen(self) {
        let Some(client) = self.0 else { return pending().await };
        while let Ok(news) = client.ready(Interest::READABLE).await {
            if news.is_read_closed() {
                break;
            }
            // Nothing is read here: this only waits for the next news.
            let nothing = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
            let _forgotten = client.try_io(Interest::READABLE, nothing);
        }
        sleep(LAST_BYTES).await;
    }
}

fn look_again(stream: &TcpStream) -> io::Result<TcpStream> {
    let socket = SockRef::from(stream).try_clone()?;
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(SILENCE).with_interval(AGAIN))?;
    socket.set_tcp_user_timeout(Some(LOST))?;
    TcpStream::from_std(socket.into())
}

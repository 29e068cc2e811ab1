//! Accepting connections, and finding out what they speak.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::certificates::HTTP2;
use crate::config::Tls;
use crate::connection::Connection;
use crate::head::request::{Origin, VIA};
use crate::http2;
use crate::socket::Socket;
use crate::thread::{Bound, Thread};
use crate::timer::Timer;
use crate::transfer::End;

/// First byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;
/// Out of file descriptors or memory: wait for some connections to end.
const BREATHE: Duration = Duration::from_millis(50);

/// Connections still taken from the kernel's queue when the router drains already: they came before.
const LATECOMERS: u32 = 4096;

/// What a client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Spoken {
    Http1,
    Http2,
}

/// What the connections of one listener have in common.
struct Door {
    port: u16,
    tls: Tls,
}

/// Accepts connections until the router drains.
pub async fn run(thread: Rc<Thread>, bound: Bound) {
    let Bound { socket, tls } = bound;
    let (port, listener) = match (socket.local_addr(), TcpListener::from_std(socket)) {
        (Ok(addr), Ok(listener)) => (addr.port(), listener),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "a router thread cannot use its listener");
            return;
        }
    };
    let door = Rc::new(Door { port, tls });
    let mut late = 0;
    while let Some((stream, peer)) = accept(&thread, &listener).await {
        late += u32::from(thread.drain.is_cancelled());
        if late > LATECOMERS {
            return;
        }
        let Ok(permit) = thread.room.clone().acquire_owned().await else { return };
        let (inside, door) = (thread.clone(), door.clone());
        thread.tasks.spawn_local(async move {
            // The handshake's state is large and short-lived; the task keeps room for what stays.
            match Box::pin(greet(inside, &door, (stream, peer))).await {
                Some((connection, Spoken::Http1)) => connection.serve().await,
                Some((connection, Spoken::Http2)) => Box::pin(http2::serve(connection)).await,
                None => {}
            }
            drop(permit);
        });
    }
}

/// The next connection; `None` when the router drains and the kernel's queue is empty.
async fn accept(thread: &Thread, listener: &TcpListener) -> Option<(TcpStream, SocketAddr)> {
    loop {
        let accepted = tokio::select! {
            biased;
            // Those who have connected already are served, even when the router drains.
            accepted = listener.accept() => accepted,
            // Nothing is lost: no connection has been taken off the queue.
            () = thread.drain.cancelled() => return None,
        };
        match accepted {
            Ok(accepted) => return Some(accepted),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BREATHE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}

/// Finds out whether the client speaks TLS, and makes the connection.
async fn greet(
    thread: Rc<Thread>,
    door: &Door,
    (stream, peer): (TcpStream, SocketAddr),
) -> Option<(Box<Connection>, Spoken)> {
    // Without it a small write may wait for the client's acknowledgement; not vital.
    let _ = stream.set_nodelay(true);
    let limit = thread.timeouts.request_head;
    let socket = timeout(limit, shake_hands(&door.tls, stream)).await.ok()?.ok()?;
    let (proto, tls) = match socket.tls().map(|tls| tls.protocol_version()) {
        None => ("http", "tls=false tls_version=unknown"),
        Some(Some(ProtocolVersion::TLSv1_3)) => ("https", "tls=true tls_version=tls1.3"),
        Some(Some(ProtocolVersion::TLSv1_2)) => ("https", "tls=true tls_version=tls1.2"),
        Some(_) => ("https", "tls=true tls_version=unknown"),
    };
    let origin =
        Origin { peer: peer.ip().to_canonical().to_string(), proto, port: door.port, via: VIA };
    let timer = Timer::new(thread.timeouts.client_keep_alive);
    let sni = socket.tls().and_then(|tls| tls.server_name()).map(|name| name.to_ascii_lowercase());
    let spoken = spoken(&socket);
    let client = End::new(socket);
    let sni = sni.map(Into::into);
    let connection = Connection { thread, client, timer, peer, origin, tls, sni };
    Some((Box::new(connection), spoken))
}

/// What the client and the router have agreed on in the handshake.
fn spoken(socket: &Socket) -> Spoken {
    match socket.tls().and_then(|tls| tls.alpn_protocol()) {
        Some(HTTP2) => Spoken::Http2,
        Some(_) | None => Spoken::Http1,
    }
}

async fn shake_hands(tls: &Tls, stream: TcpStream) -> io::Result<Socket> {
    let certificates = match tls {
        Tls::Off => return Ok(Socket::Plain(stream)),
        Tls::Sniffed(certificates) => {
            let mut first = [0];
            stream.peek(&mut first).await?;
            if first[0] != HANDSHAKE {
                return Ok(Socket::Plain(stream));
            }
            certificates
        }
        Tls::Required(certificates) => certificates,
    };
    let stream = TlsAcceptor::from(certificates.server().clone()).accept(stream).await?;
    Ok(Socket::Tls(Box::new(stream)))
}

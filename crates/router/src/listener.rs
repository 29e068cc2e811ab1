//! Accepting connections, and finding out what they speak.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustls::ProtocolVersion;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::balance::{Guest, Open};
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
pub struct Door {
    port: u16,
    tls: Tls,
}

/// Takes a listening socket into the thread's runtime.
pub fn open(bound: Bound) -> Option<(Door, TcpListener)> {
    let Bound { socket, tls } = bound;
    match (socket.local_addr(), TcpListener::from_std(socket)) {
        (Ok(addr), Ok(listener)) => Some((Door { port: addr.port(), tls }, listener)),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, "a router thread cannot use its listener");
            None
        }
    }
}

/// Accepts connections at the door with this number until the router drains.
pub async fn run(thread: Rc<Thread>, doors: Rc<[Door]>, number: usize, listener: TcpListener) {
    let mut late = 0;
    while let Some((stream, peer)) = accept(&thread, &listener).await {
        let kept = if thread.is_draining() {
            late += 1;
            Some((stream, peer))
        } else {
            thread.balance.give(stream, peer, number)
        };
        let Some(accepted) = kept else { continue };
        let open = thread.balance.open();
        if late > LATECOMERS || admit(&thread, (&doors, number), accepted, open).await.is_none() {
            return;
        }
    }
}

/// Takes in what other threads have accepted, until the router drains and all of it is in.
pub async fn welcome(thread: Rc<Thread>, doors: Rc<[Door]>, mut guests: mpsc::Receiver<Guest>) {
    loop {
        let guest = tokio::select! {
            // Nothing is lost: a guest is taken whole or not at all.
            guest = guests.recv() => guest,
            // From now on nobody is let in; those who are in come out of `recv` still.
            () = thread.drain.cancelled(), if !guests.is_closed() => {
                guests.close();
                continue;
            }
        };
        let Some(Guest { stream, peer, door, open }) = guest else { return };
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        if admit(&thread, (&doors, door), (stream, peer), open).await.is_none() {
            return;
        }
    }
}

/// Serves a connection in a task of its own, once there is room for it. `None` if there never will.
async fn admit(
    thread: &Rc<Thread>,
    (doors, number): (&Rc<[Door]>, usize),
    accepted: (TcpStream, SocketAddr),
    open: Open,
) -> Option<()> {
    let permit = match thread.room.clone().try_acquire_owned() {
        Ok(permit) => permit,
        Err(_) => thread.room.clone().acquire_owned().await.ok()?,
    };
    let (inside, doors) = (thread.clone(), doors.clone());
    thread.tasks.spawn_local(async move {
        // The handshake's state is large and short-lived; the task keeps room for what stays.
        match Box::pin(greet(inside, &doors[number], accepted)).await {
            Some((connection, Spoken::Http1)) => connection.serve().await,
            Some((connection, Spoken::Http2)) => Box::pin(http2::serve(connection)).await,
            None => {}
        }
        drop((permit, open));
    });
    Some(())
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
    let mut timer = Timer::new(thread.timeouts.request_head);
    let socket = timer.limit(shake_hands(&door.tls, stream)).await?.ok()?;
    let (proto, tls) = match socket.tls().map(|tls| tls.protocol_version()) {
        None => ("http", "tls=false tls_version=unknown"),
        Some(Some(ProtocolVersion::TLSv1_3)) => ("https", "tls=true tls_version=tls1.3"),
        Some(Some(ProtocolVersion::TLSv1_2)) => ("https", "tls=true tls_version=tls1.2"),
        Some(_) => ("https", "tls=true tls_version=unknown"),
    };
    let origin =
        Origin { peer: peer.ip().to_canonical().to_string(), proto, port: door.port, via: VIA };
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

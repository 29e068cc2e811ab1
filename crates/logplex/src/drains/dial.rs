//! Connections to receivers: only to addresses that drains may reach, and with what the kernel
//! knows of their bytes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use model::drain::Url;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::House;
use super::sent::Gauge;

/// Bytes that may be in the kernel on our side; the kernel doubles it. What is written but not
/// acknowledged is kept in memory too, so it is not large.
const SEND_BUFFER: u32 = 64 << 10;

/// Addresses of one name that are tried.
const MOST_ADDRESSES: usize = 4;

/// Why a receiver was not reached.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("cannot find the address of {host}: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("{host} has no address")]
    NoAddress { host: String },
    #[error(
        "{address} is an internal address; the operator can allow it by `networks` in [drains] of \
         hythe.toml"
    )]
    Internal { address: IpAddr },
    #[error("cannot connect to {address}: {source}")]
    Connect { address: SocketAddr, source: io::Error },
    #[error("{host} is no name that a certificate can have")]
    Name { host: String },
    #[error("certificate validation failed: {0}")]
    Certificate(String),
    #[error("cannot begin TLS: {0}")]
    Tls(io::Error),
    #[error("no connection within {0:?}")]
    Late(Duration),
}

/// Both directions of a connection.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection to a receiver.
pub(crate) struct Connection {
    pub io: Box<dyn Duplex>,
    /// The same socket, to ask the kernel about it.
    socket: OwnedFd,
    written: Arc<AtomicU64>,
    transit: super::TransitOf,
}

impl Connection {
    /// Bytes that were handed to the kernel.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// What has arrived. When the kernel does not say, nothing has.
    pub fn gauge(&self) -> Gauge {
        match (self.transit)(self.socket.as_fd()) {
            Ok(transit) => Gauge {
                acknowledged: self.written().saturating_sub(transit.unacknowledged),
                window: transit.window,
            },
            Err(_) => Gauge { acknowledged: 0, window: 0 },
        }
    }
}

/// Connects, within the time for it.
pub(crate) async fn dial(house: &House, url: &Url) -> Result<Connection, DialError> {
    let patience = house.config.timing.connect;
    let connected = timeout(patience, connect(house, url)).await;
    connected.map_err(|_| DialError::Late(patience))?
}

async fn connect(house: &House, url: &Url) -> Result<Connection, DialError> {
    let socket = reach(house, url).await?;
    let _best_effort = socket.set_nodelay(true);
    let failed = |source| DialError::Connect { address: ([0, 0, 0, 0], url.port).into(), source };
    let duplicate = socket.as_fd().try_clone_to_owned().map_err(failed)?;
    let written = Arc::new(AtomicU64::new(0));
    let counted = Counted { socket, written: written.clone() };
    let io: Box<dyn Duplex> = match url.scheme.is_tls() {
        true => Box::new(encrypt(house, url, counted).await?),
        false => Box::new(counted),
    };
    Ok(Connection { io, socket: duplicate, written, transit: house.config.transit })
}

async fn reach(house: &House, url: &Url) -> Result<TcpStream, DialError> {
    let failed = |source| DialError::Resolve { host: url.host.clone(), source };
    let found = tokio::net::lookup_host((url.host.as_str(), url.port)).await.map_err(failed)?;
    let mut error = DialError::NoAddress { host: url.host.clone() };
    for address in found.take(MOST_ADDRESSES) {
        // The address that was looked at is the one that is used: a name cannot change meanwhile.
        if !house.config.reach.permits(address.ip()) {
            error = DialError::Internal { address: address.ip() };
            continue;
        }
        match open(address).await {
            Ok(stream) => return Ok(stream),
            Err(source) => error = DialError::Connect { address, source },
        }
    }
    Err(error)
}

async fn open(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_keepalive(true)?;
    let stream = socket.connect(address).await?;
    // Where nobody listens at a port of those that the kernel gives to connections, one of them may
    // be given that very port, and meets itself.
    if stream.local_addr()? == address {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

async fn encrypt(
    house: &House,
    url: &Url,
    socket: Counted,
) -> Result<tokio_rustls::client::TlsStream<Counted>, DialError> {
    let name = ServerName::try_from(url.host.clone());
    let name = name.map_err(|_| DialError::Name { host: url.host.clone() })?;
    let connector = TlsConnector::from(house.tls.config(url.is_verified()));
    connector.connect(name, socket).await.map_err(|error| {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            Some(cause @ rustls::Error::InvalidCertificate(_)) => {
                DialError::Certificate(cause.to_string())
            }
            _ => DialError::Tls(error),
        }
    })
}

/// A socket that counts what the kernel has taken from us.
pub(crate) struct Counted {
    socket: TcpStream,
    written: Arc<AtomicU64>,
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, into)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(Pin::new(&mut self.socket).poll_write(context, bytes))?;
        self.written.fetch_add(count as u64, Ordering::Relaxed);
        Poll::Ready(Ok(count))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

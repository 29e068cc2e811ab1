//! What the router is told at its start: where to listen, how long to wait, whom to tell.
//!
//! Every number has Heroku's value as its default, and every one is a value, so that tests need not
//! wait as long as Heroku does.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use model::AppId;
use model::traffic::Report;
use tokio::sync::mpsc;

use crate::certificates::Certificates;

/// Everything `start` needs to know besides routes, logs and the way to the platform.
#[derive(Clone)]
pub struct Config {
    /// Where to accept connections; at least one.
    pub listen: Vec<Listen>,
    /// Threads, each with its own listener and upstream pool; one per core is right.
    pub threads: NonZeroUsize,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How much of what.
    pub limits: Limits,
    /// Told the app whose dynos sleep when a request for it arrives. When it is full the telling is
    /// repeated until it is heard or the request's time is over.
    pub wake: mpsc::Sender<AppId>,
    /// Told what each thread saw of apps' requests, once a second. When it is full the threads add up
    /// what they see until there is room.
    pub traffic: mpsc::Sender<Report>,
}

impl Config {
    /// Heroku's numbers, one thread per core; nobody is told of the traffic.
    #[must_use]
    pub fn new(listen: Vec<Listen>, wake: mpsc::Sender<AppId>) -> Self {
        let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        let (timeouts, limits) = (Timeouts::default(), Limits::default());
        let (traffic, _) = mpsc::channel(1);
        Self { listen, threads, timeouts, limits, wake, traffic }
    }
}

/// One address to accept connections on.
#[derive(Clone)]
pub struct Listen {
    /// The address; port 0 takes any free port, see [`crate::Running::addrs`].
    pub addr: SocketAddr,
    /// Whether TLS is spoken there.
    pub tls: Tls,
}

/// Whether TLS is spoken on a listener.
#[derive(Clone)]
pub enum Tls {
    /// Plain HTTP only.
    Off,
    /// TLS if the connection's first byte is that of a TLS handshake, else plain HTTP.
    Sniffed(Certificates),
    /// TLS only.
    Required(Certificates),
}

/// How long the router waits (platform behaviour 2.1, 2.2; Heroku, "HTTP Routing").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// One TCP connect to a dyno.
    pub connect: Duration,
    /// All of finding a dyno: waiting for one to start, and every connect.
    pub admission: Duration,
    /// From the whole request sent to the response's first byte (H12).
    pub first_byte: Duration,
    /// Silence in a stream under way, on either side (H15, H28).
    pub idle: Duration,
    /// A dyno whose connect failed is not tried again for so long.
    pub quarantine: Duration,
    /// An unused connection to a dyno is kept for so long.
    pub dyno_keep_alive: Duration,
    /// An unused connection of a client is kept for so long.
    pub client_keep_alive: Duration,
    /// A TLS handshake, or a request's head from its first byte to its last.
    pub request_head: Duration,
    /// All in all, a client may be waited for so long while a body moves; see [`Limits::body_rate`].
    pub slow_client: Duration,
    /// After an early answer: how long a client's late bytes are read and thrown away.
    pub linger: Duration,
    /// When the router drains, a quiet connection may say one thing more within this time.
    pub farewell: Duration,
    /// Log lines wait so long at most for company.
    pub log_flush: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            admission: Duration::from_secs(75),
            first_byte: Duration::from_secs(30),
            idle: Duration::from_secs(55),
            quarantine: Duration::from_secs(5),
            dyno_keep_alive: Duration::from_secs(90),
            client_keep_alive: Duration::from_secs(60),
            request_head: Duration::from_secs(30),
            slow_client: Duration::from_secs(60),
            linger: Duration::from_secs(5),
            farewell: Duration::from_secs(1),
            log_flush: Duration::from_millis(50),
        }
    }
}

/// How much the router takes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests in flight per dyno of an app, over all threads, before H11.
    pub in_flight_per_dyno: u32,
    /// Client connections per thread; more wait in the kernel's queue.
    pub connections_per_thread: usize,
    /// Streams of HTTP/2 clients per thread; more are refused.
    pub streams_per_thread: usize,
    /// Unused connections kept per dyno and thread.
    pub idle_per_dyno: usize,
    /// Requests and upgraded connections inside one dyno, before H22.
    pub connections_per_dyno: u32,
    /// Bytes of a body that give a slow client one more second of [`Timeouts::slow_client`].
    pub body_rate: u32,
    /// Bytes of a response taken off a dyno's hands although the client reads slowly.
    pub response_buffer: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            in_flight_per_dyno: 200,
            connections_per_thread: 50_000,
            streams_per_thread: 50_000,
            idle_per_dyno: 128,
            connections_per_dyno: 10_000,
            body_rate: 500,
            response_buffer: 1024 * 1024,
        }
    }
}

/// A connection that is not for an app: the platform serves it over a Unix socket, whose other end
/// the router relays byte for byte.
#[derive(Debug)]
pub enum Handover {
    /// HTTP for a host of the platform, from the head of the first request on. Later requests on it
    /// come too, whatever their `Host`.
    Http {
        /// The connection.
        stream: UnixStream,
        /// Who connected.
        peer: SocketAddr,
        /// Whether the client speaks TLS.
        tls: bool,
    },
    /// A client of a one-off dyno that has shown a rendezvous secret (already taken off the stream).
    Rendezvous {
        /// `rv.` and 40 lower-case hex digits.
        secret: String,
        /// The connection.
        stream: UnixStream,
        /// Who connected.
        peer: SocketAddr,
    },
}

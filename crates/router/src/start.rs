//! Starting the router's threads, and stopping them.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use model::LogSink;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::balance::Balance;
use crate::config::{Config, Handover};
use crate::load;
use crate::routes::Routes;
use crate::thread::{self, Bound, Shared};

/// Connections that may wait in the kernel to be accepted, per listener.
const BACKLOG: i32 = 4096;

/// Why the router did not start. Nothing is left running.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// There is no address to listen on.
    #[error("no address to listen on")]
    NoListener,
    /// An address cannot be listened on.
    #[error("cannot listen on {addr}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// What the kernel says.
        #[source]
        source: io::Error,
    },
    /// A thread or its runtime cannot be made.
    #[error("cannot start a router thread")]
    Thread(#[source] io::Error),
}

/// How the end came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request had ended before.
    All,
    /// The deadline came first; what was still open has been cut.
    Cut,
}

/// A running router. Dropping it stops it as [`Running::shutdown`] does, but waits for nothing.
#[derive(Debug)]
pub struct Running {
    /// The addresses listened on, in the order of [`Config::listen`], with real ports.
    pub addrs: Vec<SocketAddr>,
    /// The listening sockets: kept, lest they close with the threads, for who may take over.
    sockets: Vec<TcpListener>,
    drain: DropGuard,
    cut: CancellationToken,
    ended: watch::Receiver<()>,
    threads: Vec<JoinHandle<()>>,
}

/// Starts the router. Ready means: connections are accepted when this returns.
///
/// # Errors
/// If an address cannot be listened on, or a thread cannot be started.
pub fn start(
    config: Config,
    routes: Routes,
    logs: LogSink,
    handover: mpsc::Sender<Handover>,
) -> Result<Running, StartError> {
    start_on(Vec::new(), config, routes, logs, handover)
}

/// The same where sockets that listen already, opened by somebody else, serve the addresses that
/// they are bound to. Those of no address of the configuration are closed.
///
/// # Errors
/// As [`start`].
pub fn start_on(
    sockets: Vec<TcpListener>,
    config: Config,
    routes: Routes,
    logs: LogSink,
    handover: mpsc::Sender<Handover>,
) -> Result<Running, StartError> {
    let (addrs, bound) = bind_all(&config, sockets)?;
    let sockets = copies(&bound).map_err(StartError::Thread)?;
    let (drain, cut) = (CancellationToken::new(), CancellationToken::new());
    let (end, ended) = watch::channel(());
    let guard = drain.clone().drop_guard();
    let load = load::Shared::default();
    let number = 0;
    let seats = Balance::among(bound.len());
    let balance = seats[number].0.clone();
    let shared = Shared { number, config, routes, logs, handover, load, drain, balance };
    let mut threads = Vec::new();
    for (number, (listeners, (balance, guests))) in bound.into_iter().zip(seats).enumerate() {
        let mut shared = shared.clone();
        (shared.number, shared.balance) = (number, balance);
        shared.drain = shared.drain.child_token();
        let (cut, end) = (cut.clone(), end.clone());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(StartError::Thread)?;
        let run = move || {
            thread::run(&runtime, (shared, listeners, guests), cut);
            drop(end);
        };
        let name = format!("router-{number}");
        let thread = std::thread::Builder::new().name(name).spawn(run);
        threads.push(thread.map_err(StartError::Thread)?);
    }
    Ok(Running { addrs, sockets, drain: guard, cut, ended, threads })
}

impl Running {
    /// The listening sockets, for another router to listen on. They stay open when this one shuts
    /// down: who connects meanwhile waits in their queues.
    pub fn take_sockets(&mut self) -> Vec<TcpListener> {
        std::mem::take(&mut self.sockets)
    }

    /// Accepts nothing more, closes idle connections, lets requests under way end until `deadline`
    /// has passed, then cuts what is left.
    pub async fn shutdown(mut self, deadline: Duration) -> Drained {
        // Nobody is to connect to what is not accepted from any more.
        drop(self.sockets);
        drop(self.drain);
        // The channel closes when the last thread has ended: nobody ever sends.
        let all = tokio::time::timeout(deadline, self.ended.changed()).await;
        let drained = if all.is_ok() { Drained::All } else { Drained::Cut };
        self.cut.cancel();
        let _ = self.ended.changed().await;
        for thread in self.threads {
            // A panic has been reported by the thread itself; there is nothing to add.
            let _ = thread.join();
        }
        drained
    }
}

fn copies(bound: &[Vec<Bound>]) -> io::Result<Vec<TcpListener>> {
    bound.iter().flatten().map(|bound| bound.socket.try_clone()).collect()
}

/// Each thread's own sockets, for all addresses.
fn bind_all(
    config: &Config,
    mut given: Vec<TcpListener>,
) -> Result<(Vec<SocketAddr>, Vec<Vec<Bound>>), StartError> {
    if config.listen.is_empty() {
        return Err(StartError::NoListener);
    }
    let mut addrs = Vec::new();
    let mut bound: Vec<Vec<Bound>> = (0..config.threads.get()).map(|_| Vec::new()).collect();
    for listen in &config.listen {
        let is_for = |socket: &TcpListener| socket.local_addr().is_ok_and(|at| at == listen.addr);
        let (ours, others) = given.into_iter().partition(is_for);
        given = others;
        let failed = |source| StartError::Bind { addr: listen.addr, source };
        let sockets = sockets(listen.addr, ours, config.threads.get()).map_err(failed)?;
        addrs.push(sockets[0].local_addr().map_err(failed)?);
        for (number, socket) in sockets.into_iter().enumerate() {
            let tls = listen.tls.clone();
            bound[number % config.threads].push(Bound { socket, tls });
        }
    }
    Ok((addrs, bound))
}

/// Sockets that listen at one address, at least one for each thread: the given ones, which threads
/// share if there are too few, or new ones.
fn sockets(
    mut addr: SocketAddr,
    mut given: Vec<TcpListener>,
    threads: usize,
) -> io::Result<Vec<TcpListener>> {
    let own = given.len();
    for socket in &given {
        socket.set_nonblocking(true)?;
        SockRef::from(socket).set_tcp_nodelay(true)?;
    }
    if own == 0 {
        check_free(addr)?;
    }
    while given.len() < threads {
        let socket = match own {
            0 => bind(addr)?,
            _ => given[given.len() % own].try_clone()?,
        };
        // Port 0 is any port for the first thread, and that port for the others.
        addr = socket.local_addr()?;
        given.push(socket);
    }
    Ok(given)
}

/// Fails if somebody else listens there. `SO_REUSEPORT`, which the threads need, would otherwise let
/// a second server of the same user take half of the first one's connections.
fn check_free(addr: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())
}

fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Accepted connections inherit it: a small write of theirs never waits for an acknowledgement.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

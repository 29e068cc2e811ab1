//! The routing table: an immutable snapshot from host name to dynos.
//!
//! Made by the control plane, swapped atomically into the router, never changed in place. The one
//! shared mutable thing is [`Backend`]: its gate lets the dyno manager stop a dyno only after the
//! last request has left it, its clock tells since when nobody is inside, and its bell has a frozen
//! dyno thawed by whoever enters; all without a message that could be lost.

mod table;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};

use crate::{AppId, AppName, DynoId, DynoName, Timestamp};

pub use table::{RoutingTable, Target};

/// Why an app has, or has not, a dyno to send a request to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebState {
    /// Never deployed: H81.
    Blank,
    /// No web dynos are wanted: H14.
    ScaledToZero,
    /// At least one dyno is up.
    Up,
    /// Dynos are starting and none is up: requests wait, then H20.
    Starting,
    /// All are crashed: H10.
    Crashed,
    /// Asleep: a request wakes it and waits like `Starting`.
    Asleep,
}

/// A web dyno that takes requests.
pub struct Backend {
    /// The dyno.
    pub dyno: DynoId,
    /// Its name in log lines.
    pub name: DynoName,
    /// Where it listens.
    pub address: SocketAddr,
    closed: AtomicBool,
    in_flight: AtomicU32,
    /// When the last request left, in microseconds; when it was made, if none has.
    left: AtomicI64,
    frozen: AtomicBool,
    bell: Bell,
}

/// Rung by whoever enters a frozen dyno. It must return at once.
pub type Bell = Box<dyn Fn() + Send + Sync>;

impl Backend {
    /// A backend that takes requests.
    #[must_use]
    pub fn new(dyno: DynoId, name: DynoName, address: SocketAddr) -> Self {
        Self::with_bell(dyno, name, address, Box::new(|| {}))
    }

    /// A backend that takes requests and may be frozen.
    #[must_use]
    pub fn with_bell(dyno: DynoId, name: DynoName, address: SocketAddr, bell: Bell) -> Self {
        let left = AtomicI64::new(Timestamp::now().micros());
        let (closed, frozen) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { dyno, name, address, closed, in_flight: AtomicU32::new(0), left, frozen, bell }
    }

    /// As if nobody had visited since then.
    #[must_use]
    pub fn quiet_since(mut self, since: Timestamp) -> Self {
        *self.left.get_mut() = since.micros();
        self
    }

    /// Enters with one request. `None` once the gate is closed: choose another backend.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Visit> {
        // The count goes up before gate and frost are looked at, and `close` and `freeze` change
        // those before they look at the count; with sequential consistency one of the two always
        // sees the other.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let visit = Visit { backend: self.clone() };
        if self.closed.load(Ordering::SeqCst) {
            return None;
        }
        if self.frozen.load(Ordering::SeqCst) {
            (self.bell)();
        }
        Some(visit)
    }

    /// Shuts the gate: no new request enters.
    pub fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Whether the gate is shut.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Requests (and upgraded connections) inside.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// Since when nobody has been inside; now, if somebody is.
    #[must_use]
    pub fn idle_since(&self) -> Timestamp {
        if self.in_flight() > 0 {
            return Timestamp::now();
        }
        Timestamp::from_micros(self.left.load(Ordering::Relaxed))
    }

    /// From now on a request rings the bell. Answers whether nobody is inside: only then may the
    /// dyno be frozen.
    #[must_use]
    pub fn freeze(&self) -> bool {
        self.frozen.store(true, Ordering::SeqCst);
        self.in_flight() == 0
    }

    /// The dyno runs again: nobody need ring.
    pub fn thaw(&self) {
        self.frozen.store(false, Ordering::SeqCst);
    }
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Backend")
            .field("dyno", &self.dyno)
            .field("name", &self.name)
            .field("address", &self.address)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

/// One request inside a backend; leaving is dropping it.
#[derive(Debug)]
pub struct Visit {
    backend: Arc<Backend>,
}

impl Visit {
    /// The backend visited.
    #[must_use]
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.backend.left.store(Timestamp::now().micros(), Ordering::Relaxed);
        self.backend.in_flight.fetch_sub(1, Ordering::SeqCst);
    }
}

/// An app's web side, as the dyno manager sees it.
#[derive(Clone, Debug)]
pub struct WebView {
    /// What requests find.
    pub state: WebState,
    /// Dynos that are up, in no order.
    pub backends: Arc<[Arc<Backend>]>,
}

/// How a dyno is chosen for a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// At random, each time.
    #[default]
    Random,
    /// A visitor stays with the dyno that a cookie of the router's names (`http-session-affinity`).
    Session,
}

/// What becomes of a connection to a dyno after a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DynoConnections {
    /// It is kept for the next request.
    #[default]
    Kept,
    /// It is closed (`http-disable-keepalive-to-dyno`).
    OnePerRequest,
}

/// Who answers a client that waits for `100 Continue` before it sends a body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Continuation {
    /// The router, at once.
    #[default]
    Router,
    /// The dyno (`http-end-to-end-continue`).
    Dyno,
}

/// Everything the router must know of one app.
#[derive(Clone, Debug)]
pub struct AppRoute {
    /// The app.
    pub app: AppId,
    /// Its name.
    pub name: AppName,
    /// Its web side.
    pub web: WebView,
    /// Whether visitors get the maintenance page (H80).
    pub maintenance: bool,
    /// `ERROR_PAGE_URL`.
    pub error_page_url: Option<String>,
    /// `MAINTENANCE_PAGE_URL`.
    pub maintenance_page_url: Option<String>,
    /// How a dyno is chosen.
    pub choice: Choice,
    /// Whether connections to its dynos are kept.
    pub connections: DynoConnections,
    /// Who says `100 Continue`.
    pub continuation: Continuation,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_gate_lets_nobody_in_and_counts_who_is_left() {
        let name = "web.1".parse().expect("good");
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let backend = Arc::new(Backend::new(DynoId::random(), name, address));
        let visit = backend.enter().expect("open");
        backend.close();
        assert!(backend.enter().is_none());
        assert_eq!(backend.in_flight(), 1);
        drop(visit);
        assert_eq!(backend.in_flight(), 0);
    }
    #[test]
    fn who_enters_a_frozen_dyno_rings_its_bell() {
        let name = "web.1".parse().expect("good");
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let rung = Arc::new(AtomicU32::new(0));
        let count = rung.clone();
        let bell = Box::new(move || {
            count.fetch_add(1, Ordering::SeqCst);
        });
        let backend = Arc::new(Backend::with_bell(DynoId::random(), name, address, bell));
        let visit = backend.enter().expect("open");
        assert!(!backend.freeze(), "somebody is inside");
        backend.thaw();
        drop(visit);
        assert_eq!(rung.load(Ordering::SeqCst), 0, "nobody met the frost");
        let idle_since = backend.idle_since();
        assert!(backend.freeze());
        let visit = backend.enter().expect("open");
        assert_eq!(rung.load(Ordering::SeqCst), 1);
        drop(visit);
        assert!(backend.idle_since() >= idle_since, "a visit is traffic");
    }
}

//! The routing table: an immutable snapshot from host name to dynos.
//!
//! Made by the control plane, swapped atomically into the router, never changed in place. The one
//! shared mutable thing is [`Backend`]'s gate: it lets the dyno manager stop a dyno only after the
//! last request has left it, without a message that could be lost.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use crate::{AppId, AppName, DynoId, DynoName};

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
#[derive(Debug)]
pub struct Backend {
    /// The dyno.
    pub dyno: DynoId,
    /// Its name in log lines.
    pub name: DynoName,
    /// Where it listens.
    pub address: SocketAddr,
    closed: AtomicBool,
    in_flight: AtomicU32,
}

impl Backend {
    /// A backend that takes requests.
    #[must_use]
    pub fn new(dyno: DynoId, name: DynoName, address: SocketAddr) -> Self {
        Self { dyno, name, address, closed: AtomicBool::new(false), in_flight: AtomicU32::new(0) }
    }

    /// Enters with one request. `None` once the gate is closed: choose another backend.
    #[must_use]
    pub fn enter(self: &Arc<Self>) -> Option<Visit> {
        // The count goes up before the gate is looked at, and `close` shuts the gate before it
        // looks at the count; with sequential consistency one of the two always sees the other.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        let visit = Visit { backend: self.clone() };
        if self.closed.load(Ordering::SeqCst) { None } else { Some(visit) }
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
}

/// What a host name leads to.
#[derive(Clone, Debug)]
pub enum Target<'a> {
    /// An app.
    App(&'a Arc<AppRoute>),
    /// The platform's own API, git and dashboard.
    Platform,
    /// Nothing here, yet.
    Unknown,
}

/// From host name to app. Look-up cost does not grow with the number of apps.
#[derive(Clone, Debug, Default)]
pub struct RoutingTable {
    /// Exact lower-case host names.
    pub hosts: HashMap<Box<str>, Arc<AppRoute>>,
    /// `example.com` for `*.example.com`; exact names win.
    pub wildcards: HashMap<Box<str>, Arc<AppRoute>>,
    /// Host names of the platform itself.
    pub platform: HashSet<Box<str>>,
}

impl RoutingTable {
    /// What `host` leads to. `host` is lower-case, without port and trailing dot.
    #[must_use]
    pub fn lookup(&self, host: &str) -> Target<'_> {
        if let Some(route) = self.hosts.get(host) {
            return Target::App(route);
        }
        if self.platform.contains(host) {
            return Target::Platform;
        }
        let parent = host.split_once('.').map(|(_, parent)| parent);
        match parent.and_then(|parent| self.wildcards.get(parent)) {
            Some(route) => Target::App(route),
            None => Target::Unknown,
        }
    }
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
}

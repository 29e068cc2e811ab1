//! Finding a dyno that takes a request: choosing, connecting, waiting (platform behaviour 2.1).
//!
//! A request enters exactly one backend at a time. A connect that fails is tried on another; nothing
//! else is. Whenever there is nowhere to go, the table is looked at again: a request fails only if
//! the table of that moment says so.

use std::sync::Arc;
use std::time::Duration;

use model::codes::HCode;
use model::routes::{AppRoute, Backend, Choice, Target, Visit, WebState};
use model::{DynoId, DynoName};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::head::request::Request;
use crate::pool::Care;
use crate::socket::Socket;
use crate::thread::Thread;
use crate::transfer::End;

/// Most dynos tried for one request.
const MAX_TRIES: usize = 10;
/// A wake-up that found its queue full is repeated after so long.
const WAKE_AGAIN: Duration = Duration::from_millis(100);

/// A dyno that takes the request, and a connection to it.
pub struct Admitted {
    /// The request's stay; dropping it leaves the dyno.
    pub visit: Visit,
    /// The connection.
    pub dyno: End,
    /// Whether the connection was used before.
    pub origin: Origin,
    /// How long the connect took.
    pub connect: Duration,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was made for this request.
    Fresh,
    /// It has served others: the dyno may have closed it just now.
    Pooled,
}

/// Which connections will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A used one, looked at with this care, or a fresh one.
    Any(Care),
    /// Only a fresh one.
    Fresh,
}

/// No dyno takes the request.
#[derive(Debug)]
pub enum Denied {
    /// The host leads nowhere any more.
    NoApp,
    /// The app has nobody to answer.
    Error {
        /// Why.
        code: HCode,
        /// The app as it was when that was decided.
        app: Arc<AppRoute>,
        /// The dyno tried last.
        dyno: Option<DynoName>,
        /// How long its connect took.
        connect: Option<Duration>,
    },
}

/// A connect that failed.
#[derive(Clone, Debug)]
struct Failed {
    code: HCode,
    backend: Arc<Backend>,
    took: Duration,
}

/// One request looking for a dyno.
pub struct Admission<'t> {
    thread: &'t Thread,
    request: &'t Request,
    /// The app, as it was looked up a moment ago; gone once something was waited for.
    known: Option<Arc<AppRoute>>,
    deadline: Instant,
    tried: Vec<DynoId>,
    tries: usize,
    failed: Option<Failed>,
    woken: bool,
}

/// What can be done at this moment.
enum Step {
    Enter(Visit),
    Deny(HCode),
    /// Wait for a change of the table, or until then; if time is up, deny.
    Wait(Option<Instant>, HCode),
}

impl<'t> Admission<'t> {
    /// A request for `app` that starts looking now.
    pub fn new(thread: &'t Thread, request: &'t Request, app: Arc<AppRoute>) -> Self {
        let (known, deadline) = (Some(app), Instant::now() + thread.timeouts.admission);
        Self {
            thread,
            request,
            known,
            deadline,
            tried: Vec::new(),
            tries: 0,
            failed: None,
            woken: false,
        }
    }

    /// Enters a dyno and connects to it.
    pub async fn admit(&mut self, wanted: Wanted) -> Result<Admitted, Denied> {
        loop {
            let route = self.known.take().map_or_else(|| self.route(), Ok)?;
            let (until, code) = match self.step(&route) {
                Step::Enter(visit) => match self.connect(visit, wanted).await {
                    Ok(admitted) => return Ok(admitted),
                    Err(failed) => {
                        self.note_failure(failed, &route);
                        continue;
                    }
                },
                Step::Deny(code) => return Err(self.deny(code, route)),
                Step::Wait(until, code) => (until, code),
            };
            if Instant::now() >= self.deadline {
                return Err(self.deny(code, route));
            }
            Box::pin(self.wait(until, &route)).await;
        }
    }

    /// The app as the table of this moment has it.
    fn route(&self) -> Result<Arc<AppRoute>, Denied> {
        match self.thread.routes.peek().lookup(&self.request.host) {
            Target::App(route) => Ok(route.clone()),
            Target::Platform | Target::Unknown => Err(Denied::NoApp),
        }
    }

    fn step(&mut self, route: &AppRoute) -> Step {
        if route.maintenance {
            return Step::Deny(HCode::H80);
        }
        match route.web.state {
            WebState::Blank => Step::Deny(HCode::H81),
            WebState::ScaledToZero => Step::Deny(HCode::H14),
            WebState::Crashed => Step::Deny(HCode::H10),
            WebState::Starting => Step::Wait(None, HCode::H20),
            WebState::Asleep => {
                self.woken = self.woken || self.thread.wake.try_send(route.app).is_ok();
                let again = Instant::now() + WAKE_AGAIN;
                Step::Wait((!self.woken).then_some(again), HCode::H20)
            }
            WebState::Up => match self.acquaintance(route) {
                Some(visit) => Step::Enter(visit),
                None => self.pick(&route.web.backends),
            },
        }
    }

    /// The dyno that the visitor stays with, if the app wants that and the dyno can be had.
    fn acquaintance(&self, route: &AppRoute) -> Option<Visit> {
        let known = self.request.session.filter(|_| route.choice == Choice::Session)?;
        let backend = route.web.backends.iter().find(|backend| backend.dyno == known)?;
        let left_alone =
            self.tried.contains(&known) || self.thread.quarantine.ends(known).is_some();
        if left_alone || self.is_crowded(backend) { None } else { backend.enter() }
    }

    fn is_crowded(&self, backend: &Backend) -> bool {
        backend.in_flight() >= self.thread.limits.connections_per_dyno
    }

    /// A uniformly random choice among the dynos that are open, not in quarantine and not tried yet.
    fn pick(&self, backends: &[Arc<Backend>]) -> Step {
        let tries_used = self.tries >= backends.len().min(MAX_TRIES) && self.tries > 0;
        loop {
            let (mut chosen, mut count, mut quarantined) = (None, 0, None::<Instant>);
            let mut crowded = false;
            for backend in backends.iter().filter(|backend| !backend.is_closed()) {
                if self.tried.contains(&backend.dyno) {
                    continue;
                }
                if let Some(end) = self.thread.quarantine.ends(backend.dyno) {
                    quarantined = Some(quarantined.map_or(end, |earliest| earliest.min(end)));
                    continue;
                }
                if self.is_crowded(backend) {
                    crowded = true;
                    continue;
                }
                count += 1;
                if count == 1 || self.thread.dice.borrow_mut().below(count) == 0 {
                    chosen = Some(backend);
                }
            }
            match (chosen, &self.failed, quarantined) {
                (_, Some(failed), _) if tries_used => return Step::Deny(failed.code),
                (Some(backend), ..) => match backend.enter() {
                    Some(visit) => return Step::Enter(visit),
                    // Its gate was shut between two looks; the next look leaves it out.
                    None => continue,
                },
                (None, Some(failed), _) => return Step::Deny(failed.code),
                (None, None, _) if crowded => return Step::Deny(HCode::H22),
                (None, None, Some(until)) => return Step::Wait(Some(until), HCode::H34),
                // All gates are shut: a new table is on its way.
                (None, None, None) => return Step::Wait(None, HCode::H20),
            }
        }
    }

    async fn connect(&self, visit: Visit, wanted: Wanted) -> Result<Admitted, Failed> {
        let backend = visit.backend();
        if let Wanted::Any(care) = wanted
            && let Some(dyno) = self.thread.pool.take(backend, care)
        {
            let connect = Duration::ZERO;
            return Ok(Admitted { visit, dyno, origin: Origin::Pooled, connect });
        }
        let begun = Instant::now();
        let left = self.deadline.saturating_duration_since(begun);
        let limit = self.thread.timeouts.connect.min(left);
        let code = match Box::pin(timeout(limit, TcpStream::connect(backend.address))).await {
            Ok(Ok(stream)) => {
                // Without it a small write may wait for the dyno's acknowledgement; not vital.
                let _ = stream.set_nodelay(true);
                let dyno = End::new(Socket::Plain(stream));
                let connect = begun.elapsed();
                return Ok(Admitted { visit, dyno, origin: Origin::Fresh, connect });
            }
            Ok(Err(_)) => HCode::H21,
            Err(_) => HCode::H19,
        };
        Err(Failed { code, backend: backend.clone(), took: begun.elapsed() })
    }

    fn note_failure(&mut self, failed: Failed, route: &AppRoute) {
        self.thread.quarantine.add(failed.backend.dyno);
        self.tried.push(failed.backend.dyno);
        // If the table has moved on, what failed was yesterday's dyno, and today's get their chance.
        let outdated = failed.backend.is_closed() || !self.is_current(route);
        if outdated {
            (self.tries, self.failed) = (0, None);
        } else {
            (self.tries, self.failed) = (self.tries + 1, Some(failed));
        }
    }

    /// Whether the table still offers what it did when `seen` was looked up.
    fn is_current(&self, seen: &AppRoute) -> bool {
        self.route().is_ok_and(|now| same_web(&now, seen))
    }

    /// Waits until the table changes, until `until`, or until time is up.
    async fn wait(&self, until: Option<Instant>, seen: &AppRoute) {
        let mut changes = self.thread.routes.changed();
        // It may have changed between that look and this moment.
        if !self.is_current(seen) {
            return;
        }
        let until = until.unwrap_or(self.deadline).min(self.deadline);
        tokio::select! {
            // Nothing is lost: the table itself is looked at again.
            _ = changes.changed() => {}
            // The same.
            () = sleep_until(until) => {}
        }
    }

    fn deny(&self, code: HCode, app: Arc<AppRoute>) -> Denied {
        let failed = self.failed.as_ref().filter(|failed| failed.code == code);
        let dyno = failed.map(|failed| failed.backend.name.clone());
        Denied::Error { code, app, dyno, connect: failed.map(|failed| failed.took) }
    }
}

/// Whether two moments of an app offer requests the same.
fn same_web(one: &AppRoute, other: &AppRoute) -> bool {
    one.maintenance == other.maintenance
        && one.web.state == other.web.state
        && one.web.backends.len() == other.web.backends.len()
        && one.web.backends.iter().zip(other.web.backends.iter()).all(|(a, b)| a.dyno == b.dyno)
}

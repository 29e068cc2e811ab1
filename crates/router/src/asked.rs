//! A request on its way, from the moment it is known whose it is to its one line in the log.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

use model::codes::HCode;
use model::routes::{AppRoute, WebState};

use crate::connection::Connection;
use crate::head::request::Request;
use crate::load::InFlight;
use crate::log_line::Record;
use crate::thread::Thread;

/// A request on its way through the router. If it ends without a word, because the router stops at
/// once, its line says so (H24).
pub struct Asked<'a> {
    /// The request.
    pub request: &'a Request,
    /// The app it is for, as it was when the request came.
    pub app: Arc<AppRoute>,
    /// `100 Continue` has been said.
    pub continued: bool,
    /// Gone once the connection was upgraded: then it waits for nothing.
    in_flight: Option<InFlight>,
    thread: Rc<Thread>,
    tls: &'static str,
    line: Cell<Line>,
}

/// Whether a request's line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    Owed,
    /// Or there is none to be written.
    Done,
}

impl<'a> Asked<'a> {
    /// A request for `app` that came over `connection`.
    pub fn new(connection: &Connection, request: &'a Request, app: Arc<AppRoute>) -> Self {
        let (thread, tls) = (connection.thread.clone(), connection.tls);
        let line = Cell::new(Line::Owed);
        Self { request, app, continued: false, in_flight: None, thread, tls, line }
    }

    /// Counts it in, unless too many requests of its app are in flight.
    pub fn enter(&mut self) -> Result<(), HCode> {
        self.in_flight = self.thread.load.enter(self.app.app, self.backlog());
        self.in_flight.as_ref().map(drop).ok_or(HCode::H11)
    }

    /// It waits for nothing any more.
    pub fn leave(&mut self) {
        self.in_flight = None;
    }

    /// How many requests of the app may be in flight.
    fn backlog(&self) -> u32 {
        let up = match self.app.web.state {
            WebState::Up => self.app.web.backends.len(),
            // They wait for at least one dyno.
            WebState::Starting | WebState::Asleep => 1,
            // They are answered at once and wait for nothing.
            WebState::Blank | WebState::ScaledToZero | WebState::Crashed => return u32::MAX,
        };
        let dynos = u32::try_from(up.max(1)).unwrap_or(u32::MAX);
        self.thread.limits.in_flight_per_dyno.saturating_mul(dynos)
    }

    /// Writes its line.
    pub fn log(&self, record: &Record) {
        self.line.set(Line::Done);
        self.thread.traffic.note(self.app.app, record);
        self.thread.log.add(self.app.app, record.line(self.request, self.tls));
    }

    /// It is none that the app would want to hear of.
    pub fn is_unsaid(&self) {
        self.line.set(Line::Done);
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if self.line.get() == Line::Owed {
            self.log(&Record::early(HCode::H24));
        }
    }
}

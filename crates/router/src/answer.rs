//! A request for an app, from its head to its line in the log.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use model::codes::HCode;
use model::routes::{AppRoute, WebState};
use tokio::time::Instant;

use crate::admission::{Admission, Admitted, Denied, Wanted};
use crate::buffer::BASE;
use crate::connection::{Connection, Next};
use crate::exchange::{Answer, Exchange, Failure, Relayed};
use crate::head::request::{Afterwards, Refusal, Request, Verb};
use crate::head::response::Reuse;
use crate::load::InFlight;
use crate::log_line::Record;
use crate::outgoing::Outgoing;
use crate::pages::Page;
use crate::pipe::{self, Outcome, Patience};
use crate::pool::Care;
use crate::transfer::Transfer;

/// A request on its way through the router.
struct Asked<'a> {
    request: &'a Request,
    app: Arc<AppRoute>,
    /// `100 Continue` has been said.
    continued: bool,
    /// Gone once the connection was upgraded: then it waits for nothing.
    in_flight: Option<InFlight>,
}

/// A visit to a dyno, as the log will tell it.
struct Stay {
    admitted: Admitted,
    begun: Instant,
}

/// What a dyno made of a request.
enum Heard {
    /// A response, which the client has.
    Relayed(Relayed, Reuse),
    /// Another protocol.
    Upgrade(Transfer),
}

/// How far one try got.
enum Tried {
    Over(Next),
    /// The connection was stale; the same request may go to another.
    Again(Outgoing),
}

/// Answers `request`, whose head for a dyno is `forward`, and logs it.
pub async fn answer(connection: &mut Connection, request: &Request, forward: Outgoing) -> Next {
    let thread = connection.thread.clone();
    let mut admission = Admission::new(&thread, &request.host);
    let Ok(app) = admission.route() else {
        return connection.show(&Page::no_such_app(), request).await;
    };
    let Some(in_flight) = thread.load.enter(app.app, backlog(connection, &app)) else {
        let next = connection.after_unread(request);
        return fail(connection, (request, &app), Record::early(HCode::H11), next).await;
    };
    let mut asked = Asked { request, app, continued: false, in_flight: Some(in_flight) };
    let mut wanted = Wanted::Any(care(request));
    let mut forward = forward;
    loop {
        let admitted = match admit(connection, &mut admission, wanted).await {
            Ok(admitted) => admitted,
            Err(None) => return lost(connection, &asked),
            Err(Some(denied)) => return deny(connection, &asked, denied).await,
        };
        match try_one(connection, &mut asked, admitted, forward).await {
            Tried::Over(next) => return next,
            Tried::Again(head) => (forward, wanted) = (head, Wanted::Fresh),
        }
    }
}

/// How many requests of `app` may be in flight.
fn backlog(connection: &Connection, app: &AppRoute) -> u32 {
    let up = match app.web.state {
        WebState::Up => app.web.backends.len(),
        // They wait for at least one dyno.
        WebState::Starting | WebState::Asleep => 1,
        // They are answered at once and wait for nothing.
        WebState::Blank | WebState::ScaledToZero | WebState::Crashed => return u32::MAX,
    };
    let dynos = u32::try_from(up.max(1)).unwrap_or(u32::MAX);
    connection.thread.limits.in_flight_per_dyno.saturating_mul(dynos)
}

/// A request that cannot be sent again once its first bytes are out deserves a connection that is
/// certainly open.
fn care(request: &Request) -> Care {
    let has_body = request.body.chunked || request.body.length.is_some_and(|n| n > 0);
    match request.verb {
        Verb::Head | Verb::Idempotent if !has_body => Care::Usual,
        Verb::Head | Verb::Idempotent | Verb::Other => Care::Extra,
    }
}

/// Finds a dyno. `Err(None)` if the client went away meanwhile.
async fn admit(
    connection: &mut Connection,
    admission: &mut Admission<'_>,
    wanted: Wanted,
) -> Result<Admitted, Option<Denied>> {
    let mut admitted = pin!(admission.admit(wanted));
    let client = &mut connection.client;
    poll_fn(|cx| {
        if let Poll::Ready(result) = admitted.as_mut().poll(cx) {
            return Poll::Ready(result.map_err(Some));
        }
        loop {
            match client.poll_fill(cx, BASE) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if count > 0 => {}
                Poll::Ready(_) => return Poll::Ready(Err(None)),
            }
        }
    })
    .await
}

async fn try_one(
    connection: &mut Connection,
    asked: &mut Asked<'_>,
    admitted: Admitted,
    forward: Outgoing,
) -> Tried {
    if asked.request.expects_continue && !asked.continued {
        asked.continued = true;
        connection.client.head.bytes().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        if !connection.write_head().await {
            return Tried::Over(lost(connection, asked));
        }
        connection.client.head.clear();
    }
    let origin = admitted.origin;
    let mut stay = Stay { admitted, begun: Instant::now() };
    stay.admitted.dyno.head = forward;
    let thread = connection.thread.clone();
    let dyno = &mut stay.admitted.dyno;
    let mut exchange = Exchange::new(
        (&thread, asked.request),
        &mut connection.client,
        (dyno, origin),
        &mut connection.timer,
    );
    let next = match one_answer(&mut exchange).await {
        Ok(Heard::Relayed(relayed, reuse)) => {
            let unfinished = exchange.is_unfinished();
            relayed_next(connection, asked, stay, (relayed, reuse, unfinished))
        }
        Ok(Heard::Upgrade(first)) => Box::pin(upgrade(connection, asked, stay, first)).await,
        Err(Failure::Stale) => {
            let mut head = std::mem::take(&mut stay.admitted.dyno.head);
            head.rewind();
            return Tried::Again(head);
        }
        Err(Failure::BadBody) => {
            connection.write(&Page::refusal(Refusal::Bad), asked.request.verb, Next::Linger).await
        }
        Err(Failure::Error(code @ (HCode::H27 | HCode::H28))) => {
            log(connection, asked, &stay.record(Some(code), code.status(), 0));
            Next::Cut
        }
        Err(Failure::Error(code)) => {
            let next = match exchange.is_unfinished() {
                true => Next::Linger,
                false => connection.after(asked.request.afterwards),
            };
            let record = stay.record(Some(code), code.status(), 0);
            drop(stay);
            Box::pin(fail(connection, (asked.request, &asked.app), record, next)).await
        }
    };
    Tried::Over(next)
}

/// Sends the request, and relays its response if there is one.
async fn one_answer(exchange: &mut Exchange<'_>) -> Result<Heard, Failure> {
    match exchange.answer().await? {
        Answer::Response(download) => {
            let (relayed, reuse) = exchange.relay(download).await?;
            Ok(Heard::Relayed(relayed, reuse))
        }
        Answer::Upgrade(first) => Ok(Heard::Upgrade(first)),
    }
}

/// A response has been relayed, or part of it.
fn relayed_next(
    connection: &Connection,
    asked: &Asked<'_>,
    stay: Stay,
    (relayed, reuse, unfinished): (Relayed, Reuse, bool),
) -> Next {
    let status = relayed.broken.map_or(relayed.status, HCode::status);
    log(connection, asked, &stay.record(relayed.broken, status, relayed.bytes));
    if reuse == Reuse::Keep {
        let Admitted { visit, dyno, .. } = stay.admitted;
        connection.thread.pool.put(visit.backend(), dyno);
    }
    match relayed.afterwards {
        _ if relayed.broken.is_some() => Next::Cut,
        _ if unfinished => Next::Linger,
        Afterwards::KeepAlive => Next::KeepAlive,
        Afterwards::Close => Next::Close,
    }
}

/// The dyno has taken up another protocol: from here on the router only copies.
async fn upgrade(
    connection: &mut Connection,
    asked: &mut Asked<'_>,
    mut stay: Stay,
    first: Transfer,
) -> Next {
    asked.in_flight = None;
    let timeouts = connection.thread.timeouts;
    let patience = Patience { idle: Some(timeouts.idle), linger: timeouts.linger };
    let ends = (&mut connection.client, &mut stay.admitted.dyno);
    let (outcome, bytes) = pipe::join(ends, first, patience, &mut connection.timer).await;
    let code = match outcome {
        Outcome::Closed => None,
        Outcome::Silent => Some(HCode::H15),
    };
    log(connection, asked, &stay.record(code, code.map_or(101, HCode::status), bytes));
    Next::Cut
}

/// Nobody takes the request.
async fn deny(connection: &mut Connection, asked: &Asked<'_>, denied: Denied) -> Next {
    let Denied::Error { code, app, dyno, connect } = denied else {
        return connection.show(&Page::no_such_app(), asked.request).await;
    };
    let record = Record { dyno, connect, ..Record::early(code) };
    let next = connection.after_unread(asked.request);
    fail(connection, (asked.request, &app), record, next).await
}

/// Shows the app's error page and logs why.
async fn fail(
    connection: &mut Connection,
    (request, app): (&Request, &AppRoute),
    record: Record,
    next: Next,
) -> Next {
    let page = record.code.map_or_else(Page::no_such_app, |code| Page::error(code, app));
    let next = connection.write(&page, request.verb, next).await;
    connection.thread.traffic.note(app.app, &record);
    connection.thread.log.add(app.app, record.line(request, connection.tls));
    next
}

/// The client went away before a dyno had its request.
fn lost(connection: &Connection, asked: &Asked<'_>) -> Next {
    log(connection, asked, &Record::early(HCode::H27));
    Next::Cut
}

fn log(connection: &Connection, asked: &Asked<'_>, record: &Record) {
    connection.thread.traffic.note(asked.app.app, record);
    connection.thread.log.add(asked.app.app, record.line(asked.request, connection.tls));
}

impl Stay {
    fn record(&self, code: Option<HCode>, status: u16, bytes: u64) -> Record {
        Record {
            code,
            dyno: Some(self.admitted.visit.backend().name.clone()),
            connect: Some(self.admitted.connect),
            service: Some(self.begun.elapsed()),
            status,
            bytes: Some(bytes),
        }
    }
}

//! A request for an app, from its head to its line in the log.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use model::DynoId;
use model::codes::HCode;
use model::routes::{AppRoute, Choice, Continuation, DynoConnections};
use tokio::time::Instant;

use crate::admission::{Admission, Admitted, Denied, Wanted};
use crate::asked::Asked;
use crate::buffer::BASE;
use crate::connection::{Connection, Next};
use crate::exchange::{Answer, Exchange, Failure, Relayed};
use crate::head::request::{Afterwards, Refusal, Request, Verb};
use crate::head::response::Reuse;
use crate::log_line::Record;
use crate::outgoing::Outgoing;
use crate::pages::Page;
use crate::pipe::{self, Outcome, Patience};
use crate::pool::Care;
use crate::transfer::Transfer;

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

/// Answers `request` for `app`, whose head for a dyno is `forward`, and logs it.
pub async fn answer(
    connection: &mut Connection,
    (request, app): (&Request, Arc<AppRoute>),
    forward: Outgoing,
) -> Next {
    let thread = connection.thread.clone();
    let mut admission = Admission::new(&thread, request, app.clone());
    let mut asked = Asked::new(connection, request, app);
    if let Err(code) = asked.enter() {
        let next = connection.after_unread(request);
        return fail(connection, (&asked, &asked.app), Record::early(code), next).await;
    }
    let mut wanted = wanted(&asked);
    let mut forward = forward;
    request.end_head(asked.app.connections, asked.app.continuation, forward.bytes());
    loop {
        let admitted = match admit(connection, &mut admission, wanted).await {
            Ok(admitted) => admitted,
            Err(None) => return lost(&asked),
            Err(Some(denied)) => return deny(connection, &asked, denied).await,
        };
        match try_one(connection, &mut asked, admitted, forward).await {
            Tried::Over(next) => return next,
            Tried::Again(head) => (forward, wanted) = (head, Wanted::Fresh),
        }
    }
}

/// Which connections will do for a request.
fn wanted(asked: &Asked<'_>) -> Wanted {
    match asked.app.connections {
        DynoConnections::Kept => Wanted::Any(care(asked.request)),
        DynoConnections::OnePerRequest => Wanted::Fresh,
    }
}

/// A request that cannot be sent again once its first bytes are out deserves a connection that is
/// certainly open.
fn care(request: &Request) -> Care {
    match request.verb {
        Verb::Head | Verb::Idempotent if !request.has_body() => Care::Usual,
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
    if !say_continue(connection, asked).await {
        return Tried::Over(lost(asked));
    }
    let origin = admitted.origin;
    let mut stay = Stay { admitted, begun: Instant::now() };
    stay.admitted.dyno.head = forward;
    let thread = connection.thread.clone();
    let session = introduction(asked, &stay);
    let dyno = &mut stay.admitted.dyno;
    let mut exchange = Exchange::new(
        (&thread, asked.request),
        &mut connection.client,
        (dyno, origin),
        &mut connection.timer,
    )
    .continued_by(asked.app.continuation)
    .staying_with(session);
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
            asked.is_unsaid();
            connection.write(&Page::refusal(Refusal::Bad), asked.request.verb, Next::Linger).await
        }
        Err(Failure::Error(code)) if exchange.leaves_nothing_to_say(code) => {
            asked.log(&stay.record(Some(code), code.status(), 0));
            Next::Cut
        }
        Err(Failure::Error(code)) => {
            let next = match exchange.is_unfinished() {
                true => Next::Linger,
                false => connection.after(asked.request.afterwards),
            };
            let record = stay.record(Some(code), code.status(), 0);
            drop(stay);
            Box::pin(fail(connection, (asked, &asked.app), record, next)).await
        }
    };
    Tried::Over(next)
}

/// Tells the client to send its body, if it waits for that and the dyno is not to say it. False if
/// the client has gone.
async fn say_continue(connection: &mut Connection, asked: &mut Asked<'_>) -> bool {
    let by_router = asked.app.continuation == Continuation::Router;
    if !asked.request.expects_continue || !by_router || asked.continued {
        return true;
    }
    asked.continued = true;
    connection.client.head.bytes().extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
    let said = connection.write_head().await;
    connection.client.head.clear();
    said
}

/// The dyno that the visitor must be told to stay with: none, if the visitor knows it.
fn introduction(asked: &Asked<'_>, stay: &Stay) -> Option<DynoId> {
    let dyno = stay.admitted.visit.backend().dyno;
    let stays = asked.app.choice == Choice::Session;
    (stays && asked.request.session != Some(dyno)).then_some(dyno)
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
    asked.log(&stay.record(relayed.broken, status, relayed.bytes));
    if reuse == Reuse::Keep && asked.app.connections == DynoConnections::Kept {
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
    asked.leave();
    let timeouts = connection.thread.timeouts;
    let patience = Patience { idle: Some(timeouts.idle), linger: timeouts.linger };
    let ends = (&mut connection.client, &mut stay.admitted.dyno);
    let (outcome, bytes) = pipe::join(ends, first, patience, &mut connection.timer).await;
    let code = match outcome {
        Outcome::Closed => None,
        Outcome::Silent => Some(HCode::H15),
    };
    asked.log(&stay.record(code, code.map_or(101, HCode::status), bytes));
    Next::Cut
}

/// Nobody takes the request.
async fn deny(connection: &mut Connection, asked: &Asked<'_>, denied: Denied) -> Next {
    let Denied::Error { code, app, dyno, connect } = denied else {
        asked.is_unsaid();
        return connection.show(&Page::no_such_app(), asked.request).await;
    };
    let record = Record { dyno, connect, ..Record::early(code) };
    let next = connection.after_unread(asked.request);
    fail(connection, (asked, &app), record, next).await
}

/// Shows the error page of `app`, as it is now, and logs why.
async fn fail(
    connection: &mut Connection,
    (asked, app): (&Asked<'_>, &AppRoute),
    record: Record,
    next: Next,
) -> Next {
    let page = record.code.map_or_else(Page::no_such_app, |code| Page::error(code, app));
    let next = connection.write(&page, asked.request.verb, next).await;
    asked.log(&record);
    next
}

/// The client went away before a dyno had its request.
fn lost(asked: &Asked<'_>) -> Next {
    asked.log(&Record::early(HCode::H27));
    Next::Cut
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

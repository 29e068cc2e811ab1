//! The checklist of Heroku's own former router (platform behaviour 2.10), case by case and under its
//! names, one file per group. Where it and Heroku's documents disagree, the documents win:
//!
//! - `preserve_case`: letter case is kept, not made Camel-Case.
//! - `connect_time`, `route_time`: headers of the former router alone; not sent.
//! - `herokuapp_redirect`: retired with H16; there is no such case.
//! - `weird_content_length`: a blank at a field's end is no part of its value (RFC 9110, 5.5).
//! - A client's `Connection: close` is about the client's connection: the dyno's is kept.
//! - 102 and 103 reach an HTTP/1.1 client, as RFC 9110, 15.2 demands.

mod backend_close;
mod backend_keep_alive;
mod body_less;
mod chunked;
mod continuation;
mod headers;
mod http_1_0;
mod large_body;
mod proxy;

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use model::routes::{AppRoute, WebState};

use crate::rig::{Dyno, HOST, PATIENCE, Reply, Rig, Wire};

/// A small answer with a length.
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// What the dyno does after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    Stays,
    Leaves,
}

/// What a dyno saw.
#[derive(Debug)]
enum Seen {
    Request(String, Vec<u8>),
    /// The router has ended the connection.
    End,
}

/// Says that a connection has ended, be it in the middle of a request.
struct End(SyncSender<Seen>);

impl Drop for End {
    fn drop(&mut self) {
        // The test may be over.
        let _ = self.0.send(Seen::End);
    }
}

/// A router with one dyno that writes down what it sees.
struct Stage {
    rig: Rig,
    dyno: Dyno,
    seen: Mutex<Receiver<Seen>>,
}

impl Stage {
    /// The dyno gives this answer to each request, and then stays or leaves.
    fn new(answer: impl Into<Vec<u8>>, then: Then) -> Self {
        let answer = answer.into();
        Self::set(
            |_| {},
            move |wire| {
                wire.send(&answer);
                then
            },
        )
    }

    /// The app's route is changed, and the dyno answers each request like this.
    fn set(
        change: impl FnOnce(&mut AppRoute),
        answer: impl Fn(&mut Wire) -> Then + Send + Sync + 'static,
    ) -> Self {
        let (tell, seen) = sync_channel(64);
        let dyno = Dyno::start(move |wire| {
            let last = End(tell.clone());
            while let Some((head, body)) = wire.request() {
                tell.send(Seen::Request(head, body)).unwrap();
                if answer(wire) == Then::Leaves {
                    std::mem::forget(last);
                    return;
                }
            }
        });
        let rig = Rig::new();
        let mut route = rig.route(WebState::Up, &[dyno.backend("web.1")]);
        change(&mut route);
        rig.publish_route(route);
        Self { rig, dyno, seen: Mutex::new(seen) }
    }

    /// Sends a request on a new connection and reads the answer.
    fn ask(&self, request: impl AsRef<[u8]>) -> (Wire, Reply) {
        let mut client = self.rig.client();
        client.send(request);
        let reply = client.reply();
        (client, reply)
    }

    /// The next request that the dyno has seen.
    fn request(&self) -> (String, Vec<u8>) {
        match self.next() {
            Seen::Request(head, body) => (head, body),
            Seen::End => panic!("no request, but the end"),
        }
    }

    /// The dyno's connection has been ended by the router.
    fn is_cut(&self) -> bool {
        matches!(self.next(), Seen::End)
    }

    fn next(&self) -> Seen {
        self.seen.lock().unwrap().recv_timeout(PATIENCE).expect("something seen")
    }
}

/// A GET with these header lines.
fn get(lines: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n")
}

/// A POST with these header lines and this body.
fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n{body}")
}

/// A 200 with these header lines and this body.
fn ok(lines: &str, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n{body}")
}

/// The connection takes another request.
fn serves_again(client: &mut Wire) -> bool {
    client.send(get(""));
    client.reply().status == 200
}

//! Group "backend close": the app has `http-disable-keepalive-to-dyno`. The dyno is always told
//! `close`, and its connection closed; the client keeps what it asked for.

use model::routes::DynoConnections;

use super::{Stage, Then, get, ok, serves_again};
use crate::rig::field;

/// What the client and the dyno say of their connections, and what the client is told.
fn case(client: &str, dyno: &str, told: &str) {
    let answer = ok(&format!("{dyno}Content-Length: 2\r\n"), "ok");
    let stage = Stage::set(
        |route| route.connections = DynoConnections::OnePerRequest,
        move |wire| {
            wire.send(&answer);
            Then::Stays
        },
    );
    let (mut wire, reply) = stage.ask(get(client));
    assert_eq!(reply.field("connection"), Some(told));
    assert_eq!(field(&stage.request().0, "connection"), Some("close"));
    assert!(stage.is_cut(), "the dyno's connection");
    match told {
        "close" => assert!(wire.is_over()),
        _ => assert!(serves_again(&mut wire)),
    }
}

#[test]
fn close_close() {
    case("Connection: close\r\n", "Connection: close\r\n", "close");
}

#[test]
fn keepalive_keepalive() {
    case("Connection: keep-alive\r\n", "Connection: keep-alive\r\n", "keep-alive");
}

#[test]
fn default_default() {
    case("", "", "keep-alive");
}

#[test]
fn close_keepalive() {
    case("Connection: close\r\n", "Connection: keep-alive\r\n", "close");
}

#[test]
fn keepalive_close() {
    case("Connection: keep-alive\r\n", "Connection: close\r\n", "keep-alive");
}

//! Group "body_less".

use super::{Stage, Then, get, ok, post, serves_again};
use crate::rig::{HOST, Reply, Wire};

/// A HEAD, to which the dyno says this head; the client is served once more.
fn head(lines: &str, then: Then) -> Reply {
    let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\n");
    let stage = Stage::new(answer, then);
    let mut client = stage.rig.client();
    client.send(format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    let reply = client.bodiless_reply();
    assert_eq!((reply.status, reply.field("connection")), (200, Some("keep-alive")));
    client.send(format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.bodiless_reply().status, 200, "served once more");
    reply
}

#[test]
fn head_small_body_expect() {
    let reply = head("Content-Length: 5\r\n", Then::Stays);
    assert_eq!(reply.field("content-length"), Some("5"));
}

#[test]
fn head_large_body_expect() {
    let reply = head("Content-Length: 123456789\r\n", Then::Stays);
    assert_eq!(reply.field("content-length"), Some("123456789"));
}

#[test]
fn head_no_body_expect() {
    let reply = head("Content-Length: 0\r\n", Then::Stays);
    assert_eq!(reply.field("content-length"), Some("0"));
    let reply = head("", Then::Stays);
    assert_eq!(reply.field("content-length"), None);
}

#[test]
fn head_chunked_expect() {
    let reply = head("Transfer-Encoding: chunked\r\n", Then::Stays);
    assert_eq!(reply.field("transfer-encoding"), Some("chunked"));
}

#[test]
fn head_close_expect() {
    head("Connection: close\r\nContent-Length: 5\r\n", Then::Leaves);
}

#[test]
fn head_close_client_expect() {
    let stage = Stage::new("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Then::Stays);
    let mut client = stage.rig.client();
    client.send(format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"));
    assert_eq!(client.bodiless_reply().field("connection"), Some("close"));
    assert!(client.is_over());
}

#[test]
fn valid_head() {
    let stage = Stage::set(|_| {}, two_faced("200 X\r\nContent-Length: 5"));
    let mut client = stage.rig.client();
    client.send(format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.bodiless_reply().status, 200);
    assert!(serves_again(&mut client));
    assert_eq!(stage.dyno.connections(), 1);
}

/// An answer with this status and these lines, and how the client is served once more. The dyno has
/// another connection then if it said so or sent what nobody may send.
fn status(status: u16, lines: &str, body: &str, then: Then) -> Reply {
    let answer = format!("HTTP/1.1 {status} X\r\n{lines}\r\n{body}");
    let stage = Stage::new(answer, then);
    let mut client = stage.rig.client();
    let mut replies = (0..2).map(|_| {
        client.send(get(""));
        client.bodiless_reply()
    });
    let (first, second) = (replies.next().unwrap(), replies.next().unwrap());
    assert_eq!((first.status, second.status), (status, status));
    assert_eq!(first.field("connection"), Some("keep-alive"));
    first
}

#[test]
fn status_204() {
    assert_eq!(status(204, "X: 1\r\n", "", Then::Stays).field("x"), Some("1"));
    status(204, "Content-Length: 2\r\n", "no", Then::Stays);
}

#[test]
fn status_304() {
    assert_eq!(status(304, "ETag: x\r\n", "", Then::Stays).field("etag"), Some("x"));
    let reply = status(304, "Content-Length: 2\r\n", "", Then::Stays);
    assert_eq!(reply.field("content-length"), Some("2"));
}

#[test]
fn status_chunked_204() {
    let reply = status(204, "Transfer-Encoding: chunked\r\n", "2\r\nno\r\n0\r\n\r\n", Then::Stays);
    assert_eq!(reply.field("transfer-encoding"), None);
}

#[test]
fn status_close_304() {
    status(304, "Connection: close\r\n", "", Then::Leaves);
}

#[test]
fn status_close_304_client() {
    let stage = Stage::new("HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n", Then::Stays);
    let mut client = stage.rig.client();
    client.send(get("Connection: close\r\n"));
    let reply = client.bodiless_reply();
    assert_eq!((reply.status, reply.field("connection")), (304, Some("close")));
    assert!(client.is_over());
}

#[test]
fn bad_transfer_encoding() {
    let stage = Stage::new(ok("Content-Length: 0\r\n", ""), Then::Stays);
    for coding in [",", "", "x", "chunked, chunked", "gzip, chunked"] {
        let request = post(&format!("Transfer-Encoding: {coding}\r\n"), "0\r\n\r\n");
        assert_eq!(stage.ask(request).1.status, 400, "{coding}");
    }
}

#[test]
fn valid_status_204() {
    let stage = Stage::set(|_| {}, two_faced("204 X"));
    let mut client = stage.rig.client();
    client.send(get(""));
    assert_eq!(client.bodiless_reply().status, 204);
    assert!(serves_again(&mut client));
    assert_eq!(stage.dyno.connections(), 1);
}

#[test]
fn valid_status_304() {
    let stage = Stage::set(|_| {}, two_faced("304 X"));
    let mut client = stage.rig.client();
    client.send(get(""));
    assert_eq!(client.bodiless_reply().status, 304);
    assert!(serves_again(&mut client));
    assert_eq!(stage.dyno.connections(), 1);
}

/// Answers with this status first, and with a 200 after that.
fn two_faced(first: &'static str) -> impl Fn(&mut Wire) -> Then + Send + Sync {
    let count = std::sync::atomic::AtomicUsize::new(0);
    move |wire| {
        match count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => wire.send(format!("HTTP/1.1 {first}\r\n\r\n")),
            _ => wire.send(super::OK),
        }
        Then::Stays
    }
}

//! Group "large_body".

use super::{Stage, Then, get, ok, post, serves_again};
use crate::rig::{HOST, Rig, Wire};

const SIZE: usize = 8 * 1024;

#[test]
fn stream() {
    let body = "b".repeat(SIZE);
    let lines = format!("Content-Length: {SIZE}\r\n");
    let stage = Stage::new(ok(&lines, &body), Then::Stays);
    let (mut client, reply) = stage.ask(post(&lines, &body));
    assert_eq!((&*reply.body, &*stage.request().1), (body.as_bytes(), body.as_bytes()));
    assert!(serves_again(&mut client));
}

#[test]
fn close() {
    let body = "b".repeat(SIZE);
    let lines = format!("Content-Length: {SIZE}\r\nConnection: close\r\n");
    let (mut client, reply) = Stage::new(ok(&lines, &body), Then::Leaves).ask(post(&lines, &body));
    assert_eq!((reply.body.len(), reply.field("connection")), (SIZE, Some("close")));
    assert!(client.is_over());
}

#[test]
fn close_delimited() {
    let body = "b".repeat(SIZE);
    let (_, reply) = Stage::new(ok("", &body), Then::Leaves).ask(get(""));
    assert_eq!((reply.body.len(), reply.field("connection")), (SIZE, Some("close")));
}

/// A dyno that answers as soon as it has seen a head, and leaves.
fn hasty(answer: &'static str) -> (Rig, crate::rig::Dyno) {
    Rig::serving(move |wire: &mut Wire| {
        wire.head();
        wire.send(answer);
    })
}

/// The client, which has much to send, is told; then its connection is closed.
fn is_told(request: &str, answer: &'static str) {
    let (rig, _dyno) = hasty(answer);
    let mut client = rig.client();
    client.send(request);
    // The router takes what is still on its way, so that no reset destroys the answer.
    while client.try_send([b'x'; 4096]).is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(5));
        if client.has_reply() {
            break;
        }
    }
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("connection")), (200, Some("close")));
}

const DONE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[test]
fn large_request_response_interrupt() {
    is_told(&post("Content-Length: 100000000\r\n", ""), DONE);
}

#[test]
fn chunked_request_response_interrupt() {
    is_told(&post("Transfer-Encoding: chunked\r\n", "5f5e100\r\n"), DONE);
}

#[test]
fn close_request_response_interrupt() {
    is_told(&post("Content-Length: 100000000\r\nConnection: close\r\n", ""), DONE);
    is_told(&post("Content-Length: 100000000\r\n", ""), "HTTP/1.1 200 OK\r\n\r\nok");
}

/// The whole upload is in the router's or the kernel's hands before the dyno has gone.
#[test]
fn large_request_response_interrupt_undetected() {
    let (rig, _dyno) = hasty(DONE);
    let body = "b".repeat(64 * 1024);
    let reply = rig.ask(&post(&format!("Content-Length: {}\r\n", body.len()), &body));
    assert_eq!((reply.status, &*reply.body), (200, &b"ok"[..]));
}

#[test]
fn chunked_request_response_interrupt_undetected() {
    let (rig, _dyno) = hasty(DONE);
    let body = format!("10000\r\n{}\r\n0\r\n\r\n", "b".repeat(64 * 1024));
    assert_eq!(rig.ask(&post("Transfer-Encoding: chunked\r\n", &body)).status, 200);
}

#[test]
fn weird_content_length() {
    let stage = Stage::new(ok("Content-Length: 2 \r\n", "ok"), Then::Stays);
    let (mut client, reply) = stage.ask(post("Content-Length: 5 \r\n", "hello"));
    assert!(reply.head.contains("Content-Length: 2\r\n") && reply.body == b"ok");
    let (head, body) = stage.request();
    assert!(head.contains("Content-Length: 5\r\n") && body == b"hello", "{head}");
    assert!(serves_again(&mut client));
    for bad in ["+5", "0x5", "5;", "5 5", "-1", ""] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {bad}\r\n\r\nhello");
        assert_eq!(stage.ask(request).1.status, 400, "{bad}");
    }
}

//! Group "continue": with the app feature `http-end-to-end-continue`, but for `bypass`.

use model::routes::Continuation;

use super::{End, OK, Stage, Then, post};
use crate::rig::{HOST, Wire, field};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// A dyno that reads heads alone and does this with the connection.
fn stage(answer: impl Fn(&mut Wire) -> Then + Send + Sync + 'static) -> Stage {
    Stage::set(|route| route.continuation = Continuation::Dyno, answer)
}

/// A POST whose body waits. The dyno reads no body by itself: it is told of no length.
fn expecting(lines: &str) -> String {
    post(&format!("Expect: 100-continue\r\nX-Length: 5\r\n{lines}"), "")
}

/// The body's chunks, which the dyno reads when it likes.
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

/// A dyno that reads a head by itself and then does this.
fn by_hand(script: impl Fn(&mut Wire, String) + Send + Sync + 'static) -> Stage {
    let (tell, seen) = std::sync::mpsc::sync_channel(8);
    let dyno = crate::rig::Dyno::start(move |wire| {
        let _last = End(tell.clone());
        while let Some(head) = wire.head() {
            script(wire, head);
        }
    });
    let rig = crate::rig::Rig::new();
    let mut route = rig.route(model::routes::WebState::Up, &[dyno.backend("web.1")]);
    route.continuation = Continuation::Dyno;
    rig.publish_route(route);
    Stage { rig, dyno, seen: std::sync::Mutex::new(seen) }
}

#[test]
fn back_and_forth() {
    let stage = by_hand(|wire, head| {
        assert_eq!(field(&head, "expect"), Some("100-continue"));
        // What is said along with it is for nobody.
        wire.send("HTTP/1.1 100 Continue\r\nX-Dropped: 1\r\n\r\n");
        assert_eq!(wire.chunks(), b"5\r\nhello\r\n0\r\n\r\n");
        wire.send(OK);
    });
    let mut client = stage.rig.client();
    for _ in 0..2 {
        client.send(expecting(CHUNKED));
        assert_eq!(client.head().unwrap(), CONTINUE);
        client.send("5\r\nhello\r\n0\r\n\r\n");
        let reply = client.reply();
        assert_eq!((reply.status, reply.field("connection")), (200, Some("keep-alive")));
    }
}

#[test]
fn body_timeout() {
    let stage = by_hand(|wire, _| {
        // It never says it; the client sends the body anyway.
        assert_eq!(wire.chunks(), b"5\r\nhello\r\n0\r\n\r\n");
        wire.send(OK);
    });
    let mut client = stage.rig.client();
    client.send(expecting(CHUNKED));
    assert!(client.is_quiet_for(std::time::Duration::from_millis(100)));
    client.send("5\r\nhello\r\n0\r\n\r\n");
    assert_eq!(client.reply().status, 200);
}

#[test]
fn both_silent() {
    let stage = by_hand(|wire, _| drop(wire.rest()));
    let mut client = stage.rig.client();
    client.send(expecting(CHUNKED));
    assert_eq!(client.reply().status, 503);
    assert!(stage.rig.log().contains("code=H12"));
}

#[test]
fn non_terminal() {
    let stage = by_hand(|wire, _| {
        wire.send(CONTINUE);
        wire.chunks();
        wire.send(CONTINUE);
    });
    let mut client = stage.rig.client();
    client.send(expecting(CHUNKED));
    assert_eq!(client.head().unwrap(), CONTINUE);
    client.send("0\r\n\r\n");
    assert_eq!(client.reply().status, 503);
    assert!(stage.rig.log().contains("code=H17"));
}

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";

#[test]
fn continue_upgrade_httpbis() {
    let stage = by_hand(|wire, _| {
        wire.send(CONTINUE);
        assert_eq!(wire.chunks(), b"0\r\n\r\n");
        wire.send(SWITCH);
        let ping = wire.exactly(4);
        wire.send(ping);
    });
    let mut client = stage.rig.client();
    client.send(expecting(&format!("{CHUNKED}Connection: Upgrade\r\nUpgrade: x\r\n")));
    assert_eq!(client.head().unwrap(), CONTINUE);
    client.send("0\r\n\r\n");
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 "));
    client.send("ping");
    assert_eq!(client.exactly(4), b"ping");
}

#[test]
fn upgrade_no_continue() {
    let stage = stage(|wire| {
        wire.send(SWITCH);
        let ping = wire.exactly(4);
        wire.send(ping);
        Then::Leaves
    });
    let (mut client, reply) = stage.ask(expecting("Connection: Upgrade\r\nUpgrade: x\r\n"));
    assert_eq!(reply.status, 101);
    client.send("ping");
    assert_eq!(client.rest(), b"ping");
}

/// A dyno that refuses the body.
fn refusing() -> Stage {
    by_hand(|wire, _| wire.send("HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno"))
}

#[test]
fn terminal_no_continue_partial() {
    let stage = refusing();
    let mut client = stage.rig.client();
    client.send(expecting(CHUNKED) + "5\r\nhe");
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("connection")), (413, Some("close")));
    assert!(stage.is_cut());
}

#[test]
fn terminal_no_continue_complete() {
    let stage = refusing();
    let mut client = stage.rig.client();
    client.send(expecting(CHUNKED));
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("connection")), (413, Some("close")));
    assert!(stage.is_cut());
    client.finish();
    assert!(client.is_over());
}

#[test]
fn no_expect_continue() {
    let stage = stage(|wire| {
        wire.send(CONTINUE);
        wire.send(OK);
        Then::Stays
    });
    let (_, reply) = stage.ask(super::get(""));
    assert_eq!(reply.status, 200, "to a client that did not ask it is not said");
}

#[test]
fn http_1_0_continue() {
    let stage = stage(|wire| {
        wire.send(CONTINUE);
        wire.send(OK);
        Then::Stays
    });
    let request = post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello");
    let (_, reply) = stage.ask(request.replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!(reply.status, 200);
    assert_eq!(field(&stage.request().0, "expect"), None);
}

#[test]
fn unknown_expect() {
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nExpect: 200-ok\r\n\r\n");
    assert_eq!(Stage::new(OK, Then::Stays).ask(request).1.status, 417);
}

#[test]
fn bad_syntax_expect() {
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100 continue\r\n\r\n");
    assert_eq!(Stage::new(OK, Then::Stays).ask(request).1.status, 417);
}

#[test]
fn bypass() {
    let stage = Stage::new(OK, Then::Stays);
    let mut client = stage.rig.client();
    client.send(post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""));
    assert_eq!(client.head().unwrap(), CONTINUE);
    client.send("hello");
    assert_eq!(client.reply().status, 200);
    let (head, body) = stage.request();
    assert_eq!((field(&head, "expect"), &*body), (None, &b"hello"[..]));
}

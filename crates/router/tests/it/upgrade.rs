//! Connections that take up another protocol: a pipe of bytes from then on.

use std::time::Duration;

use crate::rig::{Dyno, HOST, Rig, Wire, field, get, wait_for};

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                      Sec-WebSocket-Accept: x\r\n\r\n";

fn upgrade() -> String {
    format!(
        "GET /ws HTTP/1.1\r\nHost: {HOST}\r\nConnection: keep-alive, Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Key: y\r\n\r\n"
    )
}

/// Takes up the protocol and sends back whatever comes, byte by byte as it comes.
fn echo(wire: &mut Wire) {
    let head = wire.head().unwrap();
    assert_eq!(field(&head, "connection"), Some("Upgrade"));
    assert_eq!(field(&head, "upgrade"), Some("websocket"));
    assert_eq!(field(&head, "sec-websocket-key"), Some("y"));
    wire.send(SWITCH);
    let mut some = [0; 1024];
    while let Ok(count @ 1..) = wire.stream.read(&mut some) {
        wire.send(&some[..count]);
    }
}

#[test]
fn bytes_pass_both_ways_and_the_head_is_relayed() {
    let (rig, _dyno) = Rig::serving(echo);
    let mut client = rig.client();
    client.send(upgrade());
    let head = client.head().unwrap();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"));
    assert_eq!(field(&head, "connection"), Some("Upgrade"));
    assert_eq!(field(&head, "sec-websocket-accept"), Some("x"));
    for message in [&b"\x81\x05hello"[..], b"\0\xff\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"] {
        client.send(message);
        assert_eq!(client.exactly(message.len()), message);
    }
    client.finish();
    assert!(client.is_over());
    let line = rig.log();
    assert!(line.starts_with("at=info method=GET path=\"/ws\""), "{line}");
    assert!(line.contains(" status=101 bytes=31 "), "{line}");
}

#[test]
fn bytes_sent_along_with_the_heads_are_the_pipes() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.head();
        wire.send(format!("{SWITCH}from the dyno"));
        assert_eq!(wire.exactly(15), b"from the client");
        wire.send("end");
    });
    let mut client = rig.client();
    client.send(format!("{}from the client", upgrade()));
    client.head();
    assert_eq!(client.rest(), b"from the dynoend");
}

#[test]
fn a_101_that_comes_before_the_body_was_sent_does_not_lose_the_body() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.head();
        wire.send(SWITCH);
        assert_eq!(wire.exactly(14), b"3\r\nabc\r\n0\r\n\r\nr");
        wire.send("ok");
    });
    let mut client = rig.client();
    client.send(
        upgrade().replace("GET", "POST").replace("Host", "Transfer-Encoding: chunked\r\nHost"),
    );
    client.head();
    client.send("0003;x\r\nabc\r\n0\r\n\r\nraw");
    assert_eq!(client.exactly(2), b"ok");
}

#[test]
fn a_half_close_is_passed_on_and_the_other_half_goes_on() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.head();
        wire.send(SWITCH);
        assert_eq!(wire.rest(), b"question");
        wire.send("answer");
    });
    let mut client = rig.client();
    client.send(upgrade());
    client.head();
    client.send("question");
    client.finish();
    assert_eq!(client.rest(), b"answer");
}

#[test]
fn silence_ends_it_with_h15() {
    let (rig, _dyno) = Rig::serving(echo);
    let mut client = rig.client();
    client.send(upgrade());
    client.head();
    for _ in 0..4 {
        // Each byte counts: in all longer than the idle time.
        std::thread::sleep(Duration::from_millis(200));
        client.send("x");
        client.exactly(1);
    }
    assert!(client.is_over());
    let line = rig.log();
    assert!(line.starts_with("at=error code=H15 desc=\"Idle connection\" "), "{line}");
    assert!(line.contains(" status=503 bytes=4 "), "{line}");
}

#[test]
fn other_answers_are_ordinary() {
    let (rig, dyno) = Rig::serving(|wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
        }
    });
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(upgrade());
        assert_eq!(client.reply().text(), "no");
    }
    assert_eq!(dyno.connections(), 1);
}

#[test]
fn a_head_request_can_be_upgraded_and_any_protocol_will_do() {
    let (rig, _dyno) = Rig::serving(|wire| {
        let head = wire.head().unwrap();
        assert_eq!(field(&head, "upgrade"), Some("rot13/2"));
        wire.send("HTTP/1.1 101 Fine\r\nUpgrade: rot13/2\r\nConnection: Upgrade\r\n\r\nuryyb");
    });
    let mut client = rig.client();
    client.send(upgrade().replace("GET", "HEAD").replace("websocket", "rot13/2"));
    assert!(client.head().unwrap().starts_with("HTTP/1.1 101 Fine\r\n"));
    assert_eq!(client.rest(), b"uryyb");
}

#[test]
fn a_pipe_is_inside_its_dyno_but_not_in_the_backlog() {
    let limits = router::Limits { in_flight_per_dyno: 1, ..router::Limits::default() };
    let dyno = Dyno::start(|wire| {
        let head = wire.head().unwrap();
        if head.starts_with("GET /ws") {
            wire.send(SWITCH);
            wire.rest();
        } else {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let rig = Rig::with(crate::rig::Setup { limits, ..Default::default() });
    let backend = dyno.backend("web.1");
    rig.publish(model::routes::WebState::Up, std::slice::from_ref(&backend));
    let mut client = rig.client();
    client.send(upgrade());
    client.head();
    assert_eq!(backend.in_flight(), 1);
    assert_eq!(rig.ask(&get("/")).status, 200);
    drop(client);
    wait_for("the end of the visit", || backend.in_flight() == 0);
}

#[test]
fn the_last_words_of_a_dyno_that_leaves_reach_a_client_that_still_sends() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.head();
        wire.send(SWITCH);
        wire.exactly(1000);
        wire.send("bye");
    });
    let mut client = rig.client();
    client.send(upgrade());
    client.head();
    for _ in 0..300 {
        client.send([b'x'; 10_000]);
    }
    assert_eq!(client.rest(), b"bye");
}

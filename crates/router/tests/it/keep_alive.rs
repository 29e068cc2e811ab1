//! Connections that are used again: the client's, and the dyno's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::rig::{Dyno, HOST, Rig, Setup, Wire, field, get, timeouts, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn ask_with(connection: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{connection}\r\n")
}

#[test]
fn many_clients_share_one_connection_to_the_dyno() {
    let (rig, dyno) = Rig::serving(|wire| {
        while wire.request().is_some() {
            wire.send(OK);
        }
    });
    for _ in 0..5 {
        assert_eq!(rig.get("/").text(), "ok");
    }
    assert_eq!(dyno.connections(), 1);
}

#[test]
fn the_client_gets_what_it_asked_for_whatever_the_dyno_does() {
    for (client, dyno, stays) in [
        ("Connection: close\r\n", "Connection: close\r\n", false),
        ("Connection: keep-alive\r\n", "Connection: keep-alive\r\n", true),
        ("", "", true),
        ("Connection: close\r\n", "Connection: keep-alive\r\n", false),
        ("Connection: keep-alive\r\n", "Connection: close\r\n", true),
        ("Connection: Close, Foo\r\n", "", false),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{dyno}Content-Length: 2\r\n\r\nok");
        let closes = dyno.contains("close");
        let (rig, backend) = Rig::serving(move |wire: &mut Wire| {
            while let Some((head, _)) = wire.request() {
                assert_eq!(field(&head, "connection"), Some("keep-alive"));
                wire.send(&answer);
                if closes {
                    assert!(wire.is_over(), "the router closes a connection that is to be closed");
                    return;
                }
            }
        });
        let mut wire = rig.client();
        wire.send(ask_with(client));
        let reply = wire.reply();
        let told = if stays { "keep-alive" } else { "close" };
        assert_eq!(reply.field("connection"), Some(told), "{client}{dyno}");
        if stays {
            wire.send(ask_with(client));
            assert_eq!(wire.reply().text(), "ok");
        } else {
            assert!(wire.is_over());
            rig.get("/");
        }
        assert_eq!(backend.connections(), if closes { 2 } else { 1 }, "{client}{dyno}");
    }
}

#[test]
fn a_dyno_that_speaks_http_1_0_keeps_its_connection_only_if_it_says_so() {
    for (lines, connections) in [("", 2), ("Connection: keep-alive\r\n", 1)] {
        let answer = format!("HTTP/1.0 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok");
        let (rig, dyno) = Rig::serving(move |wire| {
            while wire.request().is_some() {
                wire.send(&answer);
            }
        });
        let mut client = rig.client();
        for _ in 0..2 {
            client.send(get("/"));
            let reply = client.reply();
            assert!(reply.head.starts_with("HTTP/1.1 200 OK\r\n"));
        }
        assert_eq!(dyno.connections(), connections);
    }
}

/// A dyno that answers one request per connection and closes it after a moment, without warning.
fn fickle() -> (Dyno, Arc<AtomicUsize>) {
    let closed = Arc::<AtomicUsize>::default();
    let count = closed.clone();
    let dyno = Dyno::start(move |wire| {
        wire.request();
        wire.send(OK);
        std::thread::sleep(Duration::from_millis(20));
        wire.finish();
        count.fetch_add(1, Ordering::SeqCst);
    });
    (dyno, closed)
}

#[test]
fn connections_that_the_dyno_has_closed_are_not_used() {
    for verb in ["GET", "POST"] {
        let (rig, (dyno, closed)) = (Rig::new(), fickle());
        rig.publish(model::routes::WebState::Up, &[dyno.backend("web.1")]);
        for turn in 1..=5 {
            let reply = rig.ask(&format!("{verb} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
            assert_eq!(reply.text(), "ok", "{verb} {turn}");
            wait_for("the close", || closed.load(Ordering::SeqCst) == turn);
        }
    }
}

/// A dyno whose second request on a connection finds it closing: it reads it and hangs up.
fn hanging_up_on_the_second() -> (Rig, Dyno) {
    Rig::serving(|wire| {
        wire.request();
        wire.send(OK);
        wire.head();
    })
}

#[test]
fn a_get_that_meets_a_closing_connection_is_sent_again() {
    let (rig, dyno) = hanging_up_on_the_second();
    for _ in 0..3 {
        assert_eq!(rig.get("/").text(), "ok");
        assert!(rig.log().contains(" status=200 "));
    }
    assert_eq!(dyno.connections(), 3);
}

#[test]
fn a_post_that_was_sent_whole_is_never_sent_again() {
    let (rig, _dyno) = hanging_up_on_the_second();
    assert_eq!(rig.get("/").text(), "ok");
    let reply = rig.ask(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\nhi"));
    assert_eq!(reply.status, 503);
    rig.log();
    assert!(rig.log().starts_with("at=error code=H13 "));
}

#[test]
fn a_post_whose_body_has_not_begun_is_sent_again() {
    let (rig, dyno) = Rig::serving(|wire| {
        wire.request();
        wire.send(OK);
        // The second: reads the head only.
        if wire.head().is_some() {
            wire.reset();
        }
    });
    assert_eq!(rig.get("/").text(), "ok");
    let mut client = rig.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n"));
    wait_for("the second connection", || dyno.connections() == 2);
    client.send("hi");
    assert_eq!(client.reply().text(), "ok");
}

#[test]
fn unused_connections_end_on_both_sides() {
    let short = Duration::from_millis(100);
    let timeouts =
        router::Timeouts { client_keep_alive: short, dyno_keep_alive: short, ..timeouts() };
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let (rig, _dyno) = Rig::serving_with(Setup { timeouts, ..Setup::default() }, move |wire| {
        wire.request();
        wire.send(OK);
        tell.send(wire.rest()).unwrap();
    });
    let mut client = rig.client();
    client.send(get("/"));
    assert_eq!(client.reply().text(), "ok");
    assert!(client.is_over());
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), b"");
    assert!(rig.client().is_over(), "also a client that never says anything");
}

#[test]
fn connections_to_a_dyno_that_takes_no_more_requests_are_closed() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let dyno = Dyno::start(move |wire| {
        wire.request();
        wire.send(OK);
        tell.send(wire.rest()).unwrap();
    });
    let (rig, backend) = (Rig::new(), dyno.backend("web.1"));
    rig.publish(model::routes::WebState::Up, std::slice::from_ref(&backend));
    assert_eq!(rig.get("/").text(), "ok");
    backend.close();
    assert_eq!(told.recv_timeout(Duration::from_secs(5)).unwrap(), b"");
}

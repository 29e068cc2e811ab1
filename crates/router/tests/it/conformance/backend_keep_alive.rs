//! Group "backend keep-alive".

use super::{OK, Stage, Then, get, ok, post, serves_again};
use crate::rig::field;

/// What the client and the dyno say of their connections, what the client is told, and how many
/// connections the dyno has had after two requests.
fn case(client: &str, dyno: &str, told: &str, connections: usize) {
    let stage = Stage::new(ok(&format!("{dyno}Content-Length: 2\r\n"), "ok"), Then::Stays);
    let (mut wire, reply) = stage.ask(get(client));
    assert_eq!(reply.field("connection"), Some(told));
    assert_eq!(field(&stage.request().0, "connection"), Some("keep-alive"));
    match told {
        "close" => assert!(wire.is_over()),
        _ => assert!(serves_again(&mut wire)),
    }
    if told == "close" {
        assert_eq!(stage.ask(get("")).1.status, 200);
    }
    assert_eq!(stage.dyno.connections(), connections);
}

#[test]
fn close_close() {
    case("Connection: close\r\n", "Connection: close\r\n", "close", 2);
}

#[test]
fn keepalive_keepalive() {
    case("Connection: keep-alive\r\n", "Connection: keep-alive\r\n", "keep-alive", 1);
}

#[test]
fn default_default() {
    case("", "", "keep-alive", 1);
}

#[test]
fn close_keepalive() {
    case("Connection: close\r\n", "Connection: keep-alive\r\n", "close", 1);
}

#[test]
fn keepalive_close() {
    case("Connection: keep-alive\r\n", "Connection: close\r\n", "keep-alive", 2);
}

#[test]
fn reset() {
    let stage = Stage::set(
        |_| {},
        |wire| {
            wire.send(OK);
            wire.reset();
            Then::Leaves
        },
    );
    let mut client = stage.rig.client();
    for _ in 0..3 {
        client.send(get(""));
        assert_eq!(client.reply().status, 200);
        // The reset has arrived before the next request.
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

#[test]
fn http_1_0() {
    let old = |lines: &str| get(lines).replace("HTTP/1.1", "HTTP/1.0");
    let stage = Stage::new(OK, Then::Stays);
    stage.ask(old(""));
    let (mut client, reply) = stage.ask(old("Connection: keep-alive\r\n"));
    assert_eq!(reply.field("connection"), Some("keep-alive"));
    assert!(serves_again(&mut client));
    assert_eq!(stage.dyno.connections(), 1);
    // A dyno of HTTP/1.0 closes unless it says that it does not.
    let answer = "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let stage = Stage::new(answer, Then::Stays);
    let (mut client, _) = stage.ask(get(""));
    assert!(serves_again(&mut client));
    assert_eq!(stage.dyno.connections(), 2);
}

const SWITCH: &str =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n";
const ASK: &str = "Connection: Upgrade\r\nUpgrade: x\r\n";

#[test]
fn upgrade_close_server() {
    let stage = Stage::new(SWITCH, Then::Leaves);
    let (mut client, reply) = stage.ask(get(ASK));
    assert_eq!(reply.status, 101);
    assert!(client.is_over());
}

#[test]
fn upgrade_close_client() {
    let stage = Stage::new(SWITCH, Then::Stays);
    let (client, reply) = stage.ask(get(ASK));
    assert_eq!(reply.status, 101);
    drop(client);
    stage.request();
    assert!(stage.is_cut());
}

#[test]
fn chunked() {
    let body = "2\r\nok\r\n0\r\n\r\n";
    let stage = Stage::new(ok("Transfer-Encoding: chunked\r\n", body), Then::Stays);
    let (mut client, _) = stage.ask(post("Transfer-Encoding: chunked\r\n", body));
    assert!(serves_again(&mut client));
    assert_eq!(stage.dyno.connections(), 1);
}

#[test]
fn close_delimited() {
    let stage = Stage::new(ok("", "ok"), Then::Leaves);
    for connections in 1..=2 {
        let (mut client, reply) = stage.ask(get("Connection: keep-alive\r\n"));
        assert_eq!((&*reply.body, reply.field("connection")), (&b"ok"[..], Some("close")));
        assert!(client.is_over());
        assert_eq!(stage.dyno.connections(), connections);
    }
}

#[test]
fn large_body() {
    let body = "b".repeat(1_000_000);
    let lines = format!("Content-Length: {}\r\n", body.len());
    let stage = Stage::new(ok(&lines, &body), Then::Stays);
    let (mut client, reply) = stage.ask(post(&lines, &body));
    assert_eq!((reply.body.len(), stage.request().1.len()), (body.len(), body.len()));
    assert!(serves_again(&mut client));
    assert_eq!(stage.dyno.connections(), 1);
}

//! Group "proxy".

use std::sync::Arc;

use model::routes::WebState;

use super::{OK, Stage, Then, get};
use crate::rig::{Dyno, HOST, Rig, dead_backend, field};

/// What the dyno sees of a GET with these lines.
fn seen(lines: &str) -> String {
    let stage = Stage::new(OK, Then::Stays);
    assert_eq!(stage.ask(get(lines)).1.status, 200);
    stage.request().0
}

#[test]
fn request_id() {
    let id = field(&seen(""), "x-request-id").unwrap().to_owned();
    assert!(id.len() == 36 && uuid_like(&id), "{id}");
}

fn uuid_like(id: &str) -> bool {
    id.split('-').map(str::len).eq([8, 4, 4, 4, 12])
}

#[test]
fn request_id_kept() {
    for id in ["aaaaaaaaaaaaaaaaaaaa", "A-z0+9/=aaaaaaaaaaaaa", &"9".repeat(200)] {
        let head = seen(&format!("X-Request-ID: {id}\r\n"));
        assert_eq!(field(&head, "x-request-id"), Some(id));
        assert_eq!(head.to_lowercase().matches("x-request-id:").count(), 1);
    }
}

#[test]
fn request_id_replaced() {
    for id in ["", "short", "aaaaaaaaaaaaaaaaaaaa_", "aaaaaaaaaa aaaaaaaaaa"] {
        let head = seen(&format!("X-Request-Id: {id}\r\n"));
        assert!(uuid_like(field(&head, "x-request-id").unwrap()), "{id}");
    }
}

#[test]
fn request_id_too_long() {
    let head = seen(&format!("X-Request-Id: {}\r\n", "a".repeat(201)));
    assert!(uuid_like(field(&head, "x-request-id").unwrap()));
}

#[test]
fn forwarded_for() {
    assert_eq!(field(&seen(""), "x-forwarded-for"), Some("127.0.0.1"));
    let chained = seen("X-Forwarded-For: 192.0.2.1\r\n");
    assert_eq!(field(&chained, "x-forwarded-for"), Some("192.0.2.1, 127.0.0.1"));
}

#[test]
fn forwarded_proto() {
    assert_eq!(field(&seen("X-Forwarded-Proto: https\r\n"), "x-forwarded-proto"), Some("http"));
}

#[test]
fn forwarded_port() {
    let stage = Stage::new(OK, Then::Stays);
    stage.ask(get("X-Forwarded-Port: 1\r\n"));
    let port = stage.rig.addr.port().to_string();
    assert_eq!(field(&stage.request().0, "x-forwarded-port"), Some(&*port));
}

#[test]
fn via() {
    assert_eq!(field(&seen(""), "via"), Some("1.1 heroku-router"));
}

#[test]
fn start_time() {
    let start = seen("X-Request-Start: 1\r\n");
    let start: u64 = field(&start, "x-request-start").unwrap().parse().unwrap();
    assert!((1_500_000_000_000..9_999_999_999_999).contains(&start), "milliseconds: {start}");
}

#[test]
fn connect_time_and_route_time() {
    let head = seen("");
    assert_eq!((field(&head, "connect-time"), field(&head, "total-route-time")), (None, None));
}

#[test]
fn service_try_again() {
    let (rig, dyno) = (Rig::new(), Dyno::answering(OK));
    rig.publish(WebState::Up, &[dead_backend("web.1"), dyno.backend("web.2")]);
    for _ in 0..4 {
        assert_eq!(rig.get("/").status, 200);
    }
}

#[test]
fn websockets() {
    let stage = Stage::set(
        |_| {},
        |wire| {
            wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
            let frame = wire.exactly(4);
            wire.send(frame);
            Then::Leaves
        },
    );
    let lines = "Upgrade: WebSocket\r\nConnection: Upgrade, Keep-Alive\r\n";
    let (mut client, reply) = stage.ask(get(lines));
    assert_eq!((reply.status, reply.field("upgrade")), (101, Some("websocket")));
    client.send("ping");
    assert_eq!(client.rest(), b"ping");
}

#[test]
fn upgrade_invalid() {
    assert_eq!(Stage::new(OK, Then::Stays).ask(get("Connection: Upgrade\r\n")).1.status, 400);
}

#[test]
fn url_limits() {
    let stage = Stage::new(OK, Then::Stays);
    let path =
        |length: usize| format!("GET /{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "a".repeat(length));
    assert_eq!(stage.ask(path(8000)).1.status, 200);
    assert_eq!(stage.ask(path(9000)).1.status, 414);
}

#[test]
fn header_line_limits() {
    let stage = Stage::new(OK, Then::Stays);
    let status = |name: usize, value: usize| {
        stage.ask(get(&format!("{}: {}\r\n", "n".repeat(name), "v".repeat(value)))).1.status
    };
    assert_eq!((status(1000, 1), status(1, 8192)), (200, 200));
    assert_eq!((status(2100, 1), status(1, 9100)), (400, 400));
}

#[test]
fn header_count_limits() {
    let stage = Stage::new(OK, Then::Stays);
    assert_eq!(stage.ask(get(&"x: y\r\n".repeat(999))).1.status, 200);
    assert_eq!(stage.ask(get(&"x: y\r\n".repeat(1100))).1.status, 400);
}

#[test]
fn absolute_uri() {
    let stage = Stage::new(OK, Then::Stays);
    let request = format!("GET http://{HOST}/a?b HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    assert_eq!(stage.ask(request).1.status, 200);
    assert!(stage.request().0.starts_with("GET /a?b HTTP/1.1\r\n"));
    let connect = format!("CONNECT {HOST}:80 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    assert_eq!(stage.ask(connect).1.status, 400);
}

#[test]
fn no_host_and_empty_host() {
    let stage = Stage::new(OK, Then::Stays);
    for request in
        ["GET / HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"]
    {
        assert_eq!(stage.ask(request).1.status, 400, "{request}");
    }
}

#[test]
fn first_read_timeout() {
    let stage = Stage::set(
        |_| {},
        |wire| {
            wire.rest();
            Then::Leaves
        },
    );
    assert_eq!(stage.ask(get("")).1.status, 503);
    assert!(stage.rig.log().contains("code=H12"));
}

#[test]
fn missing_reason_phrase() {
    let stage = Stage::new("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Then::Stays);
    assert_eq!(stage.ask(get("")).1.status, 503);
    assert!(stage.rig.log().contains("code=H17"));
}

#[test]
fn blank_reason_phrase() {
    let stage = Stage::new("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", Then::Stays);
    assert_eq!(stage.ask(get("")).1.status, 200);
}

#[test]
fn lookups() {
    for (state, status, code) in [
        (WebState::Blank, 502, "H81"),
        (WebState::ScaledToZero, 503, "H14"),
        (WebState::Crashed, 503, "H10"),
        (WebState::Starting, 503, "H20"),
        (WebState::Asleep, 503, "H20"),
    ] {
        let rig = Rig::new();
        rig.publish(state, &[]);
        assert_eq!(rig.get("/").status, status, "{state:?}");
        assert!(rig.log().contains(&format!("code={code} ")), "{state:?}");
    }
    let rig = Rig::new();
    let nobody = rig.ask("GET / HTTP/1.1\r\nHost: nobody.example.com\r\n\r\n");
    assert_eq!(nobody.status, 404);
    let empty: [Arc<model::routes::Backend>; 0] = [];
    let mut route = rig.route(WebState::Up, &empty);
    route.maintenance = true;
    rig.publish_route(route);
    assert_eq!(rig.get("/").status, 503);
    assert!(rig.log().contains("code=H80 "));
}

//! What the router does for a deployed app: headers, streaming, WebSocket, error codes and pages.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;
use testkit::http::{ask, get};
use testkit::{Person, Server, wait};

use crate::server;

const PATIENCE: Duration = Duration::from_secs(60);

/// A server with the Express example live as `demo`.
fn deployed() -> (Server, Person) {
    let server = server();
    let person = server.person();
    let dir = person.example("node-express");
    let _created = person.heroku(&["create", "demo"]);
    let remote = format!("https://localhost:{}/demo.git", server.address().port());
    let pushed = person.run(&dir, "git", &["push", "-q", remote.as_str(), "main"]);
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    let host = "demo.localhost";
    wait::until("the app's first answer", PATIENCE, || {
        let answer = get(server.address(), host, "/").map_err(|error| error.to_string())?;
        if answer.status == 200 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    (server, person)
}

#[test]
fn requests_reach_the_dyno_with_herokus_headers() {
    let (server, person) = deployed();
    let request_id = "0123456789abcdef0123456789abcdef";
    let headers = [("X-Request-Id", request_id), ("X-Forwarded-For", "198.51.100.7")];
    let answer = ask(server.address(), "GET", "demo.localhost", "/headers", &headers, b"");
    let answer = answer.expect("an answer");
    let seen: Value = serde_json::from_str(&answer.body).expect("the app's view");
    assert_eq!(seen["x-forwarded-for"], "198.51.100.7, 127.0.0.1");
    assert_eq!(seen["x-forwarded-proto"], "http");
    assert_eq!(seen["x-request-id"], request_id);
    assert!(seen["via"].as_str().is_some_and(|via| via.contains("1.1")), "{seen}");
    assert!(seen["x-request-start"].as_str().is_some_and(|start| start.len() == 13), "{seen}");

    wait::until("the router's line", PATIENCE, || {
        let lines = person.heroku(&["logs", "-a", "demo", "--source", "heroku"]);
        let line = lines.lines().find(|line| line.contains(request_id));
        line.map(str::to_owned).ok_or(lines)
    });

    // The router's features are switched while it runs.
    let _on = person.heroku(&["features:enable", "http-session-affinity", "-a", "demo"]);
    let _on = person.heroku(&["labs:enable", "http-disable-keepalive-to-dyno", "-a", "demo"]);
    wait::until("the features", PATIENCE, || {
        let answer = ask(server.address(), "GET", "demo.localhost", "/headers", &[], b"");
        let answer = answer.map_err(|error| error.to_string())?;
        let cookie = answer.header("set-cookie").unwrap_or_default();
        let sticky = cookie.starts_with("heroku-session-affinity=");
        let closes = answer.body.contains(r#""connection":"close""#);
        if sticky && closes { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

#[test]
fn a_websocket_and_a_stream_pass_through() {
    let (server, _person) = deployed();
    let mut socket = TcpStream::connect(server.address()).expect("connect");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    let upgrade = "GET /ws HTTP/1.1\r\nHost: demo.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.write_all(upgrade.as_bytes()).expect("sent");
    let head = read_until(&mut socket, b"\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    // A masked text frame "hi" with the mask 0; the echo comes back unmasked.
    socket.write_all(&[0x81, 0x82, 0, 0, 0, 0, b'h', b'i']).expect("sent");
    let mut frame = [0; 4];
    socket.read_exact(&mut frame).expect("an echo");
    assert_eq!(frame, [0x81, 2, b'h', b'i']);

    let answer = get(server.address(), "demo.localhost", "/stream").expect("an answer");
    assert!(answer.status == 200 && answer.body.lines().count() > 1, "{answer:?}");
}

/// A client library against a server library, through the router: text, binary, large, fragmented and
/// many messages, pings and closing, in clear and through TLS.
#[test]
fn a_websocket_library_is_echoed() {
    let (server, _person) = deployed();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/websocket.py");
    let ran = std::process::Command::new("/usr/bin/python3")
        .args([script, &server.address().port().to_string()])
        .arg(server.ca())
        .output()
        .expect("Python runs");
    assert_eq!(
        String::from_utf8_lossy(&ran.stdout),
        "echoed\n",
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
}

fn read_until(stream: &mut TcpStream, end: &[u8]) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(end) && stream.read(&mut byte).expect("a byte") == 1 {
        bytes.push(byte[0]);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn error_pages_have_herokus_codes() {
    let (server, person) = deployed();
    let status = |path: &str| {
        get(server.address(), "demo.localhost", path).map_or(0, |answer| answer.status)
    };
    let _created = person.heroku(&["create", "blank"]);
    let unknown = get(server.address(), "nobody.localhost", "/").expect("an answer");
    assert!(unknown.status == 404 && unknown.body.contains("nothing here, yet"), "{unknown:?}");
    let blank = get(server.address(), "blank.localhost", "/").expect("an answer");
    assert_eq!(blank.status, 502);

    let _on = person.heroku(&["maintenance:on", "-a", "demo"]);
    wait::until("the maintenance page", PATIENCE, || match status("/") {
        503 => Ok(()),
        other => Err(other.to_string()),
    });
    let _off = person.heroku(&["maintenance:off", "-a", "demo"]);
    wait::until("the app", PATIENCE, || match status("/") {
        200 => Ok(()),
        other => Err(other.to_string()),
    });
    let _scaled = person.heroku(&["ps:scale", "web=0", "-a", "demo"]);
    wait::until("no web processes", PATIENCE, || match status("/") {
        503 => Ok(()),
        other => Err(other.to_string()),
    });
    // The owner's own page takes the place of ours; the status stays.
    let page = "ERROR_PAGE_URL=https://pages.example.com/oops.html";
    let _set = person.heroku(&["config:set", page, "-a", "demo"]);
    wait::until("the app's own error page", PATIENCE, || {
        let answer = get(server.address(), "demo.localhost", "/").map_err(|e| e.to_string())?;
        let framed = answer.body.contains("<iframe src=\"https://pages.example.com/oops.html\"");
        if framed && answer.status == 503 { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    wait::until("the codes in the log", PATIENCE, || {
        let lines = person.heroku(&["logs", "-a", "demo", "--source", "heroku", "--num", "500"]);
        let all = ["code=H80", "code=H14"].iter().all(|code| lines.contains(code));
        all.then_some(()).ok_or(lines)
    });
}

//! Group "headers".

use super::{OK, Stage, Then, get, ok, post};
use crate::rig::{HOST, field};

/// The status of a POST with these lines.
fn asked(lines: &str) -> u16 {
    Stage::new(OK, Then::Stays).ask(post(lines, "hello")).1.status
}

/// The status, and the line, of an answer with these lines; and that both connections are closed if
/// it is an error.
fn answered(lines: &str, body: &str) -> (u16, String) {
    let stage = Stage::new(ok(lines, body), Then::Stays);
    let (_, reply) = stage.ask(get(""));
    if reply.status != 200 {
        stage.request();
        assert!(stage.is_cut(), "the dyno's connection");
    }
    (reply.status, stage.rig.log())
}

#[test]
fn duplicate_different_lengths_req() {
    assert_eq!(asked("Content-Length: 5\r\nContent-Length: 6\r\n"), 400);
}

#[test]
fn duplicate_different_lengths_resp() {
    let (status, line) = answered("Content-Length: 2\r\nContent-Length: 3\r\n", "ok!");
    assert_eq!(status, 502);
    assert!(line.contains("code=H25 desc=\"HTTP restriction: invalid content length\""), "{line}");
}

#[test]
fn duplicate_csv_lengths_req() {
    assert_eq!(asked("Content-Length: 5, 5\r\n"), 400);
}

#[test]
fn duplicate_csv_lengths_resp() {
    assert_eq!(answered("Content-Length: 2, 2\r\n", "ok").0, 502);
}

#[test]
fn duplicate_identical_lengths_req() {
    let stage = Stage::new(OK, Then::Stays);
    let request = post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello");
    assert_eq!(stage.ask(request).1.status, 200);
    let (head, body) = stage.request();
    assert_eq!((head.matches("Content-Length: 5\r\n").count(), &*body), (1, &b"hello"[..]));
}

#[test]
fn duplicate_identical_lengths_resp() {
    let stage = Stage::new(ok("Content-Length: 2\r\nContent-Length: 2\r\n", "ok"), Then::Stays);
    let (_, reply) = stage.ask(get(""));
    assert_eq!(reply.head.matches("Content-Length: 2\r\n").count(), 1);
}

#[test]
fn delete_hop_by_hop() {
    let lines = "TE: x\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nProxy-Authenticate: x\r\n\
                 Trailer: x\r\n";
    let stage = Stage::new(ok(&format!("Content-Length: 0\r\n{lines}"), ""), Then::Stays);
    let (_, reply) = stage.ask(get(lines));
    for head in [stage.request().0, reply.head] {
        for gone in ["te", "keep-alive", "proxy-authorization"] {
            assert_eq!(field(&head, gone), None, "{gone}");
        }
        for kept in ["proxy-authenticate", "trailer"] {
            assert_eq!(field(&head, kept), Some("x"), "{kept}");
        }
    }
}

#[test]
fn response_cookie_limits() {
    let cookie =
        |length: usize| format!("Content-Length: 0\r\nSet-Cookie: {}\r\n", "c".repeat(length));
    assert_eq!(answered(&cookie(8192), "").0, 200);
    let (status, line) = answered(&cookie(8193), "");
    assert_eq!(status, 502);
    assert!(line.contains("desc=\"HTTP restriction: oversized cookie\""), "{line}");
}

#[test]
fn response_header_line_limits() {
    let wide = |length: usize| format!("Content-Length: 0\r\nX: {}\r\n", "x".repeat(length));
    assert_eq!(answered(&wide(500_000), "").0, 200);
    let (status, line) = answered(&wide(524_288), "");
    assert_eq!(status, 502);
    assert!(line.contains("desc=\"HTTP restriction: oversized header\""), "{line}");
}

#[test]
fn response_status_limits() {
    let status = |length: usize| {
        let answer = format!("HTTP/1.1 200 {}\r\nContent-Length: 0\r\n\r\n", "O".repeat(length));
        let stage = Stage::new(answer, Then::Stays);
        (stage.ask(get("")).1.status, stage.rig.log())
    };
    assert_eq!(status(8000).0, 200);
    let (refused, line) = status(8192);
    assert_eq!(refused, 502);
    assert!(line.contains("desc=\"HTTP restriction: oversized status line\""), "{line}");
}

#[test]
fn via() {
    let stage = Stage::new(OK, Then::Stays);
    let (_, reply) = stage.ask(get(""));
    assert_eq!(reply.field("via"), Some("1.1 heroku-router"));
    assert_eq!(field(&stage.request().0, "via"), Some("1.1 heroku-router"));
}

#[test]
fn via_chain() {
    let stage =
        Stage::new(ok("Via: 1.1 a\r\nContent-Length: 0\r\nVia: 1.0 b\r\n", ""), Then::Stays);
    let (_, reply) = stage.ask(get("Via: 1.0 c\r\n"));
    assert_eq!(reply.field("via"), Some("1.1 a, 1.0 b, 1.1 heroku-router"));
    assert_eq!(field(&stage.request().0, "via"), Some("1.0 c, 1.1 heroku-router"));
}

#[test]
fn bad_status() {
    for line in ["999 What Is This", "250 Nearly", "600 "] {
        let stage =
            Stage::new(format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n"), Then::Stays);
        let (_, reply) = stage.ask(get(""));
        assert!(reply.head.starts_with(&format!("HTTP/1.1 {line}\r\n")), "{}", reply.head);
    }
}

#[test]
fn preserve_case() {
    let stage = Stage::new(ok("cOnTeNt-lEnGtH: 0\r\nx-ODD-case: 1\r\n", ""), Then::Stays);
    let (_, reply) = stage.ask(get("x-OtHeR: 2\r\n"));
    assert!(reply.head.contains("\r\nx-ODD-case: 1\r\n"));
    assert!(stage.request().0.contains("\r\nx-OtHeR: 2\r\n"));
}

#[test]
fn header_order() {
    let lines = "A: 1\r\nB: 1\r\nA: 2\r\nB: 2\r\n";
    let stage = Stage::new(ok(&format!("{lines}Content-Length: 0\r\n"), ""), Then::Stays);
    let (_, reply) = stage.ask(get(lines));
    assert!(reply.head.contains(lines) && stage.request().0.contains(lines));
}

#[test]
fn host_nofold() {
    let hosts = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\n\r\n");
    assert_eq!(Stage::new(OK, Then::Stays).ask(hosts).1.status, 400);
}

#[test]
fn host_conflict() {
    let hosts = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nHost: other.example.com\r\n\r\n");
    assert_eq!(Stage::new(OK, Then::Stays).ask(hosts).1.status, 400);
}

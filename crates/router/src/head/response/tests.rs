//! Heads of responses, judged alone.

use super::*;
use crate::head::Scan;

fn request(verb: Verb, version: Version) -> Request {
    Request {
        verb,
        version,
        host: "a.example".into(),
        body: Declared::default(),
        expects_continue: false,
        upgrades: false,
        afterwards: Afterwards::KeepAlive,
        session: None,
        label: String::new(),
    }
}

fn judged(head: &[u8]) -> Result<Response<'_>, HCode> {
    match Scan::response().find_end(head)? {
        Some(length) => Response::read(&head[..length]),
        None => Err(HCode::H17),
    }
}

fn with(lines: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes()
}

#[test]
fn limits_are_herokus() {
    let cookie = |length| with(&format!("Set-Cookie: {}\r\n", "c".repeat(length)));
    assert!(judged(&cookie(8192)).is_ok());
    assert_eq!(judged(&cookie(8193)).err(), Some(BIG_COOKIE));
    let field = |length| with(&format!("X: {}\r\n", "v".repeat(length)));
    assert!(judged(&field(512 * 1024 - 3)).is_ok());
    assert_eq!(judged(&field(512 * 1024)).err(), Some(BIG_FIELD));
    let line = |length: usize| {
        format!("HTTP/1.1 200 {}\r\n\r\n", "r".repeat(length - "HTTP/1.1 200 ".len())).into_bytes()
    };
    assert!(judged(&line(8192)).is_ok());
    assert_eq!(judged(&line(8193)).err(), Some(BIG_STATUS));
    assert_eq!(judged(&with(&"a: b\r\n".repeat(1001))).err(), Some(BIG_FIELD));
}

#[test]
fn a_reason_may_be_blank_but_not_missing() {
    assert!(judged(b"HTTP/1.1 200 \r\n\r\n").is_ok());
    assert_eq!(judged(b"HTTP/1.1 200\r\n\r\n").err(), Some(HCode::H17));
    assert_eq!(judged(b"HTTP/1.1 099 X\r\n\r\n").err(), Some(HCode::H17));
}

#[test]
fn only_connections_whose_body_has_an_end_are_used_again() {
    let get = request(Verb::Idempotent, Version::Http11);
    let head = request(Verb::Head, Version::Http11);
    for (answer, request, reuse) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n", &get, Reuse::Keep),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", &get, Reuse::Keep),
        ("HTTP/1.1 200 OK\r\n\r\n", &get, Reuse::Drop),
        ("HTTP/1.1 200 OK\r\n\r\n", &head, Reuse::Keep),
        ("HTTP/1.1 204 No\r\n\r\n", &get, Reuse::Keep),
        ("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n", &get, Reuse::Drop),
        ("HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", &get, Reuse::Drop),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nConnection: close\r\n\r\n", &get, Reuse::Drop),
        ("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", &get, Reuse::Drop),
        (
            "HTTP/1.0 200 OK\r\nContent-Length: 1\r\nConnection: keep-alive\r\n\r\n",
            &get,
            Reuse::Keep,
        ),
    ] {
        let response = judged(answer.as_bytes()).expect("good");
        assert_eq!(response.reuse(request), reuse, "{answer:?}");
    }
}

#[test]
fn what_goes_on_has_one_framing() {
    let answer = with("content-length: 5\r\nTransfer-Encoding: chunked\r\nX: 1\r\n");
    let response = judged(&answer).expect("good");
    let mut out = Vec::new();
    let get = request(Verb::Idempotent, Version::Http11);
    response.write(&get, Told { afterwards: Afterwards::Close, session: None }, &mut out);
    let text = String::from_utf8(out).expect("text");
    let expected = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: 1\r\nServer: Heroku\r\n\
                    Via: 1.1 heroku-router\r\nConnection: close\r\n\r\n";
    assert_eq!(text, expected);
}

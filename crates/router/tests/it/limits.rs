//! Limits of requests and responses, as seen on the wire (platform behaviour 2.4).

use crate::rig::{Dyno, HOST, Rig};

fn serving() -> (Rig, Dyno) {
    Rig::serving(|wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    })
}

#[test]
fn a_long_request_line_is_414_and_the_answer_arrives() {
    let (rig, dyno) = serving();
    let reply = rig.ask(&format!("GET /{} HTTP/1.1\r\nHost: {HOST}\r\n\r\n", "a".repeat(8200)));
    assert_eq!((reply.status, reply.field("connection")), (414, Some("close")));
    let mut client = rig.client();
    client.send("GET /".to_owned() + &"a".repeat(200_000));
    assert_eq!(client.reply().status, 414, "without an end");
    assert_eq!(dyno.connections(), 0);
}

#[test]
fn header_lines_and_counts_have_limits() {
    let (rig, _dyno) = serving();
    let ask =
        |lines: &str| rig.ask(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n")).status;
    assert_eq!(ask(&format!("{}: {}\r\n", "n".repeat(1000), "v".repeat(8192))), 200);
    assert_eq!(ask(&format!("{}: v\r\n", "n".repeat(2100))), 400);
    assert_eq!(ask(&format!("n: {}\r\n", "v".repeat(9100))), 400);
    assert_eq!(ask(&"name: value\r\n".repeat(999)), 200);
    assert_eq!(ask(&"name: value\r\n".repeat(1100)), 400);
}

#[test]
fn large_heads_of_answers_pass_and_larger_ones_are_h25() {
    for (size, status) in [(500_000, 200), (530_000, 502)] {
        let (rig, _dyno) = Rig::serving(move |wire| {
            wire.request();
            let field = "v".repeat(size);
            wire.send(format!("HTTP/1.1 200 OK\r\nX: {field}\r\nContent-Length: 0\r\n\r\n"));
            wire.rest();
        });
        let reply = rig.get("/");
        assert_eq!(reply.status, status);
        let line = rig.log();
        let told =
            line.starts_with("at=error code=H25 desc=\"HTTP restriction: oversized header\" ");
        assert_eq!(told, status == 502, "{line}");
    }
}

#[test]
fn bodies_have_no_limit_of_size() {
    let (rig, _dyno) = Rig::serving(|wire| {
        let (_, body) = wire.request().unwrap();
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n{:07}", body.len()));
    });
    let size = 8_000_000;
    let mut client = rig.client();
    client.send(format!("PUT / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n"));
    for _ in 0..size / 100_000 {
        client.send([b'x'; 100_000]);
    }
    assert_eq!(client.reply().text(), "8000000");
}

//! Group "http_1_0".

use super::{OK, Stage, Then, get, ok};

fn old(lines: &str) -> String {
    get(lines).replace("HTTP/1.1", "HTTP/1.0")
}

#[test]
fn advertise_1_1() {
    let stage = Stage::new(OK, Then::Stays);
    let (_, reply) = stage.ask(old(""));
    assert!(reply.head.starts_with("HTTP/1.1 "));
    assert!(stage.request().0.starts_with("GET / HTTP/1.1\r\n"));
}

#[test]
fn conn_close_default() {
    let (mut client, reply) = Stage::new(OK, Then::Stays).ask(old(""));
    assert_eq!(reply.field("connection"), Some("close"));
    assert!(client.is_over());
}

#[test]
fn conn_keepalive_opt() {
    let stage = Stage::new(OK, Then::Stays);
    let (mut client, reply) = stage.ask(old("Connection: keep-alive\r\n"));
    assert_eq!(reply.field("connection"), Some("keep-alive"));
    client.send(old("Connection: keep-alive\r\n"));
    assert_eq!(client.reply().status, 200);
}

#[test]
fn chunked_to_1_0() {
    let answer = ok("Transfer-Encoding: chunked\r\n", "2\r\nok\r\n3\r\nay!\r\n0\r\nX: 1\r\n\r\n");
    let (_, reply) = Stage::new(answer, Then::Stays).ask(old("Connection: keep-alive\r\n"));
    assert_eq!(reply.field("transfer-encoding"), None);
    assert_eq!(reply.field("connection"), Some("close"));
    assert_eq!(reply.body, b"okay!", "ended by the connection's end");
}

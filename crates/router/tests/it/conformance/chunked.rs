//! Group "chunked".

use super::{OK, Stage, Then, get, ok, post, serves_again};

const CODING: &str = "Transfer-Encoding: chunked\r\n";

#[test]
fn passthrough() {
    let body = "2\r\nok\r\n00003\r\nay!\r\n0\r\n\r\n";
    let stage = Stage::new(ok(CODING, body), Then::Stays);
    let (mut client, reply) = stage.ask(post(CODING, body));
    let canonical = b"2\r\nok\r\n3\r\nay!\r\n0\r\n\r\n";
    assert_eq!((&*reply.body, &*stage.request().1), (&canonical[..], &canonical[..]));
    assert!(serves_again(&mut client));
}

#[test]
fn passthrough_short_crlf() {
    let stage = Stage::set(
        |_| {},
        |wire| {
            for piece in [ok(CODING, "2\r\nok\r"), "\n0\r".into(), "\n\r".into(), "\n".into()] {
                wire.send(piece);
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            Then::Stays
        },
    );
    let (mut client, reply) = stage.ask(get(""));
    assert_eq!(reply.body, b"2\r\nok\r\n0\r\n\r\n");
    assert!(serves_again(&mut client));
}

#[test]
fn passthrough_early_0length() {
    let stage = Stage::new(OK, Then::Stays);
    let mut client = stage.rig.client();
    client.send(post(CODING, "0\r\n\r\nrubbish\r\n\r\n"));
    assert_eq!(client.reply().status, 200);
    assert_eq!(client.reply().status, 400, "what follows the last chunk is no request");
    assert_eq!(stage.request().1, b"0\r\n\r\n");
}

/// The dyno never gets a whole body, and the client is told.
fn is_refused(body: &str) {
    let stage = Stage::new(OK, Then::Stays);
    let (mut client, reply) = stage.ask(post(CODING, body));
    assert_eq!(reply.status, 400, "{body:?}");
    client.finish();
    assert!(client.is_over());
    assert!(stage.is_cut(), "{body:?}");
}

#[test]
fn passthrough_partial_early_0length_1() {
    is_refused("2\r\nok\r\n0rubbish\r\n\r\n");
}

#[test]
fn passthrough_partial_early_0length_2() {
    is_refused("2\r\nok\r\n0\rrubbish\r\n\r\n");
}

#[test]
fn passthrough_partial_early_0length_3() {
    is_refused("2\r\nok\r\n0\r\nrubbish\r\n\r\n");
}

#[test]
fn interrupted_client() {
    let stage = Stage::new(OK, Then::Stays);
    let mut client = stage.rig.client();
    client.send(post(CODING, "5\r\nhel"));
    drop(client);
    assert!(stage.is_cut());
    assert!(stage.rig.log().contains("code=H27"));
}

#[test]
fn interrupted_server() {
    let stage = Stage::new(ok(CODING, "5\r\nhel"), Then::Leaves);
    let mut client = stage.rig.client();
    client.send(get(""));
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200 "));
    assert_eq!(client.rest(), b"5\r\nhel", "no last chunk");
    assert!(stage.rig.log().contains("code=H18"));
}

/// The status is out already: the client sees the end without a last chunk.
fn is_cut_short(body: &str) {
    let stage = Stage::new(ok(CODING, body), Then::Stays);
    let mut client = stage.rig.client();
    client.send(get(""));
    assert!(client.head().unwrap().starts_with("HTTP/1.1 200 "));
    let rest = String::from_utf8(client.rest()).unwrap();
    assert!(!rest.contains("0\r\n") && !rest.contains("HTTP/1.1"), "{rest:?}");
    stage.request();
    assert!(stage.is_cut());
}

#[test]
fn bad_chunk() {
    is_cut_short("2\r\nok\r\nzz\r\nrubbish");
    is_refused("zz\r\nrubbish\r\n");
}

#[test]
fn trailers() {
    let body = "2\r\nok\r\n0\r\nX-Sum: 1\r\nX-Other: 2\r\n\r\n";
    let lines = &format!("{CODING}Trailer: X-Sum, X-Other\r\n");
    let stage = Stage::new(ok(lines, body), Then::Stays);
    let (mut client, reply) = stage.ask(post(lines, body));
    assert_eq!((&*reply.body, reply.field("trailer")), (body.as_bytes(), Some("X-Sum, X-Other")));
    assert_eq!(stage.request().1, body.as_bytes());
    assert!(serves_again(&mut client));
}

#[test]
fn trailers_close() {
    let body = "2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n";
    let lines = &format!("{CODING}Connection: close\r\n");
    let stage = Stage::new(ok(lines, body), Then::Leaves);
    let (mut client, reply) = stage.ask(post(lines, body));
    assert_eq!((&*reply.body, reply.field("connection")), (body.as_bytes(), Some("close")));
    assert!(client.is_over());
}

#[test]
fn trailers_client_err() {
    is_refused("2\r\nok\r\n0\r\nno trailer\r\n\r\n");
}

#[test]
fn trailers_serv_err() {
    is_cut_short("2\r\nok\r\n0\r\nno trailer\r\n\r\n");
}

#[test]
fn trailers_no_header() {
    let body = "0\r\nX-Sum: 1\r\n\r\n";
    let stage = Stage::new(ok(CODING, body), Then::Stays);
    let (_, reply) = stage.ask(post(CODING, body));
    assert_eq!((&*reply.body, &*stage.request().1), (body.as_bytes(), body.as_bytes()));
}

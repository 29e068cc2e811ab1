//! Bodies both ways: lengths, chunks, ends of streams, answers without a body, early answers.

use std::time::Duration;

use crate::rig::{Dyno, HOST, Rig, Setup, Wire, field, get};

const MOMENT: Duration = Duration::from_millis(80);

fn post(lines: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n{body}")
}

/// A dyno that sends back what it got, as a body of known length.
fn echo(wire: &mut Wire) {
    while let Some((_, body)) = wire.request() {
        wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()));
        wire.send(body);
    }
}

/// A router whose dyno answers everything with these bytes and keeps the connection.
fn answering(answer: &'static str) -> (Rig, Dyno) {
    let (rig, dyno) = (Rig::new(), Dyno::answering(answer));
    rig.publish(model::routes::WebState::Up, &[dyno.backend("web.1")]);
    (rig, dyno)
}

/// A router whose dyno answers with these bytes and closes.
fn closing(answer: &'static str) -> (Rig, Dyno) {
    Rig::serving(move |wire| {
        wire.request();
        wire.send(answer);
    })
}

#[test]
fn a_body_of_known_length_arrives_whole_and_its_length_is_kept() {
    let (rig, _dyno) = Rig::serving(echo);
    let reply = rig.ask(&post("Content-Length: 5\r\n", "hello"));
    assert_eq!(reply.text(), "hello");
    assert!(rig.log().contains(" status=200 bytes=5 "));
}

#[test]
fn no_length_is_invented() {
    let (rig, _dyno) = Rig::serving(|wire| {
        while let Some((head, _)) = wire.request() {
            assert_eq!(field(&head, "content-length"), None);
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    for verb in ["GET", "POST", "DELETE"] {
        assert_eq!(rig.ask(&format!("{verb} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).status, 200);
    }
}

#[test]
fn large_bodies_pass_both_ways() {
    let (rig, _dyno) = Rig::serving(echo);
    let body: String = (0..2_000_000u32).map(|i| char::from(b'a' + (i % 23) as u8)).collect();
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(post(&format!("Content-Length: {}\r\n", body.len()), &body));
        let reply = client.reply();
        assert!(reply.body == body.as_bytes(), "all of it, unchanged");
    }
}

#[test]
fn chunks_pass_as_they_are_and_odd_ones_are_made_canonical() {
    let (rig, _dyno) = Rig::serving(echo);
    for (sent, seen) in [
        ("5\r\nhello\r\n0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n", "A\r\n0123456789\r\n1\r\nx\r\n0\r\n\r\n"),
        ("0005;a=b;c=\"d\"\r\nhello\r\n000;x\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("3\r\na\r\n\r\n0\r\n\r\n", "3\r\na\r\n\r\n0\r\n\r\n"),
        ("0\r\n\r\n", "0\r\n\r\n"),
    ] {
        let reply = rig.ask(&post("Transfer-Encoding: chunked\r\n", sent));
        assert_eq!(reply.text(), seen);
    }
}

#[test]
fn the_name_of_the_coding_is_written_canonically() {
    let (rig, _dyno) = Rig::serving(|wire| {
        let (head, _) = wire.request().unwrap();
        assert_eq!(field(&head, "transfer-encoding"), Some("chunked"));
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    assert_eq!(rig.ask(&post("transfer-ENCODING: CHUNKED\r\n", "0\r\n\r\n")).status, 200);
}

#[test]
fn trailers_pass_both_ways_declared_or_not() {
    let (rig, _dyno) = Rig::serving(|wire| {
        while let Some((_, body)) = wire.request() {
            wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            wire.send(body);
        }
    });
    let body = "2\r\nhi\r\n0\r\nExpires: never\r\nX-Sum: 5\r\n\r\n";
    for declared in ["", "Trailer: Expires\r\n"] {
        let reply = rig.ask(&post(&format!("Transfer-Encoding: chunked\r\n{declared}"), body));
        assert_eq!(reply.text(), body);
    }
}

#[test]
fn bad_chunks_and_trailers_of_a_client_are_refused_and_the_dyno_is_cut() {
    for body in [
        "zz\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "-5\r\n",
        "0x5\r\nhello\r\n",
        "5 \r\nhello\r\n",
        "ffffffffffffffff\r\n",
        "10000000000000005\r\nhello",
        "0\r\ngarbage\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
        "0\r\n folded: x\r\n\r\n",
        "0\r\nbad name: x\r\n\r\n",
        "5;a=\"\r\n\x01\"\r\nhello\r\n",
    ] {
        let (tell, told) = std::sync::mpsc::sync_channel(1);
        let (rig, _dyno) = Rig::serving(move |wire| {
            wire.head();
            tell.send(wire.rest()).unwrap();
        });
        let reply = rig.ask(&post("Transfer-Encoding: chunked\r\n", body));
        assert_eq!(reply.status, 400, "{body:?}");
        assert_eq!(field(&reply.head, "connection"), Some("close"));
        let got = String::from_utf8(told.recv().unwrap()).unwrap();
        assert!(!got.contains("0\r\n\r\n"), "never a whole body: {got:?}");
        assert_eq!(rig.log_within(MOMENT), None);
    }
}

#[test]
fn an_early_last_chunk_ends_the_request_and_what_follows_is_the_next() {
    let (rig, _dyno) = Rig::serving(echo);
    let mut client = rig.client();
    client.send(post("Transfer-Encoding: chunked\r\n", "0\r\n\r\n5\r\nhello\r\n0\r\n\r\n"));
    assert_eq!(client.reply().text(), "0\r\n\r\n");
    assert_eq!(client.reply().status, 400);
    assert!(client.is_over());
}

#[test]
fn chunked_answers_pass_and_the_client_stays() {
    let (rig, _dyno) = answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n000\r\n\r\n",
    );
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(get("/"));
        assert_eq!(client.reply().text(), "5\r\nhello\r\n0\r\n\r\n");
        assert!(rig.log().contains(" bytes=5 "));
    }
}

#[test]
fn an_http_1_0_client_gets_chunks_as_a_plain_stream_and_the_word_http_1_1() {
    let (rig, _dyno) = answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: x\r\n\r\n",
    );
    let reply =
        rig.ask(&format!("GET / HTTP/1.0\r\nHost: {HOST}\r\nConnection: keep-alive\r\n\r\n"));
    assert!(reply.head.starts_with("HTTP/1.1 200 OK"));
    assert_eq!(reply.field("transfer-encoding"), None);
    assert_eq!(reply.field("connection"), Some("close"));
    assert_eq!(reply.text(), "hello");
    assert!(rig.log().ends_with(" protocol=http1.0 tls=false tls_version=unknown"));
}

#[test]
fn the_dyno_of_an_http_1_0_client_is_asked_in_http_1_1() {
    let (rig, _dyno) = Rig::serving(|wire| {
        let (head, _) = wire.request().unwrap();
        assert!(head.starts_with("GET / HTTP/1.1\r\n"));
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    });
    assert_eq!(rig.ask(&format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n")).text(), "x");
}

#[test]
fn http_1_0_closes_by_default_and_stays_if_asked() {
    let (rig, _dyno) = answering("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
    let mut client = rig.client();
    client.send(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.reply().field("connection"), Some("close"));
    assert!(client.is_over());
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(format!("GET / HTTP/1.0\r\nHost: {HOST}\r\nConnection: Keep-Alive\r\n\r\n"));
        assert_eq!(client.reply().field("connection"), Some("keep-alive"));
    }
}

#[test]
fn an_answer_ended_by_close_ends_the_client_too() {
    let (rig, _dyno) = closing("HTTP/1.1 200 OK\r\n\r\nall of it");
    let mut client = rig.client();
    client.send(get("/"));
    let reply = client.reply();
    assert_eq!(reply.field("connection"), Some("close"));
    assert_eq!(reply.text(), "all of it");
    assert!(rig.log().contains(" status=200 bytes=9 "));
}

#[test]
fn head_is_never_given_a_body_and_keeps_the_headers_of_one() {
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked", "X-None: 1"] {
        let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n").leak();
        let (rig, dyno) = answering(answer);
        let mut client = rig.client();
        for _ in 0..2 {
            client.send(format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
            let reply = client.bodiless_reply();
            assert!(reply.head.contains(framing), "{}", reply.head);
            assert_eq!(reply.field("connection"), Some("keep-alive"));
            assert!(rig.log().contains(" bytes=0 "));
        }
        assert_eq!(dyno.connections(), 1, "{framing}: nothing is in the way of the next request");
    }
}

#[test]
fn a_head_answer_with_connection_close_does_not_close_the_client() {
    let (rig, dyno) = closing("HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\n");
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert_eq!(client.bodiless_reply().field("connection"), Some("keep-alive"));
    }
    assert_eq!(dyno.connections(), 2);
}

#[test]
fn statuses_without_body_get_none_whatever_their_headers_say() {
    for (status, framing, kept) in [
        (204, "", ""),
        (304, "", ""),
        (204, "Content-Length: 10\r\n", "Content-Length: 10\r\n"),
        (304, "Content-Length: 10\r\n", "Content-Length: 10\r\n"),
        (204, "Transfer-Encoding: chunked\r\n", ""),
        (304, "Connection: close\r\n", ""),
    ] {
        let answer = format!("HTTP/1.1 {status} X\r\nX-Mark: y\r\n{framing}\r\n").leak();
        let (rig, _dyno) = answering(answer);
        let mut client = rig.client();
        for _ in 0..2 {
            client.send(get("/"));
            let reply = client.bodiless_reply();
            assert_eq!(reply.status, status);
            assert!(reply.head.contains(&format!("X-Mark: y\r\n{kept}")));
            assert_eq!(reply.field("connection"), Some("keep-alive"), "{status} {framing}");
            assert!(client.is_quiet_for(Duration::from_millis(20)));
        }
    }
}

#[test]
fn a_body_sent_with_a_204_is_not_taken_for_the_next_answer() {
    let (rig, dyno) = Rig::serving(|wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 204 No Content\r\nContent-Length: 30\r\n\r\n");
            wire.send("HTTP/1.1 200 OK\r\nX-Bad: y\r\n\r\n");
        }
    });
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(get("/"));
        assert_eq!(client.bodiless_reply().status, 204);
    }
    assert_eq!(dyno.connections(), 2);
}

#[test]
fn bytes_after_a_whole_answer_are_not_taken_for_the_next() {
    let (rig, dyno) = Rig::serving(|wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 500 Bad\r\n\r\n");
        }
    });
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(get("/"));
        assert_eq!(client.reply().text(), "ok");
    }
    assert_eq!(dyno.connections(), 2);
}

#[test]
fn pipelined_requests_are_answered_in_turn() {
    let (rig, _dyno) = Rig::serving(|wire| {
        while let Some((head, _)) = wire.request() {
            let path = head.split(' ').nth(1).unwrap();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()));
        }
    });
    let mut client = rig.client();
    let body = post("Content-Length: 3\r\n", "abc").replace("POST /", "POST /post");
    client.send(format!("{}{body}\r\n{}{}", get("/1"), get("/2"), get("/3")));
    for path in ["/1", "/post", "/2", "/3"] {
        assert_eq!(client.reply().text(), path);
    }
}

#[test]
fn bytes_of_a_body_are_passed_on_as_they_come() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.head();
        assert_eq!(wire.exactly(5), b"first");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none");
        assert_eq!(wire.exactly(6), b"second");
        wire.send("two");
    });
    let mut client = rig.client();
    client.send(post("Content-Length: 11\r\n", "first"));
    client.head().unwrap();
    assert_eq!(client.exactly(3), b"one", "before the request has been sent");
    client.send("second");
    assert_eq!(client.exactly(3), b"two");
}

#[test]
fn an_event_stream_is_not_held_back() {
    let (seen, next) = std::sync::mpsc::sync_channel::<()>(0);
    let next = std::sync::Mutex::new(next);
    let (rig, _dyno) = Rig::serving(move |wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for _ in 0..3 {
            wire.send("8\r\ndata: x\n\r\n");
            // The next event comes only after the client has seen this one.
            next.lock().unwrap().recv().unwrap();
        }
        wire.send("0\r\n\r\n");
    });
    let mut client = rig.client();
    client.send(get("/"));
    client.head().unwrap();
    for _ in 0..3 {
        assert_eq!(client.exactly(13), b"8\r\ndata: x\n\r\n");
        seen.send(()).unwrap();
    }
    assert_eq!(client.chunks(), b"0\r\n\r\n");
}

/// A dyno that answers after the head and closes, although a large body is still coming.
fn hasty(wire: &mut Wire) {
    wire.head();
    wire.send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!");
}

#[test]
fn an_answer_given_before_the_upload_ends_reaches_the_client() {
    let (rig, _dyno) = Rig::serving(hasty);
    for _ in 0..10 {
        let mut client = rig.client();
        client.send(post("Content-Length: 3000000\r\n", ""));
        // The router stops reading at some time; what matters is that the answer arrives.
        let piece = [b'x'; 8192];
        for _ in 0..40 {
            if client.try_send(piece).is_err() {
                break;
            }
        }
        let reply = client.reply();
        assert_eq!((reply.status, &*reply.text()), (413, "no!"));
        assert_eq!(reply.field("connection"), Some("close"));
        assert!(rig.log().contains(" status=413 "));
    }
}

#[test]
fn the_same_for_a_chunked_upload() {
    let (rig, _dyno) = Rig::serving(hasty);
    let mut client = rig.client();
    client.send(post("Transfer-Encoding: chunked\r\n", ""));
    for _ in 0..40 {
        if client.try_send(format!("2000\r\n{}\r\n", "x".repeat(0x2000))).is_err() {
            break;
        }
    }
    assert_eq!(client.reply().status, 413);
}

#[test]
fn a_client_that_leaves_in_the_middle_cuts_the_dyno() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let (rig, _dyno) = Rig::serving(move |wire| {
        wire.head();
        tell.send(wire.rest()).unwrap();
    });
    let mut client = rig.client();
    client.send(post("Transfer-Encoding: chunked\r\n", "5\r\nhel"));
    std::thread::sleep(Duration::from_millis(20));
    drop(client);
    assert_eq!(told.recv_timeout(Duration::from_secs(2)).unwrap(), b"5\r\nhel");
    let line = rig.log();
    assert!(
        line.starts_with("at=warning code=H27 desc=\"Client Request Interrupted\" sock=client ")
    );
    assert!(line.contains(" status=499 "));
}

#[test]
fn a_dyno_that_leaves_in_the_middle_cuts_the_client() {
    for answer in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel",
    ] {
        let (rig, _dyno) = closing(answer);
        let mut client = rig.client();
        client.send(get("/"));
        client.head().unwrap();
        let rest = String::from_utf8(client.rest()).unwrap();
        assert!(rest.contains("hel") && !rest.contains("0\r\n\r\n"), "{rest:?}");
        let line = rig.log();
        let expected = "at=error code=H18 desc=\"Server Request Interrupted\" sock=backend method=";
        assert!(line.starts_with(expected), "{line}");
        assert!(line.contains(" dyno=web.1 ") && line.contains(" status=503 bytes=3 "), "{line}");
    }
}

#[test]
fn bad_chunks_and_trailers_of_a_dyno_end_the_answer_without_a_last_chunk() {
    for body in
        ["5\r\nhelloXX\r\n0\r\n\r\n", "5\r\nhello\r\nzz\r\n", "5\r\nhello\r\n0\r\nbad\r\n\r\n"]
    {
        let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}").leak();
        let (rig, _dyno) = answering(answer);
        let mut client = rig.client();
        client.send(get("/"));
        client.head().unwrap();
        let rest = String::from_utf8(client.rest()).unwrap();
        assert!(!rest.contains("0\r\n") && !rest.contains("HTTP/"), "{rest:?}");
        assert!(rig.log().starts_with("at=error code=H17 "));
    }
}

#[test]
fn what_a_slow_reader_leaves_is_not_piled_up() {
    let (rig, _dyno) = Rig::serving_with(Setup::default(), |wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\n");
        while wire.try_send([b'x'; 65536]).is_ok() {}
    });
    let mut client = rig.client();
    client.send(get("/"));
    client.head().unwrap();
    // Reads nothing: the router must not read on, and gives the client up after the idle time.
    let line = rig.log();
    assert!(line.starts_with("at=warning code=H28 desc=\"Client Connection Idle\""), "{line}");
    let bytes: u64 =
        line.split(" bytes=").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(bytes < 20_000_000, "only what the kernel's buffers hold: {bytes}");
}

/// How much a dyno gets rid of while the client reads nothing.
fn swallowed(response_buffer: usize) -> usize {
    let limits = router::Limits { response_buffer, ..router::Limits::default() };
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let (rig, _dyno) = Rig::serving_with(Setup { limits, ..Setup::default() }, move |wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 500000000\r\n\r\n");
        let mut count = 0;
        while wire.try_send([b'x'; 65536]).is_ok() {
            count += 65536;
        }
        tell.send(count).unwrap();
    });
    let mut client = rig.client();
    client.send(get("/"));
    client.head().unwrap();
    told.recv().unwrap()
}

#[test]
fn a_slow_reader_does_not_hold_its_dyno_for_a_response_that_fits_the_buffer() {
    let (without, with) = (swallowed(0), swallowed(32 * 1024 * 1024));
    assert!(with > without + 20_000_000, "{without} bytes, with a buffer {with}");
    assert!(with < without + 50_000_000, "it has a bound: {without} bytes, with a buffer {with}");
}

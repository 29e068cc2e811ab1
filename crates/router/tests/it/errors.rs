//! H codes: status, page and line of each (platform behaviour 1.1).

use std::time::Duration;

use model::routes::WebState;

use crate::rig::{Dyno, HOST, Reply, Rig, Setup, get, masked};

/// Asserts a line's start and what follows `fwd=`.
fn assert_line(line: &str, start: &str, end: &str) {
    assert!(line.starts_with(&format!("{start} method=GET path=\"/\" host={HOST} ")), "{line}");
    let after = line.split_once(" fwd=127.0.0.1 ").unwrap().1;
    assert_eq!(masked(after), end, "{line}");
}

const TAIL: &str = "protocol=http1.1 tls=false tls_version=unknown";

/// The answer and the line while the app is in this state.
fn in_state(state: WebState) -> (Reply, String) {
    let rig = Rig::new();
    rig.publish(state, &[]);
    (rig.get("/"), rig.log())
}

/// The answer and the line when the only dyno does this.
fn with_dyno(script: impl Fn(&mut crate::rig::Wire) + Send + Sync + 'static) -> (Reply, String) {
    let (rig, _dyno) = Rig::serving(script);
    (rig.get("/"), rig.log())
}

#[test]
fn h10_app_crashed() {
    let (reply, line) = in_state(WebState::Crashed);
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("<title>Application Error</title>"));
    assert!(reply.text().contains("heroku logs --tail"));
    assert_eq!(reply.field("connection"), Some("keep-alive"));
    let end = format!("dyno= connect= service= status=503 bytes= {TAIL}");
    assert_line(&line, "at=error code=H10 desc=\"App crashed\"", &end);
}

#[test]
fn h14_no_web_processes_running() {
    let (reply, line) = in_state(WebState::ScaledToZero);
    assert_eq!(reply.status, 503);
    assert!(line.starts_with("at=error code=H14 desc=\"No web processes running\" method="));
}

#[test]
fn h81_blank_app() {
    let (reply, line) = in_state(WebState::Blank);
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("git push heroku main"));
    assert!(line.starts_with("at=info code=H81 desc=\"Blank app\" method="));
}

#[test]
fn h80_maintenance_mode() {
    let (rig, dyno) = (Rig::new(), Dyno::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    let mut route = rig.route(WebState::Up, &[dyno.backend("web.1")]);
    route.maintenance = true;
    rig.publish_route(route.clone());
    let reply = rig.get("/");
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("<title>Offline for Maintenance</title>"));
    assert!(rig.log().starts_with("at=info code=H80 desc=\"Maintenance mode\" method="));
    route.maintenance_page_url = Some("https://example.com/m?a=1&b=\"2\"".into());
    rig.publish_route(route);
    let reply = rig.get("/");
    assert_eq!(reply.status, 503);
    assert!(
        reply.text().contains("<iframe src=\"https://example.com/m?a=1&amp;b=&quot;2&quot;\">")
    );
    assert_eq!(dyno.connections(), 0);
}

#[test]
fn the_apps_own_error_page_is_framed_and_keeps_the_status() {
    let rig = Rig::new();
    let mut route = rig.route(WebState::Crashed, &[]);
    route.error_page_url = Some("https://example.com/oops.html".into());
    rig.publish_route(route);
    let reply = rig.get("/");
    assert_eq!(reply.status, 503);
    assert!(reply.text().contains("<iframe src=\"https://example.com/oops.html\">"));
}

#[test]
fn an_unknown_host_is_no_such_app_and_leaves_no_line() {
    let rig = Rig::new();
    rig.publish(WebState::Crashed, &[]);
    let mut client = rig.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: nobody.example.com\r\n\r\n");
        let reply = client.reply();
        assert_eq!(reply.status, 404);
        assert!(reply.text().contains("<title>No such app</title>"));
        assert!(reply.text().contains("There&#39;s nothing here, yet."));
        assert!(reply.text().contains("Build something amazing"));
    }
    assert_eq!(rig.log_within(Duration::from_millis(50)), None);
}

#[test]
fn a_page_for_head_has_no_body() {
    let rig = Rig::new();
    rig.publish(WebState::Crashed, &[]);
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(format!("HEAD / HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert_eq!(client.bodiless_reply().status, 503);
        assert!(client.is_quiet_for(Duration::from_millis(20)));
    }
}

#[test]
fn h12_request_timeout() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let (reply, line) = with_dyno(move |wire| {
        wire.request();
        tell.send(wire.rest()).unwrap();
    });
    assert_eq!(reply.status, 503);
    assert!(line.starts_with("at=error code=H12 desc=\"Request timeout\" method="), "{line}");
    let service = line.split("service=").nth(1).unwrap().split("ms").next().unwrap();
    assert!((400..2000).contains(&service.parse().unwrap()), "{line}");
    assert!(
        masked(&line).contains(" dyno=web.1 connect=Nms ") && line.contains(" status=503 bytes=0 ")
    );
    assert_eq!(told.recv_timeout(Duration::from_secs(2)).unwrap(), b"", "the dyno is let go");
}

#[test]
fn h12_counts_from_the_whole_request_sent() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let mut client = rig.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\n"));
    for _ in 0..10 {
        // In all longer than the first-byte time, each wait shorter than the idle time.
        std::thread::sleep(Duration::from_millis(60));
        client.send("x");
    }
    assert_eq!(client.reply().status, 200);
}

#[test]
fn h13_connection_closed_without_response() {
    let (reply, line) = with_dyno(|wire| drop(wire.request()));
    assert_eq!(reply.status, 503);
    let end = format!("dyno=web.1 connect=Nms service=Nms status=503 bytes=0 {TAIL}");
    assert_line(&line, "at=error code=H13 desc=\"Connection closed without response\"", &end);
}

#[test]
fn h18_the_dyno_leaves_while_the_body_is_being_sent() {
    let (rig, _dyno) = Rig::serving(|wire| drop(wire.head()));
    let mut client = rig.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhel"));
    assert_eq!(client.reply().status, 503);
    let line = rig.log();
    assert!(line.starts_with(
        "at=error code=H18 desc=\"Server Request Interrupted\" sock=backend method=POST "
    ));
}

#[test]
fn h15_the_dyno_falls_silent_in_its_answer() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        wire.rest();
    });
    let mut client = rig.client();
    client.send(get("/"));
    client.head().unwrap();
    assert_eq!(client.rest(), b"hello");
    let line = rig.log();
    assert!(line.starts_with("at=error code=H15 desc=\"Idle connection\" method="), "{line}");
    assert!(line.contains(" status=503 bytes=5 "), "{line}");
}

#[test]
fn h28_the_client_falls_silent_in_its_request() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.request();
    });
    let mut client = rig.client();
    client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhel"));
    assert!(client.is_over());
    let line = rig.log();
    assert!(line.starts_with("at=warning code=H28 desc=\"Client Connection Idle\" method="));
    assert!(line.contains(" status=499 "));
}

#[test]
fn h28_the_client_sends_or_reads_too_slowly_for_too_long() {
    let mut setup = Setup::default();
    setup.timeouts.slow_client = Duration::from_millis(300);
    setup.limits.response_buffer = 64 * 1024;
    let (rig, _dyno) = Rig::serving_with(setup, |wire| {
        while let Some((head, _)) = wire.request() {
            if head.starts_with("GET") {
                let _ = wire.try_send("HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n");
                let _ = wire.try_send(vec![b'x'; 30_000_000]);
            } else {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let post = |length: usize| {
        let mut client = rig.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {length}\r\n\r\n"));
        client
    };
    // A byte now and then, which is never silent for long, is too little.
    let mut trickle = post(100);
    let sent = (0..100).take_while(|_| {
        std::thread::sleep(Duration::from_millis(25));
        trickle.try_send("x").is_ok()
    });
    let sent = sent.count();
    assert!((5..60).contains(&sent), "{sent}");
    assert!(rig.log().starts_with("at=warning code=H28 "));
    // At a good pace it may take longer than that.
    let mut steady = post(40 * 4096);
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(25));
        steady.send([b'x'; 4096]);
    }
    assert_eq!(steady.reply().status, 200);
    assert!(rig.log().contains(" status=200 "));
    // A reader that takes a little now and then.
    let mut reader = rig.client();
    reader.send(get("/"));
    let line = loop {
        let _ = reader.exactly(256);
        if let Some(line) = rig.log_within(Duration::from_millis(25)) {
            break line;
        }
    };
    assert!(line.starts_with("at=warning code=H28 "), "{line}");
}

#[test]
fn h27_the_client_leaves_before_the_answer() {
    let (tell, told) = std::sync::mpsc::sync_channel(1);
    let (rig, _dyno) = Rig::serving(move |wire| {
        wire.request();
        tell.send(wire.rest()).unwrap();
    });
    let mut client = rig.client();
    client.send(get("/"));
    std::thread::sleep(Duration::from_millis(30));
    drop(client);
    let line = rig.log();
    let start = "at=warning code=H27 desc=\"Client Request Interrupted\" sock=client method=GET";
    assert!(line.starts_with(start), "{line}");
    assert!(line.contains(" status=499 bytes=0 "));
    assert_eq!(told.recv_timeout(Duration::from_secs(1)).unwrap(), b"", "the dyno is let go");
}

#[test]
fn h27_a_client_that_closes_its_sending_side_has_left() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.request();
        assert_eq!(wire.rest(), b"", "the dyno is let go");
    });
    let mut client = rig.client();
    client.send(get("/"));
    client.finish();
    assert!(client.is_over());
    assert!(rig.log().starts_with("at=warning code=H27 "));
}

#[test]
fn h17_poorly_formatted_responses() {
    for answer in [
        "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "nonsense\r\n\r\n",
        "\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nbad name: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: \x01\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: ,\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    ] {
        let (reply, line) = with_dyno(move |wire| {
            wire.request();
            wire.send(answer);
            wire.rest();
        });
        assert_eq!(reply.status, 503, "{answer:?}");
        let start = "at=error code=H17 desc=\"Poorly formatted HTTP response\" method=";
        assert!(line.starts_with(start), "{answer:?}: {line}");
    }
}

#[test]
fn h25_lengths_that_contradict() {
    for lines in [
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: \r\n",
        "Content-Length: 99999999999999999999\r\n",
    ] {
        let (reply, line) = with_dyno(move |wire| {
            wire.request();
            wire.send(format!("HTTP/1.1 200 OK\r\n{lines}\r\nx"));
            wire.rest();
        });
        assert_eq!(reply.status, 502, "{lines}");
        let start = "at=error code=H25 desc=\"HTTP restriction: invalid content length\" method=";
        assert!(line.starts_with(start), "{line}");
        assert!(line.contains(" status=502 "));
    }
}

#[test]
fn equal_lengths_are_one_both_ways() {
    let lines = "Content-Length: 2\r\nContent-Length: 2\r\n";
    let (rig, _dyno) = Rig::serving(move |wire| {
        let (head, body) = wire.request().unwrap();
        assert_eq!((head.matches("Content-Length").count(), &*body), (1, &b"hi"[..]));
        wire.send(format!("HTTP/1.1 200 OK\r\n{lines}\r\nok"));
    });
    let reply = rig.ask(&format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\nhi"));
    assert_eq!((reply.head.matches("Content-Length").count(), &*reply.text()), (1, "ok"));
}

#[test]
fn chunks_win_over_a_length_in_an_answer() {
    let (rig, _dyno) = Rig::serving(|wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n");
            wire.send("2\r\nok\r\n0\r\n\r\n");
        }
    });
    let reply = rig.get("/");
    assert_eq!((reply.field("content-length"), &*reply.text()), (None, "2\r\nok\r\n0\r\n\r\n"));
}

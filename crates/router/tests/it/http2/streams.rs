//! Requests and responses on streams.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use http::Method;
use model::routes::WebState;
use router::{Drained, Handover, Limits, Timeouts, Tls};

use super::client::{Client, get, request};
use crate::rig::{self, HOST, PATIENCE, Setup, Wire, field, masked};
use crate::secure::Secure;

fn serving(script: impl Fn(&mut Wire) + Send + Sync + 'static) -> Secure {
    let timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, ..rig::timeouts() };
    Secure::serving(Tls::Sniffed, Setup { timeouts, ..Setup::default() }, script)
}

/// A dyno that answers with the head and the body it got.
fn mirror() -> Secure {
    serving(|wire| {
        while let Some((head, body)) = wire.request() {
            let length = head.len() + body.len();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}"));
            wire.send(body);
        }
    })
}

#[test]
fn a_request_reaches_the_dyno_as_http_1() {
    let secure = mirror();
    let mut client = Client::new(&secure);
    let ask = request(Method::GET, "/a?b=c").header("x-odd", "1").header("user-agent", "t");
    let answer = client.ask(ask.body(()).unwrap());
    assert_eq!(answer.status, 200);
    let head = answer.text();
    assert!(head.starts_with("GET /a?b=c HTTP/1.1\r\nhost: demo.example.com\r\n"), "{head}");
    assert!(head.contains("\r\nx-odd: 1\r\nuser-agent: t\r\n"), "{head}");
    assert_eq!(field(head, "x-forwarded-proto"), Some("https"));
    assert_eq!(field(head, "connection"), Some("keep-alive"));
    assert_eq!(field(head, "via"), Some("2.0 heroku-router"));
    assert_eq!(answer.field("via"), Some("1.1 heroku-router"));
    assert_eq!(answer.field("connection"), None);
    let line = masked(&secure.rig.log());
    let id = field(head, "x-request-id").unwrap();
    assert_eq!(
        line,
        format!(
            "at=info method=GET path=\"/a?b=c\" host={HOST} request_id={id} fwd=127.0.0.1 \
             dyno=web.1 connect=Nms service=Nms status=200 bytes={} protocol=http2.0 tls=true \
             tls_version=tls1.3",
            answer.body.len()
        )
    );
}

#[test]
fn bodies_of_told_and_untold_length_arrive_whole() {
    let secure = mirror();
    let mut client = Client::new(&secure);
    let body = vec![b'b'; 3_000_000];
    let told = request(Method::PUT, "/").header("content-length", body.len());
    let answer = client.ask_with(told.body(()).unwrap(), body.clone());
    assert!(answer.body.ends_with(&body));
    let head = String::from_utf8_lossy(&answer.body[..1000]).into_owned();
    assert_eq!(field(&head, "content-length"), Some("3000000"));
    assert_eq!(field(&head, "transfer-encoding"), None);

    let (response, mut send) = client.send(request(Method::POST, "/").body(()).unwrap(), false);
    for piece in ["one ", "", "two"] {
        send.send_data(piece.into(), false).unwrap();
    }
    send.send_data("".into(), true).unwrap();
    let answer = client.answer(response);
    assert_eq!(field(answer.text(), "transfer-encoding"), Some("chunked"));
    assert!(answer.text().ends_with("\r\n\r\n4\r\none \r\n3\r\ntwo\r\n0\r\n\r\n"), "{answer:?}");
}

#[test]
fn trailers_pass_both_ways() {
    let secure = serving(|wire| {
        let (head, body) = wire.request().unwrap();
        assert_eq!(field(&head, "te"), None);
        assert_eq!(body, b"2\r\nhi\r\n0\r\nx-sum: 7\r\n\r\n");
        wire.send("HTTP/1.1 200 OK\r\nTrailer: X-Total\r\nTransfer-Encoding: chunked\r\n\r\n");
        wire.send("2\r\nho\r\n0\r\nX-Total: 9\r\n\r\n");
    });
    let mut client = Client::new(&secure);
    let ask = request(Method::POST, "/").header("te", "trailers");
    let (response, mut send) = client.send(ask.body(()).unwrap(), false);
    send.send_data("hi".into(), false).unwrap();
    send.send_trailers([("x-sum".parse().unwrap(), "7".parse().unwrap())].into_iter().collect())
        .unwrap();
    let answer = client.answer(response);
    assert_eq!(answer.text(), "ho");
    assert_eq!(answer.field("transfer-encoding"), None);
    assert_eq!(answer.trailers.unwrap()["x-total"], "9");
}

#[test]
fn every_framing_of_a_dyno_ends_its_stream_and_no_other() {
    let secure = serving(|wire| {
        while let Some((head, _)) = wire.request() {
            let answer = match head.split(' ').nth(1).unwrap() {
                "/length" => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
                "/chunks" => {
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                     2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n"
                }
                "/empty" => "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                "/none" => "HTTP/1.1 204 No\r\n\r\n",
                _ => "HTTP/1.1 200 OK\r\n\r\nbody",
            };
            wire.send(answer);
            if head.starts_with("GET /close") {
                return;
            }
        }
    });
    let mut client = Client::new(&secure);
    for (path, status, body) in [
        ("/length", 200, "body"),
        ("/chunks", 200, "body"),
        ("/empty", 200, ""),
        ("/none", 204, ""),
        ("/close", 200, "body"),
        ("/length", 200, "body"),
    ] {
        let answer = client.ask(get(path));
        assert_eq!((answer.status, answer.text()), (status, body), "{path}");
        assert!(secure.rig.log().starts_with("at=info"), "{path}");
    }
}

#[test]
fn a_head_request_keeps_the_length_and_gets_no_body() {
    let secure = serving(|wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n");
        }
    });
    let mut client = Client::new(&secure);
    for _ in 0..2 {
        let answer = client.ask(request(Method::HEAD, "/").body(()).unwrap());
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        assert_eq!(answer.field("content-length"), Some("1234"));
    }
}

#[test]
fn crumbs_of_a_cookie_are_one_field() {
    let secure = mirror();
    let mut client = Client::new(&secure);
    let ask = request(Method::GET, "/").header("cookie", "a=1").header("x-between", "y");
    let ask = ask.header("cookie", "b=2").header("cookie", "c=3");
    let answer = client.ask(ask.body(()).unwrap());
    assert!(answer.text().contains("\r\ncookie: a=1; b=2; c=3\r\n"), "{}", answer.text());
    assert_eq!(answer.text().matches("cookie").count(), 1);
}

#[test]
fn the_router_answers_by_pages_as_ever() {
    let secure = serving(|_| ());
    let mut client = Client::new(&secure);
    secure.rig.publish(WebState::ScaledToZero, &[]);
    let answer = client.ask(get("/"));
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("Application error"));
    assert!(secure.rig.log().starts_with("at=error code=H14 "));
    let nowhere = http::Request::get("https://x.wild.example.org/").body(()).unwrap();
    assert_eq!(client.ask(nowhere).status, 404);
    let long = "x".repeat(9000);
    assert_eq!(client.ask(get(&format!("/{long}"))).status, 414);
    let odd = request(Method::GET, "/").header("expect", "miracles").body(()).unwrap();
    assert_eq!(client.ask(odd).status, 417);
}

#[test]
fn host_and_authority_must_agree() {
    let secure = mirror();
    let mut client = Client::new(&secure);
    let same = request(Method::GET, "/").header("host", "DEMO.example.com").body(()).unwrap();
    let answer = client.ask(same);
    assert_eq!(answer.status, 200);
    assert_eq!(answer.text().matches("host: ").count(), 1);
    let other = request(Method::GET, "/").header("host", "api.example.com").body(()).unwrap();
    assert_eq!(client.ask(other).status, 400);
}

#[test]
fn a_dyno_that_breaks_off_resets_its_stream_alone() {
    let secure = serving(|wire| {
        while let Some((head, _)) = wire.request() {
            if head.starts_with("GET /broken") {
                wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
                return;
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let mut client = Client::new(&secure);
    let (response, _) = client.send(get("/broken"), true);
    let error = client.broken(response);
    assert_eq!(error.reason(), Some(h2::Reason::INTERNAL_ERROR));
    assert!(secure.rig.log().contains(" code=H18 "));
    assert_eq!(client.ask(get("/")).text(), "ok");
}

#[test]
fn a_client_that_cancels_frees_the_dyno_and_is_logged() {
    let (left, has_left) = std::sync::mpsc::sync_channel(1);
    let secure = serving(move |wire| {
        let (head, _) = wire.request().unwrap();
        if head.starts_with("GET /begun") {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        }
        assert!(wire.request().is_none(), "the connection is closed");
        left.send(()).unwrap();
    });
    let mut client = Client::new(&secure);
    let (response, send) = client.send(get("/silent"), true);
    client.run_for(Duration::from_millis(20));
    drop((response, send));
    client.run_for(Duration::from_millis(20));
    has_left.recv_timeout(PATIENCE).unwrap();
    assert!(secure.rig.log().starts_with("at=warning code=H27 "));

    let (response, mut send) = client.send(get("/begun"), true);
    let response = client.wait(response).unwrap();
    send.send_reset(h2::Reason::CANCEL);
    drop(response);
    client.run_for(Duration::from_millis(20));
    has_left.recv_timeout(PATIENCE).unwrap();
    let line = secure.rig.log();
    assert!(line.starts_with("at=warning code=H27 ") && line.contains(" status=499 bytes="));
}

#[test]
fn an_early_answer_reaches_a_client_that_still_uploads() {
    let secure = serving(|wire| {
        wire.head().unwrap();
        wire.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let mut client = Client::new(&secure);
    let (response, mut send) = client.send(request(Method::POST, "/").body(()).unwrap(), false);
    send.send_data("some".into(), false).unwrap();
    let answer = client.answer(response);
    assert_eq!((answer.status, answer.text()), (403, "no"));
    // The rest is not wanted, and the client is told so without an error.
    let reason = client.wait(std::future::poll_fn(|cx| send.poll_reset(cx))).unwrap();
    assert_eq!(reason, h2::Reason::NO_ERROR);
    assert!(secure.rig.log().contains(" status=403 "));
}

#[test]
fn a_client_that_does_not_read_holds_its_dyno_back_and_then_is_cut() {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let timeouts = Timeouts { idle: Duration::from_secs(2), ..rig::timeouts() };
    let limits = Limits { response_buffer: 128 * 1024, ..Limits::default() };
    let setup = Setup { timeouts, limits, ..Setup::default() };
    let secure = Secure::serving(Tls::Sniffed, setup, move |wire| {
        wire.request().unwrap();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let piece = vec![b'x'; 64 * 1024];
        while wire.try_send(&piece).is_ok() {
            count.fetch_add(piece.len(), Ordering::SeqCst);
        }
    });
    let mut client = Client::new(&secure);
    let (response, _) = client.send(get("/"), true);
    let mut body = client.wait(response).unwrap().into_body();
    let line = loop {
        client.run_for(Duration::from_millis(50));
        if let Some(line) = secure.rig.log_within(Duration::from_millis(1)) {
            break line;
        }
    };
    assert!(line.starts_with("at=warning code=H28 "), "{line}");
    assert!(sent.load(Ordering::SeqCst) < 20_000_000, "a window's worth, and what sockets hold");
    let broken = client.wait(async {
        loop {
            match body.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("it was not whole"),
            }
        }
    });
    assert_eq!(broken.reason(), Some(h2::Reason::INTERNAL_ERROR));
}

#[test]
fn a_dyno_that_does_not_read_holds_its_client_back() {
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    let timeouts = Timeouts { idle: PATIENCE, first_byte: PATIENCE, ..rig::timeouts() };
    let secure =
        Secure::serving(Tls::Sniffed, Setup { timeouts, ..Setup::default() }, move |wire| {
            let head = wire.head().unwrap();
            wait.lock().unwrap().recv().unwrap();
            let length = field(&head, "content-length").unwrap().parse().unwrap();
            wire.exactly(length);
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nall");
        });
    let mut client = Client::new(&secure);
    const LENGTH: usize = 50_000_000;
    let ask = request(Method::PUT, "/").header("content-length", LENGTH);
    let (response, mut send) = client.send(ask.body(()).unwrap(), false);
    let mut sent = 0;
    let mut push = |client: &Client, patience: Duration| {
        client.wait(async {
            while sent < LENGTH {
                send.reserve_capacity((LENGTH - sent).min(64 * 1024));
                let room = std::future::poll_fn(|cx| send.poll_capacity(cx));
                let Ok(room) = tokio::time::timeout(patience, room).await else { return sent };
                let room = room.unwrap().unwrap();
                sent += room;
                send.send_data(vec![b'u'; room].into(), sent == LENGTH).unwrap();
            }
            sent
        })
    };
    let stuck = push(&client, Duration::from_millis(300));
    assert!(stuck < 20_000_000, "a window's worth, and what sockets hold: {stuck}");
    go.send(()).unwrap();
    assert_eq!(push(&client, PATIENCE), LENGTH);
    assert_eq!(client.answer(response).text(), "all");
}

#[test]
fn streams_are_served_side_by_side() {
    let timeouts = Timeouts { connect: PATIENCE, first_byte: PATIENCE, ..rig::timeouts() };
    let setup = Setup { timeouts, ..Setup::default() };
    let secure = Secure::serving(Tls::Sniffed, setup, |wire| {
        while let Some((head, _)) = wire.request() {
            if head.starts_with("GET /slow") {
                std::thread::sleep(Duration::from_secs(1));
            }
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let mut client = Client::new(&secure);
    let begun = Instant::now();
    let slow: Vec<_> = (0..50).map(|_| client.send(get("/slow"), true).0).collect();
    assert_eq!(client.ask(get("/quick")).text(), "ok");
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    for response in slow {
        assert_eq!(client.answer(response).text(), "ok");
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[test]
fn streams_under_way_end_when_the_router_stops() {
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    let mut secure = serving(move |wire| {
        wire.request().unwrap();
        wait.lock().unwrap().recv().unwrap();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
    let mut client = Client::new(&secure);
    let (response, _) = client.send(get("/"), true);
    client.run_for(Duration::from_millis(50));
    let stopping = std::thread::spawn(move || secure.rig.shutdown(PATIENCE));
    // The farewell: no more streams are opened, those open go on.
    client.run_for(Duration::from_millis(100));
    assert!(!stopping.is_finished());
    go.send(()).unwrap();
    assert_eq!(client.answer(response).text(), "ok");
    client.end().expect("a farewell without an error");
    assert_eq!(stopping.join().unwrap(), Drained::All);
}

#[test]
fn an_idle_connection_is_told_goodbye() {
    let timeouts = Timeouts { client_keep_alive: Duration::from_millis(200), ..rig::timeouts() };
    let setup = Setup { timeouts, ..Setup::default() };
    let secure = Secure::serving(Tls::Sniffed, setup, |wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let mut client = Client::new(&secure);
    assert_eq!(client.ask(get("/")).text(), "ok");
    let begun = Instant::now();
    client.end().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[test]
fn a_platform_host_is_handed_over_stream_by_stream() {
    let secure = mirror();
    let mut client = Client::new(&secure);
    let serve = |answer: &'static str| {
        let handovers = secure.rig.handovers.lock().unwrap().blocking_recv();
        let Some(Handover::Http { mut stream, tls: true, .. }) = handovers else { panic!("HTTP") };
        std::thread::spawn(move || {
            stream.set_nonblocking(false).unwrap();
            let mut got = vec![0; 4096];
            let count = stream.read(&mut got).unwrap();
            for piece in answer.as_bytes().chunks(7) {
                stream.write_all(piece).unwrap();
            }
            // The next request would come now; a stream brings none, and says so.
            let rest = stream.read(&mut got[count..]).unwrap();
            assert_eq!(rest, 0);
            String::from_utf8_lossy(&got[..count]).into_owned()
        })
    };
    for (answer, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody", "body"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "body"),
        ("HTTP/1.1 204 No\r\n\r\n", ""),
    ] {
        let ask = http::Request::get("https://api.example.com/apps").header("accept", "x");
        let (response, _) = client.send(ask.body(()).unwrap(), true);
        client.run_for(Duration::from_millis(20));
        let served = serve(answer);
        assert_eq!(client.answer(response).text(), body);
        let head = served.join().unwrap();
        assert!(head.starts_with("GET /apps HTTP/1.1\r\nhost: api.example.com\r\n"), "{head}");
    }
}

#[test]
fn nobody_is_upgraded_on_a_stream() {
    let secure = serving(|wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 101 Odd\r\nUpgrade: odd\r\nConnection: Upgrade\r\n\r\n");
        }
    });
    let mut client = Client::new(&secure);
    assert_eq!(client.ask(get("/")).status, 503);
    assert!(secure.rig.log().contains(" code=H17 "));
}

#[test]
fn a_websocket_is_a_tunnel_of_its_own_stream() {
    let secure = serving(|wire| {
        while let Some((head, _)) = wire.request() {
            if !head.starts_with("GET /chat HTTP/1.1\r\n") {
                wire.send("HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno");
                continue;
            }
            assert_eq!(field(&head, "upgrade"), Some("websocket"));
            assert_eq!(field(&head, "connection"), Some("Upgrade"));
            assert_eq!(field(&head, "sec-websocket-version"), Some("13"));
            assert_eq!(field(&head, "sec-websocket-key").unwrap().len(), 24);
            wire.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n");
            wire.send("Connection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nhello");
            let said = wire.exactly(4);
            wire.send([b"you said ", &*said].concat());
            assert!(wire.is_over(), "the client's end is passed on");
            wire.send("bye");
            return;
        }
    });
    let mut client = Client::new(&secure);
    let ask = |path: &str| {
        let mut ask = request(Method::CONNECT, path).header("sec-websocket-version", "13");
        let extensions = ask.extensions_mut().unwrap();
        extensions.insert(h2::ext::Protocol::from_static("websocket"));
        ask.body(()).unwrap()
    };
    // The server's settings must have been heard before.
    assert_eq!(client.ask(get("/")).status, 403);
    let (response, mut send) = client.send(ask("/chat"), false);
    let response = client.wait(response).unwrap();
    assert_eq!(response.status(), 200);
    for name in ["upgrade", "connection", "sec-websocket-accept"] {
        assert!(!response.headers().contains_key(name), "{name}");
    }
    let mut body = response.into_body();
    let mut hear = |client: &Client, wanted: &str| {
        let mut heard = Vec::new();
        while heard.len() < wanted.len() {
            heard.extend(client.wait(body.data()).unwrap().unwrap());
        }
        assert_eq!(String::from_utf8(heard).unwrap(), wanted);
    };
    hear(&client, "hello");
    send.send_data("ping".into(), false).unwrap();
    hear(&client, "you said ping");
    send.send_data("".into(), true).unwrap();
    hear(&client, "bye");
    // The dyno's end is an empty frame, and nothing after it.
    assert!(client.wait(body.data()).is_none_or(|data| data.unwrap().is_empty()));
    assert!(client.wait(body.data()).is_none());
    assert!(secure.rig.log().contains(" status=403 "));
    assert!(secure.rig.log().contains(" status=101 bytes=21 protocol=http2.0 "));
    let (response, _) = client.send(ask("/elsewhere"), false);
    assert_eq!(client.answer(response).status, 403);
}

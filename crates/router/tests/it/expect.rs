//! `Expect: 100-continue`, and other signs of life before an answer.

use std::time::Duration;

use crate::rig::{Dyno, HOST, Rig, field};

fn expecting(value: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: {HOST}\r\nExpect: {value}\r\nContent-Length: 5\r\n\r\n")
}

#[test]
fn the_router_says_continue_itself_and_hides_expect() {
    let (rig, _dyno) = Rig::serving(|wire| {
        let (head, body) = wire.request().unwrap();
        assert_eq!(field(&head, "expect"), None);
        assert_eq!(body, b"hello");
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let mut client = rig.client();
    client.send(expecting("100-Continue"));
    assert_eq!(client.head().unwrap(), "HTTP/1.1 100 Continue\r\n\r\n");
    client.send("hello");
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("connection")), (200, Some("keep-alive")));
}

#[test]
fn no_continue_is_said_when_nobody_will_read_the_body() {
    let rig = Rig::new();
    rig.publish(model::routes::WebState::Crashed, &[]);
    let mut client = rig.client();
    client.send(expecting("100-continue"));
    assert!(client.head().unwrap().starts_with("HTTP/1.1 503 "));
}

#[test]
fn other_expectations_fail_and_an_empty_one_is_none() {
    let (rig, _dyno) = Rig::serving(|wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    for bad in ["100 continue", "200-ok", "100-continue, x", "100-continues"] {
        assert_eq!(rig.ask(&expecting(bad)).status, 417, "{bad}");
    }
    assert_eq!(rig.ask(&(expecting("") + "hello")).status, 200);
    assert!(rig.log().contains(" status=200 "), "the refused ones left no line");
}

#[test]
fn an_http_1_0_client_is_not_told_to_continue() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    });
    let request = expecting("100-continue").replace("HTTP/1.1", "HTTP/1.0") + "hello";
    assert_eq!(rig.ask(&request).status, 200);
}

/// A dyno that gives signs of life before each answer.
fn lively() -> (Rig, Dyno) {
    Rig::serving(|wire| {
        while wire.request().is_some() {
            wire.send(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\
                 Connection: x-mine\r\nX-Mine: 1\r\nContent-Length: 7\r\n\r\n",
            );
            std::thread::sleep(Duration::from_millis(10));
            wire.send(
                "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            );
        }
    })
}

#[test]
fn early_hints_pass_and_a_continue_that_nobody_asked_for_does_not() {
    let (rig, dyno) = lively();
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(crate::rig::get("/"));
        assert_eq!(client.head().unwrap(), "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n");
        assert_eq!(client.head().unwrap(), "HTTP/1.1 102 Processing\r\n\r\n");
        let reply = client.reply();
        assert_eq!((reply.status, &*reply.text(), reply.field("link")), (200, "ok", None));
    }
    assert_eq!(dyno.connections(), 1);
}

#[test]
fn an_http_1_0_client_gets_the_answer_alone() {
    let (rig, _dyno) = lively();
    let reply = rig.ask(&crate::rig::get("/").replace("HTTP/1.1", "HTTP/1.0"));
    assert_eq!((reply.status, &*reply.text()), (200, "ok"));
}

#[test]
fn a_dyno_that_only_gives_signs_of_life_is_cut_short() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.request();
        while wire.try_send("HTTP/1.1 103 Early Hints\r\n\r\n").is_ok() {}
    });
    let mut client = rig.client();
    client.send(crate::rig::get("/"));
    let all = String::from_utf8(client.rest()).unwrap();
    assert_eq!(all.matches(" 103 ").count(), 32);
    assert!(all.contains("HTTP/1.1 503 ") && rig.log().contains("code=H17"), "{all}");
}

#[test]
fn a_final_answer_in_place_of_the_body_is_relayed_and_closes() {
    let (rig, _dyno) = Rig::serving(|wire| {
        wire.head();
        wire.send("HTTP/1.1 401 No\r\nContent-Length: 2\r\n\r\nno");
    });
    let mut client = rig.client();
    client.send(expecting("100-continue"));
    assert!(client.head().unwrap().starts_with("HTTP/1.1 100 "));
    let reply = client.reply();
    assert_eq!((reply.status, reply.field("connection")), (401, Some("close")));
    client.finish();
    assert!(client.is_over());
}

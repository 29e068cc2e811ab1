//! What a certificate authority is answered that asks whether a host is ours.

use std::collections::HashMap;
use std::sync::Arc;

use http::Request;
use model::routes::{RoutingTable, WebState};
use router::Tls;

use crate::http2::client::Client;
use crate::rig::{HOST, Rig, Setup, field};
use crate::secure::Secure;

const PATH: &str = "/.well-known/acme-challenge";

/// A table whose app is in maintenance, with answers for its host and for one that leads nowhere.
fn publish(rig: &Rig) {
    let mut route = rig.route(WebState::ScaledToZero, &[]);
    route.maintenance = true;
    let mut table = RoutingTable::new(["api.example.com"]);
    table.set(&Arc::new(route), &[HOST]);
    table.challenges = Arc::new(HashMap::from([
        (format!("{HOST}/tok-1").into(), "tok-1.thumb".into()),
        ("new.example.org/tok-2".into(), "tok-2.thumb".into()),
    ]));
    rig.routes.publish(table);
}

#[test]
fn a_known_token_is_answered_before_anything_else() {
    let rig = Rig::new();
    publish(&rig);
    let mut client = rig.client();
    for _ in 0..2 {
        client.send(format!("GET {PATH}/tok-1 HTTP/1.1\r\nHost: DEMO.example.com:80\r\n\r\n"));
        let reply = client.reply();
        assert_eq!((reply.status, reply.text().as_str()), (200, "tok-1.thumb"));
        assert_eq!(field(&reply.head, "content-type"), Some("application/octet-stream"));
    }
    let reply = rig.ask(&format!("GET {PATH}/tok-2 HTTP/1.1\r\nHost: new.example.org\r\n\r\n"));
    assert_eq!(reply.text(), "tok-2.thumb");
}

#[test]
fn other_tokens_other_hosts_and_other_methods_are_the_apps() {
    let rig = Rig::new();
    publish(&rig);
    for (line, host, status) in [
        (format!("GET {PATH}/tok-2"), HOST, 503),
        (format!("GET {PATH}/tok-1x"), HOST, 503),
        (format!("GET {PATH}/tok-1/"), HOST, 503),
        (format!("POST {PATH}/tok-1"), HOST, 503),
        (format!("GET {PATH}/tok-1"), "new.example.org", 404),
        (format!("GET {PATH}/"), HOST, 503),
    ] {
        let reply = rig.ask(&format!("{line} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        assert_eq!(reply.status, status, "{line} {host}");
    }
}

#[test]
fn an_authority_that_follows_a_redirect_to_https_is_answered_too() {
    let secure = Secure::serving(Tls::Sniffed, Setup::default(), |_| ());
    publish(&secure.rig);
    let mut client = Client::new(&secure);
    let answer = client.ask(Request::get(format!("https://{HOST}{PATH}/tok-1")).body(()).unwrap());
    assert_eq!((answer.status, answer.text()), (200, "tok-1.thumb"));
}

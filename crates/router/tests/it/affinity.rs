//! The app features of the router: session affinity, a connection to the dyno for each request, and
//! whether they hold when dynos come and go.

use std::sync::Arc;

use model::routes::{Backend, Choice, DynoConnections, WebState};

use crate::rig::{Dyno, HOST, Reply, Rig, dead_backend, field, get};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A router whose app wants session affinity, and has these dynos.
fn sticky(backends: &[Arc<Backend>]) -> Rig {
    let rig = Rig::new();
    publish(&rig, backends);
    rig
}

fn publish(rig: &Rig, backends: &[Arc<Backend>]) {
    let mut route = rig.route(WebState::Up, backends);
    route.choice = Choice::Session;
    rig.publish_route(route);
}

/// Asks with these cookies; the answer and the dyno that gave it.
fn ask(rig: &Rig, cookies: &str) -> (Reply, String) {
    let reply = rig.ask(&format!("GET / HTTP/1.1\r\nHost: {HOST}:80\r\nCookie: {cookies}\r\n\r\n"));
    let line = rig.log();
    let dyno = line.split(" dyno=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    (reply, dyno)
}

/// What a browser would send back.
fn cookie(reply: &Reply) -> String {
    reply.field("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
}

#[test]
fn a_visitor_stays_with_the_dyno_that_answered_first() {
    let dynos: Vec<_> = (0..4).map(|_| Dyno::answering(OK)).collect();
    let named = dynos.iter().zip(1..).map(|(dyno, i)| dyno.backend(&format!("web.{i}")));
    let rig = sticky(&named.collect::<Vec<_>>());
    let (first, dyno) = ask(&rig, "a=b");
    let set = first.field("set-cookie").expect("a cookie");
    let attributes: Vec<_> = set.split("; ").skip(1).collect();
    assert!(set.starts_with("heroku-session-affinity="), "{set}");
    let expires = attributes[1].strip_prefix("Expires=").expect("an end");
    assert!(expires.ends_with(" GMT") && expires.len() == 29, "{expires}");
    let rest = [attributes[0], attributes[2], attributes[3], attributes[4], attributes[5]];
    let domain = format!("Domain={HOST}");
    assert_eq!(rest, ["Version=1", "Max-Age=86400", &domain, "Path=/", "HttpOnly"]);
    for _ in 0..20 {
        let (reply, same) = ask(&rig, &format!("a=b; {}; c=d", cookie(&first)));
        assert_eq!(same, dyno);
        assert_eq!(reply.field("set-cookie"), None, "the visitor knows already");
    }
}

#[test]
fn a_visitor_whose_dyno_has_gone_gets_another_and_a_new_cookie() {
    let (one, other) = (Dyno::answering(OK), Dyno::answering(OK));
    let (first, second) = (one.backend("web.1"), other.backend("web.2"));
    let rig = sticky(std::slice::from_ref(&first));
    let old = cookie(&ask(&rig, "").0);
    // Its gate is shut, and then it is gone from the table.
    publish(&rig, &[first.clone(), second.clone()]);
    first.close();
    let (reply, dyno) = ask(&rig, &old);
    assert_eq!(dyno, "web.2");
    let new = cookie(&reply);
    assert_ne!(new, old);
    publish(&rig, &[second]);
    assert_eq!(cookie(&ask(&rig, &old).0), new);
    assert_eq!(ask(&rig, &new).0.field("set-cookie"), None);
}

#[test]
fn a_visitor_whose_dyno_cannot_be_reached_gets_another() {
    let alive = Dyno::answering(OK);
    let dead = dead_backend("web.1");
    let rig = sticky(&[dead.clone(), alive.backend("web.2")]);
    let cookie = format!("heroku-session-affinity={}", dead.dyno.uuid().simple());
    let (reply, dyno) = ask(&rig, &cookie);
    assert_eq!((reply.status, &*dyno), (200, "web.2"));
    assert!(reply.field("set-cookie").is_some());
}

#[test]
fn without_the_feature_no_cookie_is_given_or_heeded() {
    let (one, other) = (Dyno::answering(OK), Dyno::answering(OK));
    let backends = [one.backend("web.1"), other.backend("web.2")];
    let rig = Rig::new();
    rig.publish(WebState::Up, &backends);
    let cookie = format!("heroku-session-affinity={}", backends[0].dyno.uuid().simple());
    let mut seen = std::collections::HashSet::new();
    for _ in 0..40 {
        let (reply, dyno) = ask(&rig, &cookie);
        assert_eq!(reply.field("set-cookie"), None);
        seen.insert(dyno);
    }
    assert_eq!(seen.len(), 2);
}

#[test]
fn a_dyno_without_keep_alive_is_told_close_and_gets_a_connection_for_each_request() {
    let (tell, heads) = std::sync::mpsc::sync_channel(8);
    let dyno = Dyno::start(move |wire| {
        while let Some((head, _)) = wire.request() {
            tell.send(head).unwrap();
            wire.send(OK);
        }
    });
    let rig = Rig::new();
    let mut route = rig.route(WebState::Up, &[dyno.backend("web.1")]);
    route.connections = DynoConnections::OnePerRequest;
    rig.publish_route(route);
    let mut client = rig.client();
    for count in 1..=3 {
        client.send(get("/"));
        assert_eq!(client.reply().field("connection"), Some("keep-alive"), "the client stays");
        assert_eq!(field(&heads.recv().unwrap(), "connection"), Some("close"));
        assert_eq!(dyno.connections(), count);
    }
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    ));
    assert_eq!(client.reply().status, 200);
    assert_eq!(field(&heads.recv().unwrap(), "connection"), Some("Upgrade"));
}

//! What the router adds to, removes from and keeps of heads (platform behaviour 2.5).

use std::sync::mpsc::{Receiver, sync_channel};

use crate::rig::{Dyno, HOST, Rig, Wire, field, masked};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A router whose dyno answers `OK` and tells the heads it gets.
fn telling() -> (Rig, Dyno, Receiver<String>) {
    let (tell, heads) = sync_channel(16);
    let (rig, dyno) = Rig::serving(move |wire: &mut Wire| {
        while let Some((head, _)) = wire.request() {
            tell.send(head).unwrap();
            wire.send(OK);
        }
    });
    (rig, dyno, heads)
}

/// The head the dyno gets for a GET with these extra lines.
fn seen(lines: &str) -> String {
    let (rig, _dyno, heads) = telling();
    let reply = rig.ask(&format!("GET /a?b=c HTTP/1.1\r\nHost: {HOST}\r\n{lines}\r\n"));
    assert_eq!(reply.status, 200);
    heads.recv().unwrap()
}

/// The head the client gets for a dyno's answer with these lines.
fn answered(lines: &'static str) -> String {
    let (rig, _dyno) = Rig::serving(move |wire| {
        wire.request();
        wire.send(format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n"));
    });
    rig.get("/").head
}

#[test]
fn a_plain_request_gets_the_routers_fields() {
    let (rig, _dyno, heads) = telling();
    rig.ask(&format!("GET /a?b=c HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n\r\n"));
    let head = heads.recv().unwrap();
    assert!(head.starts_with(&format!("GET /a?b=c HTTP/1.1\r\nHost: {HOST}\r\nAccept: */*\r\n")));
    assert_eq!(field(&head, "X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(field(&head, "X-Forwarded-Proto"), Some("http"));
    assert_eq!(field(&head, "X-Forwarded-Port"), Some(&*rig.addr.port().to_string()));
    assert_eq!(field(&head, "Via"), Some("1.1 heroku-router"));
    assert_eq!(field(&head, "Connection"), Some("keep-alive"));
    let start: i64 = field(&head, "X-Request-Start").unwrap().parse().unwrap();
    assert!((model::Timestamp::now().millis() - start).abs() < 60_000);
    let id = field(&head, "X-Request-Id").unwrap();
    assert!(uuid::Uuid::parse_str(id).is_ok_and(|id| id.get_version_num() == 4));
    assert!(rig.log().contains(&format!("request_id={id} ")), "the log tells the same id");
}

#[test]
fn a_good_request_id_is_kept() {
    let head = seen("X-Request-Id: abcDEF123+/=-abcdefg\r\n");
    assert_eq!(field(&head, "X-Request-Id"), Some("abcDEF123+/=-abcdefg"));
}

#[test]
fn odd_short_and_long_request_ids_are_replaced() {
    let long = "a".repeat(201);
    for bad in ["short", "with blanks with blanks with", "under_score_under_score", &long] {
        let head = seen(&format!("X-Request-Id: {bad}\r\n"));
        assert_ne!(field(&head, "X-Request-Id"), Some(bad));
        assert_eq!(head.matches("X-Request-Id").count(), 1);
    }
    let longest = "a".repeat(200);
    let head = seen(&format!("X-Request-Id: {longest}\r\n"));
    assert_eq!(field(&head, "X-Request-Id"), Some(&*longest));
}

#[test]
fn the_peer_is_appended_to_forwarded_for() {
    let head = seen("X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-For: 198.51.100.2\r\n");
    let sent: Vec<_> = head.lines().filter(|line| line.starts_with("X-Forwarded-For")).collect();
    assert_eq!(sent, ["X-Forwarded-For: 203.0.113.9, 198.51.100.2, 127.0.0.1"]);
}

#[test]
fn what_a_client_says_of_proto_port_and_start_is_replaced() {
    let head = seen("X-Forwarded-Proto: gopher\r\nx-forwarded-port: 1\r\nX-Request-Start: 5\r\n");
    assert_eq!(field(&head, "X-Forwarded-Proto"), Some("http"));
    assert_eq!(head.to_lowercase().matches("x-forwarded-port").count(), 1);
    assert_ne!(field(&head, "X-Request-Start"), Some("5"));
}

#[test]
fn via_is_appended_both_ways() {
    let head = seen("Via: 1.0 fred, 1.1 p.example.net\r\n");
    assert_eq!(field(&head, "Via"), Some("1.0 fred, 1.1 p.example.net, 1.1 heroku-router"));
    assert_eq!(field(&answered("Via: 1.1 app\r\n"), "Via"), Some("1.1 app, 1.1 heroku-router"));
    assert_eq!(field(&answered(""), "Via"), Some("1.1 heroku-router"));
}

#[test]
fn order_and_letter_case_are_kept_both_ways() {
    let lines = "x-LOWER: 1\r\nAccept: b\r\nX-Dup: 1\r\nCookie: a=b\r\nx-dup: 2\r\n";
    assert!(seen(lines).contains(lines));
    let lines = "x-LOWER: 1\r\nSet-Cookie: a\r\nX-Dup: 1\r\nset-cookie: b\r\nx-dup: 2\r\n";
    assert!(answered(lines).contains(lines));
}

#[test]
fn hop_by_hop_fields_are_deleted_and_others_kept() {
    let head = seen(
        "TE: trailers\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nProxy-Connection: x\r\n\
         Trailer: Expires\r\nProxy-Authenticate: Basic\r\nUpgrade: h2c\r\n",
    );
    for gone in ["TE", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Upgrade"] {
        assert_eq!(field(&head, gone), None, "{gone}");
    }
    assert_eq!(field(&head, "Trailer"), Some("Expires"));
    assert_eq!(field(&head, "Proxy-Authenticate"), Some("Basic"));
    let head = answered("TE: x\r\nKeep-Alive: 5\r\nProxy-Authenticate: Basic\r\nTrailer: E\r\n");
    assert_eq!((field(&head, "TE"), field(&head, "Keep-Alive")), (None, None));
    assert_eq!(field(&head, "Proxy-Authenticate"), Some("Basic"));
    assert_eq!(field(&head, "Trailer"), Some("E"));
}

#[test]
fn fields_named_by_connection_end_here_but_never_the_ones_that_frame_or_route() {
    let head = seen("Connection: X-Private, Host, Content-Length, close\r\nX-Private: 1\r\n");
    assert_eq!(field(&head, "X-Private"), None);
    assert_eq!(field(&head, "Host"), Some(HOST));
    assert_eq!(field(&head, "Connection"), Some("keep-alive"));
}

#[test]
fn a_fragment_is_dropped_and_an_absolute_target_is_made_relative() {
    let (rig, _dyno, heads) = telling();
    for (target, line) in [
        ("/p?q=1#frag", "GET /p?q=1 HTTP/1.1"),
        (&*format!("http://{HOST}/x?y"), "GET /x?y HTTP/1.1"),
        (&*format!("HTTP://{}", HOST.to_uppercase()), "GET / HTTP/1.1"),
    ] {
        let reply = rig.ask(&format!("GET {target} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert_eq!(reply.status, 200, "{target}");
        assert_eq!(heads.recv().unwrap().lines().next(), Some(line));
    }
}

#[test]
fn an_absolute_target_for_another_host_and_connect_are_refused() {
    let (rig, dyno, _heads) = telling();
    for line in [
        "GET http://other.example.com/",
        "GET ftp://demo.example.com/",
        "CONNECT demo.example.com:443",
        "GET demo.example.com/",
        "GET *",
        "GET http://user@demo.example.com/",
    ] {
        let reply = rig.ask(&format!("{line} HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
        assert_eq!(reply.status, 400, "{line}");
    }
    assert_eq!(dyno.connections(), 0);
}

#[test]
fn options_for_everything_goes_on() {
    let (rig, _dyno, heads) = telling();
    rig.ask(&format!("OPTIONS * HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert!(heads.recv().unwrap().starts_with("OPTIONS * HTTP/1.1\r\n"));
}

#[test]
fn any_verb_but_connect_goes_on() {
    let (rig, _dyno, heads) = telling();
    for verb in ["PROPFIND", "PATCH", "DELETE", "M-SEARCH", "x"] {
        assert_eq!(rig.ask(&format!("{verb} / HTTP/1.1\r\nHost: {HOST}\r\n\r\n")).status, 200);
        assert!(heads.recv().unwrap().starts_with(&format!("{verb} / HTTP/1.1\r\n")));
    }
}

#[test]
fn server_is_added_only_when_missing() {
    assert_eq!(field(&answered(""), "Server"), Some("Heroku"));
    let head = answered("Server: gunicorn\r\n");
    assert_eq!(head.matches("Server:").count(), 1);
    assert_eq!(field(&head, "Server"), Some("gunicorn"));
}

#[test]
fn hosts_are_found_whatever_their_case_port_and_trailing_dot() {
    let (rig, _dyno, heads) = telling();
    for host in
        ["DEMO.Example.COM", "demo.example.com:8080", "demo.example.com.", "a.wild.example.com"]
    {
        assert_eq!(
            rig.ask(&format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n")).status,
            200,
            "{host}"
        );
        assert_eq!(field(&heads.recv().unwrap(), "Host"), Some(host), "it goes on as it came");
    }
}

#[test]
fn missing_empty_doubled_and_odd_hosts_are_refused() {
    let (rig, dyno, _heads) = telling();
    for hosts in [
        "",
        "Host: \r\n",
        "Host: demo.example.com\r\nHost: demo.example.com\r\n",
        "Host: demo.example.com\r\nhost: other.example.com\r\n",
        "Host: demo.example.com:80:80\r\n",
        "Host: demo.example.com:http\r\n",
        "Host: demo.example.com/x\r\n",
        "Host: a@demo.example.com\r\n",
        "Host: demo.example.com, other.example.com\r\n",
        "Host: [::1\r\n",
        "Host: .\r\n",
    ] {
        assert_eq!(rig.ask(&format!("GET / HTTP/1.1\r\n{hosts}\r\n")).status, 400, "{hosts:?}");
    }
    assert_eq!(rig.ask("GET / HTTP/1.0\r\n\r\n").status, 400, "HTTP/1.0 without Host");
    assert_eq!(dyno.connections(), 0);
    assert_eq!(rig.log_within(std::time::Duration::from_millis(50)), None, "nothing is logged");
}

#[test]
fn statuses_and_reasons_pass_as_they_are() {
    for line in ["299 Whatever you say", "999 Odd", "200 ", "404 N\u{f6}"] {
        let answer = format!("HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n");
        let (rig, _dyno) = Rig::serving(move |wire| {
            wire.request();
            wire.send(&answer);
        });
        assert!(rig.get("/").head.starts_with(&format!("HTTP/1.1 {line}\r\n")), "{line}");
    }
}

#[test]
fn the_log_line_has_router_2_0s_fields_in_order() {
    let (rig, _dyno, heads) = telling();
    rig.ask(&format!("GET /a%20b?c=\"d\" HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    let head = heads.recv().unwrap();
    let id = field(&head, "X-Request-Id").unwrap();
    let line = rig.log();
    let expected = format!(
        "at=info method=GET path=\"/a%20b?c=%22d%22\" host={HOST} request_id={id} fwd=127.0.0.1 \
         dyno=web.1 connect=Nms service="
    );
    assert!(masked(&line).starts_with(&expected), "{line}");
    let (_, end) = line.split_once("service=").unwrap();
    let (service, end) = end.split_once("ms ").unwrap();
    assert!(service.parse::<u32>().unwrap() < 1000);
    assert_eq!(end, "status=200 bytes=2 protocol=http1.1 tls=false tls_version=unknown");
}

#[test]
fn the_log_line_quotes_a_list_of_forwarders() {
    let (rig, _dyno, _heads) = telling();
    rig.ask(&format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"));
    assert!(rig.log().contains(" fwd=\"1.2.3.4, 127.0.0.1\" "));
}

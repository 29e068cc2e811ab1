//! Finding a dyno: choice, failed connects, quarantine, waiting, waking, too much (H11).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::DynoId;
use model::routes::{Backend, WebState};
use router::Limits;

use crate::rig::{Dyno, Rig, Setup, dead_backend, get, masked, timeouts, wait_for};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A backend whose connects are never answered: its queue is full and it accepts nobody.
fn unreachable() -> (Arc<Backend>, Vec<std::net::TcpStream>, socket2::Socket) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let addr = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queue = Vec::new();
    let wait = Duration::from_millis(50);
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&addr, wait) {
        queue.push(stream);
    }
    (Arc::new(Backend::new(DynoId::random(), "web.1".parse().unwrap(), addr)), queue, socket)
}

#[test]
fn every_dyno_gets_its_share() {
    let rig = Rig::new();
    let dynos: Vec<_> = (0..4).map(|_| Dyno::answering(OK)).collect();
    let backends: Vec<_> =
        dynos.iter().zip(1..).map(|(dyno, i)| dyno.backend(&format!("web.{i}"))).collect();
    rig.publish(WebState::Up, &backends);
    let mut client = rig.client();
    let mut shares = HashMap::<String, u32>::new();
    for _ in 0..400 {
        client.send(get("/"));
        assert_eq!(client.reply().status, 200);
        let line = rig.log();
        let dyno = line.split(" dyno=").nth(1).unwrap().split(' ').next().unwrap();
        *shares.entry(dyno.into()).or_default() += 1;
    }
    // Of 400 fair throws each of four sides comes up 100 times, by chance never below 50.
    assert!(shares.len() == 4 && shares.values().all(|&share| share > 50), "{shares:?}");
}

#[test]
fn a_refused_connect_is_tried_on_another_dyno() {
    let (rig, dyno) = (Rig::new(), Dyno::answering(OK));
    let mut backends: Vec<_> = (1..9).map(|i| dead_backend(&format!("web.{i}"))).collect();
    backends.push(dyno.backend("web.9"));
    rig.publish(WebState::Up, &backends);
    for _ in 0..20 {
        assert_eq!(rig.get("/").text(), "ok");
        assert!(rig.log().contains(" dyno=web.9 "));
    }
}

#[test]
fn h21_when_all_refuse() {
    let rig = Rig::new();
    rig.publish(WebState::Up, &[dead_backend("web.1")]);
    assert_eq!(rig.get("/").status, 503);
    let line = rig.log();
    assert!(line.starts_with("at=error code=H21 desc=\"Backend connection refused\" method="));
    assert!(
        masked(&line).contains(" dyno=web.1 connect=Nms service= status=503 bytes= "),
        "{line}"
    );
}

#[test]
fn at_most_ten_dynos_are_tried() {
    let (rig, dyno) = (Rig::new(), Dyno::answering(OK));
    let mut backends: Vec<_> = (1..=400).map(|i| dead_backend(&format!("web.{i}"))).collect();
    backends.push(dyno.backend("web.500"));
    rig.publish(WebState::Up, &backends);
    assert_eq!(rig.get("/").status, 503, "ten of four hundred and one have refused");
    assert!(rig.log().contains(" code=H21 "));
}

#[test]
fn h19_when_connects_are_not_answered() {
    let (rig, (backend, _queue, _socket)) = (Rig::new(), unreachable());
    rig.publish(WebState::Up, &[backend]);
    assert_eq!(rig.get("/").status, 503);
    let line = rig.log();
    assert!(line.starts_with("at=error code=H19 desc=\"Backend connection timeout\" method="));
    let connect = line.split("connect=").nth(1).unwrap().split("ms").next().unwrap();
    assert!((300..800).contains(&connect.parse().unwrap()), "{line}");
}

#[test]
fn a_dyno_that_refused_is_left_alone_for_a_while() {
    let rig = Rig::new();
    rig.publish(WebState::Up, &[dead_backend("web.1")]);
    rig.get("/");
    assert!(rig.log().contains(" code=H21 "));
    let begun = Instant::now();
    rig.get("/");
    assert!(rig.log().contains(" code=H21 "), "tried again after the quarantine");
    assert!(begun.elapsed() > Duration::from_millis(200), "and not before");
}

#[test]
fn h34_when_all_stay_in_quarantine() {
    let timeouts = router::Timeouts { quarantine: Duration::from_secs(60), ..timeouts() };
    let rig = Rig::with(Setup { timeouts, ..Setup::default() });
    rig.publish(WebState::Up, &[dead_backend("web.1")]);
    rig.get("/");
    rig.log();
    let begun = Instant::now();
    assert_eq!(rig.get("/").status, 503);
    assert!(rig.log().starts_with("at=error code=H34 desc=\"All up dynos are quarantined\" "));
    assert!(begun.elapsed() >= timeouts.admission);
}

#[test]
fn a_request_waits_for_a_starting_dyno() {
    let (rig, dyno) = (Rig::new(), Dyno::answering(OK));
    rig.publish(WebState::Starting, &[]);
    let mut client = rig.client();
    client.send(get("/"));
    assert!(client.is_quiet_for(Duration::from_millis(60)));
    rig.publish(WebState::Up, &[dyno.backend("web.1")]);
    assert_eq!(client.reply().text(), "ok");
}

#[test]
fn h20_when_none_comes_up() {
    let rig = Rig::new();
    rig.publish(WebState::Starting, &[]);
    let begun = Instant::now();
    assert_eq!(rig.get("/").status, 503);
    assert!(begun.elapsed() >= timeouts().admission);
    let line = rig.log();
    assert!(line.starts_with("at=error code=H20 desc=\"App boot timeout\" method="));
    assert!(line.contains(" dyno= connect= service= status=503 bytes= "));
}

#[test]
fn a_request_wakes_a_sleeping_app_once_and_waits() {
    let (rig, dyno) = (Rig::new(), Dyno::answering(OK));
    rig.publish(WebState::Asleep, &[]);
    let mut client = rig.client();
    client.send(get("/"));
    let mut wakes = rig.wakes.lock().unwrap();
    assert_eq!(wakes.blocking_recv(), Some(rig.app));
    rig.publish(WebState::Starting, &[]);
    assert!(client.is_quiet_for(Duration::from_millis(50)));
    rig.publish(WebState::Up, &[dyno.backend("web.1")]);
    assert_eq!(client.reply().text(), "ok");
    assert!(wakes.try_recv().is_err());
}

#[test]
fn a_wake_up_that_finds_no_room_is_repeated() {
    let rig = Rig::new();
    rig.publish(WebState::Asleep, &[]);
    let mut clients: Vec<_> = (0..9).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    let mut wakes = rig.wakes.lock().unwrap();
    // The queue holds eight; the ninth is told when there is room.
    for _ in 0..9 {
        assert_eq!(wakes.blocking_recv(), Some(rig.app));
    }
}

#[test]
fn a_request_moves_on_when_its_dyno_is_replaced_before_it_connects() {
    let (rig, (old, _queue, _socket)) = (Rig::new(), unreachable());
    let new = Dyno::answering(OK);
    rig.publish(WebState::Up, &[old]);
    let mut client = rig.client();
    client.send(get("/"));
    std::thread::sleep(Duration::from_millis(50));
    rig.publish(WebState::Up, &[new.backend("web.1")]);
    assert_eq!(client.reply().text(), "ok");
}

#[test]
fn a_request_waits_when_all_gates_are_shut() {
    let (rig, dyno) = (Rig::new(), Dyno::answering(OK));
    let old = dead_backend("web.1");
    old.close();
    rig.publish(WebState::Up, &[old]);
    let mut client = rig.client();
    client.send(get("/"));
    assert!(client.is_quiet_for(Duration::from_millis(50)));
    rig.publish(WebState::Up, &[dyno.backend("web.1")]);
    assert_eq!(client.reply().text(), "ok");
}

#[test]
fn a_refusal_by_a_dyno_whose_gate_was_shut_meanwhile_does_not_count() {
    let (rig, (old, queue, socket)) = (Rig::new(), unreachable());
    let new = Dyno::answering(OK);
    rig.publish(WebState::Up, std::slice::from_ref(&old));
    let mut client = rig.client();
    client.send(get("/"));
    std::thread::sleep(Duration::from_millis(30));
    old.close();
    drop((queue, socket));
    assert!(
        client.is_quiet_for(Duration::from_millis(350)),
        "no error while a table is on its way"
    );
    rig.publish(WebState::Up, &[new.backend("web.1")]);
    assert_eq!(client.reply().text(), "ok");
}

#[test]
fn a_client_that_leaves_while_waiting_is_noticed() {
    let rig = Rig::new();
    rig.publish(WebState::Starting, &[]);
    let mut client = rig.client();
    client.send(get("/"));
    std::thread::sleep(Duration::from_millis(30));
    drop(client);
    let line = rig.log_within(Duration::from_millis(400)).expect("well before the time is up");
    assert!(
        line.starts_with("at=warning code=H27 ") && line.contains(" dyno= connect= "),
        "{line}"
    );
}

#[test]
fn a_request_is_inside_its_dyno_until_its_answer_has_ended() {
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(0);
    let gone = std::sync::Mutex::new(gone);
    let dyno = Dyno::start(move |wire| {
        wire.request();
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
        gone.lock().unwrap().recv().unwrap();
        wire.send("k");
    });
    let (rig, backend) = (Rig::new(), dyno.backend("web.1"));
    rig.publish(WebState::Up, std::slice::from_ref(&backend));
    let mut client = rig.client();
    client.send(get("/"));
    client.head().unwrap();
    assert_eq!(backend.in_flight(), 1);
    go.send(()).unwrap();
    assert_eq!(client.exactly(2), b"ok");
    wait_for("the end of the visit", || backend.in_flight() == 0);
}

#[test]
fn h11_backlog_too_deep_over_all_threads() {
    let (go, gone) = std::sync::mpsc::sync_channel::<()>(0);
    let gone = std::sync::Mutex::new(gone);
    let dyno = Dyno::start(move |wire| {
        while wire.request().is_some() {
            gone.lock().unwrap().recv().unwrap();
            wire.send(OK);
        }
    });
    let limits = Limits { in_flight_per_dyno: 6, ..Limits::default() };
    let rig = Rig::with(Setup { limits, threads: 2, ..Setup::default() });
    let backend = dyno.backend("web.1");
    rig.publish(WebState::Up, std::slice::from_ref(&backend));
    let mut clients: Vec<_> = (0..6).map(|_| rig.client()).collect();
    for client in &mut clients {
        client.send(get("/"));
    }
    wait_for("all six to be in flight", || backend.in_flight() == 6);
    for _ in 0..4 {
        assert_eq!(rig.get("/").status, 503);
        assert!(rig.log().starts_with("at=error code=H11 desc=\"Backlog too deep\" method="));
    }
    for client in &mut clients {
        go.send(()).unwrap();
        let _ = client;
    }
    for client in &mut clients {
        assert_eq!(client.reply().text(), "ok");
    }
}

#[test]
fn h22_when_all_dynos_have_too_many_connections() {
    let limits = Limits { connections_per_dyno: 2, ..Limits::default() };
    let rig = Rig::with(Setup { limits, ..Setup::default() });
    let silent = |wire: &mut crate::rig::Wire| drop(wire.rest());
    let (one, other) = (Dyno::start(silent), Dyno::start(silent));
    let backends = [one.backend("web.1"), other.backend("web.2")];
    rig.publish(WebState::Up, &backends);
    let mut waiting: Vec<_> = (0..4).map(|_| rig.client()).collect();
    for (client, count) in waiting.iter_mut().zip(1..) {
        client.send(get("/"));
        let inside = || backends.iter().map(|backend| backend.in_flight()).sum::<u32>();
        wait_for("one more request inside", || inside() == count);
    }
    assert_eq!(
        backends.each_ref().map(|backend| backend.in_flight()),
        [2, 2],
        "the free one is found"
    );
    assert_eq!(rig.get("/").status, 503);
    assert!(
        rig.log().starts_with("at=error code=H22 desc=\"Connection limit reached\" method=GET")
    );
}

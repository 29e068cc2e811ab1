//! Dynos replaced under load: not one request may fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use model::routes::{Backend, Target, WebState};

use crate::rig::{Dyno, HOST, Rig, Setup, Wire, get, wait_for};

/// A dyno that answers a little slowly, and whose process can be ended: from then on every byte
/// sent to it is lost.
struct Process {
    backend: Arc<Backend>,
    ended: Arc<AtomicBool>,
    _dyno: Dyno,
}

fn process(name: &str) -> Process {
    let ended = Arc::<AtomicBool>::default();
    let stop = ended.clone();
    let dyno = Dyno::start(move |wire: &mut Wire| {
        while let Some((head, body)) = wire.request() {
            assert!(!stop.load(Ordering::SeqCst), "a request met a stopped dyno: {head}");
            std::thread::sleep(Duration::from_micros(300));
            let length = body.len();
            wire.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"));
            wire.send(body);
        }
    });
    Process { backend: dyno.backend(name), ended, _dyno: dyno }
}

/// Ends a process the way the dyno manager does: out of the table, gate shut, drained, stopped.
fn stop(process: Process) {
    process.backend.close();
    wait_for("the last request to leave", || process.backend.in_flight() == 0);
    process.ended.store(true, Ordering::SeqCst);
}

struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

/// Clients that ask again and again and accept nothing but their answer.
fn load(rig: &Rig, count: usize) -> Load {
    let (stop, answered) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let clients = (0..count).map(|number| {
        let (stop, answered) = (stop.clone(), answered.clone());
        let (mut wire, addr) = (rig.client(), rig.addr);
        std::thread::spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                // Half of them come anew each time, half post.
                if number % 2 == 0 {
                    wire = Wire::new(std::net::TcpStream::connect(addr).unwrap());
                }
                if number % 4 < 2 {
                    wire.send(get("/"));
                } else {
                    let request = format!("POST / HTTP/1.1\r\nHost: {HOST}\r\n");
                    wire.send(format!("{request}Content-Length: 2\r\n\r\nhi"));
                }
                let reply = wire.reply();
                assert_eq!(reply.status, 200, "{}", reply.head);
                answered.fetch_add(1, Ordering::SeqCst);
            }
        })
    });
    Load { clients: clients.collect(), stop, answered }
}

impl Load {
    /// Waits until so many more requests have been answered.
    fn goes_on_for(&self, more: u64) {
        let goal = self.answered.load(Ordering::SeqCst) + more;
        wait_for("the load to go on", || self.answered.load(Ordering::SeqCst) >= goal);
    }

    fn end(self) -> u64 {
        self.stop.store(true, Ordering::SeqCst);
        for client in self.clients {
            client.join().expect("no request of this client failed");
        }
        self.answered.load(Ordering::SeqCst)
    }
}

#[test]
fn replacing_the_only_dyno_again_and_again_loses_no_request() {
    let rig = Rig::with(Setup { threads: 2, ..Setup::default() });
    let mut current = process("web.1");
    rig.publish(WebState::Up, &[current.backend.clone()]);
    let load = load(&rig, 16);
    for _ in 0..40 {
        load.goes_on_for(10);
        let new = process("web.1");
        rig.publish(WebState::Up, std::slice::from_ref(&new.backend));
        stop(std::mem::replace(&mut current, new));
    }
    assert!(load.end() > 400);
}

#[test]
fn a_gate_shut_before_the_new_table_comes_loses_no_request() {
    let rig = Rig::with(Setup { threads: 2, ..Setup::default() });
    let mut current = process("web.1");
    rig.publish(WebState::Up, &[current.backend.clone()]);
    let load = load(&rig, 8);
    for _ in 0..15 {
        load.goes_on_for(10);
        let new = process("web.1");
        let backend = new.backend.clone();
        stop(std::mem::replace(&mut current, new));
        rig.publish(WebState::Starting, &[]);
        std::thread::sleep(Duration::from_millis(3));
        rig.publish(WebState::Up, &[backend]);
    }
    assert!(load.end() > 150);
}

#[test]
fn changes_of_other_apps_close_no_connection() {
    let (rig, dyno) = Rig::serving(|wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let table = rig.routes.current();
    let Target::App(route) = table.lookup(HOST) else { panic!("no route") };
    let backend = route.web.backends[0].clone();
    let mut clients: Vec<_> = (0..4).map(|_| rig.client()).collect();
    let begun = Instant::now();
    let mut changes = 0;
    while begun.elapsed() < Duration::from_millis(500) {
        rig.publish(WebState::Up, std::slice::from_ref(&backend));
        changes += 1;
        for client in &mut clients {
            client.send(get("/"));
            assert_eq!(client.reply().text(), "ok");
        }
    }
    assert!(changes > 50);
    assert_eq!(dyno.connections(), 1, "one after the other, they share it");
}

//! Connections are shared out among the threads.

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroUsize;

use model::LogSink;
use model::traffic::Report;
use router::{Config, Listen, Routes, Tls};
use tokio::sync::mpsc;

use crate::rig::{Wire, get, wait_for};

const THREADS: usize = 8;
const CONNECTIONS: usize = 32;

#[test]
fn no_thread_has_half_as_many_again_as_another() {
    let (traffic, mut reports) = mpsc::channel(64);
    let listen = Listen { addr: SocketAddr::from(([127, 0, 0, 1], 0)), tls: Tls::Off };
    let mut config = Config::new(vec![listen], mpsc::channel(1).0);
    config.threads = NonZeroUsize::new(THREADS).unwrap();
    config.traffic = traffic;
    let (sink, _lines, _) = LogSink::channel(16);
    let router = router::start(config, Routes::new(), sink, mpsc::channel(1).0).unwrap();
    let mut open: Vec<Wire> = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut wire = Wire::new(TcpStream::connect(router.addrs[0]).unwrap());
        // Whichever thread serves it, it is served, again and again.
        for _ in 0..2 {
            wire.send(get("/"));
            assert_eq!(wire.reply().status, 404);
        }
        open.push(wire);
    }
    let mut seen: HashMap<usize, usize> = HashMap::new();
    wait_for("every thread has told its connections", || {
        while let Ok(Report { thread, connections, .. }) = reports.try_recv() {
            seen.insert(thread, connections);
        }
        seen.values().sum::<usize>() == CONNECTIONS
    });
    assert_eq!(seen.len(), THREADS, "{seen:?}");
    let (most, least) = (seen.values().max().unwrap(), seen.values().min().unwrap());
    assert!(*most <= least + least / 2 + 1, "{seen:?}");
}

//! Many apps, and changes of their routes by the thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use model::AppId;
use model::routes::{AppRoute, RoutingTable, Target, WebState};

use crate::rig::{HOST, Rig, Setup, Wire, get};

const APPS: usize = 10_000;
const PER_SECOND: u32 = 1_000;
const SECONDS: u32 = 2;

/// The table in force, and many apps beside the one in it. Those have no dyno.
fn crowd(rig: &Rig) -> (RoutingTable, Arc<AppRoute>, Vec<Arc<AppRoute>>) {
    let mut table = RoutingTable::clone(&rig.routes.current());
    let Target::App(route) = table.lookup(HOST) else { panic!("no route") };
    let route = route.clone();
    let other = |_| {
        let mut other = AppRoute::clone(&route);
        other.app = AppId::random();
        other.web.state = WebState::ScaledToZero;
        Arc::new(other)
    };
    let others: Vec<_> = (0..APPS).map(other).collect();
    for (number, other) in others.iter().enumerate() {
        table.set(other, &names(number));
    }
    rig.routes.publish(table.clone());
    (table, route, others)
}

fn names(number: usize) -> [String; 3] {
    ["localhost", "example.net", "example.org"].map(|domain| format!("other-{number}.{domain}"))
}

/// Asks on one connection, again and again; answers how often.
fn ask(mut client: Wire, over: &AtomicBool) -> u32 {
    let mut served = 0;
    while !over.load(Ordering::Relaxed) {
        client.send(get("/"));
        assert_eq!(client.reply().text(), "ok", "on a connection that stays open");
        served += 1;
    }
    served
}

#[test]
fn a_thousand_changes_a_second_among_ten_thousand_apps_fail_no_request() {
    let (rig, dyno) = Rig::serving_with(Setup { threads: 2, ..Setup::default() }, |wire| {
        while wire.request().is_some() {
            wire.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let (mut table, route, others) = crowd(&rig);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let over = &over;
        let wires = (0..8).map(|_| rig.client());
        let clients: Vec<_> = wires.map(|wire| scope.spawn(move || ask(wire, over))).collect();
        let begun = Instant::now();
        for number in 1..=PER_SECOND * SECONDS {
            // Every second change is one of the app under load.
            let other = number as usize * 7919 % APPS;
            match number % 2 {
                0 => table.set(&Arc::new(AppRoute::clone(&route)), &[HOST]),
                _ => table.set(&others[other], &names(other)),
            }
            rig.routes.publish(table.clone());
            let due = Duration::from_secs(1) / PER_SECOND * number;
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
        }
        over.store(true, Ordering::Relaxed);
        let served: u32 = clients.into_iter().map(|client| client.join().unwrap()).sum();
        assert!(served > 100, "{served}");
    });
    assert!(dyno.connections() <= 16, "connections to the dyno outlive changes too");
}

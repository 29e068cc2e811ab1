//! The router without the platform around it, for `bench/routes.py` and `bench/router.py`.
//!
//! The first line on standard input is `DYNO-ADDRESS APPS LOG-FILE`: so many apps, all with three
//! names and the one dyno; the first is `app-0.localhost`. It then says `ready ADDRESS` and takes
//! orders, one a line, until its input ends:
//!
//! - `changes N`: changes the route of one app after the other; says how long each took.
//! - `storm PER-SECOND SECONDS`: changes routes at this rate, every second time that of `app-0`.
//! - `lead ADDRESS`: `app-0` leads to another dyno from now on.

use std::io::{BufRead, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use model::routes::{
    AppRoute, Backend, Choice, Continuation, DynoConnections, RoutingTable, WebState, WebView,
};
use model::{AppId, DynoId, LogEntry, LogSink};
use router::{CertificateTable, Certificates, Config, Listen, Routes, Tls};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::sign::CertifiedKey;
use tokio::sync::mpsc;

/// The apps, the table in force, and the next one.
struct Apps {
    ids: Vec<AppId>,
    dyno: Arc<Backend>,
    table: RoutingTable,
    routes: Routes,
    changes: usize,
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut lines = std::io::stdin().lock().lines();
    let first = lines.next().ok_or("no first line")??;
    let [dyno, apps, log] = words(&first)?;
    let (sink, entries, _) = LogSink::channel(4096);
    let file = std::fs::File::create(log)?;
    std::thread::spawn(move || write_log(&entries, file));
    let routes = Routes::new();
    let mut apps = Apps::new(dyno.parse()?, apps.parse()?, routes.clone());
    let (wake, _asleep) = mpsc::channel(1);
    let (handover, _handovers) = mpsc::channel(1);
    let tls = Tls::Sniffed(Certificates::new(CertificateTable::new(certificate()?))?);
    let listen = Listen { addr: SocketAddr::from(([127, 0, 0, 1], 0)), tls };
    let running = router::start(Config::new(vec![listen], wake), routes, sink, handover)?;
    say(&format!("ready {}", running.addrs[0]))?;
    for line in lines {
        say(&apps.obey(&line?)?)?;
    }
    Ok(())
}

/// One for the apps' names that nobody trusts. TLS is on the same port.
fn certificate() -> Result<Arc<CertifiedKey>, Box<dyn std::error::Error>> {
    let made = rcgen::generate_simple_self_signed(["*.localhost".to_owned()])?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    Ok(router::certified_key(vec![made.cert.der().clone()], key.into())?)
}

/// As Logplex and nginx do: each line goes to a file.
fn write_log(entries: &std::sync::mpsc::Receiver<Vec<LogEntry>>, file: std::fs::File) {
    let mut file = std::io::BufWriter::new(file);
    for batch in entries.iter() {
        for entry in batch {
            // A full disk ends the benchmark's log, not the benchmark.
            let _ = writeln!(file, "{} heroku[router]: {}", entry.at, entry.text);
        }
        let _ = file.flush();
    }
}

#[allow(clippy::print_stdout, reason = "the benchmark reads it")]
fn say(line: &str) -> std::io::Result<()> {
    println!("{line}");
    std::io::stdout().flush()
}

fn words<const N: usize>(line: &str) -> Result<[&str; N], String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    words.try_into().map_err(|_| format!("`{line}` should have {N} words"))
}

fn backend(address: SocketAddr) -> Arc<Backend> {
    let name = "web.1".parse().expect("a name of a dyno");
    Arc::new(Backend::new(DynoId::random(), name, address))
}

impl Apps {
    fn new(dyno: SocketAddr, count: usize, routes: Routes) -> Self {
        let ids = (0..count).map(|_| AppId::random()).collect();
        let table = RoutingTable::new(["localhost"]);
        let mut apps = Self { ids, dyno: backend(dyno), table, routes, changes: 0 };
        for number in 0..count {
            apps.set(number);
        }
        apps.publish();
        apps
    }

    fn obey(&mut self, order: &str) -> Result<String, Box<dyn std::error::Error>> {
        if let Some(count) = order.strip_prefix("changes ") {
            return Ok(self.time_changes(count.parse()?));
        }
        if let Some(rest) = order.strip_prefix("storm ") {
            let [rate, seconds] = words(rest)?;
            return Ok(self.storm(rate.parse()?, seconds.parse()?));
        }
        let address = order.strip_prefix("lead ").ok_or("an unknown order")?;
        self.dyno = backend(address.parse()?);
        self.set(0);
        self.publish();
        Ok("led".to_owned())
    }

    /// Median and 99th percentile of the time from a change to its being in force, in microseconds.
    fn time_changes(&mut self, count: usize) -> String {
        let mut times: Vec<Duration> = (0..count)
            .map(|_| {
                let begun = Instant::now();
                self.change();
                begun.elapsed()
            })
            .collect();
        times.sort_unstable();
        let micros = |index: usize| times[index].as_secs_f64() * 1e6;
        format!("changed {:.1} {:.1}", micros(count / 2), micros(count * 99 / 100))
    }

    /// Changes routes at a rate; says how many it made in time.
    fn storm(&mut self, rate: u32, seconds: u32) -> String {
        let begun = Instant::now();
        let (total, each) = (rate * seconds, Duration::from_secs(1) / rate);
        for number in 0..total {
            self.change();
            std::thread::sleep((each * (number + 1)).saturating_sub(begun.elapsed()));
        }
        format!("stormed {total} {:.2}", begun.elapsed().as_secs_f64())
    }

    /// Changes one app's route as the platform does: every second time that of the first app.
    fn change(&mut self) {
        self.changes += 1;
        let number =
            if self.changes.is_multiple_of(2) { 0 } else { self.changes * 7919 % self.ids.len() };
        self.set(number);
        self.publish();
    }

    fn publish(&self) {
        self.routes.publish(self.table.clone());
    }

    fn set(&mut self, number: usize) {
        let route = AppRoute {
            app: self.ids[number],
            name: format!("app-{number}").parse().expect("a name of an app"),
            web: WebView { state: WebState::Up, backends: Arc::from([self.dyno.clone()]) },
            maintenance: false,
            error_page_url: None,
            maintenance_page_url: None,
            choice: Choice::default(),
            connections: DynoConnections::default(),
            continuation: Continuation::default(),
        };
        let names = ["localhost", "example.com", "example.org"];
        let names = names.map(|domain| format!("app-{number}.{domain}"));
        self.table.set(&Arc::new(route), &names);
    }
}

//! `GET /metrics` on the platform's hosts: what the operator's Prometheus reads.
//!
//! Answered only to who shows the token in `metrics.token` of the data directory. Labels are from
//! closed sets (classes, codes, states), never names of apps. What the database cannot say in time is
//! left out, and `hythe_store_up` is 0 then.

use std::fmt::{Display, Write as _};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use control::Control;
use control::traffic::{Totals, Traffic};
use model::{Secret, Timestamp};
use nix::unistd::{SysconfVar, sysconf};
use store::census;

/// Where it is asked for.
pub const PATH: &str = "/metrics";

/// The database has so long to say how many there are of what.
const PATIENCE: Duration = Duration::from_secs(2);

/// Upper bounds of the latency histogram, in milliseconds.
const BOUNDS: [u64; 15] =
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000];

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// What the page is made from.
struct Sources {
    control: Control,
    traffic: Traffic,
    token: Secret,
}

/// How many there are of what, as stored.
struct Census {
    apps: u64,
    dynos: Vec<(String, u64)>,
    builds: Vec<(String, u64)>,
    /// When the next certificate expires, and how many names are refused one.
    certificates: (Option<Timestamp>, u64),
}

/// The page's route. `token` is what must be shown.
pub fn route(control: Control, traffic: Traffic, token: Secret) -> Router {
    let sources = Arc::new(Sources { control, traffic, token });
    Router::new().route(PATH, get(answer)).with_state(sources)
}

async fn answer(State(sources): State<Arc<Sources>>, headers: HeaderMap) -> Response {
    if !is_allowed(&headers, &sources.token) {
        let challenge = [(WWW_AUTHENTICATE, "Bearer realm=\"metrics\"")];
        let text = "Show the token in metrics.token of the data directory as a bearer token.\n";
        return (StatusCode::UNAUTHORIZED, challenge, text).into_response();
    }
    let census = take_census(&sources.control).await;
    let mut page = Page::default();
    router(&mut page, &sources.traffic.totals());
    rooms(&mut page, &sources.control, census.as_ref());
    process(&mut page);
    ([(CONTENT_TYPE, TEXT)], page.0).into_response()
}

fn is_allowed(headers: &HeaderMap, token: &Secret) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(|value| value.strip_prefix("Bearer "));
    shown.is_some_and(|shown| is_same(shown.as_bytes(), token.reveal().as_bytes()))
}

/// Takes the same time wherever the two differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differences) == 0
}

async fn take_census(control: &Control) -> Option<Census> {
    let read = control.store.read(|db| {
        let (apps, dynos) = (census::apps(db)?, census::dynos(db)?);
        let (builds, certificates) = (census::builds(db)?, census::certificates(db)?);
        Ok::<_, store::Error>(Census { apps, dynos, builds, certificates })
    });
    tokio::time::timeout(PATIENCE, read).await.ok()?.ok()
}

fn router(page: &mut Page, totals: &Totals) {
    let tally = &totals.tally;
    let classes = ["1xx", "2xx", "3xx", "4xx", "5xx"];
    page.counter("hythe_router_requests_total", "Requests of apps, by class of status.");
    for (class, count) in classes.iter().zip(tally.classes) {
        page.sample("hythe_router_requests_total", &[("class", class)], count);
    }
    page.counter("hythe_router_errors_total", "Requests that ended with an H code.");
    for (code, count) in &tally.codes {
        page.sample("hythe_router_errors_total", &[("code", code)], count);
    }
    page.counter("hythe_router_response_bytes_total", "Bytes of response bodies.");
    page.sample("hythe_router_response_bytes_total", &[], tally.bytes);
    latencies(page, totals);
    page.gauge("hythe_router_connections", "Client connections open now.");
    page.sample("hythe_router_connections", &[], totals.connections);
    page.gauge("hythe_traffic_waiting", "Sums of an app's minute that wait to be written.");
    page.sample("hythe_traffic_waiting", &[], totals.waiting);
    page.counter(
        "hythe_traffic_lost_requests_total",
        "Requests missing in the history because the database could not be written.",
    );
    page.sample("hythe_traffic_lost_requests_total", &[], totals.lost);
}

fn latencies(page: &mut Page, totals: &Totals) {
    const NAME: &str = "hythe_router_request_seconds";
    let latencies = &totals.tally.latencies;
    page.head(NAME, "histogram", "From the connect to a dyno to the last byte; within 4 %.");
    for bound in BOUNDS {
        let bound = Duration::from_millis(bound);
        let le = bound.as_secs_f64().to_string();
        page.sample(&format!("{NAME}_bucket"), &[("le", &le)], latencies.at_most(bound));
    }
    page.sample(&format!("{NAME}_bucket"), &[("le", "+Inf")], latencies.count());
    page.sample(&format!("{NAME}_sum"), &[], latencies.sum().as_secs_f64());
    page.sample(&format!("{NAME}_count"), &[], latencies.count());
}

fn rooms(page: &mut Page, control: &Control, census: Option<&Census>) {
    page.gauge("hythe_store_up", "Whether the database answers.");
    page.sample("hythe_store_up", &[], u8::from(census.is_some()));
    let (people, sweeps) = control.store.waiting();
    page.gauge("hythe_store_waiting_changes", "Changes that wait for the database's writer.");
    page.sample("hythe_store_waiting_changes", &[("queue", "people")], people);
    page.sample("hythe_store_waiting_changes", &[("queue", "sweeps")], sweeps);
    if let Some(census) = census {
        page.gauge("hythe_apps", "Apps.");
        page.sample("hythe_apps", &[], census.apps);
        page.gauge("hythe_dynos", "Dynos that have not ended, and crashed ones, by state.");
        page.counts("hythe_dynos", "state", &census.dynos);
        page.gauge("hythe_builds", "Builds of all apps, by status.");
        page.counts("hythe_builds", "status", &census.builds);
        certificates(page, census.certificates);
    }
    let (sent, lost) = control.logs.counts();
    page.counter("hythe_log_lines_total", "Log lines on their way to Logplex.");
    page.sample("hythe_log_lines_total", &[], sent);
    page.counter("hythe_log_lines_lost_total", "Log lines dropped because Logplex was behind.");
    page.sample("hythe_log_lines_lost_total", &[], lost);
}

fn certificates(page: &mut Page, (next_expiry, refused): (Option<Timestamp>, u64)) {
    if let Some(at) = next_expiry {
        let name = "hythe_certificate_next_expiry_timestamp_seconds";
        page.gauge(name, "When the next certificate in use expires.");
        page.sample(name, &[], at.micros() / 1_000_000);
    }
    page.gauge("hythe_certificates_refused", "Names whose certificate was last refused.");
    page.sample("hythe_certificates_refused", &[], refused);
}

/// This process, under the names that Prometheus's own libraries use.
fn process(page: &mut Page) {
    page.gauge("hythe_info", "Always 1; the label is the version.");
    page.sample("hythe_info", &[("version", env!("CARGO_PKG_VERSION"))], 1);
    if let Some(bytes) = resident_bytes() {
        page.gauge("process_resident_memory_bytes", "Resident memory.");
        page.sample("process_resident_memory_bytes", &[], bytes);
    }
    if let Some(seconds) = cpu_seconds() {
        page.counter("process_cpu_seconds_total", "User and system time.");
        page.sample("process_cpu_seconds_total", &[], seconds);
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        page.gauge("process_open_fds", "Open file descriptors.");
        page.sample("process_open_fds", &[], open.count());
    }
}

fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?)
}

fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The fields after the program's name, which is in parentheses and may hold anything.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u32 = fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?;
    let per_second = u32::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    Some(f64::from(ticks) / f64::from(per_second))
}

/// The text format of Prometheus, version 0.0.4. Labels must not need escaping.
#[derive(Default)]
struct Page(String);

impl Page {
    fn counter(&mut self, name: &str, help: &str) {
        self.head(name, "counter", help);
    }

    fn gauge(&mut self, name: &str, help: &str) {
        self.head(name, "gauge", help);
    }

    fn head(&mut self, name: &str, kind: &str, help: &str) {
        // Writing into a string cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        for (index, (label, word)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{word}\"");
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.0, "{after} {value}");
    }

    fn counts(&mut self, name: &str, label: &str, counts: &[(String, u64)]) {
        for (word, count) in counts {
            self.sample(name, &[(label, word)], count);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use model::traffic::{Outcome, Report, Tally};
    use model::{AppId, Timestamp};

    use super::*;

    #[test]
    fn only_the_whole_token_is_taken() {
        let token = Secret::new("s3cret");
        let shown = |value: &str| {
            let value = value.parse().expect("a header");
            is_allowed(&HeaderMap::from_iter([(AUTHORIZATION, value)]), &token)
        };
        assert!(shown("Bearer s3cret"));
        for bad in ["Bearer s3cre", "Bearer s3crets", "Bearer ", "s3cret", "Bearer S3cret"] {
            assert!(!shown(bad), "{bad}");
        }
        assert!(!is_allowed(&HeaderMap::new(), &token));
    }

    #[test]
    fn the_routers_part_is_a_well_formed_page() {
        let (traffic, mut tally) = (Traffic::default(), Tally::default());
        for millis in [3, 30, 90_000] {
            let took = Some(Duration::from_millis(millis));
            tally.add(&Outcome { status: 200, code: None, bytes: 7, took });
        }
        let apps = HashMap::from([(AppId::random(), tally)]);
        traffic.absorb(Report { thread: 0, connections: 4, apps }, Timestamp::now());
        let mut page = Page::default();
        router(&mut page, &traffic.totals());
        for line in [
            "# TYPE hythe_router_requests_total counter",
            "hythe_router_requests_total{class=\"2xx\"} 3",
            "hythe_router_request_seconds_bucket{le=\"0.001\"} 0",
            "hythe_router_request_seconds_bucket{le=\"0.005\"} 1",
            "hythe_router_request_seconds_bucket{le=\"60\"} 2",
            "hythe_router_request_seconds_bucket{le=\"+Inf\"} 3",
            "hythe_router_request_seconds_count 3",
            "hythe_router_connections 4",
        ] {
            assert!(page.0.lines().any(|found| found == line), "{line}\n{}", page.0);
        }
    }

    #[test]
    fn the_process_says_what_it_uses() {
        let mut page = Page::default();
        process(&mut page);
        for name in ["process_resident_memory_bytes ", "process_cpu_seconds_total "] {
            assert!(page.0.lines().any(|line| line.starts_with(name)), "{}", page.0);
        }
    }
}

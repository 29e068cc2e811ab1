//! What must hold for any bytes at all. Fuzzing drives these functions (`fuzz/`), and so does a test
//! that bends known inputs for a while; each panics where a property is broken.
//!
//! Three properties recur. Bytes that arrive one by one mean what they mean at once. What goes on is
//! read again as the same, and written again byte for byte: it is canonical. And it satisfies a
//! second, much stricter reader that shares no code with the first.

mod strict;

use std::net::SocketAddr;
use std::sync::Arc;

use model::routes::{
    AppRoute, Choice, Continuation, DynoConnections, RoutingTable, Target, WebState, WebView,
};
use model::{AppId, DynoId};

use crate::chunks::{Chunks, Emit};
use crate::dice::Dice;
use crate::head::request::{self, Afterwards, Origin, Request, VIA, Verb, Version};
use crate::head::response::{Response, Told};
use crate::head::{NoHead, Scan};

/// The end of the head that `bytes` starts with, if all of it is there or none can come.
fn scanned(mut scan: Scan, bytes: &[u8]) -> Result<Option<usize>, NoHead> {
    let at_once = scan.find_end(bytes);
    let first = |scan: &mut Scan| {
        let mut ends = (0..=bytes.len()).map(|end| scan.find_end(&bytes[..end]));
        ends.find(|end| !matches!(end, Ok(None))).unwrap_or(Ok(None))
    };
    let mut again = scan_like(&scan);
    assert_eq!(first(&mut again), at_once, "in pieces and at once");
    at_once
}

/// A fresh scan of the same kind.
fn scan_like(scan: &Scan) -> Scan {
    if scan.is_of_request() { Scan::request() } else { Scan::response() }
}

fn judged(head: &[u8]) -> Option<(Request, Vec<u8>)> {
    let origin = Origin { peer: "192.0.2.1".into(), proto: "https", port: 443, via: VIA };
    let mut out = Vec::new();
    let request = request::read(head, &origin, &mut Dice::new(), &mut out).ok()?;
    request.end_head(DynoConnections::Kept, Continuation::Dyno, &mut out);
    Some((request, out))
}

/// A client's bytes, as far as they are a request's head.
pub fn request_head(bytes: &[u8]) {
    let Ok(Some(length)) = scanned(Scan::request(), bytes) else { return };
    let Some((request, out)) = judged(&bytes[..length]) else { return };
    strict::check_head(&out);
    assert_eq!(scanned(Scan::request(), &out), Ok(Some(out.len())), "one head, and nothing else");
    let (again, _) = judged(&out).expect("what goes on is good");
    assert_eq!(again.host, request.host);
    assert_eq!(again.verb, request.verb);
    assert_eq!(again.upgrades, request.upgrades);
    assert_eq!(again.session, request.session);
    assert_eq!(again.body.chunked, request.body.chunked);
    assert_eq!(again.body.length, request.body.length);
    assert_eq!(again.expects_continue, request.expects_continue);
    assert_eq!(id(&again), id(&request));
    assert!(request.label.chars().all(|c| !c.is_control() || c == '\t'), "one line in the log");
}

/// The request id, as the log tells it.
fn id(request: &Request) -> &str {
    let after = request.label.split(" request_id=").nth(1).unwrap_or_default();
    after.split(' ').next().unwrap_or_default()
}

/// A dyno's bytes, as far as they are a response's head.
pub fn response_head(bytes: &[u8]) {
    let Ok(Some(length)) = scanned(Scan::response(), bytes) else { return };
    let Ok(response) = Response::read(&bytes[..length]) else { return };
    for (verb, version) in [
        (Verb::Idempotent, Version::Http11),
        (Verb::Head, Version::Http11),
        (Verb::Other, Version::Http10),
    ] {
        let request = asked(verb, version);
        let mut out = Vec::new();
        let told = Told { afterwards: Afterwards::KeepAlive, session: None };
        response.write(&request, told, &mut out);
        strict::check_head(&out);
        let again = Response::read(&out).expect("what goes on is good");
        assert_eq!(again.status, response.status);
        if response.delimits_itself(&request) && response.is_final() {
            assert!(again.delimits_itself(&request), "the client finds the end");
        }
        let mut twice = Vec::new();
        again.write(&request, told, &mut twice);
        let vias = |head: &[u8]| String::from_utf8_lossy(head).matches("heroku-router").count();
        assert_eq!(vias(&twice), vias(&out) + 1, "each hop is told");
    }
}

fn asked(verb: Verb, version: Version) -> Request {
    let line = match verb {
        Verb::Head => "HEAD / ",
        Verb::Idempotent => "GET / ",
        Verb::Other => "POST / ",
    };
    let head = format!("{line}HTTP/1.1\r\nHost: a.example\r\n\r\n");
    let (request, _) = judged(head.as_bytes()).expect("a good head");
    Request { version, ..request }
}

/// A chunked body. The first byte says how large the pieces are that it arrives in.
pub fn chunked_body(bytes: &[u8]) {
    let Some((&size, wire)) = bytes.split_first() else { return };
    let whole = fed(wire, wire.len().max(1), Emit::Chunks);
    assert_eq!(fed(wire, usize::from(size).max(1), Emit::Chunks), whole, "in pieces and at once");
    let Some((out, left)) = whole else { return };
    let content = fed(wire, usize::from(size).max(1), Emit::Content).expect("the same is good");
    assert_eq!(content.1, left);
    strict::check_chunks(&out, &content.0);
    assert_eq!(fed(&out, 1, Emit::Chunks), Some((out.clone(), Vec::new())), "canonical");
}

/// What goes on of a body that arrives in pieces of this size, and what comes after it; `None` if it
/// is refused or incomplete.
fn fed(wire: &[u8], size: usize, emit: Emit) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut chunks = Chunks::new(emit);
    let (mut waiting, mut out) = (Vec::new(), Vec::new());
    for piece in wire.chunks(size) {
        waiting.extend_from_slice(piece);
        loop {
            let judged = chunks.judge(&mut waiting).ok()?;
            assert!(judged.passed <= judged.consumed, "judging never lengthens");
            out.extend_from_slice(&waiting[..judged.passed]);
            waiting.drain(..judged.consumed);
            if judged.consumed == 0 {
                break;
            }
        }
    }
    chunks.is_done().then_some((out, waiting))
}

/// Names of apps in the table of [`host`].
const NAMES: [&str; 4] = ["demo.example.com", "*.wild.example.com", "x.wild.example.com", "b"];

/// A `Host` value: it leads to the app whose name it is, whatever its case, port and trailing dot,
/// and to no other.
pub fn host(bytes: &[u8]) {
    let mut head = b"GET / HTTP/1.1\r\nHost: ".to_vec();
    head.extend_from_slice(bytes);
    head.extend_from_slice(b"\r\n\r\n");
    let is_one_line = !bytes.contains(&b'\n');
    if !is_one_line || scanned(Scan::request(), &head) != Ok(Some(head.len())) {
        return;
    }
    let Some((request, _)) = judged(&head) else { return };
    let sent = String::from_utf8_lossy(bytes).trim().to_ascii_lowercase();
    assert_eq!(&*request.host, strict::host(&sent).expect("the stricter reader takes it"));
    let (table, routes) = table();
    let found = match table.lookup(&request.host) {
        Target::App(route) => Some(route.app),
        Target::Platform | Target::Unknown => None,
    };
    let named = |name: &str| NAMES.iter().position(|known| *known == name);
    let parent = request.host.split_once('.').map(|(_, parent)| format!("*.{parent}"));
    let wanted = named(&request.host).or_else(|| named(&parent?));
    assert_eq!(found, wanted.map(|index| routes[index]));
}

fn table() -> (RoutingTable, Vec<AppId>) {
    let mut table = RoutingTable::new(["api.example.com"]);
    let routes = NAMES.map(|name| {
        let route = Arc::new(route());
        table.set(&route, &[name]);
        route.app
    });
    (table, routes.to_vec())
}

fn route() -> AppRoute {
    let address = SocketAddr::from(([127, 0, 0, 1], 1));
    let name = "web.1".parse().expect("a name");
    let backend = Arc::new(model::routes::Backend::new(DynoId::random(), name, address));
    AppRoute {
        app: AppId::random(),
        name: "demo".parse().expect("a name"),
        web: WebView { state: WebState::Up, backends: Arc::from([backend]) },
        maintenance: false,
        error_page_url: None,
        maintenance_page_url: None,
        choice: Choice::default(),
        connections: DynoConnections::default(),
        continuation: Continuation::default(),
    }
}

#[cfg(test)]
mod tests;

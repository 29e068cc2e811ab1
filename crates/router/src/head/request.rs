//! Heads of requests (platform behaviour 2.4 and 2.5).

use std::mem::MaybeUninit;

use httparse::Header;
use model::routes::{Continuation, DynoConnections};
use model::{DynoId, Timestamp};

use super::{MAX_FIELDS, MAX_NAME, MAX_VALUE, NoHead, put, put_joined, put_numeric};
use crate::dice::Dice;
use crate::fields::{Connection, Declared, Kind, is_named_by_connection, kind};
use crate::session;

/// How the router names itself in `Via`.
pub const VIA: &[u8] = b"1.1 heroku-router";
/// The same, where it was spoken to in HTTP/2.
pub const VIA2: &[u8] = b"2.0 heroku-router";
/// Longest method; Heroku refuses longer ones.
const MAX_METHOD: usize = 127;

/// Why a request is not taken. The client is told by the status alone; nothing is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// 400: malformed, or not certain to mean the same to everybody.
    Bad,
    /// 414: the request line is too long.
    TooLong,
    /// 421: the client's TLS session is for another app.
    Misdirected,
    /// 417: `Expect` asks for something else than `100-continue`.
    Expectation,
}

impl From<NoHead> for Refusal {
    fn from(reason: NoHead) -> Self {
        match reason {
            NoHead::FirstLine => Self::TooLong,
            NoHead::BareLf | NoHead::Line | NoHead::Size => Self::Bad,
        }
    }
}

/// What may be done with a request after it failed half-way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Its answer has no body.
    Head,
    /// Doing it twice is doing it once: GET, PUT, DELETE, OPTIONS, TRACE.
    Idempotent,
    /// Doing it twice may hurt.
    Other,
}

/// Versions a client may speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// What the client wants of the connection after this request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// More requests may come.
    KeepAlive,
    /// Close it.
    Close,
}

/// A request's head, as far as it matters after it has been written anew.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its method, by what it allows.
    pub verb: Verb,
    /// The client's version.
    pub version: Version,
    /// Lower-case host name, without port and trailing dot.
    pub host: Box<str>,
    /// How its body is framed.
    pub body: Declared,
    /// The client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// The client wants to speak another protocol.
    pub upgrades: bool,
    /// What becomes of the client's connection.
    pub afterwards: Afterwards,
    /// The dyno that a cookie of the router's names.
    pub session: Option<DynoId>,
    /// `method=… path=… host=… request_id=… fwd=…`, for the log.
    pub label: String,
}

impl Request {
    /// Whether anything follows the head.
    #[must_use]
    pub fn has_body(&self) -> bool {
        self.body.chunked || self.body.length.is_some_and(|length| length > 0)
    }

    /// Ends the head that goes to a dyno: what depends on the app that the request is for.
    pub fn end_head(
        &self,
        connections: DynoConnections,
        continuation: Continuation,
        out: &mut Vec<u8>,
    ) {
        if self.expects_continue && continuation == Continuation::Dyno {
            put(out, "Expect", b"100-continue");
        }
        let connection: &[u8] = match connections {
            _ if self.upgrades => b"Upgrade",
            DynoConnections::Kept => b"keep-alive",
            DynoConnections::OnePerRequest => b"close",
        };
        put(out, "Connection", connection);
        out.extend_from_slice(b"\r\n");
    }
}

/// Where requests of one connection come from.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The peer's address as text.
    pub peer: String,
    /// `http` or `https`.
    pub proto: &'static str,
    /// The port it connected to.
    pub port: u16,
    /// What is told to the dyno about the router.
    pub via: &'static [u8],
}

/// What all fields together say.
#[derive(Default)]
struct Survey<'b> {
    host: Option<&'b [u8]>,
    declared: Declared,
    connection: Connection,
    upgrade: bool,
    expects_continue: bool,
    id: Option<&'b [u8]>,
    session: Option<DynoId>,
    /// There is an `X-Forwarded-For`.
    forwarded: bool,
    /// There is a `Via`.
    via: bool,
}

/// Judges the request head `head` (complete, up to its empty line) and writes the one that goes to
/// a dyno into `out`, all but its end: see [`Request::end_head`].
pub fn read(
    head: &[u8],
    origin: &Origin,
    dice: &mut Dice,
    out: &mut Vec<u8>,
) -> Result<Request, Refusal> {
    let mut storage = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
    let mut parsed = httparse::Request::new(&mut []);
    match parsed.parse_with_uninit_headers(head, &mut storage) {
        Ok(httparse::Status::Complete(length)) if length == head.len() => {}
        Ok(_) | Err(_) => return Err(Refusal::Bad),
    }
    let (Some(method), Some(target), Some(minor)) = (parsed.method, parsed.path, parsed.version)
    else {
        return Err(Refusal::Bad);
    };
    let fields: &[Header<'_>] = parsed.headers;
    let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
    let survey = survey(fields, version)?;
    let sent_host = survey.host.and_then(|host| std::str::from_utf8(host).ok());
    let sent_host = sent_host.ok_or(Refusal::Bad)?;
    let host = host_name(sent_host).ok_or(Refusal::Bad)?;
    let path = origin_form(method, target, sent_host).ok_or(Refusal::Bad)?;
    let id = match survey.id.and_then(valid_id) {
        Some(id) => id.to_owned(),
        None => dice.uuid().to_string(),
    };
    let at = Timestamp::now();
    write_line(out, method, path);
    write_fields(out, fields, &survey, origin);
    write_ours(out, &survey, (origin, &id, at));
    Ok(Request {
        verb: verb(method),
        version,
        host,
        body: survey.declared,
        expects_continue: survey.expects_continue && version == Version::Http11,
        upgrades: survey.upgrade,
        afterwards: afterwards(version, survey.connection),
        session: survey.session,
        label: label((method, path, sent_host, &id), (fields, &survey), origin),
    })
}

fn survey<'b>(fields: &[Header<'b>], version: Version) -> Result<Survey<'b>, Refusal> {
    let mut survey = Survey::default();
    let mut names_upgrade = false;
    for field in fields {
        if field.name.len() > MAX_NAME || field.value.len() > MAX_VALUE {
            return Err(Refusal::Bad);
        }
        match kind(field.name) {
            Kind::Host if survey.host.is_some() => return Err(Refusal::Bad),
            Kind::Host => survey.host = Some(field.value),
            Kind::Connection => survey.connection.add(field.value),
            Kind::Upgrade => names_upgrade |= !field.value.is_empty(),
            Kind::ForwardedFor => survey.forwarded = true,
            Kind::Via => survey.via = true,
            Kind::RequestId => survey.id = Some(field.value),
            Kind::Cookie => survey.session = survey.session.or_else(|| session::named(field.value)),
            Kind::Expect if field.value.is_empty() => {}
            Kind::Expect if field.value.eq_ignore_ascii_case(b"100-continue") => {
                survey.expects_continue = true;
            }
            Kind::Expect => return Err(Refusal::Expectation),
            kind => survey.declared.add(kind, field.value).map_err(|_| Refusal::Bad)?,
        }
    }
    let declared = survey.declared;
    // Two framings, or a framing that the version does not know: somebody would read it otherwise.
    if declared.chunked && (declared.length.is_some() || version == Version::Http10) {
        return Err(Refusal::Bad);
    }
    if survey.connection.upgrade && !names_upgrade {
        return Err(Refusal::Bad);
    }
    survey.upgrade = survey.connection.upgrade && version == Version::Http11;
    Ok(survey)
}

/// The path and query that go on, without a fragment. An absolute target must name the same host as
/// the `Host` field.
fn origin_form<'b>(method: &str, target: &'b str, host: &str) -> Option<&'b str> {
    if method.len() > MAX_METHOD || method == "CONNECT" {
        return None;
    }
    if target == "*" {
        return (method == "OPTIONS").then_some(target);
    }
    let target = target.split_once('#').map_or(target, |(before, _)| before);
    if target.starts_with('/') {
        return Some(target);
    }
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !authority.eq_ignore_ascii_case(host) {
        return None;
    }
    Some(if path.is_empty() { "/" } else { path })
}

/// The host's name in lower case, without port and trailing dot; `None` if it is no host.
fn host_name(sent: &str) -> Option<Box<str>> {
    let (name, port) = match sent.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            (&sent[..end], &sent[end..])
        }
        None => sent.split_at(sent.find(':').unwrap_or(sent.len())),
    };
    let good_port = port.is_empty()
        || (port.starts_with(':')
            && port.len() <= 6
            && port[1..].bytes().all(|b| b.is_ascii_digit()));
    let name = name.strip_suffix('.').unwrap_or(name);
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_');
    let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    let good_name = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.bytes().all(plain),
    };
    let good = good_port && good_name && !name.is_empty() && name.len() <= 255;
    good.then(|| name.to_ascii_lowercase().into_boxed_str())
}

/// A request id of the client, if it is one (platform behaviour 2.5).
fn valid_id(value: &[u8]) -> Option<&str> {
    let good = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'=' | b'-');
    let text = std::str::from_utf8(value).ok()?;
    ((20..=200).contains(&value.len()) && value.iter().all(good)).then_some(text)
}

fn verb(method: &str) -> Verb {
    match method {
        "HEAD" => Verb::Head,
        "GET" | "PUT" | "DELETE" | "OPTIONS" | "TRACE" => Verb::Idempotent,
        _ => Verb::Other,
    }
}

const fn afterwards(version: Version, connection: Connection) -> Afterwards {
    match version {
        _ if connection.close => Afterwards::Close,
        Version::Http10 if !connection.keep_alive => Afterwards::Close,
        Version::Http10 | Version::Http11 | Version::Http2 => Afterwards::KeepAlive,
    }
}

fn write_line(out: &mut Vec<u8>, method: &str, path: &str) {
    out.extend_from_slice(method.as_bytes());
    out.push(b' ');
    // An absolute target with a query but no path: `http://host?query`.
    if !path.starts_with(['/', '*']) {
        out.push(b'/');
    }
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Values of all fields of one kind.
fn values<'a>(fields: &'a [Header<'a>], wanted: Kind) -> impl Iterator<Item = &'a [u8]> {
    fields.iter().filter(move |field| kind(field.name) == wanted).map(|field| field.value)
}

/// Writes the client's fields that go on, in their order and letter case.
fn write_fields(out: &mut Vec<u8>, fields: &[Header<'_>], survey: &Survey<'_>, origin: &Origin) {
    let (mut framed, mut forwarded, mut via) = (false, false, false);
    for field in fields {
        match kind(field.name) {
            Kind::Connection | Kind::HopByHop | Kind::Expect | Kind::Ours | Kind::RequestId => {}
            Kind::Upgrade if !survey.upgrade => {}
            Kind::ContentLength | Kind::TransferEncoding if framed => {}
            Kind::ContentLength => {
                framed = true;
                put_numeric(out, field.name, survey.declared.length.unwrap_or_default());
            }
            Kind::TransferEncoding => {
                framed = true;
                put(out, field.name, b"chunked");
            }
            Kind::ForwardedFor if forwarded => {}
            Kind::ForwardedFor => {
                forwarded = true;
                let sent = values(fields, Kind::ForwardedFor);
                put_joined(out, field.name, sent, origin.peer.as_bytes());
            }
            Kind::Via if via => {}
            Kind::Via => {
                via = true;
                put_joined(out, field.name, values(fields, Kind::Via), origin.via);
            }
            Kind::Other
                if survey.connection.names_fields && is_named_by_connection(fields, field.name) => {
            }
            Kind::Other
            | Kind::Host
            | Kind::Upgrade
            | Kind::Server
            | Kind::Cookie
            | Kind::SetCookie => put(out, field.name, field.value),
        }
    }
}

/// Writes the router's own fields.
fn write_ours(
    out: &mut Vec<u8>,
    survey: &Survey<'_>,
    (origin, id, at): (&Origin, &str, Timestamp),
) {
    if !survey.forwarded {
        put(out, "X-Forwarded-For", origin.peer.as_bytes());
    }
    put(out, "X-Forwarded-Proto", origin.proto.as_bytes());
    put_numeric(out, "X-Forwarded-Port", origin.port.into());
    put_numeric(out, "X-Request-Start", at.millis().unsigned_abs());
    put(out, "X-Request-Id", id.as_bytes());
    if !survey.via {
        put(out, "Via", origin.via);
    }
}

/// The part of the log line that is known from the request alone.
fn label(
    (method, path, host, id): (&str, &str, &str, &str),
    (fields, survey): (&[Header<'_>], &Survey<'_>),
    origin: &Origin,
) -> String {
    let mut label = String::with_capacity(path.len() + host.len() + 192);
    for piece in ["method=", method, " path=\""] {
        label.push_str(piece);
    }
    push_quoted(&mut label, path);
    for piece in ["\" host=", host, " request_id=", id, " fwd="] {
        label.push_str(piece);
    }
    if !survey.forwarded {
        label.push_str(&origin.peer);
        return label;
    }
    label.push('"');
    for value in values(fields, Kind::ForwardedFor).filter(|value| !value.is_empty()) {
        push_quoted(&mut label, &String::from_utf8_lossy(value));
        label.push_str(", ");
    }
    label.push_str(&origin.peer);
    label.push('"');
    label
}

/// Appends `text` so that it cannot end the quotes it stands in.
fn push_quoted(label: &mut String, text: &str) {
    if text.contains('"') {
        label.push_str(&text.replace('"', "%22"));
    } else {
        label.push_str(text);
    }
}

#[cfg(test)]
mod tests;

//! Rules of header fields that requests, responses and trailers share.

use httparse::Header;

/// A field that means something to the router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything else: it goes on as it came.
    Other,
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Cookie`.
    Cookie,
    /// `Expect`.
    Expect,
    /// `X-Forwarded-For`.
    ForwardedFor,
    /// Between two neighbours only, and never passed on: `TE`, `Keep-Alive`, `Proxy-Connection`,
    /// `Proxy-Authorization`.
    HopByHop,
    /// `Host`.
    Host,
    /// The router writes it anew: `X-Forwarded-Proto`, `X-Forwarded-Port`, `X-Request-Start`.
    Ours,
    /// `X-Request-Id`.
    RequestId,
    /// `Server`.
    Server,
    /// `Set-Cookie`.
    SetCookie,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Upgrade`.
    Upgrade,
    /// `Via`.
    Via,
}

/// What the field called `name` means to the router.
pub fn kind(name: &str) -> Kind {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        2 if is("te") => Kind::HopByHop,
        3 if is("via") => Kind::Via,
        4 if is("host") => Kind::Host,
        6 if is("cookie") => Kind::Cookie,
        6 if is("expect") => Kind::Expect,
        6 if is("server") => Kind::Server,
        7 if is("upgrade") => Kind::Upgrade,
        10 if is("connection") => Kind::Connection,
        10 if is("keep-alive") => Kind::HopByHop,
        10 if is("set-cookie") => Kind::SetCookie,
        12 if is("x-request-id") => Kind::RequestId,
        14 if is("content-length") => Kind::ContentLength,
        15 if is("x-forwarded-for") => Kind::ForwardedFor,
        15 if is("x-request-start") => Kind::Ours,
        16 if is("x-forwarded-port") => Kind::Ours,
        16 if is("proxy-connection") => Kind::HopByHop,
        17 if is("x-forwarded-proto") => Kind::Ours,
        17 if is("transfer-encoding") => Kind::TransferEncoding,
        19 if is("proxy-authorization") => Kind::HopByHop,
        _ => Kind::Other,
    }
}

/// Framing that contradicts itself or that nobody can be sure of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFraming {
    /// `Content-Length` is no number, or several differ.
    Length,
    /// `Transfer-Encoding` is not a lone `chunked`.
    Coding,
}

/// What `Content-Length` and `Transfer-Encoding` say together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Declared {
    /// The one length, if any is told; equal repetitions are one.
    pub length: Option<u64>,
    /// Whether the body is chunked.
    pub chunked: bool,
}

impl Declared {
    /// Takes one field in; fields other than the two change nothing.
    pub fn add(&mut self, kind: Kind, value: &[u8]) -> Result<(), BadFraming> {
        match kind {
            Kind::ContentLength => {
                let length = decimal(value).ok_or(BadFraming::Length)?;
                if self.length.is_some_and(|known| known != length) {
                    return Err(BadFraming::Length);
                }
                self.length = Some(length);
            }
            Kind::TransferEncoding => {
                if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                    return Err(BadFraming::Coding);
                }
                self.chunked = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Plain digits, no sign, no list.
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 18 {
        return None;
    }
    value
        .iter()
        .try_fold(0, |sum: u64, &b| b.is_ascii_digit().then(|| sum * 10 + u64::from(b - b'0')))
}

/// What `Connection` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// `close`.
    pub close: bool,
    /// `keep-alive`.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
    /// It names other fields, which then are for this hop only.
    pub names_fields: bool,
}

impl Connection {
    /// Takes one `Connection` field in.
    pub fn add(&mut self, value: &[u8]) {
        for token in tokens(value) {
            if token.eq_ignore_ascii_case(b"close") {
                self.close = true;
            } else if token.eq_ignore_ascii_case(b"keep-alive") {
                self.keep_alive = true;
            } else if token.eq_ignore_ascii_case(b"upgrade") {
                self.upgrade = true;
            } else {
                self.names_fields = true;
            }
        }
    }
}

/// Whether some `Connection` field of `headers` names the field `name`.
pub fn is_named_by_connection(headers: &[Header<'_>], name: &str) -> bool {
    let connections = headers.iter().filter(|header| kind(header.name) == Kind::Connection);
    connections
        .flat_map(|header| tokens(header.value))
        .any(|token| token.eq_ignore_ascii_case(name.as_bytes()))
}

/// Members of a comma-separated list, without blanks around them and without empty ones.
pub fn tokens(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

/// A byte that a field's value may have: printable, blank, tab, or above ASCII.
pub const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=0x7e | 0x80..)
}

/// A byte of a field's name.
pub const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// Whether a trailer line (without its CRLF) is well formed and no field that frames or routes.
pub fn is_good_trailer(line: &[u8]) -> bool {
    let Some(colon) = line.iter().position(|&b| b == b':') else { return false };
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let well_formed = !name.is_empty()
        && name.iter().all(|&b| is_name_byte(b))
        && value.iter().all(|&b| is_value_byte(b));
    let name = std::str::from_utf8(name).unwrap_or_default();
    let plain = matches!(kind(name), Kind::Other | Kind::Server | Kind::SetCookie | Kind::Via);
    well_formed && plain && !name.eq_ignore_ascii_case("trailer")
}

//! A request of a stream as the HTTP/1.1 head that a client would have sent.
//!
//! `h2` has refused what is malformed by the rules of HTTP/2: names in capitals, fields that belong to
//! a connection, pseudo fields that are missing, double or late. What it lets through is judged once
//! more, as any other head.

use h2::ext::Protocol;
use http::Method;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;
use uuid::Uuid;

use super::upload::Framing;

/// Writes the whole head. A WebSocket (RFC 8441) is asked for as in HTTP/1.1, with `nonce` in its key.
pub fn write(parts: &Parts, framing: Framing, nonce: Uuid, out: &mut Vec<u8>) {
    let method = if framing == Framing::Tunnel { &Method::GET } else { &parts.method };
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    out.extend_from_slice(path.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    if let Some(authority) = authority {
        put(out, b"host", authority.as_bytes());
    }
    write_fields(parts, authority, out);
    match framing {
        Framing::None | Framing::Length => {}
        Framing::Chunked => put(out, b"transfer-encoding", b"chunked"),
        Framing::Tunnel => {
            put(out, b"upgrade", b"websocket");
            put(out, b"connection", b"Upgrade");
            put(out, b"sec-websocket-key", &websocket_key(nonce));
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// How the body that follows `parts` is framed in HTTP/1.1.
pub fn framing(parts: &Parts, has_ended: bool) -> Framing {
    let protocol = parts.extensions.get::<Protocol>();
    match has_ended || parts.method == Method::CONNECT {
        true if protocol.is_some_and(|name| name.as_str() == "websocket") => Framing::Tunnel,
        true => Framing::None,
        false if parts.headers.contains_key(CONTENT_LENGTH) => Framing::Length,
        false => Framing::Chunked,
    }
}

fn write_fields(parts: &Parts, authority: Option<&str>, out: &mut Vec<u8>) {
    let mut cookies = false;
    for (name, value) in &parts.headers {
        match name {
            // The same name twice is one; two names are two fields, and will be refused.
            name if name == HOST && authority.is_some_and(|told| same(told, value.as_bytes())) => {}
            // A client may cut its cookie into crumbs (RFC 9113, 8.2.3).
            name if name == COOKIE && cookies => {}
            name if name == COOKIE => {
                cookies = true;
                out.extend_from_slice(b"cookie: ");
                for (number, crumb) in parts.headers.get_all(COOKIE).iter().enumerate() {
                    out.extend_from_slice(if number == 0 { b"" } else { b"; " });
                    out.extend_from_slice(crumb.as_bytes());
                }
                out.extend_from_slice(b"\r\n");
            }
            name => put(out, name.as_str().as_bytes(), value.as_bytes()),
        }
    }
}

/// Sixteen random bytes in base 64 (RFC 6455, 4.1). Nobody checks what becomes of them: the answer to
/// a stream has no room for it.
fn websocket_key(nonce: Uuid) -> [u8; 24] {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut key = *b"========================";
    let mut bits = nonce.as_u128();
    for digit in &mut key[..21] {
        *digit = DIGITS[(bits % 64) as usize];
        bits /= 64;
    }
    // Two bits are left for the last digit.
    key[21] = DIGITS[(bits % 4) as usize * 16];
    key
}

fn same(authority: &str, host: &[u8]) -> bool {
    authority.as_bytes().eq_ignore_ascii_case(host)
}

/// Writes `name: value`.
pub fn put(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

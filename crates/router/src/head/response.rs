//! Heads of a dyno's responses (platform behaviour 2.4 to 2.6).

use std::mem::MaybeUninit;

use httparse::Header;
use model::codes::HCode;
use model::{DynoId, Timestamp};

use super::request::{Afterwards, Request, VIA, Verb, Version};
use super::{
    MAX_COOKIE, MAX_FIELDS, MAX_FIRST_LINE, MAX_RESPONSE_FIELD, NoHead, first_line, put,
    put_joined, put_numeric,
};
use crate::body::Body;
use crate::chunks::Emit;
use crate::fields::{BadFraming, Connection, Declared, Kind, is_named_by_connection, kind};
use crate::session;

const BAD_LENGTH: HCode = HCode::H25("HTTP restriction: invalid content length");
const BIG_COOKIE: HCode = HCode::H25("HTTP restriction: oversized cookie");
const BIG_FIELD: HCode = HCode::H25("HTTP restriction: oversized header");
const BIG_STATUS: HCode = HCode::H25("HTTP restriction: oversized status line");

impl From<NoHead> for HCode {
    fn from(reason: NoHead) -> Self {
        match reason {
            NoHead::BareLf => Self::H17,
            NoHead::FirstLine => BIG_STATUS,
            NoHead::Line | NoHead::Size => BIG_FIELD,
        }
    }
}

/// What becomes of the connection to the dyno when the response has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It can take another request.
    Keep,
    /// It cannot.
    Drop,
}

/// What the router adds to a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Told {
    /// What becomes of the client's connection.
    pub afterwards: Afterwards,
    /// The dyno that the visitor stays with from now on.
    pub session: Option<DynoId>,
}

/// A response's head, judged; it still has to be written.
pub struct Response<'b> {
    /// Its status.
    pub status: u16,
    line: &'b [u8],
    fields: Vec<Header<'b>>,
    declared: Declared,
    connection: Connection,
    version: Version,
}

impl<'b> Response<'b> {
    /// Judges the response head `head` (complete, up to its empty line).
    pub fn read(head: &'b [u8]) -> Result<Self, HCode> {
        let mut storage = [const { MaybeUninit::<Header<'_>>::uninit() }; MAX_FIELDS];
        let mut parsed = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        let parse = config.parse_response_with_uninit_headers(&mut parsed, head, &mut storage);
        match parse {
            Ok(httparse::Status::Complete(length)) if length == head.len() => {}
            Ok(_) | Err(_) => return Err(HCode::H17),
        }
        let (Some(status), Some(minor)) = (parsed.code, parsed.version) else {
            return Err(HCode::H17);
        };
        let line = &head[first_line(head)];
        // `HTTP/1.1 200` without the blank that starts the reason phrase is refused, as Heroku does.
        let complete = line.get(12) == Some(&b' ') && status >= 100;
        if !complete {
            return Err(HCode::H17);
        }
        let version = if minor == 0 { Version::Http10 } else { Version::Http11 };
        let mut response = Self {
            status,
            line: &line["HTTP/1.1 ".len()..],
            fields: parsed.headers.to_vec(),
            declared: Declared::default(),
            connection: Connection::default(),
            version,
        };
        response.survey()?;
        Ok(response)
    }

    fn survey(&mut self) -> Result<(), HCode> {
        debug_assert!(self.line.len() <= MAX_FIRST_LINE, "the scan has seen to it");
        for field in &self.fields {
            let size = field.name.len() + field.value.len() + 2;
            match kind(field.name) {
                Kind::SetCookie if size > MAX_COOKIE + "set-cookie: ".len() => {
                    return Err(BIG_COOKIE);
                }
                _ if size > MAX_RESPONSE_FIELD => return Err(BIG_FIELD),
                Kind::Connection => self.connection.add(field.value),
                kind => self.declared.add(kind, field.value).map_err(|bad| match bad {
                    BadFraming::Length => BAD_LENGTH,
                    BadFraming::Coding => HCode::H17,
                })?,
            }
        }
        if self.declared.chunked {
            // A body with two framings is read by its chunks; the length must not go on.
            self.declared.length = None;
        }
        Ok(())
    }

    /// Whether it is only a sign of life (100, 102, 103), after which the final response comes.
    pub const fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// Whether it is an answer, not a sign of life or the start of another protocol.
    #[cfg(any(test, feature = "properties"))]
    pub const fn is_final(&self) -> bool {
        self.status >= 200
    }

    /// Whether the dyno takes up the other protocol.
    pub const fn is_upgrade(&self) -> bool {
        self.status == 101
    }

    const fn is_bodiless(&self, request: &Request) -> bool {
        matches!(request.verb, Verb::Head) || matches!(self.status, 100..=199 | 204 | 304)
    }

    /// The body that follows in answer to `request`, in the form its client understands.
    pub const fn body(&self, request: &Request) -> Body {
        if self.is_bodiless(request) {
            return Body::none();
        }
        match (self.declared.chunked, self.declared.length, request.version) {
            (true, _, Version::Http11 | Version::Http2) => Body::chunked(Emit::Chunks),
            (true, _, Version::Http10) => Body::chunked(Emit::Content),
            (false, Some(length), _) => Body::length(length),
            (false, None, _) => Body::until_close(),
        }
    }

    /// Whether the client finds the body's end without the connection's end.
    pub const fn delimits_itself(&self, request: &Request) -> bool {
        let chunks = self.declared.chunked && !matches!(request.version, Version::Http10);
        self.is_bodiless(request) || self.declared.length.is_some() || chunks
    }

    /// Whether the dyno's connection can take another request afterwards.
    pub const fn reuse(&self, request: &Request) -> Reuse {
        let kept = match self.version {
            Version::Http11 | Version::Http2 => !self.connection.close,
            Version::Http10 => self.connection.keep_alive && !self.connection.close,
        };
        let delimited = self.declared.chunked || self.declared.length.is_some();
        // A 204 or 304 that declares a body might send it, too; only HEAD's declaration is empty.
        let silent = matches!(self.status, 204 | 304)
            && !self.declared.chunked
            && matches!(self.declared.length, None | Some(0));
        let ends = matches!(request.verb, Verb::Head)
            || silent
            || (delimited && !matches!(self.status, 204 | 304));
        if kept && ends { Reuse::Keep } else { Reuse::Drop }
    }

    /// Writes a sign of life that goes to the client: the status and the fields that are for it.
    pub fn write_interim(&self, out: &mut Vec<u8>) {
        self.write_line(out);
        // What is said along with `100 Continue` is dropped, as Heroku does.
        let fields = self.fields.iter().filter(|_| self.status != 100);
        for field in fields.filter(|field| matches!(kind(field.name), Kind::Other)) {
            if !is_named_by_connection(&self.fields, field.name) {
                put(out, field.name, field.value);
            }
        }
        out.extend_from_slice(b"\r\n");
    }

    fn write_line(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 ");
        out.extend_from_slice(self.line);
        out.extend_from_slice(b"\r\n");
    }

    /// Writes the head that goes to the client.
    pub fn write(&self, request: &Request, told: Told, out: &mut Vec<u8>) {
        self.write_line(out);
        let (mut framed, mut via, mut server) = (false, false, false);
        for field in &self.fields {
            match kind(field.name) {
                Kind::Connection | Kind::HopByHop => {}
                Kind::Upgrade if !self.is_upgrade() => {}
                Kind::ContentLength if framed || self.declared.chunked => {}
                Kind::ContentLength => {
                    framed = true;
                    put_numeric(out, field.name, self.declared.length.unwrap_or_default());
                }
                Kind::TransferEncoding if !self.passes_coding(request) => {}
                Kind::TransferEncoding => put(out, field.name, b"chunked"),
                Kind::Via if via => {}
                Kind::Via => {
                    via = true;
                    put_joined(out, field.name, self.values(Kind::Via), VIA);
                }
                Kind::Other
                    if self.connection.names_fields
                        && is_named_by_connection(&self.fields, field.name) => {}
                _ => {
                    server |= kind(field.name) == Kind::Server;
                    put(out, field.name, field.value);
                }
            }
        }
        if !server {
            put(out, "Server", b"Heroku");
        }
        if !via {
            put(out, "Via", VIA);
        }
        if let Some(dyno) = told.session {
            let cookie = session::cookie(dyno, &request.host, Timestamp::now());
            put(out, "Set-Cookie", cookie.as_bytes());
        }
        put(out, "Connection", self.connection_value(told.afterwards));
        out.extend_from_slice(b"\r\n");
    }

    /// An HTTP/1.0 client knows no chunks, and a 204 must not speak of any.
    const fn passes_coding(&self, request: &Request) -> bool {
        !matches!(request.version, Version::Http10) && self.status != 204
    }

    const fn connection_value(&self, afterwards: Afterwards) -> &'static [u8] {
        match afterwards {
            _ if self.is_upgrade() => b"Upgrade",
            Afterwards::KeepAlive => b"keep-alive",
            Afterwards::Close => b"close",
        }
    }

    fn values(&self, wanted: Kind) -> impl Iterator<Item = &[u8]> {
        let fields = self.fields.iter().filter(move |field| kind(field.name) == wanted);
        fields.map(|field| field.value)
    }
}

#[cfg(test)]
mod tests;

//! The HTTP side: requests to the API, and its errors as ours.

use std::io::Read;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, Body, SendBody};

use crate::failure::{Failure, Kind, Outcome};
use crate::servers::{Server, Token};
use crate::tls;

/// The API's media type; `3.sdk` is a superset of the plain version.
const ACCEPT: &str = "application/vnd.heroku+json; version=3.sdk";
/// An answer larger than this is not one of the API's.
const MAX_ANSWER: u64 = 64 * 1024 * 1024;
/// What is given to everybody is small.
const MAX_PUBLIC: u64 = 1024 * 1024;
/// At most this many pages of one list.
const MAX_PAGES: usize = 1000;
/// A stream that says nothing for so long, not even a ping, is dead.
const STREAM_SILENCE: Duration = Duration::from_secs(300);

/// One server, and who we are to it.
pub(crate) struct Client {
    agent: Agent,
    base: String,
    token: Option<Token>,
}

/// A request's method.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Method {
    Get,
    Post,
    Patch,
    Put,
    Delete,
}

impl Method {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Patch => "PATCH",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// The API's error body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiError {
    id: String,
    message: String,
    url: Option<String>,
}

impl Client {
    /// A client of `server`. Nothing is sent yet.
    pub(crate) fn new(server: &Server) -> Outcome<Self> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .user_agent(concat!("hythe/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(10)))
            .timeout_recv_response(Some(Duration::from_secs(60)))
            .timeout_per_read(Some(STREAM_SILENCE));
        if server.url.starts_with("https:") {
            config = config.tls_config(tls_config(server)?);
        }
        Ok(Self {
            agent: config.build().new_agent(),
            base: server.url.clone(),
            token: server.token.clone(),
        })
    }

    /// GET of one object.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Outcome<T> {
        self.ask(Method::Get, path, None)
    }

    /// GET of one page of a list.
    pub(crate) fn page<T: DeserializeOwned>(&self, path: &str, range: &str) -> Outcome<Vec<T>> {
        let request = self.request(Method::Get, path)?.header("Range", range);
        read(self.send(request, None)?)
    }

    /// GET of a whole list, page by page.
    pub(crate) fn list<T: DeserializeOwned>(&self, path: &str) -> Outcome<Vec<T>> {
        let mut all = Vec::new();
        let mut range: Option<String> = None;
        for _ in 0..MAX_PAGES {
            let mut request = self.request(Method::Get, path)?;
            if let Some(range) = &range {
                request = request.header("Range", range);
            }
            let answer = self.send(request, None)?;
            range = match answer.headers().get("Next-Range").map(|value| value.to_str()) {
                Some(Ok(next)) => Some(next.to_owned()),
                _ => None,
            };
            all.extend(read::<Vec<T>>(answer)?);
            if range.is_none() {
                return Ok(all);
            }
        }
        Err(Failure::internal(format!("the list {path} does not end")))
    }

    /// Any request with an answer.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Outcome<T> {
        let request = self.request(method, path)?;
        read(self.send(request, body)?)
    }

    /// Any request whose answer does not matter.
    pub(crate) fn tell(&self, method: Method, path: &str, body: Option<&Value>) -> Outcome {
        let request = self.request(method, path)?;
        self.send(request, body).map(drop)
    }

    /// A request with a name and a password instead of a token: the first login.
    pub(crate) fn login<T: DeserializeOwned>(
        &self,
        path: &str,
        (email, password): (&str, &str),
        body: &Value,
    ) -> Outcome<T> {
        use base64::Engine;
        let pair = base64::engine::general_purpose::STANDARD.encode(format!("{email}:{password}"));
        let request = Request::builder()
            .method(Method::Post.as_str())
            .uri(format!("{}{path}", self.base))
            .header("Accept", ACCEPT)
            .header("Authorization", format!("Basic {pair}"));
        read(self.send(request, Some(body))?)
    }

    /// Something that the server gives to everybody; nothing if it does not.
    pub(crate) fn public(&self, path: &str) -> Option<Vec<u8>> {
        let request = Request::builder().method("GET").uri(format!("{}{path}", self.base));
        let answer = self.send(request, None).ok()?;
        answer.into_body().into_with_config().limit(MAX_PUBLIC).read_to_vec().ok()
    }

    /// Opens a stream at a URL that carries its own licence: no token is sent there.
    pub(crate) fn stream(&self, url: &str, headers: &[(&str, &str)]) -> Outcome<impl Read + use<>> {
        let mut request = Request::builder().method("GET").uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Ok(self.send(request, None)?.into_body().into_reader())
    }

    fn request(&self, method: Method, path: &str) -> Outcome<ureq::http::request::Builder> {
        let token = self.token.as_ref().ok_or_else(Failure::logged_out)?;
        Ok(Request::builder()
            .method(method.as_str())
            .uri(format!("{}{path}", self.base))
            .header("Accept", ACCEPT)
            .header("Authorization", format!("Bearer {}", token.reveal())))
    }

    fn send(
        &self,
        request: ureq::http::request::Builder,
        body: Option<&Value>,
    ) -> Outcome<Response<Body>> {
        let sent = match body {
            Some(body) => request
                .header("Content-Type", "application/json")
                .body(SendBody::from_owned_reader(std::io::Cursor::new(body.to_string())))
                .map(|request| self.agent.run(request)),
            None => request.body(SendBody::none()).map(|request| self.agent.run(request)),
        };
        let sent = sent.map_err(|error| {
            Failure::usage(format!("`{}` makes no good address: {error}", self.base))
        })?;
        let answer = sent.map_err(|error| unreachable(&self.base, &error))?;
        if answer.status().is_success() { Ok(answer) } else { Err(refused(answer)) }
    }
}

fn tls_config(server: &Server) -> Outcome<TlsConfig> {
    let roots = tls::roots(server.ca.as_deref())?;
    let roots: Vec<_> =
        roots.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect();
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(tls::provider())
        .root_certs(RootCerts::new_with_certs(&roots))
        .build())
}

fn read<T: DeserializeOwned>(answer: Response<Body>) -> Outcome<T> {
    let body = answer.into_body().into_with_config().limit(MAX_ANSWER).read_json();
    body.map_err(|error| Failure::internal(format!("the server's answer is strange: {error}")))
}

/// The server could not be asked.
fn unreachable(base: &str, error: &ureq::Error) -> Failure {
    tls::explained(Failure::user(format!("cannot reach {base}: {error}")))
}

/// The server said no.
fn refused(answer: Response<Body>) -> Failure {
    let status = answer.status();
    let text = answer.into_body().into_with_config().limit(64 * 1024).read_to_string();
    let text = text.unwrap_or_default();
    let error: ApiError = serde_json::from_str(&text).unwrap_or_default();
    if error.message.is_empty() {
        return Failure::user(format!("the server answered {status}"));
    }
    let mut message = error.message;
    if !error.id.is_empty() {
        message = format!("{message}\n\nError ID: {}", error.id);
    }
    if let Some(url) = error.url.filter(|url| !url.is_empty()) {
        message = format!("{message}\nSee {url} for more information.");
    }
    let mut failure = Failure::user(message);
    if status.as_u16() == 401 {
        failure.kind = Kind::LoggedOut;
        failure = failure.hint("Run `hythe login` to log in again.");
    }
    failure
}

/// A part of a path, percent-encoded.
pub(crate) fn segment(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_parts_cannot_leave_their_place() {
        assert_eq!(segment("web.1"), "web.1");
        assert_eq!(segment("../a b?é"), "..%2Fa%20b%3F%C3%A9");
    }
}

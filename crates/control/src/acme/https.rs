//! The HTTP client that talks to an authority: bounded in time and size, trusting what the operator
//! says, and mindful of how long the authority asks to be left alone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use ureq::Agent;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::authorities::{self, Acme};

/// One request, from the first byte out to the last byte in.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer of an authority is longer.
const MAX_ANSWER: u64 = 1024 * 1024;

/// A client of one authority, for one order.
#[derive(Clone)]
pub(super) struct Https {
    agent: Agent,
    leave_alone: LeaveAlone,
}

/// Seconds that the authority asked to be left alone for; 0 if it did not.
#[derive(Clone, Default)]
pub(super) struct LeaveAlone(Arc<AtomicU64>);

impl LeaveAlone {
    /// How long, if the authority said.
    pub(super) fn said(&self) -> Option<Duration> {
        let seconds = self.0.load(Ordering::Relaxed);
        (seconds > 0).then(|| Duration::from_secs(seconds))
    }

    fn note<B>(&self, answer: &Response<B>) {
        let status = answer.status().as_u16();
        if status != 429 && status != 503 {
            return;
        }
        let header = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
        if let Some(seconds) = header.and_then(|text| text.trim().parse().ok()) {
            self.0.store(seconds, Ordering::Relaxed);
        }
    }
}

impl Https {
    /// A client of this authority.
    pub(super) fn new(acme: &Acme) -> Self {
        let roots: Vec<_> =
            acme.roots.iter().map(|root| Certificate::from_der(root.as_ref()).to_owned()).collect();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(authorities::provider())
            .root_certs(RootCerts::new_with_certs(&roots))
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .https_only(true)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(PATIENCE))
            .tls_config(tls);
        Self { agent: config.build().new_agent(), leave_alone: LeaveAlone::default() }
    }

    /// What the authority said about being left alone.
    pub(super) fn leave_alone(&self) -> LeaveAlone {
        self.leave_alone.clone()
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body =
                body.collect().await.map_or_else(|never| match never {}, |all| all.to_bytes());
            let asked = move || client.ask(Request::from_parts(parts, body));
            let answer = tokio::task::spawn_blocking(asked).await.map_err(other)?.map_err(other)?;
            Ok(BytesResponse::from(answer.map(Full::new)))
        })
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Other(Box::new(error))
}

impl Https {
    fn ask(&self, request: Request<Bytes>) -> Result<Response<Bytes>, ureq::Error> {
        let (parts, body) = request.into_parts();
        let answer = if matches!(parts.method, Method::GET | Method::HEAD) {
            self.agent.run(Request::from_parts(parts, ()))?
        } else {
            self.agent.run(Request::from_parts(parts, body.as_ref()))?
        };
        self.leave_alone.note(&answer);
        let (parts, body) = answer.into_parts();
        let body = body.into_with_config().limit(MAX_ANSWER).read_to_vec()?;
        Ok(Response::from_parts(parts, Bytes::from(body)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, header: &str) -> Option<Duration> {
        let answer = Response::builder().status(status).header("retry-after", header).body(());
        let leave_alone = LeaveAlone::default();
        leave_alone.note(&answer.expect("an answer"));
        leave_alone.said()
    }

    #[test]
    fn an_authority_that_is_too_busy_says_for_how_long() {
        assert_eq!(said(429, "3600"), Some(Duration::from_secs(3600)));
        assert_eq!(said(503, "10"), Some(Duration::from_secs(10)));
        assert_eq!(said(200, "3"), None, "it only says when to look again");
        assert_eq!(said(429, "tomorrow"), None);
    }
}

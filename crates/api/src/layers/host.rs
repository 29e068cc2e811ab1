//! Only the platform's own host names are served here. The router looks at the first request of a
//! connection; a later one on the same connection may be for somebody else's host (a client or a
//! proxy in front that shares connections), and must not be answered as if it were the platform's.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{CONNECTION, HOST};

use crate::error::ApiError;
use crate::state::Config;

pub async fn check(State(config): State<Arc<Config>>, request: Request, next: Next) -> Response {
    if host(&request).is_some_and(|host| config.hosts.contains(host.as_str())) {
        return next.run(request).await;
    }
    let mut response = ApiError::misdirected().into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// The host asked for: lower-case, without port and trailing dot.
fn host(request: &Request) -> Option<String> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers().get(HOST)?.to_str().ok()?,
    };
    Some(without_port(authority).trim_end_matches('.').to_ascii_lowercase())
}

fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_cut_off_and_ipv6_addresses_kept() {
        assert_eq!(without_port("api.example.com:8300"), "api.example.com");
        assert_eq!(without_port("api.example.com"), "api.example.com");
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
    }
}

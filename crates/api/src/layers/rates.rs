//! `RateLimit-Remaining` on every answer to a known account.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};

const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const UNKNOWN: u32 = u32::MAX;

/// Where the one who finds out the caller notes how many calls the caller has left.
#[derive(Clone, Debug)]
pub struct Spent(Arc<AtomicU32>);

impl Spent {
    /// Notes what is left.
    pub fn note(&self, remaining: u32) {
        self.0.store(remaining, Ordering::Relaxed);
    }
}

pub async fn tell(mut request: Request, next: Next) -> Response {
    let spent = Spent(Arc::new(AtomicU32::new(UNKNOWN)));
    request.extensions_mut().insert(spent.clone());
    let mut response = next.run(request).await;
    let remaining = spent.0.load(Ordering::Relaxed);
    if remaining != UNKNOWN {
        response.headers_mut().insert(REMAINING, HeaderValue::from(remaining));
    }
    response
}

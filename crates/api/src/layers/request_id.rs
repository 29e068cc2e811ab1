//! A `Request-Id` on every answer, and one line in the operator's log under it. Ids that the client
//! sends are not repeated: the CLI sends back all it was ever told, and the list would only grow.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue};
use tracing::Instrument as _;
use uuid::Uuid;

const REQUEST_ID: HeaderName = HeaderName::from_static("request-id");

pub async fn tell(request: Request, next: Next) -> Response {
    let id = Uuid::new_v4().to_string();
    let span = tracing::info_span!("request", request.id = %id, method = %request.method(), path = request.uri().path());
    let mut response = next.run(request).instrument(span.clone()).await;
    span.in_scope(|| {
        tracing::debug!(status = response.status().as_u16(), "Answered an API request.")
    });
    let value = HeaderValue::from_str(&id).expect("a UUID is a header value");
    response.headers_mut().insert(REQUEST_ID, value);
    response
}

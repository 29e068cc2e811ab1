//! `ETag` on JSON answers to GET, and 304 to who has the same already.

use std::fmt::Write as _;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use sha2::{Digest as _, Sha256};

use crate::error::ApiError;

pub async fn answer(request: Request, next: Next) -> Response {
    let get = request.method() == Method::GET;
    let known = request.headers().get(IF_NONE_MATCH).cloned();
    let response = next.run(request).await;
    // A body of unknown length is a stream; it is never held back to be hashed.
    let whole = response.body().size_hint().exact().is_some();
    if !(get && whole && response.status().is_success() && is_json(response.headers())) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = match body.collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) => return ApiError::internal(&error).into_response(),
    };
    let tag = tag(&bytes);
    let same = known.is_some_and(|known| names(&known, &tag));
    parts.headers.insert(ETAG, tag);
    // Answers hold config vars and tokens: a cache in between may not keep them for others.
    parts.headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    if same {
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(http::header::CONTENT_LENGTH);
        parts.status = StatusCode::NOT_MODIFIED;
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(bytes))
}

fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/json"))
}

fn tag(bytes: &Bytes) -> HeaderValue {
    let mut text = String::from("\"");
    for byte in &Sha256::digest(bytes)[..16] {
        let _ = write!(text, "{byte:02x}");
    }
    text.push('"');
    HeaderValue::from_str(&text).expect("hex digits and quotes are a header value")
}

/// Whether an `If-None-Match` header names `tag`, weakly or not, or anything at all.
fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known.split(',').map(str::trim).any(|one| one == "*" || one.trim_start_matches("W/") == tag)
}

//! What happens to every request around its handler, outermost first: method override, request id,
//! CORS, host, version, rate header, ETag, detached running.

mod accept;
mod cors;
mod detached;
mod etag;
mod host;
mod method_override;
mod rates;
mod request_id;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};

use crate::body;
use crate::state::ApiState;

pub use rates::Spent;

/// `routes` with all layers around them.
pub fn wrap(routes: Router<ApiState>, state: &ApiState) -> Router {
    let routes = routes
        .layer(from_fn_with_state(state.tasks.clone(), detached::run))
        .layer(from_fn(etag::answer))
        .layer(from_fn(rates::tell))
        .layer(from_fn(accept::check))
        .layer(from_fn_with_state(state.config.clone(), host::check))
        .layer(from_fn(cors::answer))
        .layer(from_fn(request_id::tell))
        .layer(DefaultBodyLimit::max(body::MAX_BYTES))
        .with_state(state.clone());
    method_override::before(routes)
}

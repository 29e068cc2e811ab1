//! Handlers that change something run to their end although the client may hang up: hyper drops a
//! handler with its connection, and half of a change must never be all of it.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio_util::task::TaskTracker;

use crate::error::ApiError;

pub async fn run(State(tasks): State<TaskTracker>, request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    let span = tracing::Span::current();
    let handler = tracing::Instrument::instrument(next.run(request), span);
    match tasks.spawn(handler).await {
        Ok(response) => response,
        Err(error) => ApiError::internal(&error).into_response(),
    }
}

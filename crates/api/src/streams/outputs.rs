//! The streams behind signed URLs: outputs that can be followed, and archives.

use std::io;
use std::str::FromStr;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use control::{Follow, builds, releases};
use futures_util::stream::{self, Stream as Streaming};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use crate::error::{ApiError, Result};
use crate::state::ApiState;
use crate::streams::{Licence, Stream};

/// Clients take a silent connection for a dead one after a minute.
const QUIET: Duration = Duration::from_secs(25);

/// Heroku's sign of life in an output: readers skip it, terminals print nothing for it.
const HEARTBEAT: Bytes = Bytes::from_static(b"\0");

pub fn routes() -> Router<ApiState> {
    Router::new().route("/streams/{stream}/{id}/{signature}", get(read))
}

async fn read(
    State(state): State<ApiState>,
    Path((stream, of, signature)): Path<(String, String, String)>,
) -> Result<Response> {
    let stream = stream.parse().map_err(|()| ApiError::no_such_path())?;
    let licence = Licence { stream, of };
    if !licence.is_proved(&signature, &state.config.stream_key) {
        return Err(ApiError::forbidden("This URL is not valid any more. Ask for a new one."));
    }
    match stream {
        Stream::BuildOutput => output(builds::follow(&state.control, parse(&licence.of)?).await?),
        Stream::ReleaseOutput => {
            output(releases::follow(&state.control, parse(&licence.of)?).await?)
        }
        Stream::Archive => {
            let file = state.control.blobs.get(&licence.of).await.map_err(control::Error::from)?;
            file.map(archive).ok_or_else(|| ApiError::not_found("archive"))
        }
    }
}

fn parse<T: FromStr>(id: &str) -> Result<T> {
    id.parse().map_err(|_| ApiError::not_found("output"))
}

/// An output from its start to its end, which may be still to come.
fn output(follow: Option<Follow>) -> Result<Response> {
    let follow = follow.ok_or_else(|| ApiError::not_found("output"))?;
    let head = [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-cache")];
    Ok((head, Body::from_stream(with_heartbeat(follow))).into_response())
}

fn with_heartbeat(follow: Follow) -> impl Streaming<Item = io::Result<Bytes>> {
    stream::unfold(Some(follow), |follow| async move {
        let mut follow = follow?;
        // `next` loses nothing when its future is dropped by the time-out.
        match tokio::time::timeout(QUIET, follow.next()).await {
            Ok(Ok(Some(bytes))) => Some((Ok(bytes), Some(follow))),
            Ok(Ok(None)) => None,
            Ok(Err(error)) => Some((Err(error), None)),
            Err(_) => Some((Ok(HEARTBEAT), Some(follow))),
        }
    })
}

/// A blob as it is.
pub fn archive(file: File) -> Response {
    let head = [(CONTENT_TYPE, "application/octet-stream")];
    (head, Body::from_stream(ReaderStream::new(file))).into_response()
}

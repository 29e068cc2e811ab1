//! Sources: places to upload a source archive to, before a build is made of it. The id in the URL
//! is the licence to write once and to read.

use std::io;
use std::time::Duration;

use axum::body::{Body as HttpBody, Bytes};
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{post, put};
use axum::{Json, Router};
use control::sources;
use futures_util::StreamExt as _;
use futures_util::stream::{self, Stream};
use http::StatusCode;
use model::{AppId, SourceId};
use serde::Serialize;
use tokio_util::io::StreamReader;

use crate::app_path::AppPath;
use crate::caller::Caller;
use crate::error::{ApiError, Result};
use crate::state::ApiState;
use crate::streams::archive;

/// No source archive may be longer than this.
const MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// An upload may pause this long.
const SILENCE: Duration = Duration::from_secs(60);

/// Routes of sources.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/sources", post(create))
        .route("/apps/{app}/sources", post(create_for_app))
        .route("/uploads/{source}", put(upload).get(download))
}

#[derive(Serialize)]
struct SourceBody {
    source_blob: Urls,
}

#[derive(Serialize)]
struct Urls {
    get_url: String,
    put_url: String,
}

type Created = (StatusCode, Json<SourceBody>);

async fn create(State(state): State<ApiState>, caller: Caller) -> Result<Created> {
    place(&state, &caller, None).await
}

async fn create_for_app(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Created> {
    place(&state, &caller, Some(app.id)).await
}

async fn place(state: &ApiState, caller: &Caller, app: Option<AppId>) -> Result<Created> {
    let source = sources::create(&state.control, &caller.account, app).await?;
    let url = format!("{}{}", prefix(state), source.id);
    let source_blob = Urls { get_url: url.clone(), put_url: url };
    Ok((StatusCode::CREATED, Json(SourceBody { source_blob })))
}

fn prefix(state: &ApiState) -> String {
    format!("{}/uploads/", state.config.api_url)
}

/// The blob that was uploaded to the source at `url`; `None` when the URL is not one of [`create`]'s.
///
/// # Errors
/// When there is no such source, or nothing was uploaded to it yet.
pub async fn uploaded(state: &ApiState, url: &str) -> Result<Option<String>> {
    let Some(id) = url.strip_prefix(&prefix(state)) else { return Ok(None) };
    let empty = || ApiError::invalid("Nothing was uploaded to that source URL yet.");
    sources::find(&state.control, find(id)?).await?.blob.ok_or_else(empty).map(Some)
}

/// Takes an archive in as it comes. The content type is not looked at: clients send an empty one.
async fn upload(
    State(state): State<ApiState>,
    Path(source): Path<String>,
    body: HttpBody,
) -> Result<StatusCode> {
    let id = find(&source)?;
    let bytes = StreamReader::new(Box::pin(impatient(body)));
    sources::upload(&state.control, id, bytes, MAX_BYTES).await?;
    Ok(StatusCode::OK)
}

/// The body's bytes; a sender that is silent for too long is taken for gone.
pub fn impatient(body: HttpBody) -> impl Stream<Item = io::Result<Bytes>> {
    stream::unfold(Some(body.into_data_stream()), |chunks| async move {
        let mut chunks = chunks?;
        match tokio::time::timeout(SILENCE, chunks.next()).await {
            Ok(Some(Ok(chunk))) => Some((Ok(chunk), Some(chunks))),
            Ok(Some(Err(error))) => Some((Err(io::Error::other(error)), None)),
            Ok(None) => None,
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
}

async fn download(State(state): State<ApiState>, Path(source): Path<String>) -> Result<Response> {
    Ok(archive(sources::open(&state.control, find(&source)?).await?))
}

fn find(source: &str) -> Result<SourceId> {
    source.parse().map_err(|_| ApiError::not_found("source"))
}

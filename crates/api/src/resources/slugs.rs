//! Slugs: compiled apps, made by builds, or announced here and uploaded as an archive.

use std::collections::BTreeMap;

use axum::body::Body as HttpBody;
use axum::extract::{Path, State};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use control::slug_uploads::{self, NewUpload};
use control::{Error, slugs};
use http::StatusCode;
use model::{Slug, SlugId, SlugUpload};
use serde::{Deserialize, Serialize};
use tokio_util::io::StreamReader;

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::{ApiError, Result};
use crate::resources::{sources, stacks};
use crate::state::ApiState;
use crate::streams::{Licence, Stream};
use crate::wire::NameRef;

/// Routes of slugs.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/slugs", post(create))
        .route("/apps/{app}/slugs/{slug}", get(info))
        .route("/slug-uploads/{slug}", put(upload))
}

#[derive(Serialize)]
struct SlugBody {
    blob: Blob,
    buildpack_provided_description: Option<String>,
    checksum: Option<String>,
    commit: Option<String>,
    commit_description: Option<String>,
    created_at: String,
    id: String,
    process_types: BTreeMap<String, String>,
    size: Option<u64>,
    stack: NameRef,
    updated_at: String,
}

#[derive(Serialize)]
struct Blob {
    method: &'static str,
    url: String,
}

impl SlugBody {
    fn new(slug: Slug, state: &ApiState) -> Self {
        let licence = Licence::new(Stream::Archive, &slug.blob);
        let types = slug.process_types.into_iter();
        Self {
            blob: Blob { method: "GET", url: state.config.stream_url(&licence) },
            buildpack_provided_description: slug.buildpack_description,
            checksum: Some(format!("SHA256:{}", slug.blob)),
            commit: slug.commit,
            commit_description: None,
            created_at: slug.created_at.rfc3339(),
            id: slug.id.to_string(),
            process_types: types.map(|(name, command)| (name.to_string(), command)).collect(),
            size: Some(slug.bytes),
            stack: stacks::reference(&slug.stack),
            updated_at: slug.created_at.rfc3339(),
        }
    }

    /// One that is announced: its blob says where to put the archive.
    fn announced(upload: SlugUpload, state: &ApiState) -> Self {
        let types = upload.process_types.into_iter();
        let at = upload.created_at.rfc3339();
        let url = format!("{}/slug-uploads/{}", state.config.api_url, upload.id);
        Self {
            blob: Blob { method: "PUT", url },
            buildpack_provided_description: upload.buildpack_description,
            checksum: upload.checksum.map(|hash| format!("SHA256:{hash}")),
            commit: upload.commit,
            commit_description: None,
            created_at: at.clone(),
            id: upload.id.to_string(),
            process_types: types.map(|(name, command)| (name.to_string(), command)).collect(),
            size: None,
            stack: stacks::reference(&upload.stack),
            updated_at: at,
        }
    }
}

#[derive(Deserialize)]
struct New {
    process_types: BTreeMap<String, String>,
    buildpack_provided_description: Option<String>,
    checksum: Option<String>,
    commit: Option<String>,
    stack: Option<String>,
}

async fn create(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<SlugBody>)> {
    let new = NewUpload {
        process_types: new.process_types,
        checksum: new.checksum,
        commit: new.commit,
        buildpack_description: new.buildpack_provided_description,
        stack: new.stack,
    };
    let upload = slug_uploads::create(&state.control, &caller.account, app.id, new).await?;
    Ok((StatusCode::CREATED, Json(SlugBody::announced(upload, &state))))
}

/// Takes the archive in as it comes. The content type is not looked at: clients send an empty one.
async fn upload(
    State(state): State<ApiState>,
    Path(slug): Path<String>,
    body: HttpBody,
) -> Result<StatusCode> {
    let bytes = StreamReader::new(Box::pin(sources::impatient(body)));
    slug_uploads::upload(&state.control, find(&slug)?, bytes).await?;
    Ok(StatusCode::OK)
}

fn find(slug: &str) -> Result<SlugId> {
    slug.parse().map_err(|_| ApiError::not_found("slug"))
}

async fn info(
    State(state): State<ApiState>,
    Path((_, slug)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<SlugBody>> {
    let (control, who, id) = (&state.control, &caller.account, find(&slug)?);
    let body = match slugs::info(control, who, app.id, id).await {
        Err(Error::NotFound(_)) => {
            SlugBody::announced(slug_uploads::info(control, who, app.id, id).await?, &state)
        }
        found => SlugBody::new(found?, &state),
    };
    Ok(Json(body))
}

//! Slugs: compiled apps. They are made by builds only.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use control::slugs;
use model::Slug;
use serde::Serialize;

use crate::app_path::AppPath;
use crate::error::{ApiError, Result};
use crate::resources::stacks;
use crate::state::ApiState;
use crate::streams::{Licence, Stream};
use crate::wire::NameRef;

/// Routes of slugs.
pub fn routes() -> Router<ApiState> {
    Router::new().route("/apps/{app}/slugs/{slug}", get(info))
}

#[derive(Serialize)]
struct SlugBody {
    blob: Blob,
    buildpack_provided_description: Option<String>,
    checksum: String,
    commit: Option<String>,
    commit_description: Option<String>,
    created_at: String,
    id: String,
    process_types: BTreeMap<String, String>,
    size: u64,
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
            checksum: format!("SHA256:{}", slug.blob),
            commit: slug.commit,
            commit_description: None,
            created_at: slug.created_at.rfc3339(),
            id: slug.id.to_string(),
            process_types: types.map(|(name, command)| (name.to_string(), command)).collect(),
            size: slug.bytes,
            stack: stacks::reference(&slug.stack),
            updated_at: slug.created_at.rfc3339(),
        }
    }
}

async fn info(
    State(state): State<ApiState>,
    Path((_, slug)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<SlugBody>> {
    let id = slug.parse().map_err(|_| ApiError::not_found("slug"))?;
    let slug = slugs::info(&state.control, &caller.account, app.id, id).await?;
    Ok(Json(SlugBody::new(slug, &state)))
}

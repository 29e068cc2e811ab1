//! Buildpack installations: which buildpacks the next build uses, in order.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use control::buildpack_installations as buildpacks;
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::Result;
use crate::state::ApiState;

/// Routes of buildpack installations.
pub fn routes() -> Router<ApiState> {
    Router::new().route("/apps/{app}/buildpack-installations", get(list).put(replace))
}

#[derive(Serialize)]
struct InstallationBody {
    ordinal: usize,
    buildpack: Buildpack,
}

/// Heroku gives a registered buildpack the URL `urn:buildpack:NAME`, of which the CLI shows the
/// name.
#[derive(Serialize)]
struct Buildpack {
    name: String,
    url: String,
}

#[derive(Deserialize)]
struct Replacement {
    updates: Vec<Update>,
}

#[derive(Deserialize)]
struct Update {
    buildpack: String,
}

fn body(buildpacks: Vec<String>) -> Json<Vec<InstallationBody>> {
    let installation = |(ordinal, name): (usize, String)| {
        let url = if name.contains(':') { name.clone() } else { format!("urn:buildpack:{name}") };
        InstallationBody { ordinal, buildpack: Buildpack { name, url } }
    };
    Json(buildpacks.into_iter().enumerate().map(installation).collect())
}

async fn list(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<Vec<InstallationBody>>> {
    Ok(body(buildpacks::list(&state.control, &caller.account, app.id).await?))
}

async fn replace(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(Replacement { updates }): Body<Replacement>,
) -> Result<Json<Vec<InstallationBody>>> {
    let wanted = updates.into_iter().map(|update| update.buildpack).collect();
    Ok(body(buildpacks::set(&state.control, &caller.account, app.id, wanted).await?))
}

//! Buildpack installations: which buildpacks the next build uses, in order.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use control::buildpack_installations as buildpacks;
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::Result;
use crate::resources::buildpack_registry;
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
    let installation = |(ordinal, name): (usize, String)| InstallationBody {
        ordinal,
        buildpack: Buildpack { url: buildpack_registry::url(&name), name },
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
    let name = |update: &Update| buildpack_registry::plain_name(&update.buildpack).to_owned();
    let wanted = updates.iter().map(name).collect();
    Ok(body(buildpacks::set(&state.control, &caller.account, app.id, wanted).await?))
}

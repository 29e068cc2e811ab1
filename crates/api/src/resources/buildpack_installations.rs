//! Buildpack installations: which buildpacks the next build uses, in order.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use control::buildpack_installations as buildpacks;
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::{ApiError, Result};
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

/// The CLI leaves the buildpack out when the registry does not know its name.
#[derive(Deserialize)]
struct Update {
    buildpack: Option<String>,
}

impl Update {
    fn name(&self, state: &ApiState) -> Result<String> {
        let known: String = state.buildpacks.iter().map(|name| format!(", or {name}")).collect();
        let refused =
            || ApiError::invalid(format!("Couldn't find that buildpack. Use a URL{known}."));
        let named =
            self.buildpack.as_deref().filter(|text| !text.is_empty()).ok_or_else(refused)?;
        Ok(buildpack_registry::plain_name(named).to_owned())
    }
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
    let wanted = updates.iter().map(|update| update.name(&state)).collect::<Result<_>>()?;
    Ok(body(buildpacks::set(&state.control, &caller.account, app.id, wanted).await?))
}

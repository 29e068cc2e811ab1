//! Automatic Certificate Management of an app: wanted or not. How far it is, each domain says.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use control::acme;
use model::App;

use crate::app_path::AppPath;
use crate::error::Result;
use crate::resources::apps::AppBody;
use crate::state::ApiState;

/// Routes of Automatic Certificate Management.
pub fn routes() -> Router<ApiState> {
    let all = get(info).post(enable).patch(refresh).delete(disable);
    Router::new().route("/apps/{app}/acm", all)
}

fn body(app: &App, state: &ApiState) -> Json<AppBody> {
    Json(AppBody::new(app, state))
}

async fn info(State(state): State<ApiState>, AppPath { app, .. }: AppPath) -> Json<AppBody> {
    body(&app, &state)
}

async fn enable(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<AppBody>> {
    let app = acme::enable(&state.control, &caller.account, app.id).await?;
    Ok(body(&app, &state))
}

/// The CLI's `acm_refresh: true` is the only thing that can be asked here.
async fn refresh(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<AppBody>> {
    let app = acme::refresh(&state.control, &caller.account, app.id).await?;
    Ok(body(&app, &state))
}

async fn disable(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<AppBody>> {
    let app = acme::disable(&state.control, &caller.account, app.id).await?;
    Ok(body(&app, &state))
}

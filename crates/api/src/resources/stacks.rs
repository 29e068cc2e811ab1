//! Stacks: what dynos run on.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use crate::app_path::AppPath;
use crate::caller::Caller;
use crate::error::{ApiError, Result};
use crate::resources::regions::BEGINNING;
use crate::state::ApiState;
use crate::wire::{Kind, NameRef};

/// Routes of stacks.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/stacks", get(|state, _: Caller| list(state)))
        .route("/stacks/{stack}", get(info))
        .route("/apps/{app}/available-stacks", get(|state, _: AppPath| list(state)))
}

#[derive(Serialize)]
struct StackBody {
    created_at: &'static str,
    default: bool,
    #[serde(flatten)]
    stack: NameRef,
    state: &'static str,
    updated_at: &'static str,
}

/// A reference to a stack.
pub fn reference(name: &str) -> NameRef {
    NameRef::of(Kind::Stack, name)
}

/// The name of the stack that a name or an id means.
///
/// # Errors
/// Names the stacks there are.
pub fn find(state: &ApiState, wanted: &str) -> Result<String> {
    let stacks = &state.control.settings.stacks;
    let found = stacks.iter().find(|name| *name == wanted || reference(name).id == wanted);
    found.cloned().ok_or_else(|| {
        let all = stacks.join(", ");
        ApiError::invalid(format!("Couldn't find stack `{wanted}`. Stacks are: {all}."))
    })
}

fn body(name: &str, default: &str) -> StackBody {
    StackBody {
        created_at: BEGINNING,
        default: name == default,
        stack: reference(name),
        state: "public",
        updated_at: BEGINNING,
    }
}

async fn list(State(state): State<ApiState>) -> Json<Vec<StackBody>> {
    let settings = &state.control.settings;
    let default = settings.default_stack();
    Json(settings.stacks.iter().map(|name| body(name, default)).collect())
}

async fn info(
    State(state): State<ApiState>,
    Path(wanted): Path<String>,
    _: Caller,
) -> Result<Json<StackBody>> {
    let name = find(&state, &wanted).map_err(|_| ApiError::not_found("stack"))?;
    Ok(Json(body(&name, state.control.settings.default_stack())))
}

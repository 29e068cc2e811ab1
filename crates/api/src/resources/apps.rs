//! Apps.

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use control::apps::{self, NewApp};
use http::StatusCode;
use model::names::NameError;
use model::{App, AppName};
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::caller::Caller;
use crate::error::{ApiError, Result};
use crate::ranges::{Key, Listed, Page, Range};
use crate::resources::{regions, stacks};
use crate::state::ApiState;
use crate::wire::{Kind, NameRef, UserRef, maybe_time};

/// Routes of apps.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps", get(list).post(create))
        .route("/apps/{app}", get(info).patch(update).delete(destroy))
        .route("/users/{user}/apps", get(list_of_user))
}

/// An app, as the API shows it.
#[derive(Serialize)]
pub(super) struct AppBody {
    acm: bool,
    archived_at: Option<String>,
    /// Ours: seconds that web dynos have to listen, when the app has a number of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    boot_timeout_seconds: Option<u32>,
    build_stack: NameRef,
    buildpack_provided_description: Option<String>,
    create_status: &'static str,
    created_at: String,
    generation: NameRef,
    git_url: String,
    id: String,
    internal_routing: bool,
    locked: bool,
    maintenance: bool,
    name: String,
    organization: Option<NameRef>,
    owner: UserRef,
    region: NameRef,
    released_at: Option<String>,
    repo_size: Option<u64>,
    slug_size: Option<u64>,
    space: Option<NameRef>,
    stack: NameRef,
    team: Option<NameRef>,
    updated_at: String,
    web_url: String,
}

impl AppBody {
    pub(super) fn new(app: &App, state: &ApiState) -> Self {
        Self {
            acm: app.acm,
            archived_at: None,
            boot_timeout_seconds: app.boot_timeout_seconds,
            build_stack: stacks::reference(&app.build_stack),
            buildpack_provided_description: app.buildpack_description.clone(),
            create_status: "complete",
            created_at: app.created_at.rfc3339(),
            generation: NameRef::of(Kind::Generation, "cedar"),
            git_url: format!("https://{}/{}.git", state.config.git_host, app.name),
            id: app.id.to_string(),
            internal_routing: false,
            locked: false,
            maintenance: app.maintenance,
            name: app.name.to_string(),
            organization: None,
            owner: UserRef::new(app.owner, &app.owner_email),
            region: regions::reference(),
            released_at: maybe_time(app.released_at),
            repo_size: app.repo_bytes,
            slug_size: app.slug_bytes,
            space: None,
            stack: stacks::reference(&app.stack),
            team: None,
            updated_at: app.updated_at.rfc3339(),
            web_url: state.control.settings.web_url(&app.name),
        }
    }
}

impl Listed for AppBody {
    const SORTABLE: &'static [&'static str] = &["name", "id", "updated_at"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            "updated_at" => self.updated_at.clone(),
            _ => self.name.clone(),
        })
    }
}

#[derive(Deserialize)]
struct New {
    name: Option<String>,
    region: Option<String>,
    stack: Option<String>,
}

#[derive(Deserialize)]
struct Changes {
    name: Option<String>,
    maintenance: Option<bool>,
    build_stack: Option<String>,
    boot_timeout_seconds: Option<u32>,
}

async fn create(
    State(state): State<ApiState>,
    caller: Caller,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<AppBody>)> {
    regions::check(new.region.as_deref())?;
    let stack = new.stack.map(|stack| stacks::find(&state, &stack)).transpose()?;
    let name = new.name.filter(|name| !name.is_empty());
    let name = name.as_deref().map(parse).transpose()?;
    let app = apps::create(&state.control, &caller.account, NewApp { name, stack }).await?;
    Ok((StatusCode::CREATED, Json(AppBody::new(&app, &state))))
}

async fn list(
    State(state): State<ApiState>,
    range: Range,
    caller: Caller,
) -> Result<Page<AppBody>> {
    let apps = apps::list(&state.control, &caller.account).await?;
    range.page(apps.iter().map(|app| AppBody::new(app, &state)).collect())
}

async fn list_of_user(
    State(state): State<ApiState>,
    Path(user): Path<String>,
    range: Range,
    caller: Caller,
) -> Result<Page<AppBody>> {
    if !caller.is(&user) {
        return Err(ApiError::not_found("user"));
    }
    let apps = apps::list(&state.control, &caller.account).await?;
    let own = apps.iter().filter(|app| app.owner == caller.account.id);
    range.page(own.map(|app| AppBody::new(app, &state)).collect())
}

async fn info(State(state): State<ApiState>, AppPath { app, .. }: AppPath) -> Json<AppBody> {
    Json(AppBody::new(&app, &state))
}

async fn update(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(changes): Body<Changes>,
) -> Result<Json<AppBody>> {
    let build_stack = changes.build_stack.map(|stack| stacks::find(&state, &stack)).transpose()?;
    let changes = apps::Changes {
        name: changes.name.as_deref().map(parse).transpose()?,
        maintenance: changes.maintenance,
        build_stack,
        boot_timeout_seconds: changes.boot_timeout_seconds,
    };
    let app = apps::update(&state.control, &caller.account, app.id, changes).await?;
    Ok(Json(AppBody::new(&app, &state)))
}

async fn destroy(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<AppBody>> {
    let app = apps::destroy(&state.control, &caller.account, app.id).await?;
    Ok(Json(AppBody::new(&app, &state)))
}

fn parse(name: &str) -> Result<AppName> {
    name.parse().map_err(|error: NameError| ApiError::invalid(error.to_string()))
}

//! Log sessions: leave to read an app's log at a URL. The reading is in `streams`.

use axum::extract::State;
use axum::routing::post;
use axum::{Json, Router};
use control::log_sessions::{self, NewLogSession};
use http::StatusCode;
use model::log::Source;
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::{ApiError, Result};
use crate::state::ApiState;

/// Routes of log sessions.
pub fn routes() -> Router<ApiState> {
    Router::new().route("/apps/{app}/log-sessions", post(create))
}

#[derive(Serialize)]
struct LogSessionBody {
    created_at: String,
    id: String,
    logplex_url: String,
    updated_at: String,
}

#[derive(Deserialize)]
struct New {
    /// A dyno, or a process type: the CLI sends both here.
    #[serde(alias = "dyno_name")]
    dyno: Option<String>,
    /// A process type, as the schema has it.
    #[serde(rename = "type")]
    process_type: Option<String>,
    lines: Option<u32>,
    source: Option<String>,
    #[serde(default)]
    tail: bool,
}

async fn create(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<LogSessionBody>)> {
    let new = NewLogSession {
        dyno: new.dyno.or(new.process_type).filter(|dyno| !dyno.is_empty()),
        source: new.source.as_deref().map(source).transpose()?,
        lines: new.lines,
        tail: new.tail,
    };
    let session = log_sessions::create(&state.control, &caller.account, app.id, new).await?;
    let at = session.created_at.rfc3339();
    let body = LogSessionBody {
        created_at: at.clone(),
        id: session.id.to_string(),
        logplex_url: format!("{}/streams/logs/{}", state.config.api_url, session.id),
        updated_at: at,
    };
    Ok((StatusCode::CREATED, Json(body)))
}

/// What a person calls a source.
pub(super) fn source(name: &str) -> Result<Source> {
    let found = [Source::App, Source::Heroku].into_iter().find(|source| source.as_str() == name);
    let refused = || ApiError::invalid(format!("Invalid source `{name}`. Use app or heroku."));
    found.ok_or_else(refused)
}

//! Log drains (`heroku drains`), and how each of them fares.

use axum::extract::{Path, Query, State};
use axum::routing::get;
use axum::{Json, Router};
use control::log_drains;
use http::StatusCode;
use logplex::drains::{DrainState, DrainStatus};
use model::drain::LogDrain;
use serde::{Deserialize, Serialize};

use crate::app_path::AppPath;
use crate::body::Body;
use crate::error::Result;
use crate::ranges::{Key, Listed, Page, Range};
use crate::state::ApiState;
use crate::wire::NameRef;

/// Routes of log drains.
pub fn routes() -> Router<ApiState> {
    Router::new()
        .route("/apps/{app}/log-drains", get(list).post(create))
        .route("/apps/{app}/log-drains/{drain}", get(info).delete(delete))
        .route("/apps/{app}/log-drains/{drain}/status", get(status))
}

#[derive(Serialize)]
struct LogDrainBody {
    /// The add-on that made it: no add-on does so yet.
    addon: Option<()>,
    app: NameRef,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    extended: Option<Extended>,
    id: String,
    token: String,
    updated_at: String,
    url: String,
}

/// What `heroku drains --extended` shows beside.
#[derive(Serialize)]
struct Extended {
    drain_id: String,
}

impl From<LogDrain> for LogDrainBody {
    fn from(drain: LogDrain) -> Self {
        Self {
            addon: None,
            app: NameRef { id: drain.app.to_string(), name: drain.app_name.to_string() },
            created_at: drain.created_at.rfc3339(),
            extended: None,
            id: drain.id.to_string(),
            token: drain.token(),
            updated_at: drain.updated_at.rfc3339(),
            url: drain.url.reveal().to_owned(),
        }
    }
}

impl Listed for LogDrainBody {
    const SORTABLE: &'static [&'static str] = &["created_at", "id"];

    fn key(&self, attribute: &str) -> Key {
        Key::Text(match attribute {
            "id" => self.id.clone(),
            // Drains of one second keep an order.
            _ => format!("{} {}", self.created_at, self.id),
        })
    }
}

/// How a drain fares. Hythe's own; Heroku has no such thing.
#[derive(Serialize)]
pub struct StatusBody {
    state: &'static str,
    waiting: u64,
    delivered: u64,
    lost: u64,
    since: Option<String>,
    failing_since: Option<String>,
    last_delivered_at: Option<String>,
    last_error: Option<ErrorBody>,
}

#[derive(Serialize)]
struct ErrorBody {
    message: String,
    at: String,
}

impl From<Option<DrainStatus>> for StatusBody {
    fn from(status: Option<DrainStatus>) -> Self {
        let Some(status) = status else {
            // It was added a moment ago.
            return Self {
                state: "starting",
                waiting: 0,
                delivered: 0,
                lost: 0,
                since: None,
                failing_since: None,
                last_delivered_at: None,
                last_error: None,
            };
        };
        let (state, failing_since) = match status.state {
            DrainState::Idle => ("idle", None),
            DrainState::Delivering => ("delivering", None),
            DrainState::Failing { since } => ("failing", Some(since.rfc3339())),
        };
        Self {
            state,
            waiting: status.waiting,
            delivered: status.delivered,
            lost: status.lost,
            since: Some(status.since.rfc3339()),
            failing_since,
            last_delivered_at: status.last_delivered_at.map(model::Timestamp::rfc3339),
            last_error: status
                .last_error
                .map(|error| ErrorBody { message: error.text, at: error.at.rfc3339() }),
        }
    }
}

#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    extended: bool,
}

#[derive(Deserialize)]
struct New {
    url: String,
}

async fn list(
    State(state): State<ApiState>,
    Query(asked): Query<Asked>,
    range: Range,
    AppPath { caller, app }: AppPath,
) -> Result<Page<LogDrainBody>> {
    let drains = log_drains::list(&state.control, &caller.account, app.id).await?;
    let mut bodies: Vec<_> = drains.into_iter().map(LogDrainBody::from).collect();
    if asked.extended {
        for body in &mut bodies {
            body.extended = Some(Extended { drain_id: body.id.clone() });
        }
    }
    range.page(bodies)
}

async fn create(
    State(state): State<ApiState>,
    AppPath { caller, app }: AppPath,
    Body(new): Body<New>,
) -> Result<(StatusCode, Json<LogDrainBody>)> {
    let drain = log_drains::create(&state.control, &caller.account, app.id, &new.url).await?;
    Ok((StatusCode::CREATED, Json(drain.into())))
}

async fn info(
    State(state): State<ApiState>,
    Path((_, drain)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<LogDrainBody>> {
    let drain = log_drains::info(&state.control, &caller.account, app.id, &drain).await?;
    Ok(Json(drain.into()))
}

async fn delete(
    State(state): State<ApiState>,
    Path((_, drain)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<LogDrainBody>> {
    let drain = log_drains::delete(&state.control, &caller.account, app.id, &drain).await?;
    Ok(Json(drain.into()))
}

async fn status(
    State(state): State<ApiState>,
    Path((_, drain)): Path<(String, String)>,
    AppPath { caller, app }: AppPath,
) -> Result<Json<StatusBody>> {
    let drain = log_drains::info(&state.control, &caller.account, app.id, &drain).await?;
    Ok(Json(state.drains.status(drain.id).into()))
}
